"""Initial flows: no divergence, their laws, and independence from the batch."""

import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.pde import divergence, vorticity
from sciode.pde.initial_flow import (
    FLOWS,
    disc,
    flow_brownian,
    flow_gauss,
    flow_patches,
    flow_shear_layer,
    flow_sines,
    flow_vortex_sheet,
)
from sciode.spectral import Grid

SQUARE = Grid((48, 48), (1.0, 1.0))


@pytest.mark.parametrize("name", FLOWS)
def test_a_seed_repeats_and_there_is_no_divergence(name: str) -> None:
    a, b, c = (FLOWS[name](SQUARE, generator(0, "initial", i)) for i in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a[:2], c[:2])
    assert a.dtype == torch.float64
    assert divergence(a[:2]).abs().max() < 1e-11 * max(1.0, vorticity(a[:2]).abs().max().item())
    if name != "flow_shear_layer":
        assert a[:2].mean((-2, -1)).abs().max() < 1e-14


@pytest.mark.parametrize("name", ["flow_sines", "flow_brownian", "flow_gauss", "flow_vortex_sheet"])
def test_a_finer_grid_shows_the_same_flow(name: str) -> None:
    smooth = {"flow_gauss": {"narrowest": 0.06}, "flow_vortex_sheet": {"radius": 0.2}}.get(name, {})
    coarse, fine = (FLOWS[name](Grid((n, n), (1.0, 1.0)), generator(0, 3), **smooth) for n in (48, 96))
    torch.testing.assert_close(fine[:, ::2, ::2], coarse, rtol=0, atol=1e-4 * coarse.abs().max().item())


def test_the_box_has_any_length() -> None:
    unit, wide = (flow_gauss(Grid((32, 32), (s, s)), generator(0, 1)) for s in (1.0, 2.0))
    torch.testing.assert_close(wide, 2 * unit)  # the same vorticity on a box twice as wide


def test_sines_reach_the_highest_wave_and_no_further() -> None:
    u = flow_sines(SQUARE, generator(0, 0), highest=5)
    spectrum = torch.fft.rfftn(u, dim=(-2, -1)).abs().amax(0)
    wave = torch.fft.fftfreq(48, 1 / 48).abs()
    beyond = (wave[:, None] > 5) | (wave[None, :25] > 5)
    assert spectrum[beyond].max() < 1e-10
    assert spectrum[5, 5] > 1e-3


def test_patches_have_constant_vorticity() -> None:
    grid = Grid((40, 40), (1.0, 1.0))
    w = vorticity(flow_patches(grid, generator(0, 0), patches=4))[0].reshape(4, 10, 4, 10)
    # A velocity on the grid has no highest mode of odd order; without it constants come back to this much.
    spread = (w - w.mean((1, 3), keepdim=True)).abs().max()
    values = w.mean((1, 3))
    assert spread < 0.15 * values.abs().max()
    assert values.max() - values.min() > 0.5


def test_one_vortex_is_a_gaussian_of_its_width() -> None:
    grid = Grid((64, 64), (1.0, 1.0))
    w = vorticity(flow_gauss(grid, generator(0, 5), vortices=1, narrowest=0.05, widest=0.05))[0]
    bump = w - w.median()  # far from the vortex there is only the removed mean
    peak = bump.abs().max()
    area = bump.sum().abs().item() / 64**2 / peak.item()
    assert area == pytest.approx(2 * math.pi * 0.05**2, rel=0.05)


def test_the_shear_layer_without_perturbation_is_the_profile() -> None:
    u = flow_shear_layer(SQUARE, generator(0, 0), perturbation=0.0, shift=0.0, thickness=0.1)
    y = torch.arange(48, dtype=torch.float64) / 48
    want = torch.tanh(2 * math.pi * torch.minimum(y - 0.25, 0.75 - y) / 0.1)
    torch.testing.assert_close(u[0], want.expand(48, 48), rtol=0, atol=1e-13)
    assert u[1].abs().max() < 1e-14


def test_the_seam_of_the_shear_layer_wanders() -> None:
    u = flow_shear_layer(Grid((64, 64), (1.0, 1.0)), generator(0, 0), shift=0.0)
    assert u[1].abs().max() > 0.01
    # A zero of u in every column: where the lower layer lies, up to the projection.
    lower = u[0, :, :32].abs().argmin(1).double() / 64
    assert (lower - 0.25).abs().max() < 10 * 0.025
    assert lower.std() > 0.01


def test_the_strength_of_the_sheet_is_its_length() -> None:
    grid = Grid((64, 64), (1.0, 1.0))
    w = vorticity(flow_vortex_sheet(grid, generator(0, 0), perturbation=0.0, radius=0.1))[0]
    s = torch.linspace(0, 1, 2001, dtype=torch.float64)
    arc = torch.trapezoid(torch.sqrt(1 + (0.4 * math.pi * torch.cos(2 * math.pi * s)) ** 2), s).item()
    # Outside of the sheet stands minus the removed mean, which is the length of the curve over the box.
    assert w[:, 0].mean().item() == pytest.approx(-arc, rel=2e-3)


def test_brownian_modes_fall_like_k_to_minus_three_halves() -> None:
    grid = Grid((40, 40), (1.0, 1.0))
    flows = torch.stack([flow_brownian(grid, generator(1, i), highest=16) for i in range(300)])
    power = torch.fft.rfftn(flows, dim=(-2, -1), norm="forward").abs().square().sum(1).mean(0)
    # The mode (j, 0) of a projected pair of normal fields keeps one of its two components.
    got = [power[j, 0].item() * j**3 for j in (1, 4, 12)]
    assert got == pytest.approx([0.5] * 3, rel=0.35)  # four standard errors of a squared modulus


def test_the_disc_covers_its_area() -> None:
    assert disc(Grid((96, 96), (1.0, 1.0)), radius=0.3).mean().item() == pytest.approx(math.pi * 0.09, rel=0.01)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"square.*\(48, 32\)"):
        flow_sines(Grid((48, 32), (1.0, 1.0)), generator(0))
    with pytest.raises(InputError, match=r"more than 80 points.*\(48, 48\)"):
        flow_sines(SQUARE, generator(0), highest=40)
    with pytest.raises(InputError, match=r"vortices is a whole number.*2.5"):
        flow_gauss(SQUARE, generator(0), vortices=2.5)
    with pytest.raises(InputError, match=r"widths.*0.4"):
        flow_gauss(SQUARE, generator(0), widest=0.4)
    with pytest.raises(InputError, match=r"thickness.*-1"):
        flow_shear_layer(SQUARE, generator(0), thickness=-1.0)
    with pytest.raises(InputError, match=r"radius.*0.7"):
        flow_vortex_sheet(SQUARE, generator(0), radius=0.7)
    with pytest.raises(InputError, match=r"disc.*0.6"):
        disc(SQUARE, radius=0.6)

"""Waves against d'Alembert, at an interface, their energy, and the media they are drawn in."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.pde import wave, wave_energy
from sciode.pde.wave import wave_layers, wave_lenses
from sciode.solve import solve
from sciode.spectral import Grid
from tests.order import errors_under_halving, measured_order

PI = math.pi
SQUARE = Grid((32, 32), (1.0, 1.0))


def pulse(x: Tensor, width: float = 0.06) -> Tensor:
    """A periodic Gaussian about 1/2."""
    distance = torch.remainder(x, 1.0) - 0.5
    return sum(torch.exp(-0.5 * ((distance + k) / width) ** 2) for k in (-1, 0, 1))


def at_rest(u: Tensor, c: Tensor | float) -> Tensor:
    return torch.stack([u, torch.zeros_like(u), c * torch.ones_like(u)])[None]


def test_dalembert_with_its_order_in_time() -> None:
    (x, y), c, t = SQUARE.coordinates(), 0.7, 0.6
    along = x + y  # oblique: the wave runs at c times |(1, 1)|

    def profile(z: Tensor) -> Tensor:
        return torch.exp(torch.sin(2 * PI * z))

    speed = c * math.sqrt(2)
    want = 0.5 * (profile(along - speed * t) + profile(along + speed * t))
    errors = errors_under_halving(
        lambda dt: solve(wave(32), at_rest(profile(along), c), [0.0, t], dt=dt).y[0, 1, 0], 0.01, want, halvings=2
    )
    assert measured_order(errors) == pytest.approx(4.0, abs=0.15)
    assert errors[-1] < 1e-6


def test_a_wave_to_one_side_keeps_its_shape() -> None:
    x, _ = Grid((48, 48), (1.0, 1.0)).coordinates()
    f, slope = torch.sin(2 * PI * x), 2 * PI * torch.cos(2 * PI * x)
    start = torch.stack([f, -0.5 * slope, torch.full_like(x, 0.5)])[None]
    end = solve(wave(48), start, [0.0, 0.9], dt=0.005).y[0, 1]
    torch.testing.assert_close(end[0], torch.sin(2 * PI * (x - 0.45)), rtol=0, atol=1e-7)


@pytest.mark.parametrize("family", [wave_layers, wave_lenses])
def test_energy_is_conserved_in_any_medium_up_to_the_time_step(family) -> None:  # type: ignore[no-untyped-def]
    start = torch.stack([family(SQUARE, generator(0, i)) for i in range(2)])
    drifts = []
    for dt in (0.02, 0.01):
        energy = wave_energy(solve(wave(32), start, [0.0, 1.0], dt=dt).y)
        drifts.append((energy[:, 1] / energy[:, 0] - 1).abs().max().item())
    assert drifts[1] < 1e-4
    assert drifts[0] > 20 * drifts[1]  # a fourth-order method loses energy with the fifth power of the step


def test_an_interface_reflects_and_transmits_what_continuity_asks() -> None:
    grid = Grid((256, 4), (1.0, 1.0))
    x, _ = grid.coordinates()
    fast, slow = 1.0, 0.5
    c = torch.where((x > 0.3) & (x < 0.9), slow, fast)
    u = pulse(x + 0.35, 0.02)  # at x = 0.15, half of it goes right
    # The square Term wants as many points on either side; the medium varies along x alone.
    start = at_rest(u[:, :1].expand(256, 256), c[:, :1].expand(256, 256))
    end = solve(wave(256), start, [0.0, 0.3], dt=0.001).y[0, 1, 0, :, 0]
    line = x[:, 0]
    passed = end[(line > 0.3) & (line < 0.6)].max().item()
    back = end[(line > 0.05) & (line < 0.27)].min().item()
    assert passed == pytest.approx(0.5 * 2 * slow / (fast + slow), abs=0.02)
    assert back == pytest.approx(0.5 * (slow - fast) / (fast + slow), abs=0.02)


def test_an_absorbing_border_takes_the_wave() -> None:
    grid = Grid((64, 64), (1.0, 1.0))
    x, y = grid.coordinates()
    start = at_rest(torch.exp(-0.5 * ((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.05**2), 1.0)
    closed, opened = (
        wave_energy(solve(wave(64, absorption=a, border=0.2), start, [0.0, 0.5, 1.5], dt=0.004).y)[0]
        for a in (0.0, 20.0)
    )
    assert closed[2].item() == pytest.approx(closed[0].item(), rel=1e-3)
    assert opened[2] < 0.01 * opened[0]


def test_media_lie_between_their_speeds_and_layers_are_layers() -> None:
    for i in range(5):
        layered, lensed = (family(SQUARE, generator(1, i)) for family in (wave_layers, wave_lenses))
        for state in (layered, lensed):
            assert state[2].min() >= 0.2 and state[2].max() <= 0.5
            assert state[1].abs().max() == 0
        assert torch.equal(layered[2], layered[2, :1].expand(32, 32))
        assert len(layered[2].unique()) <= 4
        assert len(lensed[2].unique()) > 100
    again = wave_layers(SQUARE, generator(1, 4))
    assert torch.equal(layered, again)
    assert not torch.equal(again, wave_layers(SQUARE, generator(1, 3)))


def test_gradients_reach_the_medium() -> None:
    start = wave_lenses(SQUARE, generator(0, 0))[None].requires_grad_()
    solve(wave(32), start, [0.0, 0.1], dt=0.02).y[:, 1, 0].square().sum().backward()
    assert start.grad is not None and start.grad[:, 2].abs().max() > 0


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"absorption >= 0.*-1"):
        wave(16, absorption=-1.0)
    with pytest.raises(InputError, match=r"border.*0.6"):
        wave(16, border=0.6)
    with pytest.raises(InputError, match=r"b 3 16 16.*\[1, 2, 16, 16\]"):
        solve(wave(16), torch.zeros(1, 2, 16, 16), [0.0, 0.1], dt=0.1)
    with pytest.raises(InputError, match=r"0 < slowest.*0.9 and 0.5"):
        wave_layers(SQUARE, generator(0), slowest=0.9)
    with pytest.raises(InputError, match=r"at least one layer.*0"):
        wave_layers(SQUARE, generator(0), layers=0)
    with pytest.raises(InputError, match=r"narrowest.*0.5"):
        wave_lenses(SQUARE, generator(0), narrowest=0.5, widest=0.1)

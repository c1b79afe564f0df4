"""Symbols against analytic derivatives, resampling against band-limited fields."""

import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.spectral import Grid, Symbol, resample


@pytest.mark.parametrize("points", [15, 16])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_a_wave(points: int, order: int) -> None:
    grid = Grid((points,), (3.0,))
    (x,) = grid.coordinates()
    k = 2 * math.pi * 2 / 3.0
    got = torch.fft.irfft(torch.fft.rfft(torch.sin(k * x)) * grid.derivative(0, order), n=points)
    want = k**order * torch.sin(k * x + order * math.pi / 2)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


def test_laplacian_in_three_dimensions() -> None:
    grid = Grid((8, 10, 12), (1.0, 2.0, 3.0))
    x, y, z = grid.coordinates()
    u = torch.sin(2 * math.pi * x) * torch.cos(math.pi * y) * torch.sin(2 * math.pi * z / 3)
    hat = torch.fft.rfftn(u)
    got = torch.fft.irfftn(hat * grid.laplacian, s=grid.points)
    torch.testing.assert_close(got, -(4 + 1 + 4 / 9) * math.pi**2 * u, rtol=0, atol=1e-10)


def test_dealias_keeps_less_than_two_thirds_in_every_direction() -> None:
    mask = Grid((24, 24), (1.0, 1.0)).dealias()
    assert mask.shape == (24, 13)
    assert mask[0].tolist() == [1.0] * 8 + [0.0] * 5
    assert mask[:, 0].sum().item() == 15


def test_symbol_follows_device_and_dtype_and_is_made_once() -> None:
    symbol = Symbol(torch.ones(3, dtype=torch.complex128))
    state = torch.zeros(3, dtype=torch.complex64)
    assert symbol.like(state).dtype == torch.complex64
    assert symbol.like(state) is symbol.like(state)


@pytest.mark.parametrize(("old", "new"), [(16, 40), (16, 41), (15, 32), (40, 16), (41, 16), (40, 15), (16, 16)])
def test_resampling_band_limited_fields_is_exact(old: int, new: int) -> None:
    def field(points: int) -> torch.Tensor:
        x = torch.arange(points, dtype=torch.float64) / points
        return 0.3 + torch.sin(2 * math.pi * x) + 0.5 * torch.cos(2 * math.pi * 6 * x + 0.2)

    torch.testing.assert_close(resample(field(old), [new]), field(new), rtol=0, atol=1e-13)


def test_resampling_two_axes_and_back() -> None:
    u = torch.randn(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resample(resample(u, [20, 30]), [9, 11]), u, rtol=0, atol=1e-13)


def test_nyquist_mode_survives_up_and_down() -> None:
    u = torch.tensor([1.0, -1.0] * 8, dtype=torch.float64)
    torch.testing.assert_close(resample(resample(u, [32]), [16]), u, rtol=0, atol=1e-13)


def test_bad_grids_and_targets_are_refused() -> None:
    with pytest.raises(InputError, match="one length per axis"):
        Grid((8, 8), (1.0,))
    with pytest.raises(InputError, match="cannot resample"):
        resample(torch.zeros(8), [])

"""Families of initial conditions: their ranges, their spectra, and independence from the batch."""

import pytest
import torch

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.pde.initial import FAMILIES, gaussian_vorticity, positive_sine_sum, sine_sum, smooth_noise, white_noise
from sciode.spectral import Grid

LINE, SQUARE = Grid((64,), (1.0,)), Grid((32, 32), (2.0, 2.0))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_repeats_and_another_differs(name: str) -> None:
    grid = SQUARE if name in ("white_noise", "gaussian_vorticity") else LINE
    a, b, c = (FAMILIES[name](grid, generator(0, "initial", i)) for i in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.dtype == torch.float64
    assert a.shape[1:] == grid.points


def test_sine_sum_has_two_waves_up_to_eight() -> None:
    for i in range(50):
        u = sine_sum(LINE, generator(0, i), absolute=0.0, window=0.0)
        amplitude = torch.fft.rfft(u[0]).abs() / 32
        assert (amplitude > 1e-12).sum() <= 2
        assert bool((amplitude[9:] < 1e-12).all())
        assert u.abs().max() <= 2.0


def test_about_a_tenth_are_made_absolute_and_a_tenth_are_windowed() -> None:
    samples = torch.stack([sine_sum(Grid((256,), (1.0,)), generator(1, i))[0] for i in range(2000)])
    one_sign = ((samples >= 0).all(1) | (samples <= 0).all(1)).double().mean().item()
    flat = (samples[:, :20].abs().amax(1) < 1e-3).double().mean().item()
    assert 0.07 < one_sign < 0.13  # 4.5 standard errors about 0.1
    assert 0.07 < flat < 0.13


def test_positive_family_lies_between_zero_and_one() -> None:
    u = torch.stack([positive_sine_sum(LINE, generator(0, i)) for i in range(20)])
    assert u.min() >= 0
    torch.testing.assert_close(u.amax(-1), torch.ones(20, 1, dtype=torch.float64))


def test_white_noise_is_standard_normal() -> None:
    u = torch.stack([white_noise(SQUARE, generator(0, i)) for i in range(100)])
    count = u.numel()
    assert abs(u.mean().item()) < 5 / count**0.5
    assert abs(u.var().item() - 1) < 5 * (2 / count) ** 0.5


def test_smooth_noise_has_unit_variance_and_no_short_waves() -> None:
    u = torch.stack([smooth_noise(LINE, generator(0, i), highest=4) for i in range(4000)])
    assert u.var().item() == pytest.approx(1.0, abs=0.05)
    assert bool((torch.fft.rfft(u).abs()[..., 5:] < 1e-10).all())


def test_gaussian_vorticity_has_no_mean() -> None:
    w = gaussian_vorticity(SQUARE, generator(0, 0), amplitude=3.0)
    assert abs(w.mean().item()) < 1e-14
    assert w.std(unbiased=False).item() == pytest.approx(3.0)


def test_wrong_grids_are_named() -> None:
    with pytest.raises(InputError, match="one-dimensional"):
        sine_sum(SQUARE, generator(0))
    with pytest.raises(InputError, match="need more than"):
        smooth_noise(Grid((8,), (1.0,)), generator(0), highest=4)

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciode.core.errors import InputError
from sciode.metrics import band_error, nrmse, rmse, shell_wavenumbers, spectral_error, spectrum
from tests.metrics.fields_of import noise, noisy_pair, wave


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=3), st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_shells_add_up_to_the_mean_square(points, sides):
    u = noise(2, 1, 2, *points, dtype=torch.float64)
    energy = spectrum(u, lengths=sides[: len(points)])
    torch.testing.assert_close(energy.sum(-1), (u**2).flatten(3).mean(-1), rtol=1e-13, atol=1e-13)
    assert energy.shape[-1] == len(shell_wavenumbers(points, sides[: len(points)]))


@pytest.mark.parametrize(("mode", "shell"), [((3, 4), 5), ((3, -4), 5), ((-7, 0), 7), ((1, 1), 1), ((16, 16), 22)])
def test_a_plane_wave_lies_in_the_shell_of_its_norm(mode, shell):
    x = torch.arange(32, dtype=torch.float64) / 32
    u = torch.cos(2 * math.pi * (mode[0] * x[:, None] + mode[1] * x))
    energy = spectrum(u.reshape(1, 1, 1, 32, 32)).flatten()
    assert float(energy[shell]) == pytest.approx(float((u**2).mean()), rel=1e-12)


def test_shells_follow_the_wave_number_and_not_the_index_in_a_long_box():
    x = torch.arange(32, dtype=torch.float64) / 32
    across = torch.cos(2 * math.pi * 2 * x).expand(1, 1, 1, 32, 32)
    assert int(spectrum(across).argmax()) == 2
    assert int(spectrum(across, lengths=(3.0, 1.0)).argmax()) == 6
    assert float(shell_wavenumbers((32, 32), (3.0, 1.0))[6]) == pytest.approx(2 * math.pi * 2)


def test_spectrum_does_not_see_shifts_or_axes():
    u = noise(1, 1, 1, 12, 12, 12, dtype=torch.float64)
    for moved in (u.roll((3, 5), (3, 5)), u.transpose(3, 5), u.flip(4)):
        torch.testing.assert_close(spectrum(moved), spectrum(u))


def test_bands_add_up_to_the_error():
    pred, target = noisy_pair(2, 3, 2, 16, 15, dtype=torch.float64)
    keep = ("trajectory", "time", "channel")
    bands = band_error(pred, target, edges=(2, 5), keep=keep)
    assert bands.shape == (2, 3, 2, 3)
    torch.testing.assert_close((bands**2).sum(-1), rmse(pred, target, keep=keep) ** 2)


@pytest.mark.parametrize(("mode", "band"), [(3, 0), (4, 1), (11, 1), (12, 2)])
def test_bands_begin_at_their_edges(mode, band):
    error = wave(1, mode=mode)
    found = band_error(error, torch.zeros_like(error)).tolist()
    assert found.index(max(found)) == band
    assert max(found) == pytest.approx(0.1 / math.sqrt(2), rel=1e-5)


def test_a_band_beyond_the_grid_is_nan():
    pred, target = noisy_pair(1, 1, 1, 16)
    assert band_error(pred, target).isnan().tolist() == [False, False, True]


@pytest.mark.parametrize("edges", [(0, 4), (5, 5), (7, 3)])
def test_edges_must_rise(edges):
    pred, target = noisy_pair(1, 1, 1, 16)
    with pytest.raises(InputError, match="edges: expected rising"):
        band_error(pred, target, edges=edges)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_spectral_error_is_never_above_nrmse(seed):
    pred, target = noisy_pair(1, 1, 1, 9, 8, seed=seed, dtype=torch.float64)
    assert float(spectral_error(pred, target)) <= float(nrmse(pred, target)) * (1 + 1e-12)


def test_spectral_error_is_blind_to_phase_alone():
    target = noise(1, 2, 1, 32, 32, dtype=torch.float64)
    shifted = target.roll(5, -1)
    assert float(spectral_error(shifted, target)) < 1e-12
    assert float(nrmse(shifted, target)) > 0.5
    smooth = (target + shifted.roll(-4, -1)) / 2
    assert float(spectral_error(smooth, target)) > 0.1


@pytest.mark.parametrize("metric", [band_error, spectral_error])
def test_gradients_match_finite_differences(metric):
    pred, target = (u.requires_grad_() for u in noisy_pair(1, 1, 2, 6, 5, dtype=torch.float64))
    options = {"edges": (1, 2)} if metric is band_error else {}
    assert torch.autograd.gradcheck(lambda p, y: metric(p, y, **options), (pred, target))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_lower_precision_agrees_with_double(dtype):
    u = noise(1, 1, 1, 32, 32, dtype=dtype)
    torch.testing.assert_close(spectrum(u), spectrum(u.double()).float(), rtol=1e-4, atol=1e-7)


def test_lengths_of_wrong_count_are_named():
    with pytest.raises(InputError, match="lengths: expected 2, one per space axis, found 1"):
        spectrum(noise(1, 1, 1, 8, 8), lengths=(1.0,))

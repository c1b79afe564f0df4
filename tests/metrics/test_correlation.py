import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciode.core.errors import InputError
from sciode.metrics import correlation, correlation_time, crossing_time
from tests.metrics.fields_of import noise, noisy_pair


def decorrelating(curves, cells=64):
    """Prediction and target "b t 1 n" whose correlation at each step is exactly the one asked for."""
    r = torch.tensor(curves, dtype=torch.float64)[..., None, None]
    x = 2 * math.pi * torch.arange(cells, dtype=torch.float64) / cells
    target = torch.sin(x).expand(*r.shape[:2], 1, cells)
    return 3 + 2 * (r * target + (1 - r**2).sqrt() * torch.cos(x)), target


def test_correlation_is_pearsons_over_space_and_channels():
    pred, target = noisy_pair(2, 3, 2, 8, 7)
    found = correlation(pred, target)
    for b in range(2):
        for t in range(3):
            expected = np.corrcoef(pred[b, t].flatten().double(), target[b, t].flatten().double())[0, 1]
            assert float(found[b, t]) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12), st.floats(0.01, 10))
def test_time_is_that_of_the_first_crossing(curve, dt):
    pred, target = decorrelating([curve])
    torch.testing.assert_close(correlation(pred, target), torch.tensor([curve], dtype=torch.float64))
    # Values at the threshold itself are decided by round-off, which is not what is tested.
    threshold = next(x for x in (0.8, 0.81, 0.82) if all(abs(x - r) > 1e-6 for r in curve) or x == 0.82)
    if all(abs(threshold - r) > 1e-6 for r in curve):
        steps = next((i for i, r in enumerate(curve) if r < threshold), len(curve))
        assert float(correlation_time(pred, target, threshold, dt)) == pytest.approx(steps * dt)


def test_never_lost_is_the_full_horizon_and_lost_at_once_is_zero():
    pred, target = decorrelating([[0.99, 0.98, 0.97], [0.1, 0.99, 0.99], [0.99, 0.5, 0.99]])
    assert correlation_time(pred, target, dt=0.5).tolist() == [1.5, 0.0, 0.5]


def test_the_two_definitions_differ():
    pred, target = decorrelating([[0.99, 0.99, 0.99, 0.99], [0.99, 0.7, 0.2, 0.2]])
    assert float(correlation_time(pred, target).mean()) == 2.5
    assert float(correlation_time(pred, target, of_mean=True)) == 2.0


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_constants_are_no_surprise(value):
    constant = torch.full((1, 2, 1, 37), value)
    other = noise(1, 2, 1, 37)
    assert correlation(constant, constant).tolist() == [[1.0, 1.0]]
    assert correlation(constant, other).tolist() == [[0.0, 0.0]]
    assert correlation(other, constant).tolist() == [[0.0, 0.0]]
    assert correlation(constant + 1 + value, constant).tolist() == [[0.0, 0.0]]


def test_a_diverged_prediction_is_lost():
    pred, target = decorrelating([[0.99, 0.99, 0.99]])
    for bad in (math.nan, math.inf):
        pred[0, 1, 0, 3] = bad
        assert correlation(pred, target)[0].tolist() == pytest.approx([0.99, 0.0, 0.99])
        assert correlation_time(pred, target).tolist() == [1.0]


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_very_small_and_very_large_fields_do_not_under_or_overflow(scale):
    pred, target = noisy_pair(1, 2, 1, 32)
    torch.testing.assert_close(correlation(scale * pred, scale * target), correlation(pred, target))


def test_mask_equals_the_subset_cut_out_by_hand():
    pred, target = noisy_pair(2, 3, 2, 20)
    mask = torch.arange(20) < 12
    cut = correlation(pred[..., :12], target[..., :12])
    pred[..., 15], target[..., 16] = math.nan, math.nan
    torch.testing.assert_close(correlation(pred, target, mask=mask), cut)
    pred[..., :12] = 2.0
    assert correlation(pred, target, mask=mask).tolist() == [[0.0] * 3] * 2


def test_crossing_time_of_a_curve_with_gaps():
    assert crossing_time(torch.tensor([[0.9, math.nan, 0.9], [0.8, 0.8, 0.79]])).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("options", "message"), [({"dt": 0.0}, "dt: expected a positive"), ({"threshold": math.nan}, "threshold")]
)
def test_bad_options_are_named(options, message):
    pred, target = decorrelating([[0.9]])
    with pytest.raises(InputError, match=message):
        correlation_time(pred, target, **options)

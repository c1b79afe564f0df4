"""Scores of Gaussian predictions against scipy and quadrature; fronts."""

import math

import pytest
import scipy.stats
import torch

from sciode.core.errors import InputError
from sciode.metrics import coverage, front_position, gaussian_crps, gaussian_log_likelihood

DRAW = torch.Generator().manual_seed(0)
MEAN, TRUTH = torch.randn(2, 3, 50, dtype=torch.float64, generator=DRAW)
VARIANCE = torch.rand(3, 50, dtype=torch.float64, generator=DRAW) + 0.1


def test_likelihood_is_scipys() -> None:
    want = scipy.stats.norm.logpdf(TRUTH, MEAN, VARIANCE.sqrt()).mean(-1)
    assert gaussian_log_likelihood(MEAN, VARIANCE, TRUTH).tolist() == pytest.approx(want.tolist(), rel=1e-12)


def test_crps_is_the_integral() -> None:
    grid = torch.linspace(-12, 12, 240001, dtype=torch.float64)
    below = torch.from_numpy(scipy.stats.norm.cdf(grid, MEAN[0, 0].item(), VARIANCE[0, 0].sqrt().item()))
    want = torch.trapezoid((below - (grid >= TRUTH[0, 0]).double()).square(), grid).item()
    assert gaussian_crps(MEAN[:1, :1], VARIANCE[:1, :1], TRUTH[:1, :1]).item() == pytest.approx(want, abs=1e-4)


def test_coverage_of_the_right_prediction_is_its_level() -> None:
    draws = torch.randn(100000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for level in (0.5, 0.9, 0.99):
        assert coverage(torch.zeros(100000), torch.ones(100000), draws, level).item() == pytest.approx(
            level, abs=5e-3
        )


def test_fronts_are_between_nodes() -> None:
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    u = torch.stack([1 - x, (x < 0.35).double(), torch.cos(3 * math.pi * x), 0 * x])
    where = front_position(u, x, 0.5)
    assert where[:2].tolist() == pytest.approx([0.5, 0.35])
    assert where[2].item() == pytest.approx(7 / 9, abs=0.01)  # the last of two falls
    assert where[3].isnan()
    assert front_position(u[:2], x, torch.tensor([0.25, 0.75])).tolist() == pytest.approx([0.75, 0.325])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: gaussian_crps(MEAN, 0 * VARIANCE, TRUTH), "variances are above zero"),
        (lambda: gaussian_crps(MEAN, VARIANCE[:, :4], TRUTH), "mean, variance and truth"),
        (lambda: coverage(MEAN, VARIANCE, TRUTH, 1.0), "level of an interval"),
        (lambda: front_position(MEAN, torch.zeros(4), 0.5), "50 nodes"),
    ],
)
def test_bad_input_is_named(call: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()  # type: ignore[operator]

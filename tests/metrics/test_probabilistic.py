"""Probabilistic scores against closed forms, simulation and each other."""

import math

import pytest
import scipy.stats
import torch

from sciode.core.errors import InputError
from sciode.metrics import (
    bootstrap,
    central,
    conformal_factor,
    crps,
    energy_score,
    gaussian_nll,
    interval_score,
    mixture_nll,
    pit,
    reliability,
)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mixture_likelihood_is_the_sum_of_densities() -> None:
    mean, target = torch.randn(4, 7, dtype=torch.float64, generator=draw()), torch.randn(7, dtype=torch.float64)
    variance = torch.rand(4, 7, dtype=torch.float64, generator=draw(1)) + 0.1
    want = -torch.from_numpy(scipy.stats.norm.pdf(target, mean, variance.sqrt())).mean(0).log()
    torch.testing.assert_close(mixture_nll(mean, variance, target), want, rtol=1e-12, atol=0)
    # far from every component the sum would underflow
    assert mixture_nll(mean, 1e-4 + 0 * mean, target + 100).isfinite().all()


def test_moment_matched_likelihood_is_the_gaussians() -> None:
    mean = torch.randn(4, 7, dtype=torch.float64, generator=draw())
    variance = torch.rand(4, 7, dtype=torch.float64, generator=draw(1)) + 0.1
    target = torch.zeros(7, dtype=torch.float64)
    spread = variance.mean(0) + mean.var(0, correction=0)
    want = -torch.from_numpy(scipy.stats.norm.logpdf(target, mean.mean(0), spread.sqrt()))
    torch.testing.assert_close(gaussian_nll(mean, variance, target), want, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        gaussian_nll(mean[:1], variance[:1], target), mixture_nll(mean[:1], variance[:1], target)
    )


def test_the_energy_score_of_numbers_is_the_crps() -> None:
    draws = torch.randn(9, 2, 3, 1, 5, dtype=torch.float64, generator=draw())
    target = torch.randn(2, 3, 1, 5, dtype=torch.float64, generator=draw(1))
    want = crps(draws, target)
    got = energy_score(draws[..., None], target[..., None])
    torch.testing.assert_close(got.flatten(2).mean(2), want, rtol=0, atol=1e-12)


def test_the_energy_score_prefers_the_right_correlation() -> None:
    mix = torch.tensor([[1.0, 0.0], [0.9, 0.436]])
    truth = torch.randn(400, 2, generator=draw()) @ mix.mT
    right = torch.randn(200, 400, 2, generator=draw(1)) @ mix.mT
    wrong = torch.randn(200, 400, 2, generator=draw(1))
    assert energy_score(right, truth).mean() < energy_score(wrong, truth).mean()


def test_the_interval_score_is_least_at_the_quantiles() -> None:
    truth = torch.randn(100000, generator=draw())
    scores = [float(interval_score(torch.full_like(truth, -w), torch.full_like(truth, w), truth, 0.9).mean())
              for w in (1.2, 1.645, 2.2)]  # fmt: skip
    assert scores[1] < min(scores[0], scores[2])
    assert scores[1] == pytest.approx(2 / 0.1 * 2 * scipy.stats.norm.pdf(1.645), rel=0.03)


@pytest.mark.parametrize("count", [9, 40])
def test_pit_is_uniform_for_the_right_forecast_alone(count: int) -> None:
    every = torch.randn(count + 1, 20000, generator=draw())
    value = pit(every[1:], every[0], draw(1))
    assert scipy.stats.kstest(value, "uniform").pvalue > 0.01
    assert scipy.stats.kstest(pit(0.6 * every[1:], every[0], draw(1)), "uniform").pvalue < 1e-6


def test_pit_of_counts_is_uniform_too() -> None:
    every = torch.randint(3, (10, 20000), generator=draw()).double()
    assert scipy.stats.kstest(pit(every[1:], every[0], draw(1)), "uniform").pvalue > 0.01


@pytest.mark.parametrize(("count", "level"), [(19, 0.9), (99, 0.9), (50, 0.5), (39, 0.95)])
def test_central_intervals_cover_at_their_level(count: int, level: float) -> None:
    for distribution in (torch.randn, torch.rand):
        every = distribution(count + 1, 40000, dtype=torch.float64, generator=draw(count))
        found = reliability(every[1:], every[0], torch.tensor([level], dtype=torch.float64)).item()
        assert found == pytest.approx(level, abs=0.006)


def test_bootstrap_covers_the_mean() -> None:
    hits = 0
    for seed in range(200):
        values = torch.rand(30, generator=draw(seed))
        low, high = bootstrap(values, 0.9, resamples=400, seed=seed)
        hits += low <= 0.5 <= high
    assert 0.82 <= hits / 200 <= 0.97
    assert bootstrap(values) == bootstrap(values)


def test_conformal_intervals_cover_whatever_the_distribution() -> None:
    inside = []
    for seed in range(300):
        error = torch.randn(119, generator=draw(seed)) ** 3  # heavy tails
        factor = conformal_factor(torch.zeros(19), torch.ones(19), error[:19], 0.9)
        inside.append((error[19:].abs() <= factor).double().mean())
    assert float(torch.stack(inside).mean()) == pytest.approx(0.9, abs=0.015)  # 18 / 20


def test_gradients_agree_with_differences() -> None:
    mean = torch.randn(3, 4, dtype=torch.float64, generator=draw(), requires_grad=True)
    variance = (torch.rand(3, 4, dtype=torch.float64, generator=draw(1)) + 0.1).requires_grad_()
    target = torch.zeros(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda m, v: (mixture_nll(m, v, target), gaussian_nll(m, v, target)), (mean, variance)
    )
    assert torch.autograd.gradcheck(lambda m: energy_score(m, target), (mean,))


ONE = torch.zeros(3)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mixture_nll(torch.zeros(2, 3), torch.zeros(2, 3), ONE), "variances are above zero, found 0"),
        (lambda: gaussian_nll(torch.zeros(2, 3), torch.ones(2, 4), ONE), "components are 'm ...'"),
        (lambda: energy_score(torch.zeros(1, 3), ONE), "2 or more"),
        (lambda: interval_score(ONE + 1, ONE, ONE), "lower end is not above"),
        (lambda: interval_score(ONE, ONE, ONE, 1.0), "between 0 and 1"),
        (lambda: central(torch.zeros(9, 3), 0.9), "9 draws do not reach a level of 0.9: take 19 or more"),
        (lambda: bootstrap(torch.zeros(1)), "two values or more"),
        (lambda: conformal_factor(ONE, ONE + 1, ONE, 0.9), "3 cases cannot vouch for a level of 0.9: hold out 9"),
        (lambda: conformal_factor(ONE, ONE, ONE, 0.5), "deviations are above zero"),
    ],
)
def test_bad_input_is_named(call, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()


def test_likelihood_of_one_standard_deviation() -> None:
    got = mixture_nll(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1)).item()
    assert got == pytest.approx(0.5 * math.log(2 * math.pi) + 0.5, rel=1e-6)

"""SEEDS: as published, of their orders, and without noise the samplers they extend."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative import VP, Cosine, Sampler, presets
from tests.generative.laws import Mixture, mixture
from tests.generative.moments import gaps

SCHEDULE = VP()
MEAN, VARIANCE = 0.7, 0.3


def by_rows(sampler: Sampler, law: Mixture, x: Tensor, z: list[Tensor]) -> Tensor:
    """Return what the rows say, with given noise: one z a row."""
    slopes: list[Tensor] = []
    for row, t, fresh in zip(sampler.plan.rows, sampler.plan.times, z, strict=True):
        x0 = law(x, t)
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        slopes.insert(0, x0 if sampler.coordinates.name == "data" else (alpha * x0 - x) / sigma)
        x = (1.0 if row.carry is None else row.carry) * x + row.noise * fresh
        x = x + sum(weight * slopes[age] for weight, age in row.weights)
    return x


def normal(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 16, 8, generator=generator, dtype=torch.float64))


def published(order: int, law: Mixture, x: Tensor, grid: Tensor, z: list[Tensor]) -> Tensor:
    """SEEDS-2 and -3 in noise prediction, step by step as the paper writes them."""
    nodes = {2: (0.5,), 3: (1 / 3, 2 / 3)}[order]
    source = iter(z)

    def eps(x: Tensor, t: Tensor) -> Tensor:
        return (x - SCHEDULE.alpha(t) * law(x, t)) / SCHEDULE.sigma(t)

    for s, t in itertools.pairwise(grid):
        h = (SCHEDULE.lam(t) - SCHEDULE.lam(s)).item()
        times = [SCHEDULE.time(SCHEDULE.lam(s) + c * h) for c in nodes] + [t]
        fresh = [next(source) for _ in times]
        ends = (*nodes, 1.0)
        first = eps(x, s)
        slope, previous = first, 0.0
        for k, (c, time) in enumerate(zip(ends, times, strict=True)):
            alpha, sigma = SCHEDULE.alpha(time), SCHEDULE.sigma(time)
            stage = alpha / SCHEDULE.alpha(s) * x
            if order == 2:
                stage = stage - 2 * sigma * math.expm1(c * h) * (slope if k else first)
            else:
                stage = stage - 2 * sigma * math.expm1(c * h) * first
                if k:
                    ratio = 2 * c / previous if k == 1 else 2 / previous
                    stage = stage - ratio * sigma * (math.expm1(c * h) / (c * h) - 1.0) * (slope - first)
            below = (0.0, *ends)
            for j in range(k + 1):  # the Brownian path up to this stage, stretch by stretch
                amplitude = math.exp(2 * h * (c - below[j])) - math.exp(2 * h * (c - below[j + 1]))
                stage = stage + sigma * math.sqrt(amplitude) * fresh[j]
            previous = c
            if k + 1 < len(ends):
                slope = eps(stage, time)
        x = stage
    return x


@pytest.mark.parametrize("order", [2, 3])
def test_as_published(order: int) -> None:
    law = mixture(SCHEDULE)
    sampler = presets.seeds(SCHEDULE, order, 4 * order + order - 1, "lam", end=1e-2, prediction="noise")
    count = 4 * order  # whole steps; what is left over goes into a shorter one, which is left out
    x, *z = normal(1 + count)
    plan = sampler.plan
    cut = replace(plan, rows=plan.rows[:count], times=plan.times[:count])
    theirs = published(order, law, x, sampler.grid.t[:5], z)
    assert (by_rows(Sampler("cut", cut), law, x, z) - theirs).abs().max() < 1e-12 * theirs.abs().max()


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_the_loop_runs_the_rows(order: int, prediction: str) -> None:
    law = mixture(SCHEDULE)
    sampler = presets.seeds(SCHEDULE, order, 12, end=1e-2, prediction=prediction)
    x = normal(1)[0]
    made = sampler.sample(law, x, seed=3)
    assert torch.equal(made, sampler.sample(law, x, seed=3))
    assert not torch.allclose(made, sampler.sample(law, x, seed=4))
    assert sampler.evaluations == 12


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_noise_that_vanishes_leaves_dpm_solver(order: int, prediction: str) -> None:
    law = mixture(SCHEDULE)
    x = normal(1)[0]
    make = presets.dpm_solver_pp if prediction == "data" else presets.dpm_solver
    plain = make(SCHEDULE, order, 20, multistep=False).sample(law, x)
    assert torch.equal(plain, presets.seeds(SCHEDULE, order, 20, prediction=prediction, eta=0.0).sample(law, x))
    # small noise moves a sample by its size, sqrt(eta)
    far, near = (
        (presets.seeds(SCHEDULE, order, 20, prediction=prediction, eta=e).sample(law, x, seed=1) - plain).norm()
        for e in (1e-8, 1e-10)
    )
    assert far / near == pytest.approx(10.0, rel=0.02)


def errors(order: int, count: int, eta: float, form: str | None = None) -> tuple[float, float]:
    """Return the errors of mean and variance after ``count`` whole steps."""
    rest = 2 if order == 3 else 0  # of evaluations: a last step of second order
    sampler = presets.seeds(SCHEDULE, order, count * order + rest, "lam", 0.3, 1e-2, form=form, eta=eta)
    return gaps(sampler, MEAN, VARIANCE, 3.0, eta)


@pytest.mark.parametrize("form", ["midpoint", "taylor"])
@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize(("order", "of_mean", "of_variance"), [(1, 1, 1), (2, 2, 2), (3, 3, 2)])
def test_weak_order(order: int, of_mean: int, of_variance: int, eta: float, form: str) -> None:
    coarse, fine = (errors(order, count, eta, form) for count in (80, 320))
    if eta == 1.0:  # E[x0 | x] then keeps its mean, and is all that the means of the states are made of
        assert max(coarse[0], fine[0]) < 1e-13
    else:
        assert of_mean - 0.15 < math.log2(coarse[0] / fine[0]) / 2 < of_mean + 0.2
    assert of_variance - 0.15 < math.log2(coarse[1] / fine[1]) / 2 < of_variance + 0.2


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_each_order_is_more_exact_at_equal_evaluations(eta: float) -> None:
    first, second, third = (errors(order, 120 // order, eta)[1] for order in (1, 2, 3))
    assert third < 0.3 * second < 0.03 * first


def coarser(sampler: Sampler, fine: Sampler, z: list[Tensor], parts: int) -> list[Tensor]:
    """Return the noise of every row of ``sampler`` that the fine rows, ``parts`` for one, add together."""
    made = []
    for i, row in enumerate(sampler.plan.rows):
        total = torch.zeros_like(z[0])
        for j in range(parts * i, parts * (i + 1)):
            inner = fine.plan.rows[j]
            now, then = fine.plan.times[j], fine.plan.reached[j]
            gap = SCHEDULE.lam(then) - SCHEDULE.lam(now)
            carry = SCHEDULE.sigma(then) / SCHEDULE.sigma(now) * torch.exp(-gap)  # of noise, at eta = 1
            total = carry * total + inner.noise * z[j]
        made.append(total / row.noise)
    return made


@pytest.mark.parametrize("order", [1, 2])
def test_strong_order_on_one_path(order: int) -> None:
    law = mixture(SCHEDULE, variance=0.3)
    x, *z = normal(1 + 1536, seed=2)
    grid = {"spacing": "lam", "begin": 0.9, "end": 1e-2}
    fine = presets.seeds(SCHEDULE, 1, 1536, **grid)  # type: ignore[arg-type]
    best = by_rows(fine, law, x, z)
    errors = []
    for count in (48, 192):
        sampler = presets.seeds(SCHEDULE, order, count, **grid)  # type: ignore[arg-type]
        path = coarser(sampler, fine, z, 1536 // count)
        assert abs(torch.stack(path).var().item() - 1.0) < 0.1  # standard normal again
        errors.append((by_rows(sampler, law, x, path) - best).square().mean().sqrt().item())
    assert 0.8 < math.log2(errors[0] / errors[1]) / 2 < 1.6


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="1, 2, 3"):
        presets.seeds(SCHEDULE, 4)
    with pytest.raises(InputError, match="eta"):
        presets.seeds(SCHEDULE, 2, 8, eta=-1.0)
    with pytest.raises(InputError, match="one a step"):
        presets.seeds(SCHEDULE, 2, 8, eta=[1.0] * 8)
    with pytest.raises(InputError, match="no way back"):
        presets.seeds(SCHEDULE, 2, 8).invert(mixture(SCHEDULE), torch.zeros(1, 8))
    assert torch.isfinite(
        presets.seeds(Cosine(), 3, 7, end="zero").sample(mixture(Cosine()), torch.ones(2, 8))
    ).all()

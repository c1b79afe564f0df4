"""What every sampler offers: paths, hooks, guidance, seeds, dtypes, and clear errors."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative import (
    EDM,
    VE,
    VP,
    ClassifierFree,
    Clip,
    Inpaint,
    Likelihood,
    MeanReverting,
    Project,
    Sampler,
    Threshold,
    TimeShift,
    presets,
    sample_seeds,
)
from sciode.solve import Checkpointed
from tests.generative.families import EVERY
from tests.generative.laws import gaussian, mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(6, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("name", EVERY)
def test_float32_is_near_float64(name: str) -> None:
    sampler = EVERY[name](SCHEDULE, 20, spacing="lam", end=1e-3)
    wide = sampler.sample(LAW, NOISE)
    single = sampler.sample(LAW, NOISE.float())
    assert single.dtype == torch.float32
    assert (single - wide).abs().max() < 5e-6


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_may_be_split(name: str) -> None:
    sampler = EVERY[name](SCHEDULE, 6, spacing="lam", end=1e-3)
    whole = sampler.sample(LAW, NOISE)
    parts = torch.cat([sampler.sample(LAW, NOISE[:2]), sampler.sample(LAW, NOISE[2:])])
    assert torch.equal(whole, parts)


@pytest.mark.parametrize(
    "sampler",
    [
        presets.dpm_solver_pp(SCHEDULE, 2, 40, eta=1.0),
        presets.ddim(SCHEDULE, 40, eta=1.0),
        presets.heun(SCHEDULE, 10, churn=5.0),
    ],
    ids=lambda sampler: sampler.name,
)
def test_noise_follows_the_sample_and_the_seed(sampler: Sampler) -> None:
    whole = sampler.sample(LAW, NOISE, seed=7)
    assert torch.equal(whole, sampler.sample(LAW, NOISE, seed=7))
    assert not torch.allclose(whole, sampler.sample(LAW, NOISE, seed=8))
    second = sampler.sample(LAW, NOISE[2:], seed=sample_seeds(7, 4, first=2))
    assert torch.equal(whole[2:], second)
    assert not torch.allclose(whole[2:], sampler.sample(LAW, NOISE[2:], seed=7))
    with pytest.raises(InputError, match="seeds for a batch"):
        sampler.sample(LAW, NOISE, seed=[1, 2])


@pytest.mark.parametrize("name", EVERY)
def test_the_path_has_a_state_for_every_time(name: str) -> None:
    sampler = EVERY[name](SCHEDULE, 6, spacing="lam", end="zero")
    path = sampler.sample(LAW, NOISE, return_path=True)
    assert path.shape == (6, sampler.grid.steps + 1, 8)
    assert torch.equal(path[:, 0], NOISE)
    assert torch.equal(path[:, -1], sampler.sample(LAW, NOISE))


def test_the_prior_is_scaled_and_centred() -> None:
    assert torch.allclose(presets.ddim(EDM(), 3).prior(NOISE), 80.0 * NOISE, rtol=1e-13)
    assert torch.allclose(presets.ddim(VE(0.01, 50.0), 3).prior(NOISE), 50.0 * NOISE)
    assert torch.equal(presets.ddim(VP(), 3).prior(NOISE), NOISE)
    schedule = MeanReverting(torch.tensor(3.0), sigma_inf=0.5)
    assert torch.allclose(presets.ddim(schedule, 3).prior(NOISE), 3.0 + 0.5 * NOISE)


@pytest.mark.parametrize("name", ["dpm++2M", "unipc-3", "heun", "dpm-3"])
def test_hooks_see_every_time_once(name: str) -> None:
    seen: list[float] = []

    def hook(t: Tensor, x: Tensor) -> Tensor:
        seen.append(t.item())
        return x + 1.0

    sampler = EVERY[name](SCHEDULE, 6, spacing="lam", end=1e-3)
    moved = sampler.sample(LAW, NOISE, hooks=[hook])
    assert seen == sampler.grid.t[1:].tolist()
    assert not torch.allclose(moved, sampler.sample(LAW, NOISE))


def test_hooks_work_in_the_users_variables() -> None:
    schedule = MeanReverting(torch.tensor(3.0))
    seen: list[Tensor] = []

    def hook(t: Tensor, x: Tensor) -> Tensor:
        seen.append(x)
        return x

    sampler = presets.mr_sampler(schedule, 2, 4)
    x0 = sampler.sample(lambda x, t: torch.full_like(x, 2.0), NOISE, hooks=[hook])
    assert torch.equal(seen[-1], x0)
    assert torch.allclose(seen[0].mean(), torch.tensor(3.0).double(), atol=0.5)


def test_inpainting_keeps_the_known_part() -> None:
    known = torch.full((6, 8), 0.7, dtype=torch.float64)
    mask = torch.arange(8) < 3
    hook = Inpaint(known, mask, SCHEDULE, seed=1)
    sampler = presets.dpm_solver_pp(SCHEDULE, 2, 10, end="zero")
    x0 = sampler.sample(LAW, NOISE, hooks=[hook])
    assert (x0[:, :3] - 0.7).abs().max() < 1e-12
    assert torch.isfinite(x0).all()
    # forward samples: at each time other numbers, of the marginal's mean and spread
    many = torch.zeros(4000, 8, dtype=torch.float64)
    t = SCHEDULE.at(0.4)
    made = Inpaint(torch.full_like(many, 0.7), mask, SCHEDULE)(t, many)[:, 0]
    assert abs(made.mean() - 0.7 * SCHEDULE.alpha(t)) < 4 * SCHEDULE.sigma(t) / math.sqrt(4000)
    assert abs(made.std() / SCHEDULE.sigma(t) - 1.0) < 4 / math.sqrt(8000)
    assert not torch.allclose(hook(t, NOISE), hook(SCHEDULE.at(0.41), NOISE), atol=1e-2)


def test_guidance_composes_from_the_left() -> None:
    doubled = Project(lambda x0: 2.0 * x0)
    sampler = presets.ddim(SCHEDULE, 1, end="zero")  # returns what the model says
    direct = LAW(NOISE, SCHEDULE.at(1.0))
    limits = Clip(-0.1, 0.1)
    outer = sampler.sample(LAW, NOISE, guidance=[doubled, limits])  # the first is the outermost
    assert torch.allclose(outer, 2.0 * direct.clamp(-0.1, 0.1))
    inner = sampler.sample(LAW, NOISE, guidance=[limits, doubled])
    assert torch.allclose(inner, (2.0 * direct).clamp(-0.1, 0.1))


def test_classifier_free_guidance_interpolates() -> None:
    other = gaussian(SCHEDULE, torch.zeros(8, dtype=torch.float64), 0.1)
    sampler = presets.dpm_solver_pp(SCHEDULE, 2, 8)
    assert torch.allclose(
        sampler.sample(LAW, NOISE, guidance=[ClassifierFree(other, 1.0)]), sampler.sample(LAW, NOISE), atol=1e-12
    )
    assert torch.allclose(
        sampler.sample(LAW, NOISE, guidance=[ClassifierFree(other, 0.0)]), sampler.sample(other, NOISE), atol=1e-12
    )


def test_a_projection_holds_exactly_at_zero_noise() -> None:
    def centred(x0: Tensor) -> Tensor:
        return x0 - x0.mean(1, keepdim=True)

    for name in ("dpm++2M", "unipc-3", "heun"):
        x0 = EVERY[name](SCHEDULE, 8, spacing="lam", end="zero").sample(LAW, NOISE, guidance=[Project(centred)])
        assert x0.mean(1).abs().max() < 1e-12


def test_thresholding_divides_by_the_quantile() -> None:
    x = torch.linspace(-4, 4, 201, dtype=torch.float64).repeat(2, 1)
    x[1] *= 0.1
    x0 = Threshold(0.9, 1.0)(lambda x, t: x)(x, SCHEDULE.at(0.5))
    s = x[0].abs().sort().values[round(0.9 * 201) - 1]
    assert torch.allclose(x0[0], x[0].clamp(-s, s) / s)
    assert torch.equal(x0[1], x[1])  # within the range already


def test_a_likelihood_moves_a_gaussian_to_its_posterior() -> None:
    # Prior N(0, c), seen y = x0 + N(0, r). Taken at the denoised state the likelihood lacks the variance of x0
    # given x, at most c beside r: so much may the posterior be off.
    c, r, y = 0.5, 5.0, 5.0
    law = gaussian(SCHEDULE, torch.zeros(1, dtype=torch.float64), c)

    def seen(x0: Tensor) -> Tensor:
        return -0.5 * ((x0 - y) ** 2).sum(1) / r

    noise = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]
    guided = presets.ddim(SCHEDULE, 400).sample(law, noise, guidance=[Likelihood(seen, SCHEDULE)])
    mean, variance = y * c / (c + r), c * r / (c + r)
    assert (guided.mean() - mean).abs() < mean * c / r
    assert (guided.std() / noise.std() - math.sqrt(variance)).abs() < math.sqrt(variance) * c / r


def test_time_shift_mends_a_model_whose_clock_is_wrong_and_leaves_an_exact_one_alone() -> None:
    law = gaussian(SCHEDULE, torch.zeros(4096, dtype=torch.float64), 0.01)
    noise = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def early(x: Tensor, t: Tensor) -> Tensor:
        return law(x, SCHEDULE.at((SCHEDULE.tau(t) - 0.05).clamp(min=1e-3)))

    sampler = presets.ddim(SCHEDULE, 20, "time", end=1e-3)
    shift = TimeShift(SCHEDULE, window=60, cutoff=0.02)
    exact = sampler.sample(law, noise)

    def error(denoise: object, **options: object) -> float:
        return (sampler.sample(denoise, noise, **options) - exact).pow(2).mean().sqrt().item()  # type: ignore[arg-type]

    assert error(early, guidance=[shift]) < 0.7 * error(early)
    assert error(law, guidance=[shift]) < 0.1 * error(early)


@pytest.mark.parametrize("name", ["dpm++2M", "unipc-3", "heun", "dpm-3"])
def test_checkpointing_changes_memory_alone(name: str) -> None:
    sampler = EVERY[name](SCHEDULE, 7, spacing="lam", end=1e-3)
    slopes = []
    for options in ({}, {"adjoint": Checkpointed()}):
        noise = NOISE.clone().requires_grad_()
        sampler.sample(LAW, noise, **options).pow(2).sum().backward()  # type: ignore[arg-type]
        slopes.append(noise.grad)
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-12, atol=1e-14)


def test_the_table_tells_the_plan() -> None:
    sampler = presets.unipc(SCHEDULE, 3, 6, end="zero")
    table = sampler.table()
    assert table.orders == (1, 2, 3, 3, 2, 1)
    assert table.evaluations == 6 == len(table)
    lines = list(table)
    assert [line.tau for line in lines] == pytest.approx(SCHEDULE.tau(sampler.grid.t[:-1]).tolist())
    assert lines[-1].carry == 0.0
    assert lines[-1].weights == ((1.0, 0),)
    text = str(table)
    assert "UniPC-3" in text
    assert len(text.splitlines()) == 8


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (torch.zeros(()), "found \\[\\]"),
        (torch.zeros(0, 3), "b >= 1"),
        (torch.zeros(2, 3, dtype=torch.int64), "floating-point"),
        ([1.0], "list"),
        (torch.tensor([[1.0, math.nan]]), "NaN"),
        (torch.tensor([[1.0, math.inf]]), "NaN or infinity"),
    ],
)
def test_bad_noise_is_refused(noise: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        presets.ddim(SCHEDULE, 3).sample(LAW, noise)  # type: ignore[arg-type]


def test_noise_must_fit_the_centre() -> None:
    sampler = presets.mr_sampler(MeanReverting(torch.zeros(3, 5)), 1, 3)
    with pytest.raises(InputError, match="do not fit"):
        sampler.sample(lambda x, t: x, torch.zeros(2, 4, 5))


@pytest.mark.parametrize(
    ("denoise", "said"),
    [
        (lambda x, t: x[:, :3], "returned"),
        (lambda x, t: x.float(), "returned"),
        (3.0, "float"),
    ],
)
def test_bad_denoisers_are_refused(denoise: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        presets.ddim(SCHEDULE, 3).sample(denoise, NOISE)  # type: ignore[arg-type]


def test_no_way_back_with_noise_or_from_zero() -> None:
    with pytest.raises(InputError, match="no way back"):
        presets.dpm_solver_pp(SCHEDULE, 2, 5, eta=1.0).invert(LAW, NOISE)
    with pytest.raises(InputError, match="zero noise"):
        presets.dpm_solver_pp(SCHEDULE, 2, 5, end="zero").invert(LAW, NOISE)

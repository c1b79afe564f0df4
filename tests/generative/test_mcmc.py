"""Denoising MCMC: its chain keeps the joint law of states and levels, and its denoising is EDM's, per sample."""

import math
from functools import partial

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from sciode.core.errors import InputError, UnknownName
from sciode.generative import VE, VP, LinearPath, NoiseLevel, Schedule, level_matching, presets, sample_seeds
from sciode.generative.mcmc import DenoisingMCMC
from tests.generative.laws import Mixture, mixture

SCHEDULE = VE(0.02, 5.0)


def levels(law: Mixture, count: int, begin: float | None = None, end: float | None = None) -> NoiseLevel:
    """Return the exact p(level | x) of a mixture."""

    def logits(x: Tensor) -> Tensor:
        return torch.stack([law.log_prob(x, t) for t in made.times], 1)

    made = NoiseLevel(logits, law.schedule, count, begin, end)
    return made


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uneven(counts: Tensor) -> float:
    """Return the p-value of counts under equal probabilities."""
    return float(stats.chisquare(counts.numpy()).pvalue)


def visited(sampler: DenoisingMCMC, law: Mixture, count: int = 2000) -> Tensor:
    """Return the last level of independent chains."""
    _, index = sampler.chain(law, normal(count, 2), 1, seed=1)
    return torch.bincount(index[:, -1].long(), minlength=len(sampler.level.times))


@pytest.mark.parametrize("schedule", [SCHEDULE, VP()])
def test_the_chain_visits_all_levels_equally(schedule: Schedule) -> None:
    law = mixture(schedule, dimension=2, variance=0.05)
    begin = None if schedule is SCHEDULE else 0.9
    level = levels(law, 12, begin)
    sampler = presets.denoising_mcmc(level, skip=1, warmup=400, size=0.05)
    assert uneven(visited(sampler, law)) > 1e-3
    likeliest = presets.denoising_mcmc(level, skip=1, warmup=400, size=0.05, draw="argmax")
    assert uneven(visited(likeliest, law)) < 1e-12  # as published: another law, which this test tells apart


def test_langevin_steps_that_are_too_long_are_seen() -> None:
    law = mixture(SCHEDULE, dimension=2, variance=0.05)
    rough = presets.denoising_mcmc(levels(law, 12), skip=1, warmup=400, size=1.0)
    assert uneven(visited(rough, law)) < 1e-6


def test_states_follow_the_marginal_of_their_level() -> None:
    law = mixture(SCHEDULE, dimension=2, variance=0.05)
    sampler = presets.denoising_mcmc(levels(law, 12), skip=1, warmup=400, size=0.05)
    x, index = sampler.chain(law, normal(3000, 2), 1, seed=2)
    least = x[:, -1][index[:, -1] >= 10]  # little noise: near the modes, in equal parts
    away = (least[:, None] - law.centres).norm(dim=2)
    modes = away.argmin(1)
    assert uneven(torch.bincount(modes, minlength=5)) > 1e-3
    spread = away.amin(1).square().mean().item() / 2
    sigma = SCHEDULE.sigma(sampler.level.times[10:]).square().mean().item()
    assert spread == pytest.approx(0.05 + sigma, rel=0.15)


def test_samples_fall_into_all_modes() -> None:
    law = mixture(SCHEDULE, dimension=2, variance=0.01)
    spread = {}
    for keep in ("last", "least"):
        sampler = presets.denoising_mcmc(levels(law, 40), 12, skip=20, warmup=300, size=0.05, keep=keep)
        x0 = sampler.samples(law, normal(400, 2), 3, seed=3)
        assert x0.shape == (400, 3, 2)
        away = (x0[:, :, None] - law.centres).norm(dim=3)
        for draw in range(3):
            assert uneven(torch.bincount(away[:, draw].argmin(1), minlength=5)) > 1e-3
        spread[keep] = away.amin(2).square().median().item() / (2 * math.log(2))  # of a two-dimensional Gaussian
    assert spread["last"] == pytest.approx(0.01, rel=0.15)
    assert spread["least"] > 1.3 * 0.01  # the bias of the visits that are kept


@pytest.mark.parametrize("schedule", [VE(0.02, 5.0), VP()])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_denoising_is_heun_from_the_level_of_each_sample(schedule: Schedule, steps: int) -> None:
    law = mixture(schedule, dimension=3)
    level = levels(law, 9, end=schedule.end)
    sampler = presets.denoising_mcmc(level, steps) if schedule is SCHEDULE else None
    sampler = sampler or DenoisingMCMC(level, steps, 1, 0, torch.square, True)
    index = torch.tensor([0.0, 3.0, 7.0, 8.0], dtype=torch.float64)
    x = normal(4, 3)
    made = sampler.denoised(law, x, index)
    for i in range(3):
        tau = schedule.tau(level.times[int(index[i])]).item()
        edm = presets.heun(schedule, steps, begin=tau)
        assert torch.allclose(made[i], edm.integrate(law, x[i : i + 1])[0], rtol=1e-11, atol=1e-11)
    tweedie = law(x[3:], level.times[8])[0]  # no noise above the last level: one step is all
    assert torch.allclose(made[3], tweedie, rtol=1e-11)


def test_evaluations_are_as_promised() -> None:
    law = mixture(SCHEDULE, dimension=2)
    calls: list[int] = []

    def counting(x: Tensor, t: Tensor) -> Tensor:
        calls.append(len(x))
        return law(x, t)

    sampler = presets.denoising_mcmc(levels(law, 12), steps=5, skip=6, warmup=10)
    sampler.sample(counting, normal(3, 2))
    assert len(calls) == 10 + sampler.evaluations == 10 + 6 + 9
    calls.clear()
    sampler.samples(counting, normal(3, 2), 4)
    assert sum(calls) == 3 * (10 + 4 * sampler.evaluations)


def test_samples_do_not_depend_on_their_batch() -> None:
    law = mixture(SCHEDULE, dimension=2)
    sampler = presets.denoising_mcmc(levels(law, 12), steps=4, skip=5, warmup=20)
    whole = sampler.sample(law, normal(6, 2), seed=5)
    half = sampler.sample(law, normal(6, 2)[2:], seed=sample_seeds(5, 4, first=2))
    assert torch.allclose(whole[2:], half, rtol=1e-12)
    assert torch.equal(whole, sampler.sample(law, normal(6, 2), seed=5))
    assert not torch.allclose(whole, sampler.sample(law, normal(6, 2), seed=6))


def test_the_published_step_is_one_size_at_all_levels() -> None:
    law = mixture(SCHEDULE, dimension=2)
    sampler = presets.denoising_mcmc(
        levels(law, 12), skip=1, warmup=0, size=partial(torch.full_like, fill_value=0.5)
    )
    x, _ = sampler.chain(law, normal(2000, 2), 1, seed=1)
    start = 5.0 * normal(2000, 2)
    drift = (law(start, sampler.level.times[0]) - start) / 25.0
    fresh = (x[:, 0] - start - 0.25 * drift) / math.sqrt(0.5)
    assert abs(fresh.var().item() - 1.0) < 0.08
    assert stats.kstest(fresh.flatten().numpy(), "norm").pvalue > 1e-3


def test_a_network_learns_the_level() -> None:
    law = mixture(SCHEDULE, dimension=8, variance=0.05)
    exact = levels(law, 16)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(9, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 16))

    def logits(x: Tensor) -> Tensor:
        size = x.square().mean(1, keepdim=True).log()
        return network(torch.cat([x * torch.exp(-0.5 * size), size], 1))  # type: ignore[no-any-return]

    level = NoiseLevel(logits, SCHEDULE, 16)
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)

    def data(count: int) -> Tensor:
        mode = torch.randint(5, (count,), generator=generator)
        return (law.centres[mode] + math.sqrt(0.05) * torch.randn(count, 8, generator=generator)).float()

    for _ in range(600):
        optimiser.zero_grad()
        level_matching(level, data(256), generator=generator).mean().backward()
        optimiser.step()
    held = data(4000)
    with torch.no_grad():
        learnt, best = (
            level_matching(which, held, generator=torch.Generator().manual_seed(2)).mean().item()
            for which in (level, exact)
        )
    assert best - 1e-6 <= learnt < best + 0.25 < math.log(16)
    assert torch.isfinite(presets.denoising_mcmc(level).sample(law, normal(4, 8).float())).all()


def test_bad_input_is_refused() -> None:
    law = mixture(SCHEDULE, dimension=2)
    level = levels(law, 4)
    with pytest.raises(InputError, match="NoiseLevel"):
        presets.denoising_mcmc(SCHEDULE)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="skip"):
        presets.denoising_mcmc(level, skip=0)
    with pytest.raises(InputError, match="size"):
        presets.denoising_mcmc(level, size=0.0)
    with pytest.raises(UnknownName, match="argmax"):
        presets.denoising_mcmc(level, draw="argmx")
    with pytest.raises(InputError, match="whole number >= 2"):
        NoiseLevel(level.network, SCHEDULE, 1)
    with pytest.raises(InputError, match="begin a little later"):
        NoiseLevel(level.network, LinearPath(), 5)
    with pytest.raises(InputError, match=r"\[b, K\]"):
        NoiseLevel(lambda x: x, SCHEDULE, 5)(torch.zeros(3, 2))
    sampler = presets.denoising_mcmc(level)
    with pytest.raises(InputError, match="number >= 1 of samples"):
        sampler.samples(law, normal(2, 2), 0)
    with pytest.raises(InputError, match="seeds for a batch"):
        sampler.sample(law, normal(2, 2), seed=[1])

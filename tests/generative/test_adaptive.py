"""Samplers under step control."""

import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.generative import EDM, VP, Denoiser, LinearPath, MeanReverting, Prediction, presets
from tests.generative.laws import Mixture, gaussian, gaussian_flow, mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", ["probability flow", "12", "23"])
def test_the_error_follows_the_tolerance(name: str) -> None:
    exact = LAW.flow(NOISE, 0.0, SCHEDULE.at(1e-3).item())
    errors, calls = [], []
    for tolerance in (1e-2, 1e-4, 1e-6):
        options = {"rtol": tolerance, "atol": tolerance, "end": 1e-3}
        if name == "probability flow":
            sampler = presets.probability_flow(SCHEDULE, **options)
        else:
            sampler = presets.dpm_solver_adaptive(SCHEDULE, int(name[1]), **options)
        x0, stats = sampler.sample(LAW, NOISE, return_stats=True)  # type: ignore[misc]
        errors.append((x0 - exact).pow(2).mean().sqrt().item())  # type: ignore[operator]
        calls.append(stats.evaluations)  # type: ignore[attr-defined]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-4
    assert calls[0] < calls[1] < calls[2]


def test_published_tolerances_cost_what_they_are_said_to() -> None:
    # 63 evaluations with the published controller on a mixture of this kind
    sampler = presets.dpm_solver_adaptive(SCHEDULE, 3, end=1e-3)
    x0, stats = sampler.sample(LAW, NOISE, return_stats=True)  # type: ignore[misc]
    exact = LAW.flow(NOISE, 0.0, SCHEDULE.at(1e-3).item())
    assert stats.evaluations < 150  # type: ignore[attr-defined]
    assert (x0 - exact).pow(2).mean().sqrt() < 0.05  # type: ignore[operator]


def test_steps_per_sample_do_not_depend_on_the_batch() -> None:
    sampler = presets.dpm_solver_adaptive(SCHEDULE, 3, rtol=1e-3, atol=1e-3)
    whole = sampler.sample(LAW, NOISE)
    parts = torch.cat([sampler.sample(LAW, NOISE[:3]), sampler.sample(LAW, NOISE[3:])])  # type: ignore[list-item]
    assert (whole - parts).abs().max() < 1e-12  # type: ignore[operator]
    shared = presets.dpm_solver_adaptive(SCHEDULE, 3, rtol=1e-3, atol=1e-3, per_sample=False)
    assert (shared.sample(LAW, NOISE) - whole).abs().max() < 0.02  # type: ignore[operator]


def test_a_point_mass_has_no_error_to_control() -> None:
    law = gaussian(SCHEDULE, torch.full((8,), 0.3, dtype=torch.float64), 0.0)
    x0 = presets.dpm_solver_adaptive(SCHEDULE, 2, end=1e-2).sample(law, NOISE)
    wanted = gaussian_flow(law, NOISE, 0.0, SCHEDULE.at(1e-2).item())
    assert (x0 - wanted).abs().max() < 1e-6  # type: ignore[operator]


def test_there_and_back() -> None:
    sampler = presets.probability_flow(SCHEDULE, rtol=1e-8, atol=1e-8)
    x0 = sampler.sample(LAW, NOISE)
    assert isinstance(x0, torch.Tensor)
    assert (sampler.invert(LAW, x0) - NOISE).abs().max() < 1e-4


def test_other_schedules() -> None:
    for schedule in (EDM(), LinearPath(start=0.999, final=1e-3)):
        law = gaussian(schedule, torch.full((8,), 0.3, dtype=torch.float64), 0.2)
        sampler = presets.probability_flow(schedule, rtol=1e-7, atol=1e-7)
        begin, end = sampler.grid.t.tolist()
        wanted = gaussian_flow(law, sampler.prior(NOISE), begin, end)
        assert (sampler.sample(law, NOISE) - wanted).abs().max() < 1e-4  # type: ignore[operator]


def test_a_centre_is_kept() -> None:
    mu = torch.linspace(-1, 1, 8, dtype=torch.float64)
    schedule = MeanReverting(mu)
    law = mixture(schedule)
    away = Mixture(schedule, law.centres, law.variance)
    sampler = presets.probability_flow(schedule, rtol=1e-7, atol=1e-7)
    x0 = sampler.sample(lambda x, t: away(x - mu, t) + mu, NOISE)
    assert isinstance(x0, torch.Tensor)
    fixed = presets.unipc(schedule, 3, 400).sample(lambda x, t: away(x - mu, t) + mu, NOISE)
    assert (x0 - fixed).abs().max() < 1e-3


def test_likelihood_at_these_tolerances() -> None:
    law = gaussian(SCHEDULE, torch.zeros(2, dtype=torch.float64), 1.0)
    sampler = presets.probability_flow(SCHEDULE, rtol=1e-8, atol=1e-8)
    found = sampler.log_prob(law, torch.zeros(1, 2, dtype=torch.float64))
    assert abs(found.item() + math.log(2 * math.pi)) < 1e-6


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="orders 2, 3"):
        presets.dpm_solver_adaptive(SCHEDULE, 1)
    with pytest.raises(InputError, match="finite lam"):
        presets.probability_flow(LinearPath())
    with pytest.raises(InputError, match="end < begin"):
        presets.probability_flow(SCHEDULE, end=2.0)
    with pytest.raises(InputError, match="rtol"):
        presets.probability_flow(SCHEDULE, rtol=-1.0)
    denoise = Denoiser(lambda x, label: x, EDM(), Prediction.NOISE)
    with pytest.raises(InputError, match="denoiser is made for"):
        presets.probability_flow(SCHEDULE).sample(denoise, NOISE)
    with pytest.raises(InputError, match="NaN"):
        presets.probability_flow(SCHEDULE).sample(lambda x, t: x * math.nan, NOISE)

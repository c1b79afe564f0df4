"""DPM-Solver-v3: exact where its model is, DPM-Solver++ where its statistics say nothing, and its order."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative import VP, Statistics, SubVP, fit_statistics, presets
from sciode.generative.statistics import schedule_key
from tests.generative.laws import Mixture, gaussian, gaussian_flow, mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(16, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SPAN = {"begin": 1.0, "end": 1e-3}


def drawn(law: Mixture, count: int) -> Tensor:
    stream = torch.Generator().manual_seed(4)
    which = torch.randint(len(law.centres), (count,), generator=stream)
    noise = torch.randn(count, law.centres.shape[1], generator=stream, dtype=torch.float64)
    return law.centres[which] + math.sqrt(law.variance) * noise


def degenerate(l: float, shape: tuple[int, ...] = (8,)) -> Statistics:  # noqa: E741
    """l = 1 is data prediction; l = 0 noise prediction, with s = -1 as N = e^{-lam} eps."""
    lam = torch.linspace(-5.1, 4.7, 50, dtype=torch.float64)
    zero = torch.zeros(50, *shape, dtype=torch.float64)
    return Statistics(lam, zero + l, zero + l - 1.0, zero, schedule_key(SCHEDULE))


@pytest.fixture(scope="module")
def fitted() -> Statistics:
    return fit_statistics(LAW, drawn(LAW, 1500), SCHEDULE, **SPAN, points=150, quiet=True)


def rmse(statistics: Statistics, order: int, steps: int, exact: Tensor, **options: object) -> float:
    sampler = presets.dpm_solver_v3(SCHEDULE, statistics, order, steps, "lam", end=1e-3, **options)  # type: ignore[arg-type]
    return (sampler.sample(LAW, NOISE) - exact).pow(2).mean().sqrt().item()


@pytest.fixture(scope="module")
def exact() -> Tensor:
    return LAW.flow(NOISE, 0.0, SCHEDULE.at(1e-3).item())


def test_one_step_is_exact_for_gaussian_data() -> None:
    mean = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    law = gaussian(SCHEDULE, mean, 0.25)
    statistics = fit_statistics(law, drawn(law, 50), SCHEDULE, **SPAN, points=400, quiet=True)
    noise = NOISE[:, :3]
    sampler = presets.dpm_solver_v3(SCHEDULE, statistics, 1, 1, "lam", end=1e-3)
    wanted = gaussian_flow(law, noise, 0.0, SCHEDULE.at(1e-3).item())
    assert (sampler.sample(law, noise) - wanted).abs().max() < 1e-7
    plain = presets.dpm_solver_pp(SCHEDULE, 1, 1, "lam", end=1e-3).sample(law, noise)
    assert (plain - wanted).abs().max() > 0.1


def test_statistics_of_a_gaussian_have_closed_forms() -> None:
    law = gaussian(SCHEDULE, torch.tensor([0.5, -1.0], dtype=torch.float64), 0.25)
    found = fit_statistics(law, drawn(law, 20), SCHEDULE, **SPAN, points=60, quiet=True)
    t = SCHEDULE.time(found.lam)
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    wanted = sigma**2 / (alpha**2 * 0.25 + sigma**2)
    assert (found.l - wanted[:, None]).abs().max() < 1e-6
    assert found.s.abs().max() < 1e-6  # N does not vary: no regression


@pytest.mark.parametrize("order", [1, 2, 3])
def test_saying_nothing_is_dpm_solver_pp(order: int) -> None:
    plain = presets.dpm_solver_pp(SCHEDULE, order, 10, "lam", end=1e-3, form="taylor")
    made = presets.dpm_solver_v3(SCHEDULE, degenerate(1.0), order, 10, "lam", end=1e-3, corrector=False)
    assert (made.sample(LAW, NOISE) - plain.sample(LAW, NOISE)).abs().max() < 1e-9
    plain = presets.dpm_solver(SCHEDULE, order, 10, "lam", end=1e-3, form="taylor", multistep=True)
    made = presets.dpm_solver_v3(SCHEDULE, degenerate(0.0), order, 10, "lam", end=1e-3, corrector=False)
    assert (made.sample(LAW, NOISE) - plain.sample(LAW, NOISE)).abs().max() < 1e-9


def test_the_corrector_is_that_of_unipc_where_statistics_say_nothing() -> None:
    plain = presets.unipc(SCHEDULE, 3, 10, "lam", end=1e-3, variant="exact")
    made = presets.dpm_solver_v3(SCHEDULE, degenerate(1.0), 3, 10, "lam", end=1e-3)
    assert (made.sample(LAW, NOISE) - plain.sample(LAW, NOISE)).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("order", "corrector", "least"), [(1, False, 0.9), (2, False, 1.8), (3, False, 2.7), (2, True, 2.7)]
)
def test_order_of_convergence(
    order: int, corrector: bool, least: float, fitted: Statistics, exact: Tensor
) -> None:
    errors = [rmse(fitted, order, steps, exact, corrector=corrector) for steps in (60, 240)]
    assert math.log2(errors[0] / errors[1]) / 2 > least


def test_statistics_help_at_ten_evaluations(fitted: Statistics, exact: Tensor) -> None:
    assert rmse(fitted, 3, 10, exact) < 0.6 * rmse(degenerate(1.0), 3, 10, exact)


def test_pictures_and_zero_noise() -> None:
    statistics = degenerate(1.0, (2, 4))
    noise = NOISE.reshape(16, 2, 4).float()

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x)

    for steps in (1, 2, 5, 12):
        x0 = presets.dpm_solver_v3(SCHEDULE, statistics, 3, steps, end="zero").sample(denoise, noise)
        assert x0.dtype == torch.float32
        assert torch.isfinite(x0).all()


def test_many_elements_are_probed() -> None:
    wide = mixture(SCHEDULE, dimension=40)
    data = drawn(wide, 400)
    found = fit_statistics(wide, data, SCHEDULE, **SPAN, points=8, probes=2, quiet=True)
    basis = []
    t = SCHEDULE.time(found.lam[4])
    x = SCHEDULE.marginal(data, torch.randn_like(data), t)
    for i in range(3):
        v = torch.zeros_like(x)
        v[:, i] = 1e-5
        basis.append((wide(x + v, t) - wide(x - v, t))[:, i].mean() / 2e-5)
    exact = 1.0 - SCHEDULE.alpha(t) * torch.stack(basis)
    assert (found.l[4, :3] - exact).abs().max() < 0.1


def test_saving_and_refusing(tmp_path: Path, fitted: Statistics) -> None:
    fitted.save(tmp_path / "ems.safetensors")
    again = Statistics.load(tmp_path / "ems.safetensors")
    assert torch.equal(again.l, fitted.l)
    assert again.schedule == fitted.schedule
    with pytest.raises(InputError, match="another schedule"):
        presets.dpm_solver_v3(SubVP(), fitted)
    with pytest.raises(InputError, match="span"):
        presets.dpm_solver_v3(SCHEDULE, replace(fitted, lam=fitted.lam * 0.5))
    (tmp_path / "broken").write_bytes(b"nothing")
    with pytest.raises(InputError):
        Statistics.load(tmp_path / "broken")
    with pytest.raises(InputError, match="n >= 2"):
        fit_statistics(LAW, NOISE[:1], SCHEDULE, quiet=True)

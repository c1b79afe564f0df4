"""DC-Solver: UniPC where nothing is shifted, and better where it is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative import VP, Sampler, presets
from tests.generative.laws import mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(10, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
OTHER = torch.randn(200, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SIX = {"steps": 6, "spacing": "lam", "end": 1e-3}


def error(sampler: Sampler, noise: Tensor) -> float:
    exact = LAW.flow(noise, 0.0, SCHEDULE.at(1e-3).item())
    return (sampler.sample(LAW, noise) - exact).pow(2).mean().sqrt().item()


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_nothing_shifted_is_unipc(order: int, prediction: str) -> None:
    plain = presets.unipc(SCHEDULE, order, **SIX, prediction=prediction)  # type: ignore[arg-type]
    ones = presets.Compensation((1.0,) * 6, presets.fingerprint(plain.grid))
    for compensation in (None, ones):
        made = presets.dc_solver(SCHEDULE, compensation, order, **SIX, prediction=prediction)  # type: ignore[arg-type]
        assert torch.equal(made.sample(LAW, NOISE), plain.sample(LAW, NOISE))


def test_a_shifted_slope_is_the_parabola_in_time() -> None:
    plain = presets.unipc(SCHEDULE, 2, **SIX)  # type: ignore[arg-type]
    ratios = (1.0, 1.0, 1.3, 1.0, 1.0, 1.0)
    made = presets.dc_solver(SCHEDULE, presets.Compensation(ratios, presets.fingerprint(plain.grid)), 2, **SIX)  # type: ignore[arg-type]
    taus = SCHEDULE.tau(plain.grid.t).tolist()
    blend = dict((age, weight) for weight, age in made.plan.rows[2].blend)
    at = 1.3 * taus[2] - 0.3 * taus[1]
    for power in range(3):  # exact for every parabola
        value = sum(float(blend[age]) * taus[2 - age] ** power for age in range(3))  # type: ignore[arg-type]
        assert value == pytest.approx(at**power)
    assert not made.plan.rows[3].blend


def test_fitting_lowers_the_error_of_every_step_and_holds_on_other_noise(tmp_path: Path) -> None:
    plain = presets.dc_solver(SCHEDULE, None, 2, **SIX)  # type: ignore[arg-type]
    found = presets.fit_compensation(LAW, NOISE, plain, quiet=True)
    assert found.ratios[:2] == (1.0, 1.0)
    assert any(ratio != 1.0 for ratio in found.ratios)
    made = presets.dc_solver(SCHEDULE, found, 2, **SIX)  # type: ignore[arg-type]
    assert error(made, NOISE) <= error(plain, NOISE)
    assert error(made, OTHER) <= 1.05 * error(plain, OTHER)
    assert presets.fit_compensation(LAW, NOISE, plain, quiet=True) == found
    found.save(tmp_path / "ratios.json")
    assert presets.Compensation.load(tmp_path / "ratios.json") == found


def test_the_network_is_not_called_again_for_every_ratio() -> None:
    calls = []

    def counted(x: Tensor, t: Tensor) -> Tensor:
        calls.append(len(x))
        return LAW(x, t)

    presets.fit_compensation(counted, NOISE, presets.dc_solver(SCHEDULE, None, 2, **SIX), fine=10, quiet=True)  # type: ignore[arg-type]
    assert len(calls) == 6 * 10 + 6


def test_zero_noise_at_the_end() -> None:
    plain = presets.dc_solver(SCHEDULE, None, 2, 6, "lam", end="zero")
    found = presets.fit_compensation(LAW, NOISE, plain, quiet=True)
    assert found.ratios[-1] == 1.0
    x0 = presets.dc_solver(SCHEDULE, found, 2, 6, "lam", end="zero").sample(LAW, NOISE)
    assert torch.isfinite(x0).all()


def test_another_grid_and_broken_files_are_refused(tmp_path: Path) -> None:
    found = presets.Compensation((1.0,) * 6, presets.fingerprint(presets.unipc(SCHEDULE, 2, **SIX).grid))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="fit it for this grid"):
        presets.dc_solver(SCHEDULE, found, 2, 6, "time")
    with pytest.raises(InputError, match="one evaluation a step"):
        presets.fit_compensation(LAW, NOISE, presets.heun(SCHEDULE, 4), quiet=True)
    (tmp_path / "broken.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="no compensation"):
        presets.Compensation.load(tmp_path / "broken.json")

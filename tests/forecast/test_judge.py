"""Scores against closed forms, backtests that do not leak, sensors that fail, intervals recalibrated."""

import numpy as np
import pytest
import torch
import xarray as xr

from sciode.core.errors import InputError
from sciode.data.series import SeriesSpec
from sciode.forecast import AnchoredEnsemble, Design, Persistence, Ridge, Training, alarms, backtest, judge
from sciode.forecast.backtest import cut
from sciode.forecast.faults import Fault, fail, failures
from sciode.forecast.judge import chances
from sciode.forecast.output import parts
from sciode.forecast.recalibrate import recalibrate
from tests.forecast.made import made

DESIGN = Design(horizon=10, lags=3, looks=(0, 2), plans=(0, 3), log=("p",))


def normal(members: int = 4, each: int = 500, count: int = 400, size: float = 1.0) -> xr.Dataset:
    """A forecast of N(0, 1) by members of N(0, size^2), on a linear scale."""
    draw = np.random.default_rng(0)
    samples = size * draw.normal(size=(members * each, count, 2))
    return xr.Dataset(
        {
            "p": (("sample", "series", "time"), samples, {"role": "target", "scale": "linear", "units": "bar"}),
            "p_aleatoric": (("series", "time"), np.full((count, 2), size)),
            "p_epistemic": (("series", "time"), np.zeros((count, 2))),
            "truth": (("series", "time"), draw.normal(size=(count, 2))),
        },
        coords={
            "lead": ("time", [0.1, 0.2]),
            "member": ("sample", np.arange(members * each) % members),
            "run": ("series", [f"r{k % 20}" for k in range(count)]),
        },
    )


def test_scores_of_a_normal_forecast() -> None:
    found = judge(normal()).isel(time=0)
    assert abs(float(found.rmse) - 1.0) < 0.1
    assert abs(float(found.coverage) - 0.9) < 0.05
    assert float(found.coverage_low) < float(found.coverage) < float(found.coverage_high)
    assert abs(float(found.width) - 2 * 1.645) < 0.1
    assert abs(float(found.crps) - 1 / np.sqrt(np.pi)) < 0.06
    assert abs(float(found.nll_gaussian) - 0.5 * np.log(2 * np.pi * np.e)) < 0.1
    assert abs(float(found.nll_mixture) - float(found.nll_gaussian)) < 0.02


def test_a_forecast_that_is_too_sure_shows() -> None:
    found = judge(normal(size=0.5)).isel(time=0)
    assert float(found.coverage) < 0.7
    assert float(found.nll_mixture) > float(judge(normal()).nll_mixture[0])


def test_missing_truth_does_not_count() -> None:
    forecast = normal()
    forecast["truth"].values[::2] = np.nan
    forecast["truth"].values[1::2] = 0.0
    assert float(judge(forecast).coverage[0]) == 1.0


def test_windows_never_leave_their_series() -> None:
    series = made(3, 60)
    series["p"].values[1, 40:] = np.nan
    before, after = cut(series, 10, 5, 7, "p")
    assert before.sizes == {"series": len(before.number), "time": 10}
    for row in range(before.sizes["series"]):
        number, at = int(before.number[row]), round(float(before.origin[row]) * 50) + 1
        assert np.array_equal(before.p.values[row], series.p.values[number, at - 10 : at])
        assert np.array_equal(after.p.values[row], series.p.values[number, at : at + 5])
    assert np.isfinite(after.p.values).all()
    assert (before.number.values == 1).sum() < (before.number.values == 0).sum()
    with pytest.raises(InputError, match="no series has 100 ticks"):
        cut(series, 100, 5, 7, "p")


def test_alarms_of_a_rise_that_the_plan_announces() -> None:
    series = made(6, 300, seed=4)
    model = Ridge(design=DESIGN).fit(made(20))
    forecast = backtest(model, series, every=1, samples=100)
    found = alarms(forecast, series, on=2.0, off=1.0)
    assert sum(len(run) for run in found.onsets) > 5
    assert found.ahead_rate > 0.8
    assert 0 < found.lead_time <= 0.2
    reached = chances(forecast, 2.0)
    assert ((reached >= 0) & (reached <= 1)).all()


def test_parts_add_up_to_the_variance() -> None:
    random = torch.Generator().manual_seed(0)
    means = torch.randn(50, 1, 1, 1, generator=random)
    draws = means + 0.5 * torch.randn(50, 400, 1, 1, generator=random)
    inside, between = parts(draws)
    assert abs(inside.item() - 0.25) < 0.01
    assert abs(between.item() - means.var().item()) < 0.02
    nothing = parts(0.5 * torch.randn(50, 20, 1, 500, generator=random))[1]
    assert nothing.mean() < 0.01  # without its correction it would be 0.25 / 20


@pytest.fixture(scope="module")
def ensemble() -> AnchoredEnsemble:
    training = Training(steps=400, batch=128, learning_rate=5e-3, failures=0.3)
    return AnchoredEnsemble(8, 32, 2, design=DESIGN, training=training).fit(made(20))


def test_out_of_range_is_unknown_ground(ensemble: AnchoredEnsemble) -> None:
    test = made(6, seed=9, first=400)
    faults = [None, *(Fault("p", "shift", size) for size in (4.0, 8.0, 16.0))]
    found = [float(row["epistemic"]) for row in failures(ensemble, test, faults, every=20, lead=1)]
    assert found[0] < found[1] < found[2] < found[3]
    assert found[3] > 3 * found[0]


def test_a_stuck_sensor_is_found_out(ensemble: AnchoredEnsemble) -> None:
    test = made(4, seed=9, first=400)
    fault = Fault("p", "stuck")
    seen = fail(test, fault, ensemble, SeriesSpec(rate=50.0, stuck=5))
    good = seen.p_good.values
    assert good[:, :5].all()
    assert not good[:, 6:].any()
    assert np.ptp(seen.p.values) < 1e-12
    assert np.array_equal(test.p.values, made(4, seed=9, first=400).p.values)
    noticed, blind = (
        failures(ensemble, test, [fault], spec=spec, every=10, lead=1)[0]
        for spec in (SeriesSpec(rate=50.0, stuck=5), None)
    )
    assert float(noticed["rmse"]) < float(blind["rmse"])
    assert float(noticed["coverage"]) > float(blind["coverage"])
    with pytest.raises(InputError, match="kind of fault"):
        Fault("p", "melted")


def test_recalibrated_intervals_cover(ensemble: AnchoredEnsemble) -> None:
    test, held = made(10, 300, seed=12, first=600), made(10, 300, seed=11, first=500)
    model = Persistence(DESIGN).fit(made(20))
    wide = model.step_.std
    wide.mul_(3.0)
    before = float(judge(backtest(model, test, every=5)).coverage[-1])
    factors = recalibrate(model, held, every=5)
    after = float(judge(backtest(model, test, every=5)).coverage[-1])
    assert before > 0.98
    assert float(factors.max()) < 0.7
    assert abs(after - 0.9) < 0.04
    with pytest.raises(InputError, match="calibrated for 10 ticks"):
        history, future = cut(test, 10, 20, 50, "p")
        model.predict(history, horizon=20, future=future)

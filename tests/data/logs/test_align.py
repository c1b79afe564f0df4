"""Alignment against what a loop over the samples says, and that it never looks ahead."""

from pathlib import Path

import numpy as np
import pytest

from sciode.core.errors import InputError, UnknownName
from sciode.data.logs import Channel, LogWriter, SensorLog, Signal, align, align_run, ticks

DRAW = np.random.default_rng(1)
VALUES = DRAW.normal(size=500)
VALUES[40:200] = np.nan
VALUES[::7] = np.nan
STAMPS = np.sort(DRAW.uniform(0, 10, size=60))


@pytest.fixture
def log(tmp_path: Path) -> SensorLog:
    with LogWriter(tmp_path / "a.h5") as writer:
        run = writer.run("r", start="2026-01-01T00:00:00Z")
        channels = [Channel("late", "bar", latency=0.013), Channel("plan", role="known_future")]
        run.rate("fast", channels, sample_rate=50.0, start=0.011, dtype="f8").append(
            {"late": VALUES, "plan": VALUES}
        )
        run.rate("odd", [Channel("odd", latency=0.3)], dtype="f8").append({"odd": STAMPS**2}, time=STAMPS)
        run.rate("none", [Channel("none")], sample_rate=1.0)
    return SensorLog(tmp_path / "a.h5")


def by_hand(signal: Signal, time: float, before: float | None = None) -> tuple[float, float]:
    """Return the value and the age at one time, by looking at every sample; a mean where ``before`` is given."""
    samples = signal.read()
    known = samples.time + signal.channel.latency
    seen = np.flatnonzero(samples.good & (known <= time + 1e-12))
    if not len(seen):
        return np.nan, np.nan
    age = time - samples.time[seen[-1]]
    if before is not None:
        since = seen[known[seen] > before + 1e-12]
        if len(since):
            return samples.values[since].mean(), age
    return samples.values[seen[-1]], age


@pytest.mark.parametrize("name", ["late", "odd"])
@pytest.mark.parametrize("how", ["asof", "mean"])
@pytest.mark.parametrize("rate", [3.0, 40.0, 200.0])
def test_it_is_what_a_loop_says(log: SensorLog, name: str, how: str, rate: float) -> None:
    signal, times = log["r"][name], ticks(2.0, 9.0, rate)
    got = align(signal, times, how)
    for i, time in enumerate(times):
        before = None if how == "asof" else (times[i - 1] if i else 2 * times[0] - times[1])
        value, age = by_hand(signal, time, before)
        assert got.values[i] == pytest.approx(value, nan_ok=True, abs=1e-12)
        assert got.age[i] == pytest.approx(age, nan_ok=True, abs=1e-9)
    assert got.good.all()


@pytest.mark.parametrize("how", ["asof", "mean"])
def test_the_future_changes_nothing(log: SensorLog, how: str) -> None:
    times = ticks(0.0, 5.0, 20.0)
    whole = align_run(log["r"], ["late", "odd"], times, how)
    for stop in (1.0, 2.3, 4.1):
        part = align_run(log["r"], ["late", "odd"], times[times < stop], how)
        for name in ("late", "odd"):
            count = len(part[name].values)
            np.testing.assert_array_equal(part[name].values, whole[name].values[:count])


def test_old_samples_count_as_none(log: SensorLog) -> None:
    got = align(log["r"]["late"], ticks(0.5, 6.0, 10.0), max_age=0.5)
    assert got.good.any() and not got.good.all()
    assert (got.age[got.good] <= 0.5).all() and np.isnan(got.values[~got.good]).all()


def test_before_the_first_sample_there_is_nothing(log: SensorLog) -> None:
    got = align(log["r"]["odd"], np.array([-5.0, STAMPS[0] + 0.299, STAMPS[0] + 0.301]))
    assert got.good.tolist() == [False, False, True]
    empty = align(log["r"]["none"], ticks(0.0, 1.0, 10.0))
    assert not empty.good.any() and np.isnan(empty.values).all()


def test_plans_are_interpolated(log: SensorLog) -> None:
    times = ticks(0.1, 9.8, 33.0)
    got = align(log["r"]["plan"], times, "linear")
    samples = log["r"]["plan"].read()
    want = np.interp(times, samples.time[samples.good], samples.values[samples.good])
    np.testing.assert_allclose(got.values, want, rtol=0, atol=1e-12)
    short = align(log["r"]["plan"], times, "linear", max_age=0.1)
    assert not short.good[(times > 1.0) & (times < 3.9)].any() and short.good.any()


def test_ticks_do_not_drift() -> None:
    assert len(ticks(0.0, 1.0, 10.0)) == 10
    assert ticks(0.0, 1e5, 10.0)[-1] == pytest.approx(1e5 - 0.1, abs=1e-9)
    assert len(ticks(1.0, 1.0, 10.0)) == 0


def test_bad_input_is_named(log: SensorLog) -> None:
    signal = log["r"]["late"]
    with pytest.raises(InputError, match="finite and rise"):
        align(signal, np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="looks ahead of the tick"):
        align(signal, np.array([1.0, 2.0]), "linear")
    with pytest.raises(UnknownName, match="asof"):
        align(signal, np.array([1.0]), "as-of")
    with pytest.raises(InputError, match="a rate above zero"):
        ticks(0.0, 1.0, 0.0)

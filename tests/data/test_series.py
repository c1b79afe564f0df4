"""Logs as series on one clock: gaps, runs, stuck sensors, the newest tick, memory, and what is refused."""

import importlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sciode.core.errors import InputError, UnknownName
from sciode.data.logs import Channel, LogWriter, SensorLog
from sciode.data.series import SeriesSpec, latest, read_series

SPEC = SeriesSpec(rate=50.0, how={"p": "std"})


def written(file: Path, count: int = 3, holes: bool = False, late: int = 0) -> SensorLog:
    """Write runs of three seconds at 1 kHz with a thermocouple at 10 Hz and a plan at 50 Hz."""
    with LogWriter(file) as log:
        for k in range(count):
            draw = np.random.default_rng(k)
            run = log.run(f"r{k}", start="2026-01-01T00:00:00Z", conditions={"phi": (0.8 + k, "")})
            fast = run.rate("fast", [Channel("p", "bar", role="target")], sample_rate=1000.0)
            slow = run.rate("slow", [Channel("t", "kelvin", latency=0.2)], sample_rate=10.0)
            plan = run.rate("plan", [Channel("u", "", role="known_future")], sample_rate=50.0)
            values = draw.normal(size=3000 - late)
            if holes:
                values[1000:1500] = np.nan
            fast.append({"p": values})
            slow.append({"t": 300.0 + np.arange(30.0)})
            plan.append({"u": np.arange(150.0)})
    return SensorLog(file)


def test_a_tick_holds_what_was_measured_since_the_last(tmp_path: Path) -> None:
    log = written(tmp_path / "a.h5")
    found = read_series(log, SPEC)
    assert found.p.dims == ("series", "time") and found.sizes["series"] == 3
    assert found.phi.values.tolist() == [0.8, 1.8, 2.8] and found.t.attrs["units"] == "kelvin"
    raw = log["r1"]["p"].read().values
    tick = 30  # at 0.6 s: samples after 0.58 s up to 0.6 s
    assert found.p.values[1, tick] == pytest.approx(raw[581:601].std(), rel=1e-6)
    # 0.2 s late: what is known at 0.6 s was measured at 0.4 s, and is 0.2 s old.
    assert found.t.values[1, tick] == 304.0 and found.t_age.values[1, tick] == pytest.approx(0.2)
    assert found.u.values[1, tick] == 30.0


def test_no_series_crosses_a_gap_or_a_run(tmp_path: Path) -> None:
    found = read_series(written(tmp_path / "a.h5", holes=True), SPEC)
    assert list(found.run.values) == ["r0", "r0", "r1", "r1", "r2", "r2"]
    assert found.start.values[:2].tolist() == pytest.approx([0.0, 1.5])
    length = found.p_good.values.sum(1)
    assert 48 <= length[0] <= 50 and 69 <= length[1] <= 71  # the thermocouple ends at 2.9 s
    assert not found.p_good.values[0, 51:].any()  # filled up, and not good


def test_blocks_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(tmp_path / "a.h5", 1)
    whole = {
        how: read_series(log, SeriesSpec(rate=50.0, how={"p": how})) for how in ("std", "rms", "mean", "asof")
    }
    alignment = importlib.import_module("sciode.data.logs.align")
    real = alignment._blocks

    def small(signal, times):  # type: ignore[no-untyped-def]
        list(real(signal, times))
        return (slice(first, min(first + 7, len(times))) for first in range(0, len(times), 7))

    monkeypatch.setattr(alignment, "_blocks", small)
    for how, expected in whole.items():
        found = read_series(log, SeriesSpec(rate=50.0, how={"p": how}))
        np.testing.assert_allclose(found.p.values, expected.p.values, rtol=1e-12)
        np.testing.assert_array_equal(found.p_good.values, expected.p_good.values)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = []
    for seconds in (20, 80):
        with LogWriter(tmp_path / f"{seconds}.h5") as log:
            run = log.run("r", start="2026-01-01T00:00:00Z")
            fast = run.rate("fast", [Channel("p", "bar", role="target")], sample_rate=100_000.0)
            for k in range(seconds // 5):
                fast.append({"p": np.random.default_rng(k).normal(size=500_000).astype("f4")})
        tracemalloc.start()
        read_series(SensorLog(tmp_path / f"{seconds}.h5"), SPEC)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Samples, times and masks of the long one are 136 MB.
    assert peaks[1] < 1.4 * peaks[0] < 1e8


def test_a_stuck_sensor_is_not_good(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "a.h5") as log:
        run = log.run("r", start="2026-01-01T00:00:00Z")
        values = np.random.default_rng(0).normal(size=200)
        light, valve = values.copy(), np.ones(200)
        light[100:] = light[100]
        channels = [Channel("p", role="target"), Channel("light"), Channel("valve", kind="discrete")]
        run.rate("a", channels, sample_rate=50.0).append({"p": values, "light": light, "valve": valve})
    found = read_series(SensorLog(tmp_path / "a.h5"), SeriesSpec(rate=50.0, stuck=8))
    assert found.light_good.values[0, :108].all() and not found.light_good.values[0, 108:].any()
    assert found.valve_good.values.all()
    assert read_series(SensorLog(tmp_path / "a.h5"), SeriesSpec(rate=50.0, stuck=0)).light_good.values.all()


def test_the_newest_tick_is_the_series_end(tmp_path: Path) -> None:
    log = written(tmp_path / "a.h5", 1, late=1000)
    history, plan = latest(log["r0"], SPEC, "p", 20, 10)
    whole = read_series(log, SPEC)
    now = float(history.start[0]) + float(history.time[-1])
    assert now == pytest.approx(1.98, abs=0.021) and history.sizes["time"] == 20
    last = round(now * 50)
    np.testing.assert_allclose(history.p.values[0], whole.p.values[0, last - 19 : last + 1], rtol=1e-9)
    np.testing.assert_array_equal(plan.u.values[0], last + 1 + np.arange(10.0))
    with pytest.raises(InputError, match="ticks long, 500 are looked back"):
        latest(log["r0"], SPEC, "p", 500, 10)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    log = written(tmp_path / "a.h5", 1)
    with pytest.raises(UnknownName, match="r9"):
        read_series(log, SPEC, ["r9"])
    with pytest.raises(UnknownName, match="'q'"):
        read_series(log, SeriesSpec(channels=("p", "q")))
    with pytest.raises(UnknownName, match="did you mean 'mean'"):
        SeriesSpec(how={"p": "mena"})
    with pytest.raises(InputError, match="no run is 1000 ticks long"):
        read_series(log, SPEC, least=1000)
    with LogWriter(tmp_path / "b.h5") as writer:
        for name, channels in (("a", ["p", "x"]), ("b", ["p"]), ("empty", ["p"])):
            run = writer.run(name, start="2026-01-01T00:00:00Z")
            made = [Channel(c, role="target" if c == "p" else "past_covariate") for c in channels]
            rate = run.rate("fast", made, sample_rate=100.0)
            if name != "empty":
                rate.append({c: np.random.default_rng(0).normal(size=100) for c in channels})
    other = SensorLog(tmp_path / "b.h5")
    with pytest.raises(InputError, match=r"different channels; missing are .*'b': \['x'"):
        read_series(other, SPEC, ["a", "b"])
    with pytest.raises(InputError, match="no run is 2 ticks long"):
        read_series(other, SPEC, ["empty"])


def test_a_target_of_nothing_is_refused(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "a.h5") as log:
        run = log.run("r", start="2026-01-01T00:00:00Z")
        channels = [Channel("p", role="target"), Channel("x")]
        run.rate("a", channels, sample_rate=50.0).append({"p": np.full(100, np.nan), "x": np.arange(100.0)})
    with pytest.raises(InputError, match=r"gap in its target|no good"):
        from sciode.forecast import Ridge

        Ridge().fit(read_series(SensorLog(tmp_path / "a.h5"), SPEC))

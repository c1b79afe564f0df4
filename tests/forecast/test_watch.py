"""Following a log that grows: forecasts, alarms, a lost writer, a dead channel, 100 kHz, bad input."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciode.core.errors import InputError
from sciode.data.logs import Channel, LogWriter, SensorLog
from sciode.data.series import SeriesSpec, read_series
from sciode.forecast import Design, Ridge
from sciode.forecast.store import Artefact
from sciode.forecast.watch import Watching, say, watch

DESIGN = Design(horizon=10, lags=4, looks=(0, 2), plans=(0, 2), log=("p",))
SPEC = SeriesSpec(rate=50.0, how={"p": "std"})


def channels(log: LogWriter, name: str, rate: float, units: str = "bar") -> tuple[Any, Any]:
    """Declare a run: a fast pressure, and a plan that is known whole."""
    run = log.run(name, start="2026-01-01T00:00:00Z")
    fast = run.rate("fast", [Channel("p", units, role="target"), Channel("light", "volt")], sample_rate=rate)
    slow = run.rate("slow", [Channel("plan", "", role="known_future")], sample_rate=50.0)
    return fast, slow


def samples(first: int, last: int, rate: float, seed: int) -> dict[str, np.ndarray]:
    """Return a pressure whose amplitude goes up from one second on."""
    time = np.arange(first, last) / rate
    noise = np.random.default_rng((seed, first)).normal(size=(2, last - first))
    return {"p": (0.1 + np.clip(time - 1.0, 0.0, 1.0)) * noise[0], "light": noise[1]}


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    file = tmp_path_factory.mktemp("logs") / "train.h5"
    with LogWriter(file) as log:
        for k in range(3):
            fast, slow = channels(log, f"r{k}", 2000.0)
            fast.append(samples(0, 6000, 2000.0, k))
            slow.append({"plan": np.linspace(0, 1, 150)})
    return Artefact(Ridge(design=DESIGN).fit(read_series(SensorLog(file), SPEC)), SPEC, {})


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def until(told: Iterator[dict[str, Any]], kind: str, limit: int = 50) -> list[dict[str, Any]]:
    """Return what is said up to one of a kind."""
    found = []
    for item in itertools.islice(told, limit):
        found.append(item)
        if item["kind"] == kind:
            return found
    raise AssertionError(f"no {kind} in {found}")


def test_a_growing_log_is_followed(artefact: Artefact, tmp_path: Path) -> None:
    file, clock = tmp_path / "live.h5", Clock()
    settings = Watching(on=0.6, samples=50, lost=5.0, pause=1e-4)
    with LogWriter(file, live=True) as log:
        fast, slow = channels(log, "r", 2000.0)
        slow.append({"plan": np.linspace(0, 1, 150)})
        log.go_live()
        log.flush()
        told = watch(artefact, file, settings, clock=clock)
        assert next(told)["kind"] == "idle"
        fast.append(samples(0, 1600, 2000.0, 9))
        log.flush()
        first = until(told, "forecast")[-1]
        assert first["time"] == pytest.approx(0.8, abs=0.021) and not first["alarm"]
        assert first["low"] < first["median"] < first["high"]
        assert next(told)["kind"] == "idle"
        fast.append(samples(1600, 5000, 2000.0, 9))
        log.flush()
        kinds = until(told, "forecast")
        assert [item["kind"] for item in kinds] == ["alarm", "forecast"] and kinds[-1]["alarm"]
        # The writer stops; what is late is said once, and so is its return.
        clock.now = 6.0
        assert [item["kind"] for item in until(told, "idle")] == ["lost", "idle"]
        assert next(told)["kind"] == "idle"
        fast.append(samples(5000, 5400, 2000.0, 9))
        log.flush()
        assert [item["kind"] for item in until(told, "forecast")] == ["back", "forecast"]
    assert all(say(item, artefact) for item in kinds)


def test_a_dead_channel_is_told_and_survived(artefact: Artefact, tmp_path: Path) -> None:
    file = tmp_path / "live.h5"
    with LogWriter(file, live=True) as log:
        fast, slow = channels(log, "r", 2000.0)
        slow.append({"plan": np.linspace(0, 1, 150)})
        log.go_live()
        fast.append(samples(0, 1600, 2000.0, 9))
        log.flush()
        told = watch(artefact, file, Watching(samples=50, pause=1e-4))
        assert until(told, "forecast")[-1]["kind"] == "forecast"
        fast.append({**samples(1600, 4600, 2000.0, 9), "light": np.full(3000, np.nan)})
        log.flush()
        found = until(told, "forecast")
        assert [item["channel"] for item in found if item["kind"] == "dead"] == ["light"]
        assert np.isfinite(found[-1]["median"])


def test_a_fast_log_is_kept_up_with(artefact: Artefact, tmp_path: Path) -> None:
    # However much is new, a look reads what the model looks back on, and forecasts once from the newest tick.
    file = tmp_path / "live.h5"
    with LogWriter(file, live=True) as log:
        fast, slow = channels(log, "r", 100_000.0)
        slow.append({"plan": np.linspace(0, 1, 150)})
        log.go_live()
        fast.append(samples(0, 100_000, 100_000.0, 9))
        log.flush()
        told = watch(artefact, file, Watching(samples=50, pause=1e-4))
        newest = [until(told, "forecast")[-1]["time"]]
        for k in range(1, 4):
            fast.append(samples(50_000 * (k + 1), 50_000 * (k + 2), 100_000.0, 9))
            log.flush()
            newest.append(until(told, "forecast", 2)[-1]["time"])
    assert newest == pytest.approx([1.0, 1.5, 2.0, 2.5], abs=0.021)


def test_a_torn_tail_is_survived(artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "live.h5"
    with LogWriter(file, live=True) as log:
        fast, slow = channels(log, "r", 2000.0)
        slow.append({"plan": np.linspace(0, 1, 150)})
        log.go_live()
        fast.append(samples(0, 1600, 2000.0, 9))
        log.flush()
        told = watch(artefact, file, Watching(samples=50, pause=1e-4))

        def torn(*_: Any, **__: Any) -> None:
            raise OSError("Can't read data (wrong B-tree signature)")

        with monkeypatch.context() as patch:
            patch.setattr("sciode.forecast.watch.latest", torn)
            assert next(told)["kind"] == "trouble"
            assert next(told)["kind"] == "idle"
        assert until(told, "forecast")[-1]["kind"] == "forecast"


def test_a_log_that_does_not_fit_is_refused(artefact: Artefact, tmp_path: Path) -> None:
    file = tmp_path / "live.h5"
    with LogWriter(file, live=True) as log:
        fast, slow = channels(log, "r", 2000.0, units="psi")
        slow.append({"plan": np.linspace(0, 1, 150)})
        log.go_live()
        fast.append(samples(0, 1600, 2000.0, 9))
        log.flush()
        with pytest.raises(InputError, match=r"p.*psi"):
            next(watch(artefact, file, Watching(samples=50)))
    with pytest.raises(InputError, match="no file"):
        next(watch(artefact, tmp_path / "none.h5"))

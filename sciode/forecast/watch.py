"""Forecasts of a log while it is written: what comes next whenever it has grown, and alarms."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sciode.core.errors import InputError
from sciode.data.logs import LogRun, SensorLog
from sciode.data.series import latest
from sciode.forecast.judge import chances
from sciode.forecast.store import Artefact


@dataclass(frozen=True)
class Watching:
    """How a log is followed.

    Parameters
    ----------
    on : float or None
        Threshold of the alarm, in the target's unit; None: no alarms.
    chance, quiet : float
        The alarm is raised where the chance to reach ``on`` within the horizon rises to ``chance``, and ends where
        it falls below ``quiet``.
    samples, seed : int
        Of each forecast.
    pause : float
        Between looks, s.
    lost : float
        Seconds without new samples after which the writer counts as lost.
    dead : float
        Seconds without a good sample after which a channel counts as dead.
    """

    on: float | None = None
    chance: float = 0.5
    quiet: float = 0.25
    samples: int = 200
    seed: int = 0
    pause: float = 0.05
    lost: float = 5.0
    dead: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.quiet <= self.chance <= 1 or min(self.pause, self.lost, self.dead) <= 0:
            raise InputError(
                f"0 <= quiet <= chance <= 1 and times are above zero, found {self.quiet!r}, {self.chance!r}, "
                f"{self.pause!r}, {self.lost!r}, {self.dead!r}"
            )


@dataclass
class _Known:
    """What has been said already, so that it is said once."""

    newest: float = -np.inf
    moved: float = field(default_factory=time.monotonic)
    lost: bool = False
    alarm: bool = False
    good: dict[str, float] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    trouble: str = ""


def watch(
    artefact: Artefact,
    path: str | Path,
    settings: Watching | None = None,
    *,
    run: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[dict[str, Any]]:
    """Yield what there is to say of a growing log, as it grows, until the caller stops.

    Each is a dict with ``kind``: "forecast" (``time`` of the newest tick, ``now``, and ``median``, ``low`` and
    ``high`` of the central 90 % at the end of the horizon, ``chance``, ``alarm``), "alarm" or "clear" (the alarm
    changed), "dead" or "alive" (a channel), "lost" or "back" (the writer), "trouble" (a read that failed, tried
    again), "idle" (nothing new). Where forecasts take longer than the log grows, ticks are left out, never queued.

    Raises :class:`InputError` where there is no file, and for channels, units or rates that are not the model's.
    """
    settings = settings or Watching()
    log = SensorLog(path, live=True)
    known = _Known(moved=clock())
    while True:
        try:
            log.refresh()
            found = _look(artefact, _run(log, run), settings, known)
            known.trouble = ""
        except (OSError, KeyError, RuntimeError) as error:
            # A writer that is killed may leave a tail that cannot be read; the next look may find it mended.
            log.store.drop()
            found = [] if str(error) == known.trouble else [{"kind": "trouble", "what": str(error)}]
            known.trouble = str(error)
        if any(told["kind"] == "forecast" for told in found):
            known.moved = clock()
            if known.lost:
                known.lost = False
                yield {"kind": "back", "time": known.newest}
        elif not known.lost and clock() - known.moved > settings.lost:
            known.lost = True
            yield {"kind": "lost", "time": known.newest, "seconds": settings.lost}
        yield from found or [{"kind": "idle", "time": known.newest}]
        if not found:
            time.sleep(settings.pause)


def _run(log: SensorLog, name: str | None) -> LogRun:
    """Return the run that is followed: the last one unless told."""
    if name is not None:
        return log[name]
    if not log.runs:
        raise InputError(f"{log.store.path.name} has no runs to follow")
    return log.runs[max(log.runs)]


def _look(artefact: Artefact, run: LogRun, settings: Watching, known: _Known) -> list[dict[str, Any]]:
    model, spec = artefact.forecaster, artefact.spec
    channels, design = model.channels_, model.design
    target = run[channels.target]
    first, last = target.span
    if not last - first >= (design.history - 1) / spec.rate or last < known.newest + 1.0 / spec.rate:
        return []
    history, plan = latest(run, spec, channels.target, design.history, design.horizon)
    known.newest = float(history.start[0]) + float(history.time[-1])
    found = list(_sensors(history, channels.names, settings, known))
    forecast = model.predict(
        history, samples=max(settings.samples, 2 * model.step_.members), seed=settings.seed, future=plan
    )
    name = channels.target
    end = forecast[name].isel(series=0, time=-1).values
    low, middle, high = (float(x) for x in np.quantile(end, [0.05, 0.5, 0.95]))
    told: dict[str, Any] = {
        "kind": "forecast", "time": known.newest, "now": float(history[name].values[0, -1]),
        "median": middle, "low": low, "high": high, "horizon": design.horizon / spec.rate,
    }  # fmt: skip
    if settings.on is not None:
        chance = float(chances(forecast, settings.on)[0])
        alarm = chance >= (settings.quiet if known.alarm else settings.chance)
        told |= {"chance": chance, "alarm": alarm}
        if alarm != known.alarm:
            found.append({"kind": "alarm" if alarm else "clear", "time": known.newest, "chance": chance})
        known.alarm = alarm
    return [*found, told]


def _sensors(
    history: xr.Dataset, names: tuple[str, ...], settings: Watching, known: _Known
) -> Iterator[dict[str, Any]]:
    """Say which channels have died, and which are back."""
    for name in names:
        if history[f"{name}_good"].values[0, -1] or name not in known.good:
            known.good[name] = known.newest
        dead = known.newest - known.good[name] > settings.dead
        if dead != (name in known.dead):
            known.dead ^= {name}
            yield {"kind": "dead" if dead else "alive", "channel": name, "time": known.newest}


def say(told: dict[str, Any], artefact: Artefact) -> str:
    """Return one line for people."""
    channels = artefact.forecaster.channels_
    name, units = channels.target, channels.units[channels.target]
    begin = f"t = {told['time']:.2f} s" if np.isfinite(told.get("time", np.nan)) else "t = -"
    if told["kind"] == "forecast":
        chance = f"  chance of the threshold {told['chance']:.0%}" if "chance" in told else ""
        alarm = "  ALARM" if told.get("alarm") else ""
        return (
            f"{begin}  {name} {told['now']:.3g} {units}, in {told['horizon']:g} s {told['median']:.3g} "
            f"[{told['low']:.3g}, {told['high']:.3g}]{chance}{alarm}"
        )
    texts = {
        "alarm": f"ALARM: chance {told.get('chance', 0):.0%}",
        "clear": f"alarm over: chance {told.get('chance', 0):.0%}",
        "dead": f"channel {told.get('channel')} is dead: no good sample; forecasts go on without it",
        "alive": f"channel {told.get('channel')} is back",
        "lost": f"nothing new for {told.get('seconds', 0):g} s: the writer is lost? still waiting",
        "back": "the log grows again",
        "trouble": f"the file cannot be read just now, tried again: {told.get('what')}",
    }
    return f"{begin}  {texts[told['kind']]}"

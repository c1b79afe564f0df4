"""Looking through a log for what would spoil a forecast, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import InputError, LayoutError
from sciode.core.progress import Bar, progress
from sciode.data.logs.channel import plain
from sciode.data.logs.read import LogRun, SensorLog, Signal
from sciode.data.validate import Problem

_BLOCK = 2**20
_DRIFT = 1e-3  # of a nominal rate
_GAPS = 0.05  # of a channel
_STUCK = 100  # samples of one value in a row, of a channel that moves elsewhere
_CLIPPED = 0.01  # of a channel, at its largest or smallest value


def validate_log(path: str | Path, *, quiet: bool = True) -> list[Problem]:
    """Check a log, reading every value once.

    Errors: damage, contradictions in the layout, times that do not rise or are stamped twice, channels
    without any good value, units that nobody knows. Warnings: runs without samples, aborted runs, rates that
    drift by more than 0.1 %, more than 5 % missing, sensors that are stuck or saturated, channels that other
    runs have.

    Parameters
    ----------
    path : path
        A file of layout sciode-log v1. A missing one raises :class:`InputError`; a broken one is a finding.
    quiet : bool
        Show no progress.

    Returns
    -------
    list of Problem
        Empty for a sound log.
    """
    try:
        log = SensorLog(path)
    except LayoutError as error:
        return [Problem("error", "/", str(error))]
    found: list[Problem] = []
    whole: dict[str, set[str]] = {}
    with progress(f"checking {Path(path).name}", _size(log), quiet=quiet) as bar:
        for name, run in log.runs.items():
            found += _stamps(log, f"runs/{name}")
            try:
                signals = run.signals
            except LayoutError as error:
                found.append(Problem("error", f"/runs/{name}", str(error)))
                continue
            whole[name] = set(signals)
            found += _run(run)
            for signal in signals.values():
                found += _channel(signal, bar)
    for name, channels in whole.items():
        missing = sorted(set.union(*whole.values()) - channels)
        if missing and channels:
            found.append(Problem("warning", f"/runs/{name}", f"lacks {', '.join(missing)}, which other runs have"))
    log.close()
    return found


def _size(log: SensorLog) -> int:
    sizes: list[int] = []

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 1:
            sizes.append(item.shape[0])

    log.store.file["runs"].visititems(add)
    return sum(sizes)


def _run(run: LogRun) -> Iterator[Problem]:
    where = f"/{run.path}"
    if not run.signals or not any(len(signal) for signal in run.signals.values()):
        yield Problem("warning", where, "holds no samples")
    elif not run.span[0] < run.span[1]:
        yield Problem("error", where, "has no time that all its channels cover")
    if run.status != "ok":
        yield Problem("warning", where, f"ended as {run.status!r}")
    if not run.start:
        yield Problem("warning", where, "does not say when it started (attribute start)")


def _stamps(log: SensorLog, path: str) -> Iterator[Problem]:
    """Look through the times of every irregular clock, before anything relies on them."""
    for name, group in (log.store.file[path].get("rates") or {}).items():
        if "time" not in group:
            continue
        where, times = f"/{path}/rates/{name}/time", group["time"]
        twice, back, lost, before = 0, 0, 0, -np.inf
        for first in range(0, len(times), _BLOCK):
            block = times[first : first + _BLOCK].astype(np.float64)
            lost += int((~np.isfinite(block)).sum())
            steps = np.diff(np.concatenate([[before], block]))
            twice, back, before = twice + int((steps == 0).sum()), back + int((steps < 0).sum()), float(block[-1])
        for count, what in ((twice, "stamped twice"), (back, "out of order"), (lost, "without a finite time")):
            if count:
                yield Problem("error", where, f"{count} samples are {what}")
        nominal = plain(group.attrs.get("sample_rate", 0.0))
        if nominal and len(times) > 1 and times[-1] > times[0]:
            actual = (len(times) - 1) / float(times[-1] - times[0])
            if abs(actual / nominal - 1.0) > _DRIFT:
                yield Problem("warning", where, f"runs at {actual:.6g} Hz, {nominal:g} Hz are stated")


def _channel(signal: Signal, bar: Bar) -> Iterator[Problem]:
    where, count = f"/{signal.path}", len(signal)
    if count == 0:
        return
    tally = _Tally()
    for first in range(0, count, _BLOCK):
        samples = signal.read(first, first + _BLOCK)
        tally.take(samples.values, samples.good)
        bar.advance(len(samples.values))
    if tally.good == 0:
        yield Problem("error", where, "has no good sample")
        return
    if tally.good < (1.0 - _GAPS) * count:
        yield Problem(
            "warning", where, f"{100 * (1 - tally.good / count):.1f} % of the samples are missing or bad"
        )
    if signal.channel.kind != "continuous" or signal.channel.role == "known_future":
        return  # what is switched or planned may well stay where it is
    if tally.low == tally.high:
        yield Problem("warning", where, f"is {tally.low:g} throughout: a stuck sensor?")
        return
    if tally.longest >= _STUCK:
        yield Problem("warning", where, f"stays at {tally.stuck:g} for {tally.longest} samples: stuck?")
    for value, number in ((tally.low, tally.at_low), (tally.high, tally.at_high)):
        if number > _CLIPPED * tally.good and number > 10:
            yield Problem("warning", where, f"{number} samples are exactly {value:g}, its bound: saturated?")


class _Tally:
    """What is remembered of a channel from block to block."""

    def __init__(self) -> None:
        self.good = self.at_low = self.at_high = self.longest = self._run = 0
        self.low, self.high, self.stuck, self._last = np.inf, -np.inf, np.nan, np.nan

    def take(self, values: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
        kept = values[good]
        self.good += len(kept)
        if not len(kept):
            return
        low, high = float(kept.min()), float(kept.max())
        if low < self.low:
            self.low, self.at_low = low, 0
        if high > self.high:
            self.high, self.at_high = high, 0
        self.at_low += int((kept == self.low).sum())
        self.at_high += int((kept == self.high).sum())
        changes = np.flatnonzero(np.diff(kept) != 0) + 1
        starts = np.concatenate([[0], changes])
        lengths = np.diff(np.concatenate([starts, [len(kept)]]))
        if kept[0] == self._last:
            lengths[0] += self._run
        most = int(lengths.argmax())
        if lengths[most] > self.longest:
            self.longest, self.stuck = int(lengths[most]), float(kept[starts[most]])
        self._run, self._last = int(lengths[-1]), float(kept[-1])


def check_split(runs: dict[str, list[str]]) -> None:
    """Raise :class:`InputError` where a run is in two parts of a split.

    >>> check_split({"train": ["a", "b"], "test": ["c"]})
    """
    seen: dict[str, str] = {}
    for part, names in runs.items():
        for name in names:
            if name in seen:
                raise InputError(
                    f"run {name} is in {seen[name]} and in {part}: windows of one run on both sides are a leak"
                )
            seen[name] = part

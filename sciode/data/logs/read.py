"""Reading logs, layout sciode-log v1: lazily, one handle for each process, nothing unpickled."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import InputError, LayoutError
from sciode.core.names import lookup, unknown
from sciode.data.logs.channel import Channel, Clock, plain
from sciode.data.logs.write import FORMAT, VERSION
from sciode.data.store import Store

MAX_GAP = 2.5
"""Samples that may be missing in a row before a new segment begins."""


class Samples(NamedTuple):
    """Samples of one channel: times in seconds of the run, physical values, and which of them are good."""

    time: NDArray[np.float64]
    values: NDArray[np.float64]
    good: NDArray[np.bool_]


class Condition(NamedTuple):
    """A number that holds for a whole run."""

    value: float
    units: str


@dataclass(frozen=True, eq=False)
class Signal:
    """One channel of one run: its samples are read when asked for."""

    channel: Channel
    clock: Clock
    path: str
    store: Store
    quality: tuple[str, int] | None = None

    def __len__(self) -> int:
        """Return the number of samples; of a growing file, of those that are there with times and marks."""
        count = int(self.store.dataset(self.path).shape[0])
        if self.store.live and self.clock.times is not None:
            count = min(count, len(self.clock.times))
        if self.store.live and self.quality is not None:
            count = min(count, int(self.store.dataset(self.quality[0]).shape[0]))
        return count

    @property
    def span(self) -> tuple[float, float]:
        """First and last time, seconds; NaN where there is no sample."""
        count = len(self)
        if count == 0:
            return np.nan, np.nan
        first, last = self.clock.time(np.array([0, count - 1]))
        return float(first), float(last)

    def read(self, first: int = 0, last: int | None = None) -> Samples:
        """Return the samples ``first`` to ``last``, the last not included.

        Good are those that are finite, within the channel's bounds, not its fill value, and without a quality bit.
        """
        stop = len(self) if last is None else min(last, len(self))
        start = min(max(first, 0), stop)
        values, good = self.channel.physical(self.store.dataset(self.path)[start:stop])
        if self.quality is not None:
            name, column = self.quality
            marks = self.store.dataset(name)
            good &= (marks[start:stop] if marks.ndim == 1 else marks[start:stop, column]) == 0
        return Samples(self.clock.time(np.arange(start, stop)), values, good)

    def between(self, start: float, stop: float) -> Samples:
        """Return the samples from time ``start`` on and before ``stop``."""
        edges = np.nextafter(np.array([start, stop]), -np.inf)
        first, last = self.clock.before(edges) + 1
        first, last = _exact(self.clock, int(first), start), _exact(self.clock, int(last), stop)
        return self.read(first, last)

    def gaps(self, max_gap: float = MAX_GAP, block: int = 2**20) -> list[tuple[float, float]]:
        """Return the intervals, longer than ``max_gap`` samples, without a good one; block by block."""
        step, count = self.clock.step, len(self)
        found: list[tuple[float, float]] = []
        before: float | None = None
        for first in range(0, count, block):
            samples = self.read(first, first + block)
            times = samples.time[samples.good]
            if not len(times):
                continue
            whole = times if before is None else np.concatenate([[before], times])
            wide = np.flatnonzero(np.diff(whole) > max_gap * step)
            found += [(float(whole[i]), float(whole[i + 1])) for i in wide]
            before = float(times[-1])
        return found


def _exact(clock: Clock, index: int, time: float) -> int:
    """Return the number of the first sample at or after a time: rounding of a regular clock may be one off."""
    while index > 0 and clock.time(np.array([index - 1]))[0] >= time:
        index -= 1
    if clock.times is None:
        while clock.time(np.array([index]))[0] < time:
            index += 1
    return index


class LogRun:
    """One run of a log."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name, self.path = store, name, f"runs/{name}"
        attributes = {key: plain(store.file[self.path].attrs[key]) for key in _safe(store.file[self.path])}
        self.start = str(attributes.pop("start", ""))
        self.timezone = str(attributes.pop("timezone", "UTC"))
        self.status = str(attributes.pop("status", "ok"))
        self.split = str(attributes.pop("split", ""))
        numbers = {key: value for key, value in attributes.items() if isinstance(value, int | float)}
        self.conditions = {key: Condition(float(value), "") for key, value in numbers.items()} | _conditions(
            store.file[self.path]
        )

    @cached_property
    def signals(self) -> Mapping[str, Signal]:
        """The channels by name.

        Raises :class:`LayoutError` for a group without a clock, times that do not rise, and names that occur
        twice.
        """
        found: dict[str, Signal] = {}
        rates = self.store.file[self.path].get("rates")
        for name, group in () if rates is None else rates.items():
            where = f"{self.path}/rates/{name}"
            clock, columns = _clock(self.store, group, where), _quality(group)
            for key, data in group.items():
                if key in ("time", "quality"):
                    continue
                if key in found:
                    raise LayoutError(f"{self.store.path}: run {self.name} has channel {key} in two rates")
                found[key] = _signal(self.store, f"{where}/{key}", key, data, clock, columns)
        return found

    def __getitem__(self, name: str) -> Signal:
        """Return a channel; an unknown name is an error that holds the nearest one."""
        if name not in self.signals:
            raise unknown(name, list(self.signals), f"channel of run {self.name}")
        return self.signals[name]

    @property
    def span(self) -> tuple[float, float]:
        """The time that all channels cover, seconds; NaN for a run without samples."""
        spans = [signal.span for signal in self.signals.values() if len(signal)]
        if not spans:
            return np.nan, np.nan
        return max(first for first, _ in spans), min(last for _, last in spans)

    def segments(
        self, channels: list[str] | None = None, max_gap: float = MAX_GAP, least: float = 0.0
    ) -> list[tuple[float, float]]:
        """Return the intervals in which none of the channels has a gap, which is longer than ``least`` seconds.

        Those that the file holds are taken as they are, as far as the channels go.
        """
        low, high = self.span
        if not low < high:
            return []
        kept = self.store.file[self.path].get("segments")
        intervals = [(low, high)] if kept is None else [(float(a), float(b)) for a, b in kept[:]]
        intervals = [(max(a, low), min(b, high)) for a, b in intervals if a < high and b > low]
        for name in self.signals if channels is None else channels:
            for gap in self[name].gaps(max(max_gap, least / self[name].clock.step)):
                intervals = [part for whole in intervals for part in _without(whole, gap)]
        return intervals


class SensorLog:
    """A log file, opened lazily, once in each process; a handle can be pickled.

    Parameters
    ----------
    path : path
        A file of layout sciode-log v1.
    live : bool
        Read while a writer appends (:class:`LogWriter` with ``live=True``): :meth:`refresh` shows what is new.

    Raises
    ------
    InputError
        Where there is no file.
    LayoutError
        For a damaged file, one of another layout or a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from sciode.data.logs import LogWriter
    >>> file = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with LogWriter(file) as log:
    ...     run = log.run("r1", start="2026-01-01T00:00:00Z")
    ...     run.rate("fast", [Channel("p", "bar")], sample_rate=10.0).append({"p": np.arange(100.0)})
    >>> SensorLog(file)["r1"]["p"].between(2.0, 2.3).values
    array([20., 21., 22.])
    """

    def __init__(self, path: str | Path, *, live: bool = False) -> None:
        self.store = Store(path, live=live)
        file = self.store.file
        told = plain(file.attrs.get("format", ""))
        if told != FORMAT:
            raise LayoutError(f"{path} is no {FORMAT} file (its format is {told!r})")
        version = plain(file.attrs.get("version", 0))
        if version != VERSION:
            raise LayoutError(f"{path} is {FORMAT} version {version}, this sciode reads {VERSION}")
        if not isinstance(file.get("runs"), h5py.Group):
            raise LayoutError(f"{path} lacks the group /runs")

    @cached_property
    def runs(self) -> Mapping[str, LogRun]:
        """The runs by name, in the order of their names."""
        return {name: LogRun(self.store, name) for name in self.store.file["runs"]}

    def __getitem__(self, name: str) -> LogRun:
        """Return a run; an unknown name is an error that holds the nearest one."""
        return lookup(name, self.runs, "run")

    def refresh(self) -> None:
        """Show what a writer has appended since the last look."""
        self.store.refresh()
        self.__dict__.pop("runs", None)

    def close(self) -> None:
        """Close for good."""
        self.store.close()


def _clock(store: Store, group: h5py.Group, where: str) -> Clock:
    if "time" in group:
        times = store.dataset(f"{where}/time")[:].astype(np.float64)
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            at = int(np.flatnonzero(~(np.diff(times) > 0))[0]) if len(times) > 1 else 0
            raise LayoutError(
                f"/{where}/time does not rise at sample {at + 1}: `sciode log validate` lists what is wrong"
            )
        return Clock(times=times)
    if "sample_rate" not in group.attrs:
        raise LayoutError(f"/{where} has neither a dataset time nor the attribute sample_rate")
    return _told(group, where)


def _told(group: h5py.Group, where: str) -> Clock:
    start, rate, ppm = (plain(group.attrs.get(key, 0.0)) for key in ("t0", "sample_rate", "clock_ppm"))
    try:
        return Clock(float(start), float(rate), float(ppm))
    except (InputError, TypeError, ValueError) as error:
        raise LayoutError(f"/{where}: {error}") from error


def _quality(group: h5py.Group) -> dict[str, int]:
    """Return the column of each channel in the group's quality bits; one column serves all."""
    if "quality" not in group:
        return {}
    marks = group["quality"]
    if marks.ndim == 1:
        return {name: 0 for name in group if name not in ("time", "quality")}
    return {str(plain(name)): i for i, name in enumerate(marks.attrs.get("channels", []))}


def _signal(
    store: Store, path: str, name: str, data: h5py.Dataset, clock: Clock, columns: Mapping[str, int]
) -> Signal:
    if not isinstance(data, h5py.Dataset) or data.ndim != 1 or data.dtype.kind not in "fiub":
        raise LayoutError(f"/{path} is no channel: numbers along one axis are, found {data}")
    channel = Channel.of(name, {key: data.attrs[key] for key in _safe(data)}, f"/{path}")
    if clock.times is not None and len(clock.times) != len(data) and not store.live:
        raise LayoutError(f"/{path} has {len(data)} samples and {len(clock.times)} times")
    marked = (f"{path.rpartition('/')[0]}/quality", columns[name]) if name in columns else None
    return Signal(channel, clock, path, store, marked)


def _conditions(group: h5py.Group) -> dict[str, Condition]:
    told = group.get("conditions")
    if told is None:
        return {}
    return {key: Condition(float(data[()]), str(plain(data.attrs.get("units", "")))) for key, data in told.items()}


def _safe(item: h5py.Group | h5py.Dataset) -> list[str]:
    """Return the attributes that are numbers or text; opaque ones, such as pickles, are not read."""
    return [key for key in item.attrs if item.attrs.get_id(key).dtype.kind in "fiubSUO"]


def _without(whole: tuple[float, float], gap: tuple[float, float]) -> list[tuple[float, float]]:
    """Return what is left of an interval."""
    (low, high), (begin, end) = whole, gap
    if begin >= high or end <= low:
        return [whole]
    return [part for part in ((low, begin), (end, high)) if part[0] < part[1]]

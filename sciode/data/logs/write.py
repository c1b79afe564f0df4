"""Writing logs, layout sciode-log v1: one group for each run, one for each clock, one dataset for each channel."""

import datetime
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sciode.core.errors import InputError
from sciode.core.files import atomic_path
from sciode.core.names import lookup
from sciode.data.logs.channel import BITS, Channel, check_units

FORMAT, VERSION = "sciode-log", 1
_CHUNK = 2**16
SPLITS = ("", "train", "val", "test")


class LogWriter(AbstractContextManager["LogWriter"]):
    """Write a log. It takes its name when it is whole; a kill leaves no broken file.

    Parameters
    ----------
    path : path
        The file; an existing one is replaced.
    title, source, license : str
        Kept in the file.
    live : bool
        Write under the final name from the start, for readers that follow (HDF5's single writer, multiple
        readers). All runs, clocks and channels are then declared before :meth:`go_live`, and a kill leaves
        what was flushed.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with LogWriter(file, title="cold flow") as log:
    ...     run = log.run("r1", start="2026-01-01T00:00:00Z", conditions={"mixture_ratio": (6.0, "")})
    ...     fast = run.rate("fast", [Channel("p", "bar", role="target")], sample_rate=1000.0)
    ...     fast.append({"p": np.zeros(100)})
    >>> with h5py.File(file) as raw:
    ...     raw["runs/r1/rates/fast/p"].shape, raw["runs/r1/rates/fast/p"].attrs["units"]
    ((100,), 'bar')
    """

    def __init__(
        self, path: str | Path, *, title: str = "", source: str = "", license: str = "", live: bool = False
    ) -> None:
        self.path, self.live, self._stack = Path(path), live, ExitStack()
        self._about = {"title": title, "source": source, "license": license}
        self._file: h5py.File | None = None

    def __enter__(self) -> Self:
        """Open the file."""
        target = self.path if self.live else self._stack.enter_context(atomic_path(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # What follows a growing file needs the newest format of its tables of chunks.
        version = "latest" if self.live else None
        self._file = self._stack.enter_context(h5py.File(target, "w", libver=version))
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for key, value in {"format": FORMAT, "version": VERSION, "created": now, **self._about}.items():
            self._file.attrs[key] = value
        self._file.create_group("runs")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; after an error nothing takes its name."""
        self._stack.__exit__(kind, error, trace)
        self._file = None

    def run(
        self,
        name: str,
        *,
        start: str,
        status: str = "ok",
        split: str = "",
        timezone: str = "UTC",
        conditions: Mapping[str, tuple[float, str]] | None = None,
    ) -> "RunWriter":
        """Begin a run.

        ``start`` is its absolute time, ISO 8601 with an offset; ``conditions`` are (value, unit) by name;
        ``split`` is "train", "val", "test" or "".
        """
        file = self._open()
        try:
            moment = datetime.datetime.fromisoformat(start)
        except ValueError as error:
            raise InputError(f"run {name}: start is ISO 8601, found {start!r}") from error
        if moment.tzinfo is None:
            raise InputError(f"run {name}: start {start!r} has no offset from UTC: end it with Z or +hh:mm")
        lookup(status, {"ok": 0, "aborted": 0}, f"status of run {name}")
        lookup(split, dict.fromkeys(SPLITS), f"split of run {name}")
        if not name or "/" in name or name in file["runs"]:
            raise InputError(f"{name!r} is no name of a new run: not empty, without '/', once")
        group = file["runs"].create_group(name)
        attributes = {"start": start, "timezone": timezone, "status": status, "split": split}
        for key, value in attributes.items():
            group.attrs[key] = value
        group.create_group("rates")
        told = group.create_group("conditions")
        for condition, (number, units) in (conditions or {}).items():
            check_units(units, f"condition {condition}")
            told.create_dataset(condition, data=float(number)).attrs["units"] = units
        return RunWriter(group, name)

    def go_live(self) -> None:
        """Let readers in: from now on the file only grows."""
        if not self.live:
            raise InputError("this log is not live: open it with live=True")
        self._open().swmr_mode = True

    def flush(self) -> None:
        """Make what was appended visible to readers."""
        self._open().flush()

    def _open(self) -> h5py.File:
        if self._file is None:
            raise InputError("a LogWriter is used in a with block")
        return self._file


class RunWriter:
    """One run of a log that is being written."""

    def __init__(self, group: h5py.Group, name: str) -> None:
        self._group, self.name = group, name
        self._channels: set[str] = set()

    def rate(
        self,
        name: str,
        channels: Sequence[Channel],
        *,
        sample_rate: float | None = None,
        start: float = 0.0,
        ppm: float = 0.0,
        dtype: str | Mapping[str, str] = "f4",
        quality: bool = False,
    ) -> "RateWriter":
        """Begin a group of channels that share a clock.

        Without ``sample_rate`` the clock is irregular, and times are appended with the values. ``quality``
        keeps a bit mask for each sample and channel.
        """
        if not channels:
            raise InputError(f"rate {name} of run {self.name} has no channels")
        for channel in channels:
            if channel.name in self._channels:
                raise InputError(f"run {self.name} has channel {channel.name} twice")
            self._channels.add(channel.name)
        if sample_rate is not None and not sample_rate > 0:
            raise InputError(f"rate {name}: sample_rate is in Hz above zero, found {sample_rate!r}")
        group = self._group["rates"].create_group(name)
        group.attrs["t0"] = float(start)
        if sample_rate is None:
            _dataset(group, "time", "f8").attrs["units"] = "s"
        else:
            group.attrs["sample_rate"], group.attrs["clock_ppm"] = float(sample_rate), float(ppm)
        for channel in channels:
            kind = dtype if isinstance(dtype, str) else dtype.get(channel.name, "f4")
            data = _dataset(group, channel.name, kind)
            for key, value in channel.attributes().items():
                data.attrs[key] = value
        if quality:
            marks = _dataset(group, "quality", "u1", len(channels))
            marks.attrs["channels"] = [channel.name for channel in channels]
            marks.attrs["bits"] = list(BITS)
        return RateWriter(group, [channel.name for channel in channels], sample_rate is None)

    def segments(self, intervals: ArrayLike) -> None:
        """Keep the good intervals of the run, ``[m, 2]`` in seconds."""
        array = np.asarray(intervals, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 2 or bool((array[:, 1] <= array[:, 0]).any()):
            raise InputError(f"segments are rising pairs of times, 'm 2', found {array.tolist()}")
        self._group.create_dataset("segments", data=array)

    def events(self, times: ArrayLike, codes: ArrayLike, texts: Sequence[str]) -> None:
        """Keep events: time, code and text of each."""
        kind = np.dtype([("time", "f8"), ("code", "i4"), ("text", h5py.string_dtype())])
        rows = np.empty(len(texts), dtype=kind)
        rows["time"], rows["code"], rows["text"] = times, codes, list(texts)
        self._group.create_dataset("events", data=rows)


class RateWriter:
    """Channels of one clock, which grow together."""

    def __init__(self, group: h5py.Group, channels: list[str], irregular: bool) -> None:
        self._group, self._channels, self._irregular = group, channels, irregular
        self._last = -np.inf

    def append(
        self,
        values: Mapping[str, ArrayLike],
        *,
        time: ArrayLike | None = None,
        quality: ArrayLike | None = None,
    ) -> None:
        """Append samples of all channels: as stored, before scale and offset.

        Raises :class:`InputError` for channels that are missing or unknown, for lengths that differ, and for times
        that do not rise.
        """
        if set(values) != set(self._channels):
            raise InputError(f"samples of {sorted(self._channels)} are due, found {sorted(values)}")
        arrays = {name: np.asarray(value) for name, value in values.items()}
        lengths = {name: array.shape for name, array in arrays.items()}
        count = len(next(iter(arrays.values())))
        if any(shape != (count,) for shape in lengths.values()):
            raise InputError(f"channels of one clock have one length, found {lengths}")
        if self._irregular:
            _grow(self._group["time"], self._checked(time, count))
        elif time is not None:
            raise InputError("times are appended to irregular clocks only")
        for name, array in arrays.items():
            _grow(self._group[name], _stored(array, self._group[name].dtype, name))
        if "quality" in self._group:
            marks = np.zeros((count, len(self._channels)), dtype="u1") if quality is None else np.asarray(quality)
            if marks.shape != (count, len(self._channels)):
                raise InputError(f"quality is [{count}, {len(self._channels)}], found {list(marks.shape)}")
            _grow(self._group["quality"], marks.astype("u1"))
        elif quality is not None:
            raise InputError("this rate keeps no quality: begin it with quality=True")

    def _checked(self, time: ArrayLike | None, count: int) -> NDArray[np.float64]:
        stamps = np.asarray([] if time is None else time, dtype=np.float64)
        if stamps.shape != (count,):
            raise InputError(f"{count} samples take as many times, found {list(stamps.shape)}")
        if count and (not np.isfinite(stamps).all() or stamps[0] <= self._last or (np.diff(stamps) <= 0).any()):
            raise InputError("times of samples are finite and rise; sort them, and drop what was stamped twice")
        self._last = float(stamps[-1]) if count else self._last
        return stamps


def _dataset(group: h5py.Group, name: str, dtype: str, width: int | None = None) -> h5py.Dataset:
    tail: tuple[int, ...] = () if width is None else (width,)
    return group.create_dataset(
        name,
        shape=(0, *tail),
        maxshape=(None, *tail),
        chunks=(_CHUNK if width is None else max(1, _CHUNK // width), *tail),
        dtype=dtype,
        compression="gzip",
        compression_opts=1,
        shuffle=True,
    )


def _stored(array: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if dtype.kind in "iu" and array.dtype.kind not in "iub":
        raise InputError(f"channel {name} is stored as {dtype}: give whole numbers, found {array.dtype}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise InputError(f"channel {name} is stored as {dtype}, found {array.min()} to {array.max()}")
    return array.astype(dtype)


def _grow(data: h5py.Dataset, rows: NDArray[Any]) -> None:
    before = data.shape[0]
    data.resize(before + len(rows), axis=0)
    data[before:] = rows

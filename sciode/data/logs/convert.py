"""From files of another layout to sciode-log, block by block."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import LayoutError
from sciode.core.progress import progress
from sciode.data.logs.channel import plain
from sciode.data.logs.clocks import Stamps, iso, moment, read_stamps
from sciode.data.logs.columns import Column, column
from sciode.data.logs.looks import the_clock
from sciode.data.logs.spec import LogSpec, RateSpec
from sciode.data.logs.write import LogWriter, RateWriter, RunWriter
from sciode.data.store import open_file

_BLOCK = 2**18


def convert_log(
    source: str | Path, spec: LogSpec, target: str | Path, *, repair: bool = False, quiet: bool = False
) -> Path:
    """Write a file of another layout as sciode-log, block by block.

    Values are kept as stored, with the spec's scale and offset beside them; ``missing`` ones become NaN.

    Parameters
    ----------
    source, target : path
        Files; the target is atomic.
    spec : LogSpec
        Where things are.
    repair : bool
        Sort times that do not rise and keep the last of those stamped twice; without it they are an error.
    quiet : bool
        Show no progress.

    Raises
    ------
    InputError, LayoutError
        For what the spec names and the file lacks, channels of different lengths, times that do not rise.
    """
    with open_file(Path(source)) as file, LogWriter(target, title=spec.title, source=Path(source).name) as log:
        runs = find_runs(file, spec.runs, source)
        with progress(f"converting {Path(source).name}, runs", len(runs), quiet=quiet) as bar:
            for path in runs:
                group = file[path]
                clocks = _clocks(group, spec)
                start, begun = _start(group, spec, clocks)
                run = log.run(
                    path.strip("/").replace("/", ".") or Path(source).stem,
                    start=start,
                    conditions=_conditions(path if path != "/" else Path(source).name, spec),
                )
                for rate, stamps in zip(spec.rates, clocks, strict=True):
                    _copy(group, rate, stamps, begun, run, repair or spec.repair)
                bar.advance(1)
    return Path(target)


def find_runs(file: h5py.File, pattern: str, source: str | Path) -> list[str]:
    """Return the paths of the groups that a pattern means; raises :class:`LayoutError` where there are none."""
    if pattern == "/":
        return ["/"]
    found: list[str] = []
    depth = pattern.strip("/").count("/")

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and name.count("/") == depth and fnmatchcase(f"/{name}", pattern):
            found.append(f"/{name}")

    file.visititems(look)
    if not found:
        raise LayoutError(f"{source} has no group {pattern}; it has {', '.join(f'/{name}' for name in file)}")
    return sorted(found)


def _start(group: h5py.Group, spec: LogSpec, clocks: list[Stamps]) -> tuple[str, int | None]:
    """Return when a run began, as text, and in ns of Unix time where clocks have an epoch."""
    absolute = any(clock.epoch is not None for clock in clocks)
    text = spec.start
    if spec.start_attribute:
        if spec.start_attribute not in group.attrs:
            raise LayoutError(
                f"{group.name} has no attribute {spec.start_attribute}; it has {', '.join(group.attrs)}"
            )
        text = str(plain(group.attrs[spec.start_attribute]))
    if text:
        return text, moment(text, f"start of {group.name}") if absolute else None
    moments = [clock.begins for clock in clocks if clock.begins is not None]
    if not moments:
        raise LayoutError(f"{group.name} has no sample that says when it began: give the spec a start")
    begun = min(moments) // 1000 * 1000
    return iso(begun), begun


def _conditions(path: str, spec: LogSpec) -> dict[str, tuple[float, str]]:
    if not spec.pattern:
        return {}
    match = re.search(spec.pattern, path)
    if match is None:
        raise LayoutError(f"the pattern {spec.pattern!r} does not match {path}")
    try:
        return {key: (float(value), "") for key, value in match.groupdict().items() if value is not None}
    except ValueError as error:
        raise LayoutError(f"the pattern {spec.pattern!r} finds no number in {path}: {error}") from error


def _clocks(group: h5py.Group, spec: LogSpec) -> list[Stamps]:
    found = []
    for rate in spec.rates:
        first = column(group, rate.channels[0][0])
        clock = rate.clock if rate.clock.source else the_clock(group, first, rate.name)
        found.append(read_stamps(group, clock, first, len(first), f"clock {rate.name}"))
    return found


def _copy(
    group: h5py.Group, rate: RateSpec, stamps: Stamps, begun: int | None, run: RunWriter, repair: bool
) -> None:
    data = {channel.name: _numbers(group, path) for path, channel in rate.channels}
    lengths = {name: len(item) for name, item in data.items()}
    if len(set(lengths.values())) != 1:
        raise LayoutError(f"{group.name}: channels of clock {rate.name} have different lengths, {lengths}")
    count = next(iter(lengths.values()))
    kinds = {
        name: "f8" if rate.missing and item.dtype.kind in "iu" else _kind(item) for name, item in data.items()
    }
    channels = [channel for _, channel in rate.channels]
    times = stamps.times(begun)
    if stamps.hertz is None:
        order = _order(times, f"{group.name}: {rate.clock.path or 'the clock'}", repair)
        writer = run.rate(rate.name, channels, dtype=kinds)
        for block in _blocks(len(order)):
            chosen = order[block]
            _append(writer, data, rate, chosen, times[chosen])
        return
    writer = run.rate(rate.name, channels, sample_rate=stamps.hertz, start=float(times[0]), dtype=kinds)
    for block in _blocks(count):
        _append(writer, data, rate, np.arange(block.start, block.stop), None)


def _append(
    writer: RateWriter,
    data: Mapping[str, Column],
    rate: RateSpec,
    chosen: NDArray[np.int64],
    times: NDArray[np.float64] | None,
) -> None:
    if not len(chosen):
        return
    low, high = int(chosen.min()), int(chosen.max()) + 1
    values = {}
    for name, item in data.items():
        part = item.rows(low, high)[chosen - low]
        if rate.missing:
            part = np.where(np.isin(part, rate.missing), np.nan, part.astype(np.float64))
        values[name] = part
    writer.append(values, time=times)


def _numbers(group: h5py.Group, path: str) -> Column:
    found = column(group, path)
    if found.dtype.kind not in "fiub":
        raise LayoutError(f"{group.name}: {path} is no channel: numbers along one axis are, found {found.data}")
    return found


def _kind(item: Column) -> str:
    return str(item.dtype.newbyteorder("=").str) if item.dtype.kind in "fiu" else "u1"


def _order(times: NDArray[np.float64], where: str, repair: bool) -> NDArray[np.int64]:
    """Return which samples to keep, in order of time."""
    order = np.arange(len(times))
    if np.isfinite(times).all() and (np.diff(times) > 0).all():
        return order
    if not repair:
        bad = int(np.flatnonzero(~(np.diff(times) > 0))[0]) + 1 if len(times) > 1 else 0
        raise LayoutError(
            f"{where} does not rise at sample {bad}: repair = true in the spec, or --repair, sorts it, and keeps "
            "the last of those stamped twice"
        )
    order = order[np.isfinite(times)]
    order = order[np.argsort(times[order], kind="stable")]
    kept = np.append(np.diff(times[order]) > 0, True)  # the last of equal ones
    return order[kept] if len(order) else order


def _blocks(count: int) -> Iterator[slice]:
    for first in range(0, count, _BLOCK):
        yield slice(first, min(first + _BLOCK, count))

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
from sciode.data.logs.channel import conversion, plain
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
        runs = _runs(file, spec, source)
        with progress(f"converting {Path(source).name}, runs", len(runs), quiet=quiet) as bar:
            for path in runs:
                group = file[path]
                run = log.run(
                    path.strip("/").replace("/", ".") or Path(source).stem,
                    start=_start(group, spec),
                    conditions=_conditions(path if path != "/" else Path(source).name, spec),
                )
                for rate in spec.rates:
                    _copy(group, rate, run, repair)
                bar.advance(1)
    return Path(target)


def _runs(file: h5py.File, spec: LogSpec, source: str | Path) -> list[str]:
    if spec.runs == "/":
        return ["/"]
    found: list[str] = []
    depth = spec.runs.strip("/").count("/")

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and name.count("/") == depth and fnmatchcase(f"/{name}", spec.runs):
            found.append(f"/{name}")

    file.visititems(look)
    if not found:
        raise LayoutError(f"{source} has no group {spec.runs}; it has {', '.join(f'/{name}' for name in file)}")
    return sorted(found)


def _start(group: h5py.Group, spec: LogSpec) -> str:
    if not spec.start_attribute:
        return spec.start
    if spec.start_attribute not in group.attrs:
        raise LayoutError(f"{group.name} has no attribute {spec.start_attribute}; it has {', '.join(group.attrs)}")
    return str(plain(group.attrs[spec.start_attribute]))


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


def _copy(group: h5py.Group, rate: RateSpec, run: RunWriter, repair: bool) -> None:
    data = {channel.name: _dataset(group, path) for path, channel in rate.channels}
    lengths = {name: item.shape[0] for name, item in data.items()}
    if len(set(lengths.values())) != 1:
        raise LayoutError(f"{group.name}: channels of clock {rate.name} have different lengths, {lengths}")
    count = next(iter(lengths.values()))
    kinds = {
        name: "f8" if rate.missing and item.dtype.kind in "iu" else _kind(item) for name, item in data.items()
    }
    channels, clock = [channel for _, channel in rate.channels], rate.clock
    if clock.source == "dataset":
        times, order = _times(group, rate, count, repair)
        writer = run.rate(rate.name, channels, dtype=kinds)
        for block in _blocks(len(order)):
            chosen = order[block]
            _append(writer, data, rate, chosen, times[chosen])
        return
    hertz = clock.rate if clock.source == "rate" else 1.0 / _step(next(iter(data.values())), clock.path)
    writer = run.rate(rate.name, channels, sample_rate=hertz, start=clock.start, dtype=kinds)
    for block in _blocks(count):
        _append(writer, data, rate, np.arange(block.start, block.stop), None)


def _append(
    writer: RateWriter,
    data: Mapping[str, h5py.Dataset],
    rate: RateSpec,
    chosen: NDArray[np.int64],
    times: NDArray[np.float64] | None,
) -> None:
    if not len(chosen):
        return
    low, high = int(chosen.min()), int(chosen.max()) + 1
    values = {}
    for name, item in data.items():
        part = item[low:high][chosen - low]
        if rate.missing:
            part = np.where(np.isin(part, rate.missing), np.nan, part.astype(np.float64))
        values[name] = part
    writer.append(values, time=times)


def _dataset(group: h5py.Group, path: str) -> h5py.Dataset:
    if path not in group:
        raise LayoutError(f"{group.name} has no dataset {path}; it has {', '.join(group)}")
    item = group[path]
    if not isinstance(item, h5py.Dataset) or item.ndim != 1 or item.dtype.kind not in "fiub":
        raise LayoutError(f"{group.name}: {path} is no channel: numbers along one axis are, found {item}")
    return item


def _kind(item: h5py.Dataset) -> str:
    return str(item.dtype.newbyteorder("=").str) if item.dtype.kind in "fiu" else "u1"


def _step(item: h5py.Dataset, name: str) -> float:
    step = float(plain(item.attrs[name])) if name in item.attrs else np.nan
    if not step > 0:
        raise LayoutError(f"{item.name} has no attribute {name} above zero; it has {', '.join(item.attrs)}")
    return step


def _times(
    group: h5py.Group, rate: RateSpec, count: int, repair: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the times of all samples, and which of them to keep, in order."""
    clock = rate.clock
    stamps = _dataset(group, clock.path)[:].astype(np.float64)
    if len(stamps) != count:
        raise LayoutError(f"{group.name}: {clock.path} has {len(stamps)} times, its channels {count} samples")
    scale, _ = conversion(clock.units, "s", f"clock {rate.name}")
    # From the first, before scaling: an absolute time has no digits to spare.
    zero = stamps[0] if clock.zero == "first" and count else 0.0
    times = (stamps - zero) * scale + clock.start
    order = np.arange(count)
    if np.isfinite(times).all() and (np.diff(times) > 0).all():
        return times, order
    if not repair:
        bad = int(np.flatnonzero(~(np.diff(times) > 0))[0]) + 1 if count > 1 else 0
        raise LayoutError(
            f"{group.name}: {clock.path} does not rise at sample {bad}: take repair=True to sort it, and to "
            f"keep the last "
            "of those stamped twice"
        )
    order = order[np.isfinite(times)]
    order = order[np.argsort(times[order], kind="stable")]
    kept = np.append(np.diff(times[order]) > 0, True)  # the last of equal ones
    return times, order[kept] if len(order) else order


def _blocks(count: int) -> Iterator[slice]:
    for first in range(0, count, _BLOCK):
        yield slice(first, min(first + _BLOCK, count))

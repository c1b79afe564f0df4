"""Reading a file from end to end, looking for what would spoil training."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import LayoutError
from sciode.core.progress import progress
from sciode.data import coordinates
from sciode.data.coordinates import LayoutWarning
from sciode.data.layout import Variable
from sciode.data.reading import Block, dataset_name
from sciode.data.trajectories import Trajectories, open_trajectories

_MOST = 20


class Problem(NamedTuple):
    """One finding: ``severity`` is "error" (do not train on it) or "warning"; ``dataset`` its path in the file."""

    severity: Literal["error", "warning"]
    dataset: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.dataset}: {self.message}"


def validate(path: str | Path, *, trajectories: int | None = None, quiet: bool = True) -> list[Problem]:
    """Check a data file, reading every value once, in bounded memory.

    Looks for: damage and contradictions in the layout; times or grid that are not uniform; groups whose grids
    differ; values that are not finite; trajectories that are constant; trajectories that are stored twice.

    Parameters
    ----------
    path
        The file. A missing one raises :class:`InputError`; a broken one is a finding.
    trajectories
        Read only this many from the start; all by default.
    quiet
        Show no progress.

    Returns
    -------
    list of Problem
        Empty for a sound file.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LayoutWarning)
        try:
            data = open_trajectories(path)
        except LayoutError as error:
            return [Problem("error", "/", str(error))]
    found = [Problem("warning", "/", str(w.message)) for w in caught if issubclass(w.category, LayoutWarning)]
    with data:
        found += [*_coordinates(data), *_grids(data)]
        try:
            found += _scan(data, len(data) if trajectories is None else min(trajectories, len(data)), quiet)
        except LayoutError as error:
            found.append(Problem("error", "/", str(error)))
    return found


def _coordinates(data: Trajectories) -> Iterator[Problem]:
    rows = data.run_times
    if rows.shape[1] > 1:
        uneven = [i for i, row in enumerate(rows) if coordinates.spacing(row) is None]
        if uneven:
            yield Problem(
                "warning", "t", f"times are not uniform in {len(uneven)} trajectories, first {uneven[0]}"
            )
    for letter, axis in zip("xyz", data.grid, strict=False):
        if len(axis) > 1 and coordinates.spacing(axis) is None:
            yield Problem("warning", letter, "the grid is not uniform")


def _grids(data: Trajectories) -> Iterator[Problem]:
    """Compare the grid of every group with the first one's, which stands for all."""
    if not data.layout.groups:
        return
    file, first = data.store.file, data.layout.groups[0]
    for name in data.layout.groups[1:]:
        for letter in ("t", "x", "y", "z"):
            one, other = file[first].get(f"grid/{letter}"), file[name].get(f"grid/{letter}")
            if not _same(one, other):
                yield Problem("error", f"/{name}/grid/{letter}", f"differs from /{first}/grid/{letter}")


def _same(one: h5py.Dataset | None, other: h5py.Dataset | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one.shape == other.shape and (one[()] == other[()]).all())


class _Tally:
    """What is known of the trajectory that is being read."""

    def __init__(self, channels: int) -> None:
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.bad = np.zeros(channels, dtype=np.int64)
        self.first: dict[int, int] = {}
        self.hash = hashlib.blake2b(digest_size=16)

    def add(self, start: int, states: Block) -> None:
        """Take in "t c *n" that begins at step ``start``."""
        self.hash.update(np.ascontiguousarray(states).data)
        axes = (0, *range(2, states.ndim))
        # fmin and fmax pass over NaN; infinities are found by the sum of both.
        low, high = np.fmin.reduce(states, axis=axes), np.fmax.reduce(states, axis=axes)
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)
        if np.isfinite(states).all():
            return
        wrong: NDArray[np.bool_] = np.logical_not(np.isfinite(states))
        self.bad += wrong.sum(axis=axes)
        per_step = np.asarray(wrong.any(axis=tuple(range(2, states.ndim))))
        for channel in np.flatnonzero(per_step.any(axis=0)):
            self.first.setdefault(int(channel), start + int(np.argmax(per_step[:, channel])))


def _scan(data: Trajectories, count: int, quiet: bool) -> Iterator[Problem]:
    seen: dict[bytes, int] = {}
    variables = {name: variable for variable in data.layout.variables for name in variable.channels}
    owners = [variables[name] for name in data.fields]
    tallies: dict[int, _Tally] = {}
    steps = data.shape[1]
    found: Counter[str] = Counter()
    with progress(f"validating {data.path.name}", count, quiet=quiet) as bar:
        for b, t, block in data.raw_blocks(range(count)):
            for i, states in enumerate(block, start=b.start):
                tallies.setdefault(i, _Tally(data.shape[2])).add(t.start, states)
                if t.start + len(states) == steps:
                    for kind, problem in _judge(data, i, tallies.pop(i), owners, seen):
                        found[kind] += 1
                        if found[kind] <= _MOST:
                            yield problem
                    bar.advance()
    for kind, n in found.items():
        if n > _MOST:
            yield Problem("warning", "/", f"{kind}: {n - _MOST} more of the same kind are not listed")


def _judge(
    data: Trajectories, i: int, tally: _Tally, owners: list[Variable], seen: dict[bytes, int]
) -> Iterator[tuple[str, Problem]]:
    for channel, step in sorted(tally.first.items()):
        where = "/" + dataset_name(data.layout, owners[channel], i)
        message = f"{int(tally.bad[channel])} values of {data.fields[channel]} in trajectory {i} are not finite"
        yield "not finite", Problem("error", where, f"{message}, first at time index {step}")
    where = f"/{data.layout.groups[i]}" if data.layout.groups else "/"
    if (tally.low == tally.high).all():
        yield "constant", Problem("warning", where, f"trajectory {i} is constant ({float(tally.low[0]):g})")
    twin = seen.setdefault(tally.hash.digest(), i)
    if twin != i:
        message = f"trajectory {i} is a duplicate of trajectory {twin}: it leaks across splits"
        yield "duplicate", Problem("error", where, message)

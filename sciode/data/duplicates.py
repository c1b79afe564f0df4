"""Runs that are stored twice: PDEBench's incompressible files hold 24 groups of them, which leak across splits."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sciode.data.trajectories import Trajectories, open_trajectories


class Run(NamedTuple):
    """One trajectory of one file."""

    path: Path
    trajectory: int


def digest(data: Trajectories, trajectory: int, steps: Sequence[int] | None = None) -> str:
    """Return a hash of the float32 values of one trajectory, at all steps or at ``steps``, streaming."""
    made = hashlib.blake2b(str(data.layout.shape[2:]).encode(), digest_size=16)
    for _, _, block in data.raw_blocks([trajectory], steps):
        made.update(np.ascontiguousarray(block).data)
    return made.hexdigest()


def duplicates(paths: Iterable[str | Path]) -> list[tuple[Run, ...]]:
    """Find trajectories with equal values within and across files, by content.

    The first and last states of every run are compared first; only runs that agree there are read whole.

    Parameters
    ----------
    paths
        Data files of any schema.

    Returns
    -------
    list of tuple
        Groups of equal runs, in the order of ``paths``; empty if every run is unique.
    """
    opened = [open_trajectories(path) for path in paths]
    runs = [(data, i) for data in opened for i in range(len(data))]
    likely = _groups(runs, lambda data, i: digest(data, i, (0, len(data.steps) - 1)))
    found = [group for some in likely for group in _groups(some, lambda data, i: (data.shape[1], digest(data, i)))]
    for data in opened:
        data.close()
    return [tuple(Run(data.path, i) for data, i in group) for group in found]


_Runs = list[tuple[Trajectories, int]]


def _groups(runs: _Runs, key: Callable[[Trajectories, int], Hashable]) -> list[_Runs]:
    grouped: defaultdict[Hashable, _Runs] = defaultdict(list)
    for data, i in runs:
        grouped[key(data, i)].append((data, i))
    return [group for group in grouped.values() if len(group) > 1]

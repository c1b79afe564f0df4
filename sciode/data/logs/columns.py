"""One column of numbers or stamps in a foreign file: a dataset, a column of a table, a field of records."""

import re
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import LayoutError

_PICK = re.compile(r"\[([^\[\]]*)\]")


class Column(NamedTuple):
    """A dataset and what to take of each row: a field by name, a column by number, or both in this order."""

    data: h5py.Dataset
    picks: tuple[str | int, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.data.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an entry."""
        kind = self.data.dtype
        for pick in self.picks:
            kind = kind[pick] if isinstance(pick, str) else kind.base
        return kind.base

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Return the entries ``first`` to ``last``, the last not included."""
        if len(self.picks) == 1 and isinstance(self.picks[0], int):
            return np.asarray(self.data[first:last, self.picks[0]])
        part = self.data[first:last]
        for pick in self.picks:
            part = part[pick] if isinstance(pick, str) else part[:, pick]
        return np.asarray(part)


def column(group: h5py.Group, path: str) -> Column:
    """Return ``name``, ``name[3]``, ``name[field]`` or ``name[field][3]`` of a group.

    Raises :class:`LayoutError` for what is not there, and for what has more than one entry in a row.
    """
    found = group.get(path)
    picks: tuple[str | int, ...] = ()
    if found is None and path.endswith("]"):
        name = path[: path.index("[")]
        found = group.get(name) if name else None
        told = _PICK.findall(path[len(name) :])
        picks = tuple(int(pick) if pick.isdigit() else pick for pick in told)
    if found is None:
        raise LayoutError(f"{group.name} has no dataset {path}; it has {', '.join(group)}")
    if not isinstance(found, h5py.Dataset) or not _fits(found, picks):
        raise LayoutError(f"{group.name}: {path} is no channel: numbers along one axis are, found {found}")
    return Column(found, picks)


def _fits(data: h5py.Dataset, picks: tuple[str | int, ...]) -> bool:
    kind, width = data.dtype, data.shape[1:]
    for pick in picks:
        if isinstance(pick, str):
            if width or kind.names is None or pick not in kind.names:
                return False
            kind = kind[pick]
            kind, width = kind.base, kind.shape
        elif len(width) == 1 and pick < width[0]:
            width = ()
        else:
            return False
    return data.ndim > 0 and not width and kind.names is None

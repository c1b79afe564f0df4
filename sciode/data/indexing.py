"""One axis of numpy-like indexing: integers, slices, integer arrays, masks."""

from collections.abc import Sequence
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sciode.core.errors import InputError

Index: TypeAlias = int | slice | Sequence[int] | NDArray[np.integer] | Tensor | EllipsisType


def positions(index: Index, size: int, axis: str) -> tuple[NDArray[np.int64], bool]:
    """Return the non-negative positions that ``index`` selects on an axis of ``size``, and whether the axis stays.

    Raises IndexError out of bounds, as sequences do, and :class:`InputError` for what is no index.

    >>> positions(-1, 5, "time"), positions(slice(0, 5, 2), 5, "time")
    ((array([4]), False), (array([0, 2, 4]), True))
    """
    if index is Ellipsis:
        index = slice(None)
    if isinstance(index, slice):
        return np.arange(size, dtype=np.int64)[index], True
    found = index.detach().cpu().numpy() if isinstance(index, Tensor) else np.asarray(index)
    if found.dtype == bool and found.shape == (size,):
        return np.flatnonzero(found), True
    if found.size == 0 and found.ndim == 1:
        return np.empty(0, dtype=np.int64), True
    if found.ndim > 1 or found.dtype.kind not in "iu":
        raise InputError(f"{axis} index must be an integer, a slice or a list of integers, found {index!r}")
    flat = found.astype(np.int64).reshape(-1)
    outside = (flat < -size) | (flat >= size)
    if outside.any():
        raise IndexError(f"{axis} {int(flat[outside][0])} is out of bounds for {size}")
    return np.where(flat < 0, flat + size, flat), found.ndim == 1

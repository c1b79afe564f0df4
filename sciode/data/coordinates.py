"""Coordinates as files give them: one too many, in float32, or not at all."""

import warnings

import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import LayoutError

Array = NDArray[np.float64]


class LayoutWarning(UserWarning):
    """A file departs from its layout in a way that can be read all the same."""


def warn(message: str) -> None:
    """Warn on behalf of whoever opened the file."""
    warnings.warn(message, LayoutWarning, stacklevel=4)


def times(values: Array | None, steps: int, where: str) -> Array:
    """Return ``steps`` increasing times. PDEBench writes one time more than there are states: it is dropped.

    >>> times(np.array([0.0, 0.5, 1.0]), 2, "file: t-coordinate")
    array([0. , 0.5])
    """
    if values is None:
        if steps > 1:
            warn(f"{where}: no times in the file; using the step number")
        return np.arange(steps, dtype=np.float64)
    if values.ndim != 1 or len(values) - steps not in (0, 1):
        raise LayoutError(f"{where}: expected {steps} or {steps + 1} times, found shape {list(values.shape)}")
    values = np.asarray(values[:steps], dtype=np.float64)
    if not np.isfinite(values).all():
        raise LayoutError(f"{where}: time {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite")
    late = np.flatnonzero(np.diff(values) <= 0)
    if late.size:
        i = int(late[0])
        kind = "is a duplicate" if values[i] == values[i + 1] else "goes back"
        raise LayoutError(f"{where}: times must increase; entry {i + 1} ({values[i + 1]:g}) {kind}")
    return values


def axis(values: Array | None, points: int, where: str) -> Array:
    """Return the ``points`` strictly monotone coordinates of one space axis; j / points if the file has none."""
    if values is None:
        warn(f"{where}: no coordinates in the file; using the unit interval, j / {points}")
        return np.arange(points, dtype=np.float64) / points
    if values.shape != (points,):
        raise LayoutError(f"{where}: expected {points} coordinates, found shape {list(values.shape)}")
    values = np.asarray(values, dtype=np.float64)
    steps = np.diff(values)
    if not np.isfinite(values).all() or not ((steps > 0).all() or (steps < 0).all()):
        raise LayoutError(f"{where}: coordinates must be finite and strictly monotone")
    return values


def spacing(values: Array, tolerance: float = 1e-3) -> float | None:
    """Return the uniform spacing of ``values``, or None where they are not uniform.

    The mean spacing is exact where the ends are, even if the values were rounded to float32 in between;
    ``tolerance`` is the allowed departure of one step from it, relative.

    >>> spacing(np.array([0.0, 0.1, 0.2])), spacing(np.array([0.0, 0.1, 0.3]))
    (0.1, None)
    """
    if len(values) < 2:
        return None
    step = float((values[-1] - values[0]) / (len(values) - 1))
    uniform = np.abs(np.diff(values) - step).max() <= tolerance * abs(step)
    return step if uniform else None


def length(values: Array) -> float:
    """Return the length of the periodic box that ``values`` sample: points times mean spacing.

    >>> length(np.array([0.0, 0.25, 0.5, 0.75]))
    1.0
    """
    n = len(values)
    return float(abs(values[-1] - values[0]) * n / (n - 1)) if n > 1 else 1.0

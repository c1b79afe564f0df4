"""What a view does to the space axes when it reads: plain strides, or the Fourier series on another grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
from torch import Tensor

from sciode.core.errors import InputError
from sciode.data import coordinates
from sciode.data.coordinates import Array
from sciode.spectral.resample import resample as _resample

Geometry = tuple[tuple[Array, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Stride:
    """Keep every ``steps[i]``-th point of axis i, as PDEBench's ``reduced_resolution`` does: no filter."""

    steps: tuple[int, ...]

    def points(self, points: Sequence[int]) -> tuple[int, ...]:
        """Number of points left."""
        return tuple(len(range(0, n, k)) for n, k in zip(points, self.steps, strict=True))

    def geometry(self, grid: tuple[Array, ...], lengths: tuple[float, ...]) -> Geometry:
        """Grid and lengths afterwards. Where k does not divide n the box becomes the points' own, n' k dx."""
        kept = tuple(axis[::k] for axis, k in zip(grid, self.steps, strict=True))
        sizes = tuple(
            L if len(axis) % k == 0 else L * len(axis[::k]) * k / len(axis)
            for axis, L, k in zip(grid, lengths, self.steps, strict=True)
        )
        return kept, sizes

    def __call__(self, u: Tensor) -> Tensor:
        """Apply to "... *n"."""
        index: tuple[EllipsisType | slice, ...] = (..., *(slice(None, None, k) for k in self.steps))
        return u[index]


@dataclass(frozen=True)
class Spectral:
    """Resample periodic axes onto ``target`` points by their Fourier series."""

    target: tuple[int, ...]

    def points(self, points: Sequence[int]) -> tuple[int, ...]:
        """Number of points afterwards."""
        return self.target

    def geometry(self, grid: tuple[Array, ...], lengths: tuple[float, ...]) -> Geometry:
        """Grid and lengths afterwards; the grid keeps its first point."""
        for axis in grid:
            if len(axis) > 1 and coordinates.spacing(axis) is None:
                raise InputError("resample needs a uniform periodic grid; this one is not uniform")
        made = []
        for axis, L, n in zip(grid, lengths, self.target, strict=True):
            sign = -1.0 if len(axis) > 1 and axis[1] < axis[0] else 1.0
            made.append(axis[0] + sign * np.arange(n) * (L / n))
        return tuple(made), lengths

    def __call__(self, u: Tensor) -> Tensor:
        """Apply to "... *n", in float64 inside so that rounding stays that of the result."""
        return _resample(u.double(), self.target).to(u.dtype)


SpaceOperation = Stride | Spectral


def decimate(u: Tensor, time: int = 1, space: int | Sequence[int] = 1) -> Tensor:
    """Keep every ``time``-th state and every ``space``-th point of a trajectory "b t c *n". No filter.

    Examples
    --------
    >>> import torch
    >>> decimate(torch.arange(8.0).reshape(1, 2, 1, 4), time=2, space=2).flatten().tolist()
    [0.0, 2.0]
    """
    steps = strides(space, u.dim() - 3)
    return Stride(steps)(u[:, :: strides(time, 1)[0]])


def resample(u: Tensor, points: int | Sequence[int]) -> Tensor:
    """Resample the periodic space axes of "b t c *n" onto ``points`` points per axis, by Fourier series.

    Exact for what both grids resolve. See :func:`sciode.spectral.resample.resample`.

    Examples
    --------
    >>> import torch
    >>> resample(torch.ones(1, 1, 1, 4), 6).shape
    torch.Size([1, 1, 1, 6])
    """
    return Spectral(per_axis(points, u.dim() - 3, "points"))(u)


def per_axis(value: int | Sequence[int], dimensions: int, name: str) -> tuple[int, ...]:
    """Return one positive integer per space axis."""
    entries = (value,) * dimensions if isinstance(value, (int, np.integer)) else tuple(value)
    whole = all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) and k >= 1 for k in entries)
    if len(entries) != dimensions or not whole:
        raise InputError(
            f"{name} takes one positive integer, or one per space axis ({dimensions}); found {value!r}"
        )
    return tuple(int(k) for k in entries)


def strides(value: int | Sequence[int], dimensions: int) -> tuple[int, ...]:
    """Return one stride per axis, each at least 1."""
    return per_axis(value, dimensions, "a stride")

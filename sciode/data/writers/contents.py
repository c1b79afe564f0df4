"""What is to be written, checked once for all schemas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np

from sciode.core.errors import InputError
from sciode.data import coordinates
from sciode.data.coordinates import Array
from sciode.data.reading import Block

BOUNDARIES = {
    "periodic": "PERIODIC",
    "open": "OPEN",
    "outflow": "OPEN",
    "wall": "WALL",
    "neumann": "WALL",
    "dirichlet": "WALL",
}
_CHUNK = 2**20


@dataclass(frozen=True, eq=False)
class Contents:
    """Shape (b, t, c, *n), names, coordinates and parameters of the file to be."""

    shape: tuple[int, ...]
    fields: tuple[str, ...]
    times: Array
    grid: tuple[Array, ...]
    lengths: tuple[float, ...]
    parameters: dict[str, Any]
    name: str
    compression: str | None = None

    def __post_init__(self) -> None:
        if not 4 <= len(self.shape) <= 6 or any(n < 1 for n in self.shape):
            raise InputError(f"shape must be (b, t, c, x[, y[, z]]), all positive; found {self.shape}")
        if len(self.fields) != self.shape[2] or len(set(self.fields)) != len(self.fields):
            raise InputError(f"{self.shape[2]} channels need as many different names, found {self.fields}")
        if any(not name or "/" in name for name in self.fields):
            raise InputError(f"a field name is a dataset name and holds no '/', found {self.fields}")
        if self.times.shape != (self.shape[1],):
            raise InputError(f"expected {self.shape[1]} times, found shape {list(self.times.shape)}")
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise InputError("times must be finite and increase")
        if tuple(len(axis) for axis in self.grid) != self.shape[3:]:
            raise InputError(
                f"grid has {[len(axis) for axis in self.grid]} points, the data {list(self.shape[3:])}"
            )
        if len(self.lengths) != len(self.grid) or not all(0 < L < float("inf") for L in self.lengths):
            raise InputError(f"lengths must be one positive number per space axis, found {self.lengths}")

    def check_boundary(self) -> str | None:
        """Return The Well's name of ``parameters["boundary"]``; None where it is not stated."""
        stated = self.parameters.get("boundary")
        if stated is None:
            return None
        if str(stated).lower() not in BOUNDARIES:
            raise InputError(f"boundary must be one of {', '.join(BOUNDARIES)}, found {stated!r}")
        return BOUNDARIES[str(stated).lower()]

    def dataset(self, node: h5py.Group, name: str, shape: Sequence[int], moving: int) -> h5py.Dataset:
        """Create a float32 dataset: contiguous, or compressed in chunks of at most 1 MiB.

        Contiguous data serve a window with one read of just its bytes. ``moving`` is the axis of time, along
        which chunks are cut; the axes after it are whole.
        """
        if self.compression is None:
            return node.create_dataset(name, shape=tuple(shape), dtype="f4")
        state = 4 * int(np.prod(shape[moving + 1 :]))
        steps = int(np.clip(_CHUNK // state, 1, shape[moving]))
        chunks = (*(1 for _ in shape[:moving]), steps, *shape[moving + 1 :])
        return node.create_dataset(
            name, shape=tuple(shape), dtype="f4", chunks=chunks, compression=self.compression, shuffle=True
        )

    def one_more_time(self) -> Array:
        """Return the times and one after them, as PDEBench's generators write them."""
        step = self.times[-1] - self.times[-2] if len(self.times) > 1 else 1.0
        return np.append(self.times, self.times[-1] + step)


class Put(Protocol):
    """Takes a block "k t c *n" to its place: first trajectory, first step."""

    def __call__(self, trajectory: int, step: int, block: Block, /) -> None:
        """Write ``block``."""
        ...


class Writer(Protocol):
    """Creates the datasets of one schema."""

    def __call__(self, root: h5py.File, contents: Contents, /) -> Put:
        """Return where blocks go."""
        ...


def default_lengths(grid: tuple[Array, ...]) -> tuple[float, ...]:
    """Return the periodic lengths that the coordinates imply."""
    return tuple(map(coordinates.length, grid))

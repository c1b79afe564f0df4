"""The one view of every data file: "b t c *n", read lazily.

A view never copies: it holds the layout of the file, the trajectories and steps it shows, the channels, and
what it does to space on reading. It is picklable; each process opens the file for itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.data import coordinates
from sciode.data.coordinates import Array
from sciode.data.indexing import Index, positions
from sciode.data.layout import LABELS, Layout
from sciode.data.layouts import read_layout
from sciode.data.reading import Block, Indices, pieces, read_block
from sciode.data.space import Geometry, SpaceOperation, Spectral, Stride, per_axis, strides
from sciode.data.store import Store


@dataclass(frozen=True, eq=False, repr=False)
class Trajectories:
    """Trajectories of one file, "b t c *n", float32. Made by :func:`open_trajectories`.

    ``data[i]`` is "t c *n", ``data[i, t0:t1]`` a window, ``data[:, 0]`` all initial states. An integer drops its
    axis; a slice, a list or an array of integers keeps it; two arrays select their outer product.
    """

    store: Store
    layout: Layout
    trajectories: range
    steps: range
    channels: tuple[int, ...]
    operations: tuple[SpaceOperation, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.store.path

    @property
    def schema(self) -> str:
        """Which schema the file has, such as ``"pdebench-a"``."""
        return self.layout.schema

    @property
    def fields(self) -> tuple[str, ...]:
        """Channel names."""
        return tuple(self.layout.fields[i] for i in self.channels)

    @property
    def parameters(self) -> dict[str, Any]:
        """Physical parameters: the file's attributes and its parsed config."""
        return self.layout.parameters

    @property
    def shape(self) -> tuple[int, ...]:
        """(b, t, c, *n)."""
        points: tuple[int, ...] = self.layout.shape[3:]
        for operation in self.operations:
            points = operation.points(points)
        return (len(self.trajectories), len(self.steps), len(self.channels), *points)

    @property
    def run_times(self) -> Array:
        """Time of every state of every trajectory, float64 ``[b, t]``."""
        found = np.atleast_2d(self.layout.times)
        found = np.broadcast_to(found, (self.layout.shape[0], found.shape[1]))
        return found[np.asarray(self.trajectories)][:, np.asarray(self.steps)]

    @property
    def times(self) -> Array:
        """Times of the states, float64 ``[t]``; an error where trajectories have times of their own."""
        if self.layout.times.ndim == 1:
            return self.layout.times[np.asarray(self.steps)]
        rows = self.run_times
        if (rows != rows[0]).any():
            raise InputError(f"{self.path}: trajectories have different times; read them from run_times [b, t]")
        return rows[0]

    @property
    def dt(self) -> float:
        """Uniform time between states; an error where it is not uniform or there is only one state."""
        step = coordinates.spacing(self.times)
        if step is None:
            why = "times are not uniform" if len(self.steps) > 1 else "one state has no time step"
            raise InputError(f"{self.path}: {why}; use .times")
        return step

    @property
    def grid(self) -> tuple[Array, ...]:
        """Coordinates of the points, float64, one array per space axis."""
        return self._geometry[0]

    @property
    def lengths(self) -> tuple[float, ...]:
        """Length of the domain per space axis: n dx, the periodic convention, unless the file states it."""
        return self._geometry[1]

    @cached_property
    def _geometry(self) -> Geometry:
        grid, lengths = self.layout.grid, self.layout.lengths
        for operation in self.operations:
            grid, lengths = operation.geometry(grid, lengths)
        return grid, lengths

    def __len__(self) -> int:
        return len(self.trajectories)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Tensor:
        index = index if isinstance(index, tuple) else (index,)
        if len(index) > 2:
            raise InputError(f"data takes at most two indices (trajectory, time), found {len(index)}")
        which, keep_b = positions(index[0], len(self), "trajectory")
        when, keep_t = positions(index[1] if len(index) > 1 else slice(None), len(self.steps), "time")
        block = self.read(which, when)
        if not keep_t:
            block = block[:, 0]
        return block if keep_b else block[0]

    def read(self, trajectories: Indices | Sequence[int], steps: Indices | Sequence[int] | None = None) -> Tensor:
        """Read "b t c *n" at non-negative positions of this view; all steps if ``steps`` is None."""
        which = np.asarray(trajectories, dtype=np.int64)
        when = np.arange(len(self.steps)) if steps is None else np.asarray(steps, dtype=np.int64)
        shape = (len(which), len(when), *self.shape[2:])
        out: Tensor | None = None
        for b, t, block in self._blocks(which, when):
            if block.shape == shape:
                return block
            out = torch.empty(shape, dtype=torch.float32) if out is None else out
            out[b, t] = block
        return torch.empty(shape, dtype=torch.float32) if out is None else out

    def blocks(self, trajectories: Indices | Sequence[int] | None = None) -> Iterator[tuple[slice, slice, Tensor]]:
        """Stream the view in pieces of bounded size: positions in ``trajectories``, steps, and "k t c *n"."""
        which = np.arange(len(self)) if trajectories is None else np.asarray(trajectories, dtype=np.int64)
        return self._blocks(which, np.arange(len(self.steps)))

    def raw_blocks(
        self, trajectories: Indices | Sequence[int] | None = None, steps: Sequence[int] | None = None
    ) -> Iterator[tuple[slice, slice, Block]]:
        """Stream the file's values without looking for NaN and before any operation on space: for checks."""
        which = self._within(self.trajectories, trajectories)
        when = self._within(self.steps, steps)
        ones = (1,) * len(self.layout.grid)
        for b, t in pieces(self.layout, which, when):
            yield b, t, read_block(self.store, self.layout, which[b], when[t], self.channels, ones, check=False)

    @staticmethod
    def _within(positions: range, chosen: Indices | Sequence[int] | None) -> Indices:
        every = np.asarray(positions, dtype=np.int64)
        return every if chosen is None else every[np.asarray(chosen, dtype=np.int64)]

    def _blocks(self, which: Indices, when: Indices) -> Iterator[tuple[slice, slice, Tensor]]:
        which, when = self._within(self.trajectories, which), self._within(self.steps, when)
        first, rest = self._on_disk
        for b, t in pieces(self.layout, which, when):
            read = read_block(self.store, self.layout, which[b], when[t], self.channels, first)
            block = torch.from_numpy(read)
            for operation in rest:
                block = operation(block)
            yield b, t, block

    @cached_property
    def _on_disk(self) -> tuple[tuple[int, ...], tuple[SpaceOperation, ...]]:
        """Split the operations: a first stride is taken while reading, the rest afterwards."""
        if self.operations and isinstance(self.operations[0], Stride):
            return self.operations[0].steps, self.operations[1:]
        return (1,) * len(self.layout.grid), self.operations

    def decimate(self, trajectories: int = 1, time: int = 1, space: int | Sequence[int] = 1) -> "Trajectories":
        """Keep every k-th trajectory, state and point (``reduced_batch``, ``_t``, ``_resolution``). No filter."""
        batch, steps = strides(trajectories, 1)[0], strides(time, 1)[0]
        stride = Stride(strides(space, len(self.layout.grid)))
        added = () if set(stride.steps) == {1} else (stride,)
        return replace(
            self,
            trajectories=self.trajectories[::batch],
            steps=self.steps[::steps],
            operations=self.operations + added,
        )

    def resample(self, points: int | Sequence[int]) -> "Trajectories":
        """Show periodic fields on ``points`` points per axis, by their Fourier series, on reading."""
        target = Spectral(per_axis(points, len(self.layout.grid), "points"))
        target.geometry(self.grid, self.lengths)
        self._check_periodic()
        return replace(self, operations=(*self.operations, target))

    def _check_periodic(self) -> None:
        points: tuple[int, ...] = self.layout.shape[3:]
        for operation in self.operations:
            if isinstance(operation, Stride) and any(n % k for n, k in zip(points, operation.steps, strict=True)):
                raise InputError(
                    f"cannot resample after a stride {operation.steps} that does not divide {points} points: "
                    "what is left is no periodic grid"
                )
            points = operation.points(points)

    def spec(self) -> dict[str, Any]:
        """Describe the view in JSON-able terms, for checkpoints and run cards."""
        from sciode.data.spec import spec

        return spec(self)

    def close(self) -> None:
        """Close the file, for every view of it; later reads raise :class:`InputError`."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        b, t, c, *n = self.shape
        size = f"{b} x {t} x {c} x {' x '.join(map(str, n))}"
        return f"Trajectories({self.path.name}: {LABELS[self.schema]}, {size}, fields {', '.join(self.fields)})"


def open_trajectories(path: str | Path, *, fields: Sequence[str] | None = None) -> Trajectories:
    """Open a data file of any schema as one lazy view "b t c *n". The schema is told by content, not by name.

    Parameters
    ----------
    path
        An HDF5 file: PDEBench A (``tensor``), A' (``tensor`` + ``nu``), B (one array per variable), C (a group
        per trajectory), D (incompressible Navier-Stokes), The Well, or one that sciode wrote.
    fields
        Channels to show, in this order; all of them by default.

    Raises
    ------
    LayoutError
        The file is no whole HDF5 file, has no known layout, or contradicts itself.
    UnknownName
        ``fields`` names a channel that the file does not have.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from sciode.data import write_trajectories
    >>> path = Path(tempfile.mkdtemp()) / "waves.hdf5"
    >>> _ = write_trajectories(path, source=[np.zeros((2, 3, 1, 8))], shape=(2, 3, 1, 8), fields=("u",),
    ...     times=[0.0, 0.5, 1.0], grid=[np.arange(8) / 8])
    >>> data = open_trajectories(path)
    >>> data.shape, data[0, 1:].shape, data.dt, data.lengths
    ((2, 3, 1, 8), torch.Size([2, 1, 8]), 0.5, (1.0,))
    """
    store = Store(path)
    try:
        layout = read_layout(store.file)
        channels = tuple(range(len(layout.fields))) if fields is None else _channels(layout, fields)
    except InputError:
        store.close()
        raise
    if layout.chunk_bytes > store.cache:
        store.drop()
        store.cache = min(2 * layout.chunk_bytes, 2**28)
    return Trajectories(store, layout, range(layout.shape[0]), range(layout.shape[1]), channels)


def _channels(layout: Layout, fields: Sequence[str]) -> tuple[int, ...]:
    chosen = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in chosen:
        if name not in layout.fields:
            raise unknown(name, layout.fields, "field")
    if not chosen or len(set(chosen)) != len(chosen):
        raise InputError(f"fields must name at least one channel, each once; found {list(chosen)}")
    return tuple(layout.fields.index(name) for name in chosen)

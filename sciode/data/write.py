"""Writing trajectory files: streaming, atomic, the same bytes for the same data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sciode import __version__
from sciode.core.errors import InputError
from sciode.core.files import atomic_path
from sciode.core.names import lookup
from sciode.core.progress import progress
from sciode.data.attributes import mark
from sciode.data.reading import Block
from sciode.data.trajectories import Trajectories
from sciode.data.writers import WRITERS, Contents
from sciode.data.writers.contents import default_lengths

Blocks = Iterable[Tensor | NDArray[Any]]
Placed = tuple[int, int, Block]


def write_trajectories(
    path: str | Path,
    schema: str | None = None,
    *,
    source: Trajectories | Blocks,
    shape: Sequence[int] | None = None,
    fields: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    grid: Sequence[ArrayLike] | None = None,
    lengths: Sequence[float] | None = None,
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
    compression: str | None = None,
    quiet: bool = True,
) -> Path:
    """Write trajectories to one HDF5 file. It takes its name when it is whole; a kill leaves no broken file.

    Parameters
    ----------
    path
        The file to make; an existing one is replaced.
    schema
        ``"pdebench-a"`` (one field), ``"pdebench-b"`` (an array per field), ``"pdebench-c"`` (a group per
        trajectory) or ``"well"``. By default A for a single 1D field, C for other 1D and 2D data, B for 3D.
    source
        Blocks "k t c *n" that follow one another along the trajectories, so that any size passes through; or a
        :class:`Trajectories`, which brings everything below with it.
    shape
        (b, t, c, *n) of the whole.
    fields, times, grid
        Channel names; times ``[t]``; coordinates, one array per space axis.
    lengths
        Domain length per axis; n dx by default.
    parameters
        JSON-able mapping, kept exactly; numbers and texts are root attributes too, as PDEBench keeps ``beta``.
        ``boundary`` ("periodic", "wall", "open", ...) is written as The Well's boundary condition.
    name
        Name of the data set; the stem of ``path`` by default.
    compression
        ``"gzip"`` or ``"lzf"``; none by default, which reads fastest and leaves the data contiguous.
    quiet
        Show no progress.

    Returns
    -------
    Path
        The finished file.

    Raises
    ------
    InputError
        Blocks that do not fit the shape, too few or too many of them, or values that are not finite.
    """
    path = Path(path)
    contents = _contents(path, source, shape, fields, times, grid, lengths, parameters, name, compression)
    schema = _automatic(contents) if schema is None else schema
    writer = lookup(schema, WRITERS, "schema to write")
    with atomic_path(path) as partial, h5py.File(partial, "w") as root:
        put = writer(root, contents)
        root.attrs["name"] = contents.name
        root.attrs["fields"] = list(contents.fields)
        root.attrs["lengths"] = np.asarray(contents.lengths, dtype=np.float64)
        mark(root, __version__, contents.parameters)
        with progress(f"writing {path.name}", contents.shape[0], quiet=quiet) as bar:
            for trajectory, step, block in _placed(source, contents):
                put(trajectory, step, block)
                bar.advance(block.shape[0] if step + block.shape[1] == contents.shape[1] else 0)
    return path


def _contents(
    path: Path,
    source: Trajectories | Blocks,
    shape: Sequence[int] | None,
    fields: Sequence[str] | None,
    times: ArrayLike | None,
    grid: Sequence[ArrayLike] | None,
    lengths: Sequence[float] | None,
    parameters: Mapping[str, Any] | None,
    name: str | None,
    compression: str | None,
) -> Contents:
    if isinstance(source, Trajectories):
        shape = source.shape if shape is None else shape
        fields = source.fields if fields is None else fields
        times = source.times if times is None else times
        if grid is None:
            grid, lengths = source.grid, source.lengths if lengths is None else lengths
        parameters = source.parameters if parameters is None else parameters
        if tuple(shape) != source.shape:
            raise InputError(f"source has shape {source.shape}, not {tuple(shape)}")
    if shape is None or fields is None or times is None or grid is None:
        raise InputError("blocks need shape, fields, times and grid beside them")
    axes = tuple(np.asarray(axis, dtype=np.float64) for axis in grid)
    return Contents(
        shape=tuple(int(n) for n in shape),
        fields=(fields,) if isinstance(fields, str) else tuple(fields),
        times=np.asarray(times, dtype=np.float64),
        grid=axes,
        lengths=default_lengths(axes) if lengths is None else tuple(float(L) for L in lengths),
        parameters=dict(parameters or {}),
        name=name or path.stem,
        compression=compression,
    )


def _automatic(contents: Contents) -> str:
    dimensions = len(contents.grid)
    if dimensions == 1 and len(contents.fields) == 1:
        return "pdebench-a"
    return "pdebench-c" if dimensions < 3 else "pdebench-b"


def _placed(source: Trajectories | Blocks, contents: Contents) -> Iterator[Placed]:
    if isinstance(source, Trajectories):
        for b, t, states in source.blocks():
            yield b.start, t.start, states.numpy()
        return
    done, count = 0, contents.shape[0]
    for given in source:
        block = _checked(given, done, contents)
        yield done, 0, block
        done += len(block)
    if done != count:
        raise InputError(f"expected {count} trajectories, found {done}")


def _checked(given: Tensor | NDArray[Any], done: int, contents: Contents) -> Block:
    values = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if values.ndim != len(contents.shape) or values.shape[1:] != contents.shape[1:]:
        raise InputError(f"expected blocks of shape (k, {contents.shape[1:]}), found {values.shape}")
    if done + len(values) > contents.shape[0]:
        raise InputError(f"expected {contents.shape[0]} trajectories, found at least {done + len(values)}")
    with np.errstate(over="ignore"):
        block: Block = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(block).all():
        b, t, c = (int(i) for i in np.argwhere(~np.isfinite(block))[0][:3])
        raise InputError(
            f"trajectory {done + b}, time index {t}, field {contents.fields[c]}: not finite in float32; "
            "nothing was written"
        )
    return block

"""From disk to "b t c *n": hyperslabs of bounded size, cast to float32, checked for NaN and infinity."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import LayoutError
from sciode.data.layout import SPACE, Layout, Variable
from sciode.data.store import Store

Block = NDArray[np.float32]
Indices = NDArray[np.int64]

PIECE = 32 * 2**20
"""Largest piece read at once, bytes of float32; what a read takes beyond its result."""


def pieces(
    layout: Layout, trajectories: Indices, steps: Indices, limit: int = PIECE
) -> Iterator[tuple[slice, slice]]:
    """Cut a read into pieces of at most ``limit`` bytes: slices into ``trajectories`` and into ``steps``.

    Several trajectories share a piece only where they are evenly spaced, and so make one hyperslab.
    """
    state = 4 * int(np.prod(layout.shape[2:]))
    span = max(1, min(len(steps), limit // state))
    count = max(1, limit // (state * max(1, len(steps)))) if _even(trajectories) and not layout.groups else 1
    for b in range(0, len(trajectories), count):
        for t in range(0, len(steps), span):
            yield slice(b, b + count), slice(t, t + span)


def read_block(
    store: Store,
    layout: Layout,
    trajectories: Indices,
    steps: Indices,
    channels: Sequence[int],
    strides: Sequence[int],
    *,
    check: bool = True,
) -> Block:
    """Read "k t c *n", float32: ``trajectories`` evenly spaced (one, if the layout has groups), any ``steps``.

    Raises :class:`LayoutError` for the first value that is not finite, unless ``check`` is off.
    """
    points = [len(range(0, n, k)) for n, k in zip(layout.shape[3:], strides, strict=True)]
    shape = (len(trajectories), len(steps), len(channels), *points)
    names = [layout.fields[i] for i in channels]
    with np.errstate(over="ignore"):  # too large for float32 becomes infinity, and is reported below
        block = _fill(store, layout, trajectories, steps, names, strides, shape)
    if check and not np.isfinite(block).all():
        raise _not_finite(store, layout, trajectories, steps, names, strides, block)
    return block


def _fill(
    store: Store,
    layout: Layout,
    trajectories: Indices,
    steps: Indices,
    names: list[str],
    strides: Sequence[int],
    shape: tuple[int, ...],
) -> Block:
    variables = [variable for variable in layout.variables if not set(names).isdisjoint(variable.channels)]
    block: Block | None = None
    for variable in variables:
        values = _read_variable(store, layout, variable, trajectories, steps, strides)
        if len(variables) == 1 and list(variable.channels) == names and values.shape == shape:
            return np.ascontiguousarray(values, dtype=np.float32)  # what was read is the block: no copy
        block = np.empty(shape, dtype=np.float32) if block is None else block
        for stored, name in enumerate(variable.channels):
            if name in names:
                block[:, :, names.index(name)] = values[:, :, stored]
    assert block is not None  # a view has at least one channel
    return block


def _read_variable(
    store: Store, layout: Layout, variable: Variable, trajectories: Indices, steps: Indices, strides: Sequence[int]
) -> NDArray[Any]:
    """Return "b t c *n" with axes of length one where the variable does not vary."""
    where = dataset_name(layout, variable, int(trajectories[0]))
    time, order = _selector(steps)
    selected: dict[str, Any] = {"1": 0, "b": _selector(trajectories)[0], "t": time}
    index = tuple(selected.get(letter, slice(None)) for letter in variable.axes)
    try:
        # A group's dataset is read once or twice and let go; others stay open for their chunk cache.
        node = store.file[where] if layout.groups else store.dataset(where)
        raw = node[index]
    except (OSError, RuntimeError, KeyError) as error:
        raise LayoutError(f"{store.path}: /{where}: cannot be read, the file is damaged: {error}") from error
    letters = [letter for letter in variable.axes if letter != "1"]
    if order is not None and "t" in letters:
        raw = np.take(raw, order, axis=letters.index("t"))
    return _arrange(raw, letters, layout, strides)


def _arrange(raw: NDArray[Any], letters: list[str], layout: Layout, strides: Sequence[int]) -> NDArray[Any]:
    space = SPACE[: len(layout.shape) - 3]
    # Strides in space are taken in memory: HDF5 gathers strided elements more slowly than it reads them all.
    step = dict(zip(space, strides, strict=True))
    raw = raw[tuple(slice(None, None, step.get(letter, 1)) for letter in letters)]
    target = [letter for letter in ("b", "t", "c", "d", *space) if letter in letters]
    raw = raw.transpose([letters.index(letter) for letter in target])
    sizes = dict(zip(target, raw.shape, strict=True))
    components = sizes.get("c", 1) * sizes.get("d", 1)
    return raw.reshape(
        sizes.get("b", 1), sizes.get("t", 1), components, *(sizes.get(letter, 1) for letter in space)
    )


def _even(indices: Indices) -> bool:
    steps = np.diff(indices)
    return bool(steps.size == 0 or (steps[0] > 0 and (steps == steps[0]).all()))


def _selector(indices: Indices) -> tuple[slice | Indices, Indices | None]:
    """Return what HDF5 can select (increasing, no repeats), and how to order it afterwards."""
    if _even(indices):
        step = int(indices[1] - indices[0]) if len(indices) > 1 else 1
        return slice(int(indices[0]), int(indices[-1]) + 1, step), None
    unique, order = np.unique(indices, return_inverse=True)
    return (_selector(unique)[0] if _even(unique) else unique), order


def dataset_name(layout: Layout, variable: Variable, trajectory: int) -> str:
    """Return the path of the dataset that holds ``variable`` of ``trajectory``."""
    return f"{layout.groups[trajectory]}/{variable.dataset}" if layout.groups else variable.dataset


def _not_finite(
    store: Store,
    layout: Layout,
    trajectories: Indices,
    steps: Indices,
    names: list[str],
    strides: Sequence[int],
    block: Block,
) -> LayoutError:
    b, t, c, *cell = (int(i) for i in np.argwhere(~np.isfinite(block))[0])
    owner = next(variable for variable in layout.variables if names[c] in variable.channels)
    where = dataset_name(layout, owner, int(trajectories[b]))
    point = [i * k for i, k in zip(cell, strides, strict=True)]
    return LayoutError(
        f"{store.path}: /{where}: {block[(b, t, c, *cell)]} for {names[c]} in trajectory {int(trajectories[b])}, "
        f"time index {int(steps[t])}, point {point}; only finite float32 is read (`validate` scans the whole file)"
    )

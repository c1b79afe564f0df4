"""Schema D: incompressible Navier-Stokes, few long runs; ``velocity``, ``particles``, ``force``, ``t``."""

from typing import Any

import h5py
import numpy as np

from sciode.core.errors import LayoutError
from sciode.data import coordinates
from sciode.data.attributes import parameters
from sciode.data.coordinates import Array
from sciode.data.layout import SPACE, Layout, Variable, chunk_bytes, dataset, values
from sciode.data.layouts.arrays import stated_lengths

_OPTIONAL = ("particles", "force")


def is_incompressible(file: h5py.File) -> bool:
    """Say whether the root holds ``velocity`` and ``particles``."""
    return isinstance(file.get("velocity"), h5py.Dataset) and isinstance(file.get("particles"), h5py.Dataset)


def read_incompressible(file: h5py.File) -> Layout:
    """Read the layout: channels velocity_x, velocity_y, particles, force_x, force_y; the force is constant."""
    shape = tuple(int(n) for n in dataset(file, "velocity").shape)
    if len(shape) not in (5, 6) or shape[-1] != len(shape) - 3:
        raise LayoutError(
            f"{file.filename}: /velocity: expected axes (run, t, x, y, 2) or (run, t, x, y, z, 3), "
            f"found shape {list(shape)}"
        )
    letters = SPACE[: len(shape) - 3]
    variables = tuple(_variable(file, name, shape, letters) for name in ("velocity", *_OPTIONAL) if name in file)
    params = parameters(file)
    lengths = stated_lengths(file, len(letters)) or _domain(params, len(letters))
    axes = [(np.arange(n, dtype=np.float64) + 0.5) * (L / n) for n, L in zip(shape[2:-1], lengths, strict=True)]
    return Layout(
        schema="pdebench-d",
        shape=(shape[0], shape[1], sum(len(v.channels) for v in variables), *shape[2:-1]),
        variables=variables,
        times=run_times(values(file, "t"), shape[0], shape[1], f"{file.filename}: /t"),
        grid=tuple(axes),
        lengths=lengths,
        parameters=params,
        chunk_bytes=chunk_bytes(*(file[v.dataset] for v in variables)),
    )


def _variable(file: h5py.File, name: str, velocity: tuple[int, ...], letters: tuple[str, ...]) -> Variable:
    item = dataset(file, name)
    timely = name != "force"
    lead = velocity[:2] if timely else velocity[:1]
    expected = (*lead, *velocity[2:-1])
    if item.shape[:-1] != expected:
        raise LayoutError(
            f"{file.filename}: /{name}: expected shape {[*expected, 'c']} to match velocity {list(velocity)}, "
            f"found {list(item.shape)}"
        )
    count = int(item.shape[-1])
    channels = (name,) if count == 1 else tuple(f"{name}_{(*SPACE, *range(3, count))[i]}" for i in range(count))
    return Variable(name, (*(("b", "t") if timely else ("b",)), *letters, "c"), channels)


def run_times(found: Array | None, runs: int, steps: int, where: str) -> Array:
    """Return ``[t]`` where all runs share their times, ``[b, t]`` where they do not."""
    if found is None or found.ndim == 1:
        return coordinates.times(found, steps, where)
    if found.ndim != 2 or found.shape[0] != runs:
        raise LayoutError(f"{where}: expected shape [{runs}, {steps}] (run, t), found {list(found.shape)}")
    rows = np.stack([coordinates.times(row, steps, f"{where}[{i}]") for i, row in enumerate(found)])
    return rows[0] if (rows == rows[0]).all() else rows


def _domain(params: dict[str, Any], dimensions: int) -> tuple[float, ...]:
    # The files carry no coordinates; their config states the box, the unit square where it does not.
    size = params.get("domain_size", 1.0)
    sizes = size if isinstance(size, list) else [size] * dimensions
    if len(sizes) == dimensions and all(isinstance(s, (int, float)) and s > 0 for s in sizes):
        return tuple(float(s) for s in sizes)
    return (1.0,) * dimensions

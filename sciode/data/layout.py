"""What a file holds, in one frozen record that every schema reduces to.

On disk axes come in any order and some are missing; a :class:`Variable` names the axes of one dataset by
letters (``b`` trajectory, ``t`` time, ``x y z`` space, ``c d`` components, ``1`` a stray axis of length one),
and the reader brings them to "b t c *n", repeating along the missing ones.
"""

from dataclasses import dataclass, field
from typing import Any

import h5py

from sciode.core.errors import LayoutError
from sciode.data.coordinates import Array

SPACE = ("x", "y", "z")

LABELS = {
    "pdebench-a": "PDEBench tensor file (schema A)",
    "pdebench-a-prime": "PDEBench steady tensor file (schema A', Darcy)",
    "pdebench-b": "PDEBench variable file (schema B)",
    "pdebench-c": "PDEBench group-per-seed file (schema C)",
    "pdebench-d": "PDEBench incompressible Navier-Stokes file (schema D)",
    "well": "The Well file",
}


@dataclass(frozen=True)
class Variable:
    """One dataset and the channels it holds.

    ``dataset`` is its path in the file, or in the trajectory's group where the layout has groups.
    """

    dataset: str
    axes: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Shape, names and coordinates of a file, and where its channels lie.

    ``shape`` is (b, t, c, *n); ``times`` is ``[t]``, or ``[b, t]`` where each trajectory has its own.
    """

    schema: str
    shape: tuple[int, ...]
    variables: tuple[Variable, ...]
    times: Array
    grid: tuple[Array, ...]
    lengths: tuple[float, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    chunk_bytes: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """Channel names: the file's own order if it states one, else the order of the datasets."""
        stored = tuple(name for variable in self.variables for name in variable.channels)
        return self.order if sorted(self.order) == sorted(stored) else stored


def describe(node: h5py.Group, most: int = 20) -> str:
    """List the datasets under ``node`` with their shapes, at most ``most`` of them.

    The walk stops there too: a file may hold tens of thousands.
    """
    found: list[str] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> bool | None:
        if isinstance(item, h5py.Dataset):
            found.append(f"{name} {list(item.shape or ())}")
        return True if len(found) >= most else None

    try:
        node.visititems(visit)
    except (RuntimeError, KeyError, UnicodeDecodeError):
        found.append("an object that cannot be read")
    return ", ".join(found) + (", ..." if len(found) >= most else "") or "no dataset at all"


def dataset(node: h5py.Group, name: str) -> h5py.Dataset:
    """Return the numeric dataset ``name`` of ``node``, or raise :class:`LayoutError`."""
    where = f"{node.file.filename}: {node.name.rstrip('/')}/{name}"
    item = node.get(name)
    if not isinstance(item, h5py.Dataset):
        raise LayoutError(f"{where}: expected a dataset, found none; the file has {describe(node)}")
    if item.dtype.kind not in "fiu" or item.shape is None:
        raise LayoutError(f"{where}: expected real numbers, found {item.dtype}")
    return item


def values(node: h5py.Group, name: str) -> Array | None:
    """Read a small numeric dataset as float64; None where there is none."""
    if name not in node:
        return None
    return dataset(node, name)[()].astype("float64")


def chunk_bytes(*datasets: h5py.Dataset) -> int:
    """Return the size of the largest chunk of ``datasets``, bytes; 0 for contiguous ones."""
    sizes = [0]
    for item in datasets:
        if item.chunks is not None:
            size = item.dtype.itemsize
            for n in item.chunks:
                size *= n
            sizes.append(size)
    return max(sizes)

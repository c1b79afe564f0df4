"""The Well: fields by tensor order in ``t0_fields``, ``t1_fields``, ``t2_fields``; flags name missing axes."""

from itertools import product
from typing import Any

import h5py
import numpy as np

from sciode.core.errors import LayoutError
from sciode.data import coordinates
from sciode.data.attributes import MARK, attributes, parameters, plain
from sciode.data.coordinates import Array
from sciode.data.layout import Layout, Variable, chunk_bytes, dataset, values
from sciode.data.layouts.arrays import stated_lengths
from sciode.data.layouts.incompressible import run_times

GROUPS = ("t0_fields", "t1_fields", "t2_fields")
LETTERS = ("x", "y", "z")  # space axes by position, whatever the file calls them
_STRUCTURE = frozenset({"grid_type", "n_spatial_dims", "n_trajectories", "simulation_parameters", "dataset_name"})
_LARGEST_SCALAR = 4096


def is_well(file: h5py.File) -> bool:
    """Say whether the file has ``dimensions`` and at least one group of fields."""
    return isinstance(file.get("dimensions"), h5py.Group) and any(name in file for name in GROUPS)


def read_well(file: h5py.File) -> Layout:
    """Read the layout of a Well file; vector and tensor components become channels ``name_x``, ``name_xy``."""
    dims = _names(file["dimensions"], "spatial_dims")
    if not 1 <= len(dims) <= 3:
        raise LayoutError(f"{file.filename}: /dimensions: expected 1 to 3 spatial_dims, found {dims}")
    axes = [_axis(file, name) for name in dims]
    time = values(file["dimensions"], "time")
    if time is None:
        raise LayoutError(f"{file.filename}: /dimensions/time: expected a dataset, found none")
    steps, points = int(time.shape[-1]), tuple(len(axis) for axis in axes)
    runs = _runs(file)
    sizes = dict(zip(("b", "t", *LETTERS), (runs, steps, *points), strict=False))
    variables = tuple(
        _variable(file, f"{group}/{name}", order, dims, sizes)
        for order, group in enumerate(GROUPS)
        if group in file
        for name in _names(file[group], "field_names")
    )
    if not variables:
        raise LayoutError(f"{file.filename}: expected a field in {', '.join(GROUPS)}, found none")
    return Layout(
        schema="well",
        shape=(runs, steps, sum(len(v.channels) for v in variables), *points),
        variables=variables,
        times=run_times(time, runs, steps, f"{file.filename}: /dimensions/time"),
        grid=tuple(axes),
        lengths=stated_lengths(file, len(dims)) or tuple(map(coordinates.length, axes)),
        parameters=_parameters(file),
        order=tuple(attributes(file).get("fields") or ()),
        chunk_bytes=chunk_bytes(*(file[v.dataset] for v in variables)),
    )


def _names(node: h5py.Group, attribute: str) -> tuple[str, ...]:
    stated = plain(node.attrs[attribute]) if attribute in node.attrs else None
    if stated is None:
        coordinates.warn(
            f"{node.file.filename}: {node.name}: no attribute {attribute}; using the names of its datasets"
        )
        stated = [name for name in node if name != "time"]
    return (stated,) if isinstance(stated, str) else tuple(stated)


def _axis(file: h5py.File, name: str) -> Array:
    where = f"{file.filename}: /dimensions/{name}"
    found = values(file["dimensions"], name)
    if found is None:
        raise LayoutError(f"{where}: expected a dataset, found none")
    if found.ndim > 1:
        coordinates.warn(f"{where}: the grid varies between samples or times; using the first one")
        found = found.reshape(-1, found.shape[-1])[0]
    return coordinates.axis(found, len(found), where)


def _flag(item: h5py.Dataset, name: str) -> Any:
    return plain(item.attrs[name]) if name in item.attrs else True


def _runs(file: h5py.File) -> int:
    if "n_trajectories" in file.attrs:
        return int(file.attrs["n_trajectories"])
    for group in GROUPS:
        for item in file.get(group, {}).values():
            if isinstance(item, h5py.Dataset) and _flag(item, "sample_varying"):
                return int(item.shape[0])
    return 1


def _variable(file: h5py.File, path: str, order: int, dims: tuple[str, ...], sizes: dict[str, int]) -> Variable:
    group, _, name = path.partition("/")
    item = dataset(file[group], name)
    varying = _flag(item, "dim_varying")
    kept = [True] * len(dims) if varying is True else [bool(flag) for flag in np.atleast_1d(varying)]
    if len(kept) != len(dims):
        raise LayoutError(f"{file.filename}: /{path}: dim_varying {kept} does not fit spatial_dims {list(dims)}")
    axes = [letter for letter, flag in (("b", "sample_varying"), ("t", "time_varying")) if _flag(item, flag)]
    axes += [letter for letter, flag in zip(LETTERS, kept, strict=False) if flag]
    expected = [sizes[letter] for letter in axes] + [len(dims)] * order
    if list(item.shape) != expected:
        raise LayoutError(
            f"{file.filename}: /{path}: expected shape {expected} with axes ({', '.join(axes)}) and {order} of "
            f"components, found {list(item.shape)}"
        )
    suffixes = ["".join(letters) for letters in product(dims, repeat=order)]
    channels = tuple(f"{name}_{suffix}" if suffix else name for suffix in suffixes)
    return Variable(path, (*axes, *("c", "d")[:order]), channels)


def _parameters(file: h5py.File) -> dict[str, Any]:
    found = parameters(file, skip=_STRUCTURE)
    if MARK in file.attrs:
        return found
    boundaries = {
        name: {
            "type": str(attributes(node).get("bc_type", "")).upper(),
            "dims": attributes(node).get("associated_dims"),
        }
        for name, node in sorted(file.get("boundary_conditions", {}).items())
    }
    scalars = {
        name: plain(item[()])
        for name, item in sorted(file.get("scalars", {}).items())
        if isinstance(item, h5py.Dataset) and item.size <= _LARGEST_SCALAR
    }
    extra = {"boundary_conditions": boundaries, "scalars": scalars}
    return found | {name: value for name, value in extra.items() if value}

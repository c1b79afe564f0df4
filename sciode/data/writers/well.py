"""The Well's layout, as its own loader reads it: scalars in ``t0_fields``, vectors in ``t1_fields``."""

import h5py
import numpy as np

from sciode.data.layout import SPACE
from sciode.data.reading import Block
from sciode.data.writers.contents import Contents, Put

_TEXT = h5py.string_dtype()


def create_well(root: h5py.File, contents: Contents, /) -> Put:
    """Create the file. Fields ``name_x``, ``name_y`` (one per axis) become the vector ``name``."""
    dims = SPACE[: len(contents.grid)]
    numbers = {
        name: value
        for name, value in sorted(contents.parameters.items())
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    root.attrs["dataset_name"] = contents.name
    root.attrs["grid_type"] = "cartesian"
    root.attrs["n_spatial_dims"] = len(dims)
    root.attrs["n_trajectories"] = contents.shape[0]
    root.attrs.create("simulation_parameters", list(numbers), dtype=_TEXT)
    _write_dimensions(root, contents, dims)
    _write_boundaries(root, contents, dims)
    _write_scalars(root, numbers)
    return _create_fields(root, contents, dims)


def _write_dimensions(root: h5py.File, contents: Contents, dims: tuple[str, ...]) -> None:
    group = root.create_group("dimensions")
    group.attrs["spatial_dims"] = list(dims)
    for name, values in zip(("time", *dims), (contents.times, *contents.grid), strict=True):
        item = group.create_dataset(name, data=values.astype(np.float32))
        item.attrs["sample_varying"] = False
        item.attrs["time_varying"] = False


def _write_boundaries(root: h5py.File, contents: Contents, dims: tuple[str, ...]) -> None:
    group = root.create_group("boundary_conditions")
    kind = contents.check_boundary()
    for name, axis in zip(dims, contents.grid, strict=True):
        if kind is None:
            continue
        mask = np.zeros(len(axis), dtype=bool)
        mask[[0, -1]] = True
        boundary = group.create_group(f"{name}_{kind.lower()}")
        boundary.attrs["associated_dims"] = [name]
        boundary.attrs.create("associated_fields", [], dtype=_TEXT)
        boundary.attrs["bc_type"] = kind
        boundary.attrs["sample_varying"] = False
        boundary.attrs["time_varying"] = False
        boundary.create_dataset("mask", data=mask)
        boundary.create_dataset("values", data=np.zeros(int(mask.sum()), dtype=np.float32))


def _write_scalars(root: h5py.File, numbers: dict[str, int | float]) -> None:
    group = root.create_group("scalars")
    group.attrs.create("field_names", list(numbers), dtype=_TEXT)
    for name, value in numbers.items():
        root.attrs[name] = value
        item = group.create_dataset(name, data=np.float32(value))
        item.attrs["sample_varying"] = False
        item.attrs["time_varying"] = False


def _create_fields(root: h5py.File, contents: Contents, dims: tuple[str, ...]) -> Put:
    vectors = _vectors(contents.fields, dims)
    parts = {f"{name}_{letter}" for name in vectors for letter in dims}
    scalars = [name for name in contents.fields if name not in parts]
    b, t, _, *n = contents.shape
    places: list[tuple[h5py.Dataset, tuple[int, ...]]] = []
    for order, names in enumerate((scalars, vectors, [])):
        group = root.create_group(f"t{order}_fields")
        group.attrs.create("field_names", names, dtype=_TEXT)
        for name in names:
            item = contents.dataset(group, name, (b, t, *n, *(len(dims),) * order), moving=1)
            item.attrs["dim_varying"] = [True] * len(dims)
            item.attrs["sample_varying"] = True
            item.attrs["time_varying"] = True
            sources = [f"{name}_{letter}" for letter in dims] if order else [name]
            places.append((item, tuple(contents.fields.index(source) for source in sources)))

    def put(trajectory: int, step: int, block: Block, /) -> None:
        where = (slice(trajectory, trajectory + block.shape[0]), slice(step, step + block.shape[1]))
        for item, sources in places:
            item[where] = (
                block[:, :, sources[0]] if len(sources) == 1 else np.moveaxis(block[:, :, sources], 2, -1)
            )

    return put


def _vectors(fields: tuple[str, ...], dims: tuple[str, ...]) -> list[str]:
    """Return the names that come once per axis, as velocity_x and velocity_y do. One axis has no vectors."""
    if len(dims) == 1:
        return []
    stems = [name.removesuffix(f"_{dims[0]}") for name in fields if name.endswith(f"_{dims[0]}")]
    return [stem for stem in stems if stem and all(f"{stem}_{letter}" in fields for letter in dims)]

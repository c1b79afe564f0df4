"""Schemas A, A' and B: every trajectory in one array at the root, axes (n, t, x[, y[, z]])."""

import h5py
import numpy as np

from sciode.core.errors import LayoutError
from sciode.data import coordinates
from sciode.data.attributes import attributes, parameters
from sciode.data.coordinates import Array
from sciode.data.layout import SPACE, Layout, Variable, chunk_bytes, dataset, values

ORDER = ("density", "pressure", "Vx", "Vy", "Vz")
_SUFFIX = "-coordinate"


def is_tensor(file: h5py.File) -> bool:
    """Say whether the file is of schema A or A'."""
    return isinstance(file.get("tensor"), h5py.Dataset)


def is_variables(file: h5py.File) -> bool:
    """Say whether the file is of schema B: the channels of PDEBench, or any others beside PDEBench coordinates."""
    arrays = _arrays(file)
    located = any(_has_axis(file, letter) for letter in ("t", *SPACE))
    return any(name in ORDER for name in arrays) or (located and any(file[name].ndim >= 3 for name in arrays))


def read_tensor(file: h5py.File) -> Layout:
    """Read the layout of a tensor file: one field, or (``nu``, ``u``) for steady Darcy flow."""
    named = _stated_fields(file)
    if "nu" not in file:
        name = named[0] if len(named) == 1 else "u"
        return _layout(file, "pdebench-a", {"tensor": name}, "tensor", ())
    axes, shape = _trajectory_axes(file, "tensor")
    nu = dataset(file, "nu")
    if nu.shape != (shape[0], *shape[2:]):
        raise LayoutError(
            f"{file.filename}: /nu: expected shape {[shape[0], *shape[2:]]} (n, x, y), the tensor's without its "
            f"time axis, found {list(nu.shape)}"
        )
    steady = Variable("nu", ("b", *axes[-(len(shape) - 2) :]), ("nu",))
    return _layout(file, "pdebench-a-prime", {"tensor": "u"}, "tensor", (steady,))


def read_variables(file: h5py.File) -> Layout:
    """Read the layout of a variable file; channels in the order density, pressure, Vx, Vy, Vz, then by name."""
    arrays = _arrays(file)
    named = _stated_fields(file)
    first = named if sorted(named) == sorted(arrays) else ORDER
    names = [name for name in first if name in arrays] + [name for name in arrays if name not in first]
    shape = dataset(file, names[0]).shape
    for name in names[1:]:
        if dataset(file, name).shape != shape:
            raise LayoutError(
                f"{file.filename}: /{name}: expected shape {list(shape)} as /{names[0]}, "
                f"found {list(file[name].shape)}"
            )
    return _layout(file, "pdebench-b", {name: name for name in names}, names[0], ())


def _arrays(file: h5py.File) -> list[str]:
    return [
        name
        for name, item in sorted(file.items())
        if isinstance(item, h5py.Dataset) and not name.endswith(_SUFFIX) and item.ndim >= 2
    ]


def _stated_fields(file: h5py.File) -> tuple[str, ...]:
    stated = attributes(file).get("fields", [])
    return tuple(stated) if isinstance(stated, list) and all(isinstance(name, str) for name in stated) else ()


def _layout(
    file: h5py.File, schema: str, names: dict[str, str], model: str, extra: tuple[Variable, ...]
) -> Layout:
    axes, shape = _trajectory_axes(file, model)
    variables = (*extra, *(Variable(name, axes, (channel,)) for name, channel in names.items()))
    grid = tuple(
        coordinates.axis(values(file, letter + _SUFFIX), n, f"{file.filename}: /{letter}{_SUFFIX}")
        for letter, n in zip(SPACE, shape[2:], strict=False)
    )
    return Layout(
        schema=schema,
        shape=(shape[0], shape[1], len(variables), *shape[2:]),
        variables=variables,
        times=coordinates.times(_times(file), shape[1], f"{file.filename}: /t{_SUFFIX}"),
        grid=grid,
        lengths=stated_lengths(file, len(grid)) or tuple(map(coordinates.length, grid)),
        parameters=parameters(file),
        chunk_bytes=chunk_bytes(*(file[variable.dataset] for variable in variables)),
    )


def _times(file: h5py.File) -> Array | None:
    return values(file, "t" + _SUFFIX)


def stated_lengths(file: h5py.File, dimensions: int) -> tuple[float, ...] | None:
    """Return the root attribute ``lengths``, checked; None where there is none."""
    stated = attributes(file).get("lengths")
    if stated is None:
        return None
    found = np.atleast_1d(np.asarray(stated, dtype=np.float64))
    if found.shape != (dimensions,) or not (np.isfinite(found).all() and (found > 0).all()):
        raise LayoutError(f"{file.filename}: attribute lengths: expected {dimensions} positive, found {stated}")
    return tuple(float(entry) for entry in found)


def _trajectory_axes(file: h5py.File, name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the axes on disk and the shape without a stray leading axis."""
    shape = tuple(int(n) for n in dataset(file, name).shape)
    where = f"{file.filename}: /{name}"
    stray = _is_stray(file, shape)
    if stray:
        coordinates.warn(f"{where}: shape {list(shape)} has a stray leading axis; reading {list(shape[1:])}")
        shape = shape[1:]
    known = [letter for letter in SPACE if letter + _SUFFIX in file]
    rank = len(shape) - 2
    if not 1 <= rank <= 3 or (known and len(known) != rank):
        expected = ", ".join(["n", "t", *(known or ["x[, y[, z]]"])])
        why = f" (the file has coordinates for {', '.join(known)})" if known else ""
        raise LayoutError(
            f"{where}: expected axes ({expected}){why}, found {len(shape)} axes, shape {list(shape)}"
        )
    if 0 in shape:
        raise LayoutError(f"{where}: holds no data, shape {list(shape)}")
    axes = ("b", "t", *SPACE[:rank])
    return (("1", *axes) if stray else axes), shape


def _is_stray(file: h5py.File, shape: tuple[int, ...]) -> bool:
    """Say whether the coordinates fit (n, t, x) behind a leading axis of one, and do not fit with it."""
    points = [file[letter + _SUFFIX].shape[0] for letter in SPACE if _has_axis(file, letter)]
    steps = file["t" + _SUFFIX].shape[0] if _has_axis(file, "t") else None

    def fits(candidate: tuple[int, ...]) -> bool:
        timely = steps is None or steps - candidate[1] in (0, 1)
        return timely and (not points or list(candidate[2:]) == points)

    return len(shape) > 3 and shape[0] == 1 and fits(shape[1:]) and not fits(shape)


def _has_axis(file: h5py.File, letter: str) -> bool:
    item = file.get(letter + _SUFFIX)
    return isinstance(item, h5py.Dataset) and item.ndim == 1

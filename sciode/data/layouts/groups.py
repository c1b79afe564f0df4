"""Schema C: one group per trajectory, ``NNNN/data`` with axes (t, x[, y[, z]], c) and its grid beside it."""

import h5py

from sciode.core.errors import LayoutError
from sciode.data import coordinates
from sciode.data.attributes import attributes, parameters
from sciode.data.layout import SPACE, Layout, Variable, chunk_bytes, dataset, values
from sciode.data.layouts.arrays import stated_lengths

LETTERS = {1: ("u",), 2: ("u", "v")}


def is_groups(file: h5py.File) -> bool:
    """Say whether the root holds groups with all-digit names."""
    return any(name.isdigit() and isinstance(file.get(name), h5py.Group) for name in file)


def read_groups(file: h5py.File) -> Layout:
    """Read the layout of a group-per-seed file. Groups sort by number and may have holes."""
    names = tuple(sorted((name for name in file if name.isdigit()), key=lambda name: (int(name), name)))
    first = file[names[0]]
    data = dataset(first, "data")
    shape = tuple(int(n) for n in data.shape)
    where = f"{file.filename}: {data.name}"
    _check_rank(first, shape, where)
    _check_same(file, names, shape)
    steps, points, count = shape[0], shape[1:-1], shape[-1]
    base = f"{file.filename}: /{names[0]}/grid"
    grid = tuple(
        coordinates.axis(values(first, f"grid/{letter}"), n, f"{base}/{letter}")
        for letter, n in zip(SPACE, points, strict=False)
    )
    return Layout(
        schema="pdebench-c",
        shape=(len(names), steps, count, *points),
        variables=(Variable("data", ("t", *SPACE[: len(points)], "c"), _fields(file, count)),),
        times=coordinates.times(values(first, "grid/t"), steps, f"{base}/t"),
        grid=grid,
        lengths=stated_lengths(file, len(grid)) or tuple(map(coordinates.length, grid)),
        parameters=parameters(file, config=attributes(first).get("config")),
        groups=names,
        chunk_bytes=chunk_bytes(data),
    )


def _fields(file: h5py.File, count: int) -> tuple[str, ...]:
    stated = attributes(file).get("fields", [])
    if isinstance(stated, list) and len(stated) == count and all(isinstance(name, str) for name in stated):
        return tuple(stated)
    return LETTERS.get(count, tuple(f"u{i}" for i in range(count)))


def _check_rank(group: h5py.Group, shape: tuple[int, ...], where: str) -> None:
    known = [letter for letter in SPACE if f"grid/{letter}" in group]
    rank = len(shape) - 2
    if not 1 <= rank <= 3 or (known and len(known) != rank):
        expected = ", ".join(["t", *(known or ["x[, y[, z]]"]), "c"])
        raise LayoutError(f"{where}: expected axes ({expected}), found {len(shape)} axes, shape {list(shape)}")
    if 0 in shape:
        raise LayoutError(f"{where}: holds no data, shape {list(shape)}")


def _check_same(file: h5py.File, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    for name in names:
        node = file[name]
        if not isinstance(node, h5py.Group):
            raise LayoutError(f"{file.filename}: /{name}: expected a group that holds data, found a dataset")
        found = dataset(node, "data").shape
        if found != shape:
            raise LayoutError(
                f"{file.filename}: /{name}/data: expected shape {list(shape)} as /{names[0]}/data, "
                f"found {list(found)}"
            )

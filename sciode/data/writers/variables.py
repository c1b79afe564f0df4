"""Schema B: one array per variable, axes (n, t, x[, y[, z]])."""

import h5py

from sciode.core.errors import InputError
from sciode.data.reading import Block
from sciode.data.writers.contents import Contents, Put
from sciode.data.writers.tensor import write_coordinates


def create_variables(root: h5py.File, contents: Contents, /) -> Put:
    """Create the file, one dataset named after each field."""
    clash = [name for name in contents.fields if name.endswith("-coordinate") or name in ("tensor", "nu")]
    if clash:
        raise InputError(
            f"schema pdebench-b cannot hold a field named {clash[0]!r}: that name marks another layout"
        )
    b, t, _, *n = contents.shape
    places = [contents.dataset(root, name, (b, t, *n), moving=1) for name in contents.fields]
    write_coordinates(root, contents)

    def put(trajectory: int, step: int, block: Block, /) -> None:
        k, steps = block.shape[:2]
        for channel, place in enumerate(places):
            place[trajectory : trajectory + k, step : step + steps] = block[:, :, channel]

    return put

"""Schema A: one field, ``tensor`` with axes (n, t, x[, y[, z]])."""

import h5py

from sciode.core.errors import InputError
from sciode.data.layout import SPACE
from sciode.data.reading import Block
from sciode.data.writers.contents import Contents, Put


def write_coordinates(root: h5py.Group, contents: Contents) -> None:
    """Write ``x-coordinate`` ... and a ``t-coordinate`` that is one longer than the time axis, float64."""
    for letter, axis in zip(SPACE, contents.grid, strict=False):
        root.create_dataset(f"{letter}-coordinate", data=axis)
    root.create_dataset("t-coordinate", data=contents.one_more_time())


def create_tensor(root: h5py.File, contents: Contents, /) -> Put:
    """Create the file of a single field."""
    if len(contents.fields) != 1:
        raise InputError(
            f"schema pdebench-a holds one field, found {', '.join(contents.fields)}; "
            "use pdebench-b, pdebench-c or well"
        )
    b, t, _, *n = contents.shape
    tensor = contents.dataset(root, "tensor", (b, t, *n), moving=1)
    write_coordinates(root, contents)

    def put(trajectory: int, step: int, block: Block, /) -> None:
        k, steps = block.shape[:2]
        tensor[trajectory : trajectory + k, step : step + steps] = block[:, :, 0]

    return put

"""Schema C: one group per trajectory, ``NNNN/data`` with axes (t, x[, y[, z]], c), grid and config beside it."""

import h5py
import numpy as np

from sciode.data.attributes import dump_config
from sciode.data.layout import SPACE
from sciode.data.reading import Block
from sciode.data.writers.contents import Contents, Put


def create_groups(root: h5py.File, contents: Contents, /) -> Put:
    """Create the groups, zero-padded to four digits or more."""
    b, t, c, *n = contents.shape
    config = dump_config(contents.parameters)
    digits = max(4, len(str(b - 1)))

    def create(trajectory: int) -> h5py.Dataset:
        group = root.create_group(f"{trajectory:0{digits}d}")
        group.attrs["config"] = config
        for letter, axis in zip(SPACE, contents.grid, strict=False):
            group.create_dataset(f"grid/{letter}", data=axis)
        group.create_dataset("grid/t", data=contents.times)
        return contents.dataset(group, "data", (t, *n, c), moving=0)

    places: dict[int, h5py.Dataset] = {}

    def put(trajectory: int, step: int, block: Block, /) -> None:
        for i, states in enumerate(block, start=trajectory):
            if i not in places:
                places.clear()
                places[i] = create(i)
            places[i][step : step + len(states)] = np.moveaxis(states, 1, -1)

    return put

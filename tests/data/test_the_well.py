"""The Well's own package as oracle: its dummy file read by us, our files read by its loader."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciode.data import open_trajectories, write_trajectories
from tests.data import files

dummy_data = pytest.importorskip("the_well.utils.dummy_data")
the_well = pytest.importorskip("the_well.data")


def test_its_dummy_file_is_read(tmp_path: Path) -> None:
    dummy_data.write_dummy_data(str(tmp_path / "dummy.hdf5"))
    data = open_trajectories(tmp_path / "dummy.hdf5")
    assert data.schema == "well" and data.shape == (2, 10, 3, 32, 32)
    assert data.fields == ("constant_field", "field_x", "field_y")
    assert data.parameters["a"] == 0.25 and len(data.parameters["scalars"]["time_varying_scalar"]) == 10
    with h5py.File(tmp_path / "dummy.hdf5") as file:
        constant, field = file["t0_fields/constant_field"][()], file["t1_fields/field"][()]
    np.testing.assert_array_equal(data[1].numpy()[:, 2], field[1, ..., 1])
    np.testing.assert_array_equal(data[:, 7].numpy()[:, 0], constant)


@pytest.mark.parametrize("shape", [(2, 5, 1, 8), (2, 5, 3, 8, 6), (2, 4, 1, 4, 5, 6)])
def test_its_loader_reads_our_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    u = files.noise(*shape)
    fields = ["p", "velocity_x", "velocity_y"] if shape[2] == 3 else ["p"]
    grid = [np.arange(n) / n for n in shape[3:]]
    write_trajectories(
        tmp_path / "ours.hdf5", "well", source=[u], shape=shape, fields=fields, times=np.arange(shape[1]) * 0.1,
        grid=grid, parameters={"nu": 0.5, "boundary": "periodic"}, name="ours",
    )  # fmt: skip
    loader = the_well.WellDataset(path=str(tmp_path), n_steps_input=2, n_steps_output=1)
    assert loader.metadata.dataset_name == "ours" and loader.metadata.n_trajectories_per_file == [2]
    windows = shape[1] - 2
    assert len(loader) == 2 * windows
    item: dict[str, Any] = loader[windows + 1]  # second trajectory, second window
    np.testing.assert_array_equal(item["input_fields"].numpy(), np.moveaxis(u[1, 1:3], 1, -1))
    np.testing.assert_array_equal(item["output_fields"].numpy(), np.moveaxis(u[1, 3:4], 1, -1))
    assert item["boundary_conditions"].tolist() == [[2, 2]] * len(grid)
    assert item["constant_scalars"].tolist() == [0.5]
    assert item["space_grid"].shape == (*shape[3:], len(grid))

"""Each schema, written by hand, is told by its content and read to the last bit; the traps of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciode.data import LayoutWarning, open_trajectories
from tests.data import files

FLOW = ("density", "pressure", "Vx", "Vy", "Vz")
STRESS = ("stress_xx", "stress_xy", "stress_yx", "stress_yy")

# How the file is made, the schema that must be told, the names of its channels.
CASES: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "a": (files.make_a, "pdebench-a", ("u",)),
    "a-2d": (lambda path: files.make_a(path, n=(8, 6)), "pdebench-a", ("u",)),
    "a-prime": (files.make_darcy, "pdebench-a-prime", ("nu", "u")),
    "b-1d": (lambda path: files.make_b(path, FLOW[:3], n=(9,)), "pdebench-b", FLOW[:3]),
    "b-3d": (lambda path: files.make_b(path, FLOW, n=(4, 3, 5)), "pdebench-b", FLOW),
    "b-subset": (lambda path: files.make_b(path, ("Vx", "Vy")), "pdebench-b", ("Vx", "Vy")),
    "b-homemade": (lambda path: files.make_b(path, ("depth", "salt")), "pdebench-b", ("depth", "salt")),
    "c-1d": (lambda path: files.make_c(path, n=(7,), c=1), "pdebench-c", ("u",)),
    "c-2d": (files.make_c, "pdebench-c", ("u", "v")),
    "d": (files.make_d, "pdebench-d", ("velocity_x", "velocity_y", "particles", "force_x", "force_y")),
    "well": (files.make_well, "well", ("scalar", "profile", "shared", "velocity_x", "velocity_y", *STRESS)),
}


@pytest.mark.filterwarnings("error::sciode.data.LayoutWarning")
@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".dat"])
@pytest.mark.parametrize("case", CASES)
def test_schema_is_told_by_content_and_read_exactly(tmp_path: Path, case: str, suffix: str) -> None:
    make, schema, fields = CASES[case]
    path = tmp_path / f"file{suffix}"
    expected = make(path)
    data = open_trajectories(path)
    assert (data.schema, data.fields, data.shape) == (schema, fields, expected.shape)
    assert len(data) == expected.shape[0]
    assert data[:].dtype.is_floating_point and data[:].element_size() == 4
    np.testing.assert_array_equal(data[:].numpy(), expected)
    np.testing.assert_array_equal(data[-1, 1:].numpy(), expected[-1, 1:])
    assert [len(axis) for axis in data.grid] == list(expected.shape[3:])
    assert len(data.times) == expected.shape[1]


def test_chosen_fields_come_in_the_asked_order(tmp_path: Path) -> None:
    expected = files.make_b(tmp_path / "b.h5", ("density", "pressure", "Vx", "Vy"))
    data = open_trajectories(tmp_path / "b.h5", fields=["Vx", "density"])
    assert data.fields == ("Vx", "density")
    np.testing.assert_array_equal(data[:].numpy(), expected[:, :, [2, 0]])
    well = files.make_well(tmp_path / "w.h5")
    np.testing.assert_array_equal(
        open_trajectories(tmp_path / "w.h5", fields=["stress_yx", "profile"])[:].numpy(), well[:, :, [7, 1]]
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_times_are_one_too_many_and_the_box_is_periodic(tmp_path: Path, dtype: str) -> None:
    files.make_a(tmp_path / "a.hdf5", t=5, dtype=dtype)
    data = open_trajectories(tmp_path / "a.hdf5")
    assert data.times.dtype == np.float64 and len(data.times) == 5
    assert data.dt == pytest.approx(0.05, rel=1e-6)
    assert data.lengths == pytest.approx((1.0,), rel=1e-6)
    assert data.parameters == {"beta": 0.1}


def test_lengths_attribute_wins(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        file.attrs["lengths"] = [7.0]
    assert open_trajectories(tmp_path / "a.hdf5").lengths == (7.0,)


def test_a_stray_leading_axis_is_squeezed_with_a_warning(tmp_path: Path) -> None:
    u = files.noise(1, 4, 5, 16)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["tensor"] = u
        files.coordinates(file, 5, 16)
    with pytest.warns(LayoutWarning, match="stray leading axis"):
        data = open_trajectories(tmp_path / "a.hdf5")
    np.testing.assert_array_equal(data[:].numpy(), u[0][:, :, None])


@pytest.mark.filterwarnings("error::sciode.data.LayoutWarning")
def test_a_single_2d_trajectory_is_no_stray_axis(tmp_path: Path) -> None:
    expected = files.make_a(tmp_path / "a.hdf5", b=1, n=(8, 6))
    np.testing.assert_array_equal(open_trajectories(tmp_path / "a.hdf5")[:].numpy(), expected)


def test_missing_coordinates_fall_back_with_a_warning(tmp_path: Path) -> None:
    u = files.noise(2, 3, 8)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["tensor"] = u
    with pytest.warns(LayoutWarning, match="no times") as caught:
        data = open_trajectories(tmp_path / "a.hdf5")
    assert any("no coordinates" in str(w.message) for w in caught)
    assert data.times.tolist() == [0, 1, 2] and data.lengths == (1.0,)
    np.testing.assert_array_equal(data[:].numpy()[:, :, 0], u)


def test_steady_file_needs_no_times(tmp_path: Path) -> None:
    files.make_darcy(tmp_path / "a.hdf5")
    data = open_trajectories(tmp_path / "a.hdf5")
    assert data.times.tolist() == [0.0] and data.shape[1] == 1
    with pytest.raises(ValueError, match="one state has no time step"):
        _ = data.dt


def test_c_groups_may_have_holes_and_sort_by_number(tmp_path: Path) -> None:
    expected = files.make_c(tmp_path / "c.h5", seeds=(10002, 7, 1000), n=(6,), c=1)
    data = open_trajectories(tmp_path / "c.h5")
    assert data.layout.groups == ("0007", "1000", "10002")
    np.testing.assert_array_equal(data[:].numpy(), expected[[1, 2, 0]])
    assert data.lengths == pytest.approx((2.0,), rel=1e-6)


def test_c_config_is_parsed(tmp_path: Path) -> None:
    files.make_c(tmp_path / "c.h5", seeds=(3, 5))
    parameters = open_trajectories(tmp_path / "c.h5").parameters
    assert parameters == {"sim": {"Du": 0.001, "seed": 3}, "name": "diff-react"}


def test_config_that_is_no_yaml_is_kept_as_text(tmp_path: Path) -> None:
    files.make_c(tmp_path / "c.h5", seeds=(3,))
    with h5py.File(tmp_path / "c.h5", "a") as file:
        file["0003"].attrs["config"] = "a: [1"
    assert open_trajectories(tmp_path / "c.h5").parameters == {"config": "a: [1"}


def test_d_reads_its_box_and_times_of_each_run(tmp_path: Path) -> None:
    files.make_d(tmp_path / "d.h5")
    data = open_trajectories(tmp_path / "d.h5")
    assert data.lengths == (2.0, 2.0) and data.dt == pytest.approx(0.005)
    assert data.parameters["latestIndex"] == 1
    data.close()
    with h5py.File(tmp_path / "d.h5", "a") as file:
        file["t"][1] *= 2
    data = open_trajectories(tmp_path / "d.h5")
    np.testing.assert_allclose(data.run_times[1], 2 * data.run_times[0])
    with pytest.raises(ValueError, match="different times"):
        _ = data.times


def test_well_keeps_boundaries_and_scalars(tmp_path: Path) -> None:
    files.make_well(tmp_path / "w.h5")
    data = open_trajectories(tmp_path / "w.h5")
    assert data.parameters["boundary_conditions"] == {"x_wall": {"type": "WALL", "dims": "x"}}
    assert data.parameters["scalars"] == {"Rayleigh": 1e6} and data.parameters["Rayleigh"] == 1e6
    assert data.lengths == pytest.approx((1.0, 3.0), rel=1e-6)

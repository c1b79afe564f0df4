"""Writing: every schema reads back equal, bytes are the same, refusals leave nothing, a kill leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.data import convert, open_trajectories, write_trajectories
from tests.data import files

SHAPES = {
    "1d": ((5, 4, 1, 16), ("u",)),
    "1d-pair": ((5, 4, 2, 16), ("u", "v")),
    "2d": ((3, 4, 1, 8, 6), ("w",)),
    "2d-vector": ((3, 4, 3, 8, 6), ("velocity_x", "p", "velocity_y")),
    "3d": ((2, 3, 2, 4, 5, 6), ("density", "Vx")),
    "one-state": ((3, 1, 1, 8), ("u",)),
    "one-run": ((1, 3, 1, 8), ("u",)),
}
PARAMETERS = {"beta": 0.5, "recipe": {"points": [1, 2]}, "seed": 3, "boundary": "periodic", "note": None}


def arguments(shape: tuple[int, ...], fields: tuple[str, ...]) -> dict[str, Any]:
    grid = [np.arange(n) * (2.0 / n) for n in shape[3:]]
    return {
        "shape": shape,
        "fields": fields,
        "times": np.arange(shape[1]) * 0.25,
        "grid": grid,
        "parameters": PARAMETERS,
    }


def schemas(fields: tuple[str, ...]) -> list[str | None]:
    return [None, *(["pdebench-a"] if len(fields) == 1 else []), "pdebench-b", "pdebench-c", "well"]


@pytest.mark.filterwarnings("error::sciode.data.LayoutWarning")
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("case", SHAPES)
def test_each_schema_reads_back_equal(tmp_path: Path, case: str, compression: str | None) -> None:
    shape, fields = SHAPES[case]
    u = files.noise(*shape)
    for schema in schemas(fields):
        blocks = [u[:1], torch.from_numpy(u[1:])] if len(u) > 1 else [u.astype("f8")]
        path = write_trajectories(
            tmp_path / "f.h5", schema, source=blocks, compression=compression, **arguments(shape, fields)
        )
        with open_trajectories(path) as data:
            assert schema is None or data.schema == schema
            assert (data.shape, data.fields, data.parameters) == (shape, fields, PARAMETERS)
            assert data.lengths == pytest.approx((2.0,) * (len(shape) - 3), rel=1e-12)
            np.testing.assert_allclose(data.times, np.arange(shape[1]) * 0.25, rtol=1e-7)
            np.testing.assert_array_equal(data[:].numpy(), u)


def test_schema_is_chosen_by_the_data(tmp_path: Path) -> None:
    chosen = {}
    for case, (shape, fields) in SHAPES.items():
        path = write_trajectories(tmp_path / "f.h5", source=[files.noise(*shape)], **arguments(shape, fields))
        chosen[case] = open_trajectories(path).schema[-1]
    assert chosen == {
        "1d": "a",
        "1d-pair": "c",
        "2d": "c",
        "2d-vector": "c",
        "3d": "b",
        "one-state": "a",
        "one-run": "a",
    }


def test_layout_on_disk_is_that_of_pdebench(tmp_path: Path) -> None:
    shape, fields = SHAPES["1d"]
    u = files.noise(*shape)
    with h5py.File(
        write_trajectories(tmp_path / "a.h5", "pdebench-a", source=[u], **arguments(shape, fields))
    ) as file:
        assert file["tensor"].shape == (5, 4, 16) and file["tensor"].dtype == np.float32
        assert file["t-coordinate"].shape == (5,) and file["t-coordinate"][-1] == 1.0
        assert file.attrs["beta"] == 0.5 and file["tensor"].chunks is None
        np.testing.assert_array_equal(file["tensor"], u[:, :, 0])
    shape, fields = SHAPES["2d-vector"]
    u = files.noise(*shape)
    with h5py.File(
        write_trajectories(tmp_path / "c.h5", "pdebench-c", source=[u], **arguments(shape, fields))
    ) as file:
        assert sorted(file) == ["0000", "0001", "0002"]
        np.testing.assert_array_equal(file["0002/data"], np.moveaxis(u[2], 1, -1))
        assert file["0001/grid/y"].shape == (6,) and "beta: 0.5" in file["0001"].attrs["config"]
    with h5py.File(write_trajectories(tmp_path / "w.h5", "well", source=[u], **arguments(shape, fields))) as file:
        np.testing.assert_array_equal(file["t1_fields/velocity"], np.moveaxis(u[:, :, [0, 2]], 2, -1))
        np.testing.assert_array_equal(file["t0_fields/p"], u[:, :, 1])


def test_same_data_same_bytes(tmp_path: Path) -> None:
    shape, fields = SHAPES["1d-pair"]
    for schema in ("pdebench-b", "pdebench-c", "well"):
        raw = []
        for name in ("one.h5", "two.h5"):
            write_trajectories(
                tmp_path / name, schema, source=[files.noise(*shape)], name="x", **arguments(shape, fields)
            )
            raw.append((tmp_path / name).read_bytes())
        assert raw[0] == raw[1]


def test_time_stamps_are_not_stored(tmp_path: Path) -> None:
    shape, fields = SHAPES["1d"]
    raw = []
    for _ in range(2):
        write_trajectories(tmp_path / "f.h5", "well", source=[files.noise(*shape)], **arguments(shape, fields))
        raw.append((tmp_path / "f.h5").read_bytes())
        time.sleep(1.05)  # HDF5 stamps in whole seconds
    assert raw[0] == raw[1]


def spoilt(value: float) -> np.ndarray:
    u = files.noise(5, 4, 1, 16)
    u[3, 2, 0, 5] = value
    return u


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "few": ([files.noise(3, 4, 1, 16)], {}, "expected 5 trajectories, found 3"),
    "many": ([files.noise(6, 4, 1, 16)], {}, "expected 5 trajectories"),
    "shape": ([files.noise(5, 4, 1, 15)], {}, "expected blocks of shape"),
    "nan": ([spoilt(np.nan)], {}, "trajectory 3, time index 2, field u"),
    "overflow": ([spoilt(0).astype("f8") * 1e300], {}, "not finite in float32"),
    "times": ([], {"times": [0, 1, 1, 2]}, "times must"),
    "grid": ([], {"grid": [np.arange(9)]}, "grid has"),
    "names": ([], {"fields": ["u", "v"]}, "different names"),
    "slash": ([], {"fields": ["a/b"]}, "holds no '/'"),
    "parameters": ([], {"parameters": {"x": float("nan")}}, "JSON-able"),
    "large": ([files.noise(5, 4, 1, 16)], {"parameters": {"x": "y" * 70_000}}, "holds at most"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refusals_leave_the_old_file_and_nothing_else(tmp_path: Path, case: str) -> None:
    source, changed, words = WRONG[case]
    path = tmp_path / "f.h5"
    path.write_text("old")
    given = arguments(*SHAPES["1d"]) | changed
    with pytest.raises(InputError, match=words):
        write_trajectories(path, source=source, **given)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.h5"] and path.read_text() == "old"


def test_what_a_schema_cannot_hold(tmp_path: Path) -> None:
    given = arguments(*SHAPES["1d-pair"])
    u = files.noise(*SHAPES["1d-pair"][0])
    with pytest.raises(InputError, match="holds one field"):
        write_trajectories(tmp_path / "f.h5", "pdebench-a", source=[u], **given)
    with pytest.raises(InputError, match="marks another layout"):
        write_trajectories(tmp_path / "f.h5", "pdebench-b", source=[u], **given | {"fields": ("nu", "u")})
    with pytest.raises(UnknownName, match="did you mean 'pdebench-b'"):
        write_trajectories(tmp_path / "f.h5", "pdebenchb", source=[u], **given)
    with pytest.raises(InputError, match="boundary must be one of"):
        write_trajectories(tmp_path / "f.h5", "well", source=[u], **given | {"parameters": {"boundary": "sticky"}})


@pytest.mark.filterwarnings("error::sciode.data.LayoutWarning")
def test_round_the_schemas_and_back(tmp_path: Path) -> None:
    expected = files.make_a(tmp_path / "0.hdf5")
    for i, schema in enumerate(("pdebench-b", "pdebench-c", "well", "pdebench-a")):
        convert(tmp_path / f"{i}.hdf5", tmp_path / f"{i + 1}.hdf5", schema)
        data = open_trajectories(tmp_path / f"{i + 1}.hdf5")
        assert data.schema == schema and data.fields == ("u",) and data.parameters == {"beta": 0.1}
        np.testing.assert_array_equal(data[:].numpy(), expected)
        np.testing.assert_allclose(data.grid[0], files.centres(16), rtol=1e-6)
        assert data.dt == pytest.approx(0.05, rel=1e-5)


@pytest.mark.parametrize("make", [files.make_darcy, files.make_d, files.make_well, files.make_c])
@pytest.mark.parametrize("schema", ["pdebench-c", "well"])
def test_every_schema_converts(tmp_path: Path, make: Any, schema: str) -> None:
    expected = make(tmp_path / "from.h5")
    with open_trajectories(tmp_path / "from.h5") as data:
        fields, lengths, parameters = data.fields, data.lengths, data.parameters
    data = open_trajectories(convert(tmp_path / "from.h5", tmp_path / "to.h5", schema))
    assert data.fields == fields and data.parameters == parameters
    assert data.lengths == pytest.approx(lengths, rel=1e-6)
    np.testing.assert_array_equal(data[:].numpy(), expected)


def test_convert_chooses_fields_and_refuses_itself(tmp_path: Path) -> None:
    expected = files.make_b(tmp_path / "b.h5", ("density", "Vx"))
    convert(tmp_path / "b.h5", tmp_path / "a.h5", "pdebench-a", fields=["Vx"])
    np.testing.assert_array_equal(open_trajectories(tmp_path / "a.h5")[:].numpy(), expected[:, :, 1:])
    with pytest.raises(InputError, match="other than its source"):
        convert(tmp_path / "b.h5", tmp_path / "b.h5")


def test_a_view_is_written_as_it_shows(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5")
    view = open_trajectories(tmp_path / "a.h5").decimate(2, 2, 4)
    data = open_trajectories(write_trajectories(tmp_path / "b.h5", source=view))
    assert torch.equal(data[:], view[:]) and data.dt == pytest.approx(view.dt)


ENDLESS = """
import sys, time, numpy as np
from sciode.data import write_trajectories
def blocks():
    for i in range({count}):
        yield np.full((1, 4, 1, 1024), i, dtype="f4")
        if i == 50:
            print("going", flush=True)
            time.sleep({pause})
write_trajectories(sys.argv[1], source=blocks(), shape=({count}, 4, 1, 1024), fields=["u"],
                   times=np.arange(4), grid=[np.arange(1024)])
"""


def test_a_killed_writer_leaves_no_file_and_a_rerun_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    command = [sys.executable, "-c", ENDLESS.format(count=100, pause=60), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "going\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1
    subprocess.run([sys.executable, "-c", ENDLESS.format(count=100, pause=0), str(path)], check=True, timeout=60)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.h5"]
    assert open_trajectories(path)[:, 0][:, 0, 0].tolist() == list(range(100))

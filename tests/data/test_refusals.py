"""What is refused, and that the message names the file, the dataset, what was expected and what was found."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciode.core.errors import InputError, LayoutError, UnknownName
from sciode.data import open_trajectories
from tests.data import files


def refused(path: Path, *words: str) -> None:
    with pytest.raises(LayoutError) as caught:
        open_trajectories(path)[:]
    message = str(caught.value)
    for word in (path.name, *words):
        assert word in message, message


def edited(path: Path, edit: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def test_truncated_empty_and_foreign_files(tmp_path: Path) -> None:
    files.make_a(tmp_path / "whole.h5", b=50)
    raw = (tmp_path / "whole.h5").read_bytes()
    for name, size in (("half.h5", len(raw) // 2), ("last.h5", len(raw) - 1)):
        (tmp_path / name).write_bytes(raw[:size])
        refused(tmp_path / name, "truncated")
    (tmp_path / "empty.h5").touch()
    refused(tmp_path / "empty.h5", "empty")
    (tmp_path / "text.h5").write_text("x,y\n1,2\n")
    refused(tmp_path / "text.h5", "not an HDF5 file")


MAKERS = [files.make_a, files.make_darcy, files.make_c, files.make_d, files.make_well]


@pytest.mark.filterwarnings("ignore::sciode.data.LayoutWarning")
@pytest.mark.parametrize("make", MAKERS)
def test_flipped_bytes_are_read_or_refused_and_nothing_else(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "whole.h5")
    raw = (tmp_path / "whole.h5").read_bytes()
    draw = np.random.default_rng(7)
    refusals = 0
    for i in range(60):
        spoilt = bytearray(raw)
        for place in draw.integers(0, min(len(raw), 6000), 6):
            spoilt[place] = draw.integers(256)
        path = tmp_path / f"{i}.h5"
        path.write_bytes(bytes(spoilt))
        try:
            with open_trajectories(path) as data:
                data[0, 0]
        except InputError as error:
            refusals += 1
            assert path.name in str(error)
    assert refusals > 0


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file at .*nowhere\.h5"):
        open_trajectories(tmp_path / "nowhere.h5")


def test_unknown_layout_lists_what_was_found(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["case/velocity"] = np.zeros((3, 4))
        file["label"] = "x"
    refused(tmp_path / "f.h5", "case/velocity [3, 4]", "tensor (A)", "The Well")
    with h5py.File(tmp_path / "e.h5", "w"):
        pass
    refused(tmp_path / "e.h5", "no dataset at all")


def test_missing_keys(tmp_path: Path) -> None:
    files.make_c(tmp_path / "c.h5")
    refused(edited(tmp_path / "c.h5", lambda f: f.__delitem__("0001/data")), "/0001/data", "expected a dataset")
    files.make_well(tmp_path / "w.h5")
    refused(edited(tmp_path / "w.h5", lambda f: f.__delitem__("t1_fields/velocity")), "/t1_fields/velocity")
    files.make_well(tmp_path / "t.h5")
    refused(edited(tmp_path / "t.h5", lambda f: f.__delitem__("dimensions/time")), "/dimensions/time")


def test_wrong_rank(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tensor"] = np.zeros((5, 16), "f4")
        files.coordinates(file, 5, 16)
    refused(tmp_path / "a.h5", "/tensor", "(n, t, x)", "[5, 16]")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["0000/data"] = np.zeros((5, 16), "f4")
        file["0000/grid/x"] = np.arange(16.0)
    refused(tmp_path / "c.h5", "/0000/data", "(t, x, c)", "[5, 16]")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["velocity"], file["particles"] = np.zeros((2, 3, 4, 4), "f4"), np.zeros((2, 3, 4, 4, 1), "f4")
    refused(tmp_path / "d.h5", "/velocity", "(run, t, x, y, 2)", "[2, 3, 4, 4]")


def replace(name: str, shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = np.zeros(shape, "f4")

    return edit


def test_mismatched_shapes(tmp_path: Path) -> None:
    files.make_b(tmp_path / "b.h5", ("density", "Vx"), b=3, t=4, n=(8, 6))
    refused(edited(tmp_path / "b.h5", replace("Vx", (3, 4, 8, 5))), "/Vx", "[3, 4, 8, 6]", "[3, 4, 8, 5]")
    files.make_c(tmp_path / "c.h5")
    refused(
        edited(tmp_path / "c.h5", replace("0002/data", (4, 8, 6, 2))), "/0002/data", "[5, 8, 6, 2]", "[4, 8, 6, 2]"
    )
    files.make_darcy(tmp_path / "n.h5")
    refused(edited(tmp_path / "n.h5", replace("nu", (3, 6, 5))), "/nu", "[3, 6, 6]", "[3, 6, 5]")
    files.make_d(tmp_path / "d.h5")
    refused(edited(tmp_path / "d.h5", replace("force", (3, 8, 8, 2))), "/force", "[3, 8, 8, 2]")
    files.make_a(tmp_path / "x.h5")
    refused(edited(tmp_path / "x.h5", replace("x-coordinate", (9,))), "/x-coordinate", "16 coordinates", "[9]")
    files.make_a(tmp_path / "t.h5", t=5)
    refused(edited(tmp_path / "t.h5", replace("t-coordinate", (9,))), "/t-coordinate", "5 or 6 times", "[9]")
    files.make_well(tmp_path / "w.h5")
    refused(
        edited(tmp_path / "w.h5", lambda f: f["t0_fields/profile"].attrs.modify("time_varying", False)), "profile"
    )


LATE = [(2, 0.05, "duplicate"), (2, 0.01, "goes back"), (1, np.nan, "not finite")]


@pytest.mark.parametrize(("entry", "value", "word"), LATE)
def test_times_that_do_not_increase(tmp_path: Path, entry: int, value: float, word: str) -> None:
    files.make_a(tmp_path / "a.h5", dtype="f8")
    edited(tmp_path / "a.h5", lambda f: f["t-coordinate"].__setitem__(entry, value))
    refused(tmp_path / "a.h5", "/t-coordinate", word, str(entry))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    files.make_b(tmp_path / "b.h5", ("density", "Vx"))
    edited(tmp_path / "b.h5", lambda f: f["Vx"].__setitem__((2, 3, 4, 5), value))
    refused(tmp_path / "b.h5", "/Vx", "trajectory 2", "time index 3", "[4, 5]", str(value))
    data = open_trajectories(tmp_path / "b.h5")
    assert data[:2].isfinite().all() and data[2, :3].isfinite().all()
    assert open_trajectories(tmp_path / "b.h5", fields=["density"])[:].isfinite().all()
    files.make_c(tmp_path / "c.h5", seeds=(4, 9))
    edited(tmp_path / "c.h5", lambda f: f["0009/data"].__setitem__((1, 2, 3, 1), value))
    refused(tmp_path / "c.h5", "/0009/data", "trajectory 1", "time index 1")


def test_values_too_large_for_float32(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tensor"] = np.full((2, 3, 4), 1e300)
        files.coordinates(file, 3, 4)
    refused(tmp_path / "a.h5", "inf", "trajectory 0, time index 0")


def test_numbers_must_be_real(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tensor"] = np.zeros((2, 3, 4), "c8")
    refused(tmp_path / "a.h5", "/tensor", "complex64")


def test_unknown_field_names_the_nearest(tmp_path: Path) -> None:
    files.make_b(tmp_path / "b.h5", ("density", "pressure"))
    with pytest.raises(UnknownName, match="did you mean 'pressure'"):
        open_trajectories(tmp_path / "b.h5", fields=["presure"])


def test_a_file_that_was_rewritten_is_refused_by_later_processes(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5")
    data = open_trajectories(tmp_path / "a.h5")
    data.store.drop()
    files.make_a(tmp_path / "a.h5", b=9)
    with pytest.raises(LayoutError, match="rewritten"):
        data[0]

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciode.core.errors import InputError
from sciode.data import Run, duplicates, reading, validate
from tests.data import files

EVERY = [files.make_a, files.make_darcy, files.make_c, files.make_d, files.make_well]


@pytest.mark.parametrize("make", EVERY)
def test_sound_files_have_no_findings(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "f.h5")
    assert validate(tmp_path / "f.h5") == []


@pytest.mark.parametrize("limit", [1, 2**25])
def test_every_spoilt_trajectory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(reading.pieces, "__defaults__", (limit,))
    files.make_a(tmp_path / "a.h5", b=6, t=5, n=(16,))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["tensor"][1, 3, 2] = np.nan
        file["tensor"][1, 4, :2] = np.inf
        file["tensor"][2] = 0.5
        file["tensor"][5] = file["tensor"][0]
    found = [str(problem) for problem in validate(tmp_path / "a.h5")]
    assert found == [
        "error: /tensor: 3 values of u in trajectory 1 are not finite, first at time index 3",
        "warning: /: trajectory 2 is constant (0.5)",
        "error: /: trajectory 5 is a duplicate of trajectory 0: it leaks across splits",
    ]
    assert [p.severity for p in validate(tmp_path / "a.h5", trajectories=3)] == ["error", "warning"]


def test_long_lists_are_cut(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5", b=60, t=2, n=(4,))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["tensor"][:, 0, 0] = np.nan
    found = validate(tmp_path / "a.h5")
    assert len(found) == 21 and found[-1].message == "not finite: 40 more of the same kind are not listed"


def test_uneven_coordinates_and_differing_groups(tmp_path: Path) -> None:
    files.make_c(tmp_path / "c.h5", n=(7,), c=1)
    with h5py.File(tmp_path / "c.h5", "a") as file:
        for name in ("0000", "0001", "0002"):
            file[name]["grid/t"][4] = 9.0
        file["0002/grid/x"][:] += 1.0
        del file["0001/grid/x"]
    found = {(problem.severity, problem.dataset) for problem in validate(tmp_path / "c.h5")}
    assert found == {("warning", "t"), ("error", "/0002/grid/x"), ("error", "/0001/grid/x")}


def test_a_broken_file_is_a_finding_and_a_missing_one_an_error(tmp_path: Path) -> None:
    (tmp_path / "f.h5").write_text("no")
    (problem,) = validate(tmp_path / "f.h5")
    assert problem.severity == "error" and "not an HDF5 file" in problem.message
    with pytest.raises(InputError, match="no file at"):
        validate(tmp_path / "g.h5")


def test_layout_warnings_are_findings(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tensor"] = files.noise(2, 3, 8)
    assert [problem.severity for problem in validate(tmp_path / "a.h5")] == ["warning", "warning"]


def test_duplicate_runs_are_found_across_files(tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{i}.h5" for i in range(3))
    for path in (one, two, three):
        files.make_d(path)
    with h5py.File(two, "a") as file:
        file["velocity"][0, 3] += 1.0  # equal at both ends, different in between
        file["velocity"][1] += 1.0
    assert duplicates([one, two]) == []
    assert duplicates([one, two, three]) == [
        (Run(one, 0), Run(three, 0)),
        (Run(one, 1), Run(three, 1)),
    ]

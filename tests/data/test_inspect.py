from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciode.data import inspect, write_trajectories
from tests.data import files


def test_text_says_what_a_person_asks_first(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.hdf5")
    text = str(inspect(tmp_path / "a.hdf5"))
    assert "a.hdf5: PDEBench tensor file (schema A), 4×5×16, field u" in text
    for words in ("t-coordinate 6 -> 5", "dt 0.05", "first 10 % test", "4×5×16 float32, contiguous", "beta = 0.1"):
        assert words in text
    assert "written" not in text


def test_description_is_structured(tmp_path: Path) -> None:
    files.make_d(tmp_path / "d.h5")
    found = inspect(tmp_path / "d.h5")
    assert (found.schema, found.shape, found.lengths) == ("pdebench-d", (2, 6, 5, 8, 8), (2.0, 2.0))
    assert [entry.name for entry in found.stored] == ["velocity", "particles", "force"]
    assert found.stored[0].chunks == (1, 1, 8, 8, 2) and found.stored[0].compression == "lzf"
    assert found.size == (tmp_path / "d.h5").stat().st_size and found.version is None
    u = files.noise(2, 3, 1, 8)
    path = write_trajectories(
        tmp_path / "own.h5", source=[u], shape=u.shape, fields=["u"], times=[0, 1, 2], grid=[np.arange(8)]
    )
    assert inspect(path).version is not None and "written   by sciode" in str(inspect(path))


@pytest.mark.parametrize("make", [files.make_darcy, files.make_c, files.make_well])
def test_every_schema_has_a_text(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    expected = make(tmp_path / "f.h5")
    found = inspect(tmp_path / "f.h5")
    assert found.label in str(found) and found.shape == expected.shape


def test_warnings_are_part_of_the_description(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tensor"] = files.noise(2, 3, 8)
    found = inspect(tmp_path / "a.h5")
    assert len(found.warnings) == 2 and "warning   " in str(found)

"""Files of other layouts, described and converted."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from sciode.cli.app import app
from sciode.core.errors import InputError, LayoutError, UnknownName
from sciode.data.logs import LogSpec, SensorLog, convert_log, validate_log

SPEC = """
runs = "/*/shot_*"
pattern = 'shot_(?P<phi>[0-9.]+)'
start_attribute = "begun"
title = "rig"

[[rates]]
name = "fast"
clock = { source = "attribute", path = "wf_increment", start = 0.25 }
channels = [{ path = "P", name = "p", units = "kPa", role = "target", scale = 0.001 }]

[[rates]]
name = "slow"
missing = [-999, 65535]
clock = { source = "dataset", path = "stamps", units = "ms" }
channels = [{ path = "T", units = "degC" }, { path = "V", units = "", kind = "discrete" }]
"""


def rig(path: Path, stamps: np.ndarray | None = None) -> Path:
    """Write a file as an older logger would: two runs below a group, attributes, sentinels, absolute times."""
    with h5py.File(path, "w") as raw:
        for phi in ("0.8", "1.2"):
            group = raw.create_group(f"campaign/shot_{phi}")
            group.attrs["begun"] = b"2026-02-03T04:05:06+00:00"
            data = group.create_dataset("P", data=np.arange(1000, dtype=">i4"))
            data.attrs["wf_increment"] = 0.001
            group.create_dataset("stamps", data=1.7e12 + 100.0 * np.arange(10) if stamps is None else stamps)
            group.create_dataset("T", data=np.array([20, 21, -999, 23, 24, 25, 65535, 27, 28, 29], dtype="i4"))
            group.create_dataset("V", data=np.arange(10.0))
        raw.create_group("campaign/notes")
    return path


def test_everything_is_where_the_spec_says(tmp_path: Path) -> None:
    log = SensorLog(convert_log(rig(tmp_path / "a.h5"), LogSpec.parse(SPEC), tmp_path / "b.h5", quiet=True))
    assert list(log.runs) == ["campaign.shot_0.8", "campaign.shot_1.2"]
    run = log["campaign.shot_1.2"]
    assert run.conditions["phi"].value == 1.2 and run.start == "2026-02-03T04:05:06+00:00"
    p, t = run["p"].read(), run["T"].read()
    np.testing.assert_allclose(p.time, 0.25 + 0.001 * np.arange(1000), rtol=0, atol=1e-12)
    np.testing.assert_allclose(p.values, 0.001 * np.arange(1000), rtol=1e-15)
    np.testing.assert_allclose(t.time, 0.1 * np.arange(10), rtol=0, atol=1e-9)
    assert np.flatnonzero(~t.good).tolist() == [2, 6] and t.values[3] == 23
    assert run["T"].channel.units == "degC" and run["V"].channel.kind == "discrete"
    assert {problem.severity for problem in validate_log(tmp_path / "b.h5")} <= {"warning"}


def test_times_are_repaired_if_asked(tmp_path: Path) -> None:
    stamps = np.array([0.0, 100, 300, 200, 400, 400, 500, np.nan, 700, 800])
    file = rig(tmp_path / "a.h5", stamps)
    with pytest.raises(LayoutError, match="stamps does not rise at sample 3"):
        convert_log(file, LogSpec.parse(SPEC), tmp_path / "b.h5", quiet=True)
    assert not (tmp_path / "b.h5").exists()
    log = SensorLog(convert_log(file, LogSpec.parse(SPEC), tmp_path / "b.h5", repair=True, quiet=True))
    v = log["campaign.shot_0.8"]["V"].read()
    np.testing.assert_allclose(v.time, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8], rtol=0, atol=1e-12)
    assert v.values.tolist() == [0, 1, 3, 2, 5, 6, 8, 9]


def test_one_run_in_the_root(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "flat_3.5.h5", "w") as raw:
        raw["u"] = np.ones(5, dtype="f4")
    spec = """
start = "2026-01-01T00:00:00Z"
pattern = '_(?P<load>[0-9.]+)\\.h5'
[[rates]]
name = "a"
clock = { rate = 10.0 }
channels = [{ path = "u" }]
"""
    log = SensorLog(convert_log(tmp_path / "flat_3.5.h5", LogSpec.parse(spec), tmp_path / "b.h5", quiet=True))
    assert log["flat_3.5"]["u"].read().values.tolist() == [1.0] * 5
    assert log["flat_3.5"].conditions["load"].value == 3.5


def test_the_command_converts(tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text(SPEC)
    call = [
        "log",
        "convert",
        str(rig(tmp_path / "a.h5")),
        str(tmp_path / "rig.toml"),
        str(tmp_path / "b.h5"),
        "-q",
    ]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert len(SensorLog(tmp_path / "b.h5").runs) == 2


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('path = "P"', 'path = "Q"', "has no dataset Q; it has P, T, V, stamps"),
        ("/*/shot_*", "/shot_*", r"has no group /shot_\*; it has /campaign"),
        ("begun", "ended", "has no attribute ended; it has begun"),
        ("wf_increment", "dt", "has no attribute dt; it has wf_increment"),
        ("shot_(?P<phi>[0-9.]+)", "fire_(?P<phi>.+)", "does not match /campaign/shot_0.8"),
        ("shot_(?P<phi>[0-9.]+)", "(?P<phi>shot)", "finds no number"),
        ('path = "stamps"', 'path = "P"', "P has 1000 times, its channels 10 samples"),
        ('{ path = "V"', '{ path = "P"', "different lengths"),
    ],
)
def test_what_the_file_lacks_is_named(tmp_path: Path, old: str, new: str, match: str) -> None:
    assert old in SPEC
    with pytest.raises(LayoutError, match=match):
        convert_log(rig(tmp_path / "a.h5"), LogSpec.parse(SPEC.replace(old, new)), tmp_path / "b.h5", quiet=True)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('start_attribute = "begun"', "", "say when runs began"),
        ('units = "kPa"', 'units = "kPaa"', "does not know the unit 'kPaa'"),
        ('units = "ms"', 'units = "bar"', "clock slow is in 'bar', expected 's'"),
        ('path = "wf_increment", ', "", "source 'attribute' needs path"),
        ("[[rates]]", "[[rats]]", "did you mean 'rates'"),
        ('role = "target"', 'role = "targt"', "did you mean 'target'"),
        ("'shot_(?P<phi>[0-9.]+)'", "'('", "is no regular expression"),
        ('runs = "/*/shot_*"', "runs = ", "is not TOML"),
    ],
)
def test_specs_that_cannot_be_are_named(old: str, new: str, match: str) -> None:
    assert old in SPEC
    with pytest.raises((InputError, UnknownName), match=match):
        LogSpec.parse(SPEC.replace(old, new))


def test_a_spec_without_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no \\[\\[rates\\]\\]"):
        LogSpec.parse('start = "2026-01-01T00:00:00Z"')
    with pytest.raises(InputError, match="no log spec at"):
        LogSpec.read(tmp_path / "none.toml")

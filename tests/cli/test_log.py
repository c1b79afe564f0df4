"""``sciode log``."""

from pathlib import Path

import h5py
from typer.testing import CliRunner

from sciode.cli.app import app
from tests.data.logs.test_logs import engine


def test_inspect_names_every_channel(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["log", "inspect", str(engine(tmp_path / "a.h5"))])
    assert result.exit_code == 0, result.output
    for text in (
        "1000.05 Hz",
        "(irregular)",
        "target",
        "known_future",
        "kelvin",
        "mixture_ratio = 7",
        "split train",
    ):
        assert text in result.output


def test_validate_has_an_exit_status(tmp_path: Path) -> None:
    file = engine(tmp_path / "a.h5")
    sound = CliRunner().invoke(app, ["log", "validate", str(file)])
    assert sound.exit_code == 0 and "no problems found" in sound.output
    with h5py.File(file, "r+") as raw:
        raw["runs/r0/rates/valve/time"][1] = -1.0
    broken = CliRunner().invoke(app, ["log", "validate", str(file)])
    assert broken.exit_code == 1 and "out of order" in broken.output

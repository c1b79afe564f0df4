"""The commands from a log to a model, forecasts, scores and a page, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from sciode.cli.app import app
from sciode.core.errors import InputError
from sciode.data.logs import Channel, LogWriter
from sciode.forecast.pipeline import Recipe, fit_log, predict_log, unseen
from sciode.forecast.store import load_forecaster


def written(file: Path, seed: int, runs: int = 4, units: str = "bar") -> Path:
    """Write runs of a pressure whose amplitude a plan drives."""
    draw = np.random.default_rng(seed)
    with LogWriter(file) as log:
        for k in range(runs):
            run = log.run(f"r{k}", start="2026-01-01T00:00:00Z")
            fast = run.rate("fast", [Channel("p", units, role="target")], sample_rate=2000.0)
            slow = run.rate("slow", [Channel("plan", "", role="known_future")], sample_rate=50.0)
            plan = np.repeat(draw.uniform(-1, 1, 6), 25)
            slow.append({"plan": plan})
            fast.append({"p": np.exp(np.repeat(plan, 40)) * draw.normal(size=6000)})
    return file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("forecast")
    log, new = written(folder / "log.h5", 0), written(folder / "new.h5", 1)
    call = ["fit", log, "-o", folder / "m.safetensors", "--amplitude", "p", "--rate", "50", "--horizon", "0.4"]
    call += ["--members", "3", "--steps", "60", "-q"]
    result = CliRunner().invoke(app, ["forecast", *map(str, call)])
    assert result.exit_code == 0, result.output
    return folder / "m.safetensors", log, new


def run(*call: object) -> str:
    result = CliRunner().invoke(app, ["forecast", *map(str, call)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_forecast_is_written_and_drawn(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, _, new = files
    run("predict", model, new, "-o", tmp_path / "f.nc", "--run", "r2", "--at", "1.5", "--samples", "30")
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as found:
        assert dict(found.p.sizes) == {"sample": 30, "series": 1, "time": 20} and found.p.attrs["units"] == "bar"
        assert bool(np.isfinite(found.p).all())
    assert (tmp_path / "f.png").stat().st_size > 10_000
    with pytest.raises(InputError, match=r"can be forecast from .* asked is 99 s"):
        predict_log(model, new, tmp_path / "g.nc", run="r2", at=99.0)


def test_scores_and_page(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, _, new = files
    run("evaluate", model, new, "--samples", "30", "-o", tmp_path / "s.json")
    rows = json.loads((tmp_path / "s.json").read_text())
    assert [row["lead"] for row in rows] == pytest.approx([0.02, 0.04, 0.2, 0.4])
    assert all(np.isfinite(row["crps"]) for row in rows)
    run("report", model, new, "-o", tmp_path / "r.html", "--on", "2.0", "--samples", "60", "-q")
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") + page.count("<svg") >= 4 and "r0" in page


def test_runs_that_were_seen_are_refused(files: tuple[Path, Path, Path]) -> None:
    model, log, _ = files
    artefact = load_forecaster(model)
    with pytest.raises(InputError, match="was trained on"):
        unseen(artefact, log, list(artefact.about["runs"])[:1])


def test_logs_that_do_not_fit_are_refused(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, log, _ = files
    other = written(tmp_path / "psi.h5", 2, units="psi")
    result = CliRunner().invoke(app, ["forecast", "evaluate", str(model), str(other)])
    assert result.exit_code != 0 and "psi" in str(result.output) + str(result.exception)
    with pytest.raises(InputError, match="the log has no such channel"):
        fit_log(log, tmp_path / "m", Recipe(amplitude=("q",)))
    with pytest.raises(InputError, match="less than a tick"):
        fit_log(log, tmp_path / "m", Recipe(amplitude=("p",), rate=50.0, horizon=0.001))
    with pytest.raises(InputError, match="ticks"):
        fit_log(log, tmp_path / "m", Recipe(kind="ridge", amplitude=("p",), rate=5.0, horizon=1.0))

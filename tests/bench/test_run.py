"""A tiny suite from start to report, on a file of the user's own."""

import csv
import json
import re

import numpy as np
import pytest
import torch
import xarray as xr

from sciode.bench import compare_runs, run_suite
from sciode.bench.compare import comparison_rows, write_html
from sciode.bench.report import write_report
from sciode.bench.scores import NAMES, recorded
from sciode.bench.table import print_run, summarise
from sciode.core.errors import InputError, UnknownName
from sciode.surrogate import load_surrogate
from tests.bench.suite import SUITE, write_suite, write_waves


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def run(suite, tmp_path_factory):
    return run_suite(suite, tmp_path_factory.mktemp("runs") / "first", jobs=1, quiet=True)


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_run_directory_holds_everything(run):
    names = ["config.toml", "env.json", "data.json", "results.json", "results.csv", "report.html", "overview.png"]
    assert all((run / name).stat().st_size > 0 for name in names)
    found = results(run)
    assert found["complete"] and len(found["cells"]) == 5
    assert all(set(recorded(NAMES)) == set(cell["metrics"]) for cell in found["cells"])
    assert (run / "cells/waves--fno--1/metrics.jsonl").is_file()
    environment = json.loads((run / "env.json").read_text())
    assert environment["packages"]["torch"] and environment["sessions"][0]["cells"] == 5


def test_csv_is_long_and_agrees(run):
    rows = list(csv.DictReader((run / "results.csv").open()))
    assert len(rows) == 5 * len(recorded(NAMES))
    cell = next(cell for cell in results(run)["cells"] if cell["model"] == "fno" and cell["seed"] == 1)
    row = next(r for r in rows if (r["model"], r["seed"], r["metric"]) == ("fno", "1", "rollout_nrmse"))
    assert float(row["value"]) == cell["metrics"]["rollout_nrmse"]


def test_persistence_has_its_closed_form(run, suite):
    """Shifting sin(2 pi k x) by d changes it by 2 |sin(pi k d)| of its norm."""
    from sciode.data import open_trajectories, split

    cell = next(cell for cell in results(run)["cells"] if cell["model"] == "persistence")
    data = open_trajectories(suite.parent / "waves.hdf5")
    first = data[np.asarray(split(data).test)][:, 0, 0].numpy()
    waves = np.abs(np.fft.rfft(first)).argmax(axis=1)
    one_step = np.mean(2 * np.abs(np.sin(np.pi * waves * 0.1)))
    rolled = np.mean([2 * np.abs(np.sin(np.pi * waves * 0.1 * k)) for k in range(1, 5)])
    assert cell["seed"] is None
    assert cell["metrics"]["one_step_nrmse"] == pytest.approx(one_step, rel=1e-4)
    assert cell["metrics"]["rollout_nrmse"] == pytest.approx(rolled, rel=1e-4)


def test_rollout_file_agrees_with_the_checkpoint(run):
    truth = xr.load_dataset(run / "rollouts/waves--truth.nc", engine="h5netcdf")
    forecast = xr.load_dataset(run / "rollouts/waves--fno--0.nc", engine="h5netcdf")
    assert forecast.u.dims == ("trajectory", "time", "x")
    model = load_surrogate(run / "cells/waves--fno--0/checkpoints/best.safetensors")
    start = torch.from_numpy(truth.u.values[:, :1])
    with torch.no_grad():
        step = model(start, torch.full((len(start),), 0.1))
    assert np.allclose(step[:, 0].numpy(), forecast.u.values[:, 1], atol=1e-5)
    assert np.array_equal(truth.u.values[:, 0], forecast.u.values[:, 0])


def test_seeds_differ_and_are_all_kept(run):
    line = next(line for line in summarise(results(run)) if line.model == "fno")
    first, second = line.metrics["one_step_nrmse"].seeds
    assert line.seeds == (0, 1) and first != second


def test_a_finished_run_is_left_alone(run, suite):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert run_suite(suite, run, quiet=True) == run
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_another_suite_is_refused_by_what_differs(run, suite, tmp_path):
    with pytest.raises(InputError, match=r"seeds: \[0, 1\] -> \[0, 2\]"):
        run_suite(suite, run, seeds=(0, 2), quiet=True)
    other = suite.with_name("other.toml")
    other.write_text(SUITE.replace("modes = 4", "modes = 3"))
    with pytest.raises(InputError, match=r"models\.fno\.config\.modes: 4 -> 3"):
        run_suite(other, run, quiet=True)


def test_changed_data_are_refused(suite, tmp_path):
    own = write_suite(tmp_path / "own")
    out = run_suite(own, tmp_path / "run", only=["waves/persistence"], jobs=1, quiet=True)
    write_waves(tmp_path / "own/waves.hdf5", trajectories=14)
    with pytest.raises(InputError, match="data of waves have changed"):
        run_suite(own, out, jobs=1, quiet=True)


def test_parts_of_a_suite_and_fresh(suite, tmp_path):
    out = tmp_path / "run"
    run_suite(suite, out, only=["waves/persistence"], jobs=1, quiet=True)
    found = results(out)
    assert not found["complete"] and "waves--fno--0" in found["missing"]
    assert "not complete" in (out / "report.html").read_text()
    run_suite(suite, out, only=["*/persistence"], fresh=True, jobs=1, quiet=True)
    assert (tmp_path / "run-1/results.json").is_file()


def test_a_foreign_directory_is_not_touched(suite, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="neither empty nor a run"):
        run_suite(suite, tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("modes = 4", "mods = 4", "did you mean 'modes'"), ("steps = 12", "stpes = 12", "did you mean 'steps'")],
)
def test_a_wrong_setting_is_found_before_any_work(tmp_path, old, new, message):
    bad = write_suite(tmp_path, SUITE.replace(old, new, 1))
    with pytest.raises(UnknownName, match=message):
        run_suite(bad, tmp_path / "run", jobs=1, quiet=True)
    assert not list((tmp_path / "run").glob("cells/*"))


def test_a_training_that_diverges_is_a_result(tmp_path):
    text = SUITE.replace("learning_rate = 1e-2", "learning_rate = 1e30, clip = 0, warmup = 0")
    out = run_suite(write_suite(tmp_path, text), tmp_path / "run", only=["waves/fno"], jobs=1, quiet=True)
    cells = results(out)["cells"]
    assert len(cells) == 2 and all("finite" in cell["failed"] for cell in cells)
    assert "finite" in (out / "report.html").read_text()


def test_report_needs_nothing_from_outside(run):
    page = (run / "report.html").read_text()
    assert "waves" in page and page.count("<svg") == 6
    loads = re.findall(r"""(?:src|href)=["']?([^"'\s>]+)|url\(([^)]*)\)""", page)
    outside = [a or b for a, b in loads if not (a or b).strip("\"'").startswith(("#", "data:"))]
    assert outside == []
    assert not re.search(r"@import|fetch\(|<link", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_report_is_drawn_from_the_run_directory_alone(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = (run / "report.html").read_text()
    write_report(run)
    assert (run / "report.html").read_text() == before


def test_compare_shows_differences_and_lonely_models(run, suite, tmp_path, capsys):
    other = suite.with_name("less.toml")
    other.write_text(SUITE.replace("[models.fno]", "[models.narrow]\nmodel = 'fno'", 1))
    second = run_suite(other, tmp_path / "second", jobs=1, quiet=True, only=["*/persistence", "*/narrow"])
    rows = comparison_rows(compare_runs(run, second))
    assert ["waves", "fno", "only in the first run", "", "", "", ""] in rows
    assert ["waves", "narrow", "only in the second run", "", "", "", ""] in rows
    same = next(row for row in rows if row[1:3] == ["persistence", "rollout nRMSE"])
    assert same[3] == same[4] and same[5:] == ["0", "1"]
    write_html(compare_runs(run, second), tmp_path / "compare.html")
    assert "only in the first run" in (tmp_path / "compare.html").read_text()
    with pytest.raises(InputError, match="no run at"):
        compare_runs(run, tmp_path / "nothing")


def test_printed_table(run, capsys):
    print_run(run)
    text = capsys.readouterr().out
    assert "±" in text and "persistence" in text and str(run / "report.html") in text

"""Bands of one step, energy, ensembles: closed forms, then a run from suite to report."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sciode.bench import chaos, run_suite
from sciode.bench.chaos_figures import bands_figure, ensemble_figure
from sciode.bench.report import write_report
from sciode.bench.samples import samples_figure
from sciode.bench.store import read_suite
from tests.bench.suite import write_waves

SUITE = """
name = "drawn"
seeds = [0]
metrics = ["one_step_nrmse", "correlation_time", "energy_drift", "one_step_low", "one_step_high", "spread_error",
  "spread_skill", "crps", "warning_time", "warning_correlation"]

[datasets.waves]
path = "waves.hdf5"
rollout = 4
keep = 2
members = 3

[models.persistence]

[models.refiner]
config = { steps = 1, sigma_min = 0.1, network = { width = 4, depth = 1 } }
train = { steps = 8, batch = 8 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_waves(folder / "waves.hdf5", trajectories=30)
    (folder / "suite.toml").write_text(SUITE)
    return run_suite(folder / "suite.toml", folder / "run", jobs=1, quiet=True)


def cells(run: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((run / "cells").glob("*.json"))]


def test_bands_are_relative_errors_of_their_waves() -> None:
    truth, error = torch.zeros(2, 17), torch.zeros(2, 17)
    truth[:, 2], truth[:, 6], truth[:, 14] = 4.0, 1.0, 0.01
    error[:, 2], error[:, 6], error[:, 14] = 0.04, 0.25, 0.01
    found = chaos.bands({"step_error": error, "step_truth": truth})
    assert found == pytest.approx({"one_step_low": 0.1, "one_step_mid": 0.5, "one_step_high": 1.0})


def test_energy_of_a_forecast_of_twice_the_size_is_three_too_much() -> None:
    true = torch.randn(2, 5, 1, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(chaos.energy_drift(2 * true, true), torch.full((2,), 3.0))


class Drawing:
    """Keeps the state, and adds noise whose size differs by sample."""

    def __init__(self, size: Tensor, seed: int | None = None) -> None:
        self.size, self.draw = size, torch.Generator().manual_seed(seed or 0)

    def seeded(self, seed: int) -> "Drawing":
        """Return a member."""
        return Drawing(self.size, seed)

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the next state."""
        return u + self.size.view(-1, 1, 1) * torch.randn(u.shape, generator=self.draw)


def test_an_ensemble_of_the_right_size_is_reliable_and_tells_large_errors_from_small() -> None:
    size = torch.linspace(0.05, 0.5, 40)
    model = Drawing(size)
    states = [torch.randn(40, 1, 64, generator=torch.Generator().manual_seed(1))]
    for _ in range(12):
        states.append(model(states[-1], torch.ones(40)))
    true = torch.stack(states, dim=1)
    problem = SimpleNamespace(entry=SimpleNamespace(members=8), rollout=12, step=0.5, scored=(0,))
    scores = chaos.ensemble(model, true, problem)
    found = chaos.summary(scores, problem, torch.full((40,), 6.0))
    assert found["spread_skill"] == pytest.approx(1.0, abs=0.1)
    assert found["spread_error"] > 0.9
    ranks = torch.tensor(chaos.record(scores, torch.ones(40))["ensemble"]["ranks"])
    assert len(ranks) == 9 and bool((ranks / ranks.mean() - 1).abs().max() < 0.1)


def test_models_that_draw_nothing_have_no_ensemble() -> None:
    problem = SimpleNamespace(entry=SimpleNamespace(members=8), rollout=2, step=1.0)
    assert chaos.ensemble(lambda u, dt: u, torch.zeros(1, 3, 1, 8), problem) == {}
    assert chaos.summary({}, problem, torch.ones(1)) == {} == chaos.record({}, torch.ones(1))


def test_a_run_holds_and_shows_them(run: Path) -> None:
    still, refiner = cells(run)
    assert "ensemble" not in still and len(refiner["ensemble"]["warned"]) == len(refiner["ensemble"]["lost"])
    for cell in (still, refiner):
        error = torch.tensor(cell["spectra"]["step_error"]).sum().sqrt()
        assert math.isfinite(cell["metrics"]["energy_drift"]) and error > 0
    assert math.isfinite(refiner["metrics"]["crps"]) and math.isfinite(refiner["metrics"]["spread_skill"])
    assert "spread_skill" not in still["metrics"]
    page = (run / "report.html").read_text()
    assert "rank of the truth" in page and "error of one step" in page
    assert (run / "figures/waves-ensemble.png").stat().st_size > 0
    figure = bands_figure([still, refiner], ["persistence", "refiner"])
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert list(drawn["refiner"]) == pytest.approx(refiner["spectra"]["step_error"][1:])


def test_curves_over_trajectories_are_of_the_time_that_the_truth_is_followed(tmp_path: Path) -> None:
    write_waves(tmp_path / "waves.hdf5", trajectories=30)
    text = SUITE.replace("members = 3\n", "").replace("[models.refiner]", "[models.net]\nmodel = 'unet'")
    text = text.replace(
        "{ steps = 1, sigma_min = 0.1, network = { width = 4, depth = 1 } }", "{ width = 4, depth = 1 }"
    )
    (tmp_path / "suite.toml").write_text(text + "trajectories = [4, 16]\n")
    folder = run_suite(tmp_path / "suite.toml", tmp_path / "run", jobs=1, quiet=True)
    assert "time until the correlation falls below 0.8" in (folder / "report.html").read_text()
    suite, found = read_suite(folder), cells(folder)
    figure = samples_figure(suite, found)
    drawn = next(line for line in figure.axes[0].get_lines() if line.get_label() == "net")
    times = {cell["model"]: cell["metrics"]["correlation_time"] for cell in found}
    assert list(drawn.get_xdata()) == [4, 16]
    assert list(drawn.get_ydata()) == [times["net-4"], times["net-16"]]


def test_results_without_them_still_make_a_report(run: Path) -> None:
    for path in (run / "cells").glob("*.json"):
        cell = json.loads(path.read_text())
        cell.pop("ensemble", None)
        for key in ("step_error", "step_truth"):
            cell["spectra"].pop(key)
        for key in ("correlation_low", "correlation_high"):
            cell["curves"].pop(key)
        path.write_text(json.dumps(cell))
    assert bands_figure(cells(run), ["persistence", "refiner"]) is None
    assert ensemble_figure(cells(run), ["persistence", "refiner"]) is None
    assert "error of one step" not in write_report(run).read_text()

"""Data with drawn parameters in a suite: only what is forecast is scored, and a solver reads what it is told."""

from pathlib import Path

import pytest
import torch

from sciode.bench.config import DatasetEntry
from sciode.bench.problems import Problem, coarse_stepper, prepare
from sciode.surrogate import Persistence

CHANGE = {"points": 96, "oversample": 1, "trajectories": 20, "times": 5, "end": 2.0, "burn_in": 30.0, "dt": 0.025}


def problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **entry: object) -> Problem:
    monkeypatch.setenv("SCIODE_DATA", str(tmp_path))
    given = {"name": "ks", "recipe": "kuramoto_sivashinsky_viscosity", "change": CHANGE, **entry}
    return prepare(DatasetEntry(**given), "cpu", quiet=True)


def test_a_solver_reads_its_parameters_from_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = problem(tmp_path, monkeypatch)
    u = made.data[:].double()
    same = coarse_stepper(made, {"coarsen": 1})
    later = same(u[:, 0], torch.full((20,), made.step, dtype=torch.float64))
    torch.testing.assert_close(later[:, :1], u[:, 1, :1], rtol=0, atol=1e-5)  # what was stored, in float32
    assert torch.equal(later[:, 1:], u[:, 0, 1:])


def test_only_what_is_forecast_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sciode.bench.evaluate import evaluate

    made = problem(tmp_path, monkeypatch)
    alone = problem(tmp_path, monkeypatch, fields=("u",))
    turned = problem(tmp_path, monkeypatch, fields=("length", "pace", "u", "viscosity"))
    assert (made.scored, alone.scored, turned.scored) == ([0], [0], [2])
    first, *others = (evaluate(Persistence(), p, "cpu")[0]["metrics"] for p in (made, alone, turned))
    for other in others:
        for name, value in first.items():
            if name != "rollout_ms":
                assert other[name] == pytest.approx(value, rel=1e-5), name

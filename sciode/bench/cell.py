"""One cell, from model to numbers on disk."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sciode.bench.cells import Cell
from sciode.bench.config import ModelEntry
from sciode.bench.evaluate import evaluate
from sciode.bench.pretrain import continued, training, weights_path
from sciode.bench.problems import Problem, coarse_stepper
from sciode.bench.rollouts import truth_path, write_rollout
from sciode.core.errors import InputError
from sciode.core.files import read_json, write_json
from sciode.core.names import check_keys
from sciode.core.random import derive_seed
from sciode.data import Split, subset
from sciode.surrogate import Surrogate, build
from sciode.train import DivergedError, fit


def check_device(device: str) -> None:
    """Raise :class:`InputError` for a device that torch does not have here.

    >>> check_device("cpu")
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used: {first}") from error


def check_model(entry: ModelEntry, problem: Problem) -> None:
    """Build the model once and its training settings, so that a mistake shows before hours of work."""
    if entry.start is None:
        make_model(entry, problem, seed=0)
    _, train = entry.settings(problem.entry.name)
    if entry.deterministic:
        check_keys(train, (), f"training option of {entry.model}, which is not trained")
    else:
        training(train, problem.data.shape)
        chosen(entry, problem)


def make_model(entry: ModelEntry, problem: Problem, seed: int, start: Path | None = None) -> Surrogate:
    """Build the model of a cell; its first weights depend on the seed alone, wherever the cell stands.

    ``start`` is a checkpoint to take the weights from.
    """
    config, _ = entry.settings(problem.entry.name)
    if entry.model == "stepper":
        return coarse_stepper(problem, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        if start is not None:
            return continued(start, problem.data)
        return build(entry.model, problem.data, **config)


def chosen(entry: ModelEntry, problem: Problem) -> Split:
    """Return the split that a model is trained on; raises :class:`InputError` for too few trajectories."""
    return problem.split if entry.trajectories is None else subset(problem.split, entry.trajectories)


def run_cell(cell: Cell, entry: ModelEntry, problem: Problem, folder: Path, device: str) -> dict[str, Any]:
    """Train where the model learns, evaluate, write rollouts and, last, the result, which is returned."""
    seed = cell.seed or 0
    start = None if entry.start is None else weights_path(folder, entry.start, seed)
    model = make_model(entry, problem, seed, start)
    record: dict[str, Any] = {"dataset": cell.dataset, "model": cell.model, "seed": cell.seed, "device": device}
    costs = {"parameters": 0, "train_seconds": 0.0}
    if isinstance(model, nn.Module):
        costs["parameters"] = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
        try:
            record |= _train(cell, entry, model, problem, folder, device)
        except DivergedError as error:
            return _finish(cell, folder, {**record, "failed": str(error)})
        costs["train_seconds"] = record["seconds"]
        model.to(device).eval()
    scores, predicted, true = evaluate(model, problem, device)
    write_rollout(cell.rollout(folder), predicted, problem, cell.id)
    if not (truth := truth_path(folder, cell.dataset)).is_file():
        write_rollout(truth, true, problem, f"{cell.dataset}, truth")
    return _finish(cell, folder, {**record, **scores, "metrics": {**scores["metrics"], **costs}})


def _finish(cell: Cell, folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    write_json(cell.result(folder), record)
    return record


def _train(
    cell: Cell, entry: ModelEntry, model: nn.Module, problem: Problem, folder: Path, device: str
) -> dict[str, Any]:
    _, settings = entry.settings(cell.dataset)
    given = {"leads": (problem.entry.lead,), **settings, "seed": cell.seed}
    options, loss = training(given, problem.data.shape)
    clock, earlier = time.perf_counter(), _clock(cell.work(folder))
    kind = torch.device(device).type
    history = fit(
        model,
        problem.data,
        split=chosen(entry, problem),
        directory=cell.work(folder),
        loss=loss,
        device=kind,
        quiet=True,
        **options,
    )
    seconds = earlier + time.perf_counter() - clock
    write_json(cell.work(folder) / "clock.json", {"seconds": seconds})
    records = [
        {"epoch": r["epoch"], "train": r["train_loss"], "validation": r.get("validation")} for r in history.records
    ]
    return {
        "seconds": seconds,
        "training": records,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
    }


def _clock(folder: Path) -> float:
    # A cell killed between training and its result has its training time here.
    path = folder / "clock.json"
    return float(read_json(path)["seconds"]) if path.is_file() else 0.0

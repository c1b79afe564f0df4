"""The cells of a run: data set, model and seed, and where each leaves its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciode.bench.config import Suite
from sciode.core.files import read_json
from sciode.core.names import check_keys


@dataclass(frozen=True)
class Cell:
    """One entry of the grid; ``seed`` is None for a model that has no randomness.

    >>> Cell("kdv", "fno", 0).id, Cell("kdv", "persistence", None).id
    ('kdv--fno--0', 'kdv--persistence')
    """

    dataset: str
    model: str
    seed: int | None

    @property
    def id(self) -> str:
        """Name of the cell in file names."""
        parts = [self.dataset, self.model] + ([] if self.seed is None else [str(self.seed)])
        return "--".join(parts)

    def result(self, folder: Path) -> Path:
        """Where the finished cell's numbers stand; the cell is finished when this file exists."""
        return folder / "cells" / f"{self.id}.json"

    def work(self, folder: Path) -> Path:
        """Where the training keeps its log and its checkpoints."""
        return folder / "cells" / self.id

    def rollout(self, folder: Path) -> Path:
        """Where forecasts of the first test trajectories stand."""
        return folder / "rollouts" / f"{self.id}.nc"


def cells_of(suite: Suite) -> list[Cell]:
    """Return all cells of a suite, data set by data set.

    >>> from sciode.bench.suites import load_suite
    >>> [cell.id for cell in cells_of(load_suite("smoke"))][:3]
    ['advection--persistence', 'advection--stepper', 'advection--fno--0']
    """
    return [
        Cell(dataset.name, model.name, seed)
        for dataset in suite.datasets
        for model in suite.models
        if model.model != "stepper" or dataset.recipe is not None
        for seed in ([None] if model.deterministic else suite.seeds)
    ]


def choose(suite: Suite, only: Sequence[str]) -> list[Cell]:
    """Return the cells that ``only`` names: "DATASET", "DATASET/MODEL" or "*/MODEL"; all where it is empty.

    Raises :class:`UnknownName` for a data set or model that the suite does not have.
    """
    cells = cells_of(suite)
    if not only:
        return cells
    pairs = [(entry.partition("/")[0], entry.partition("/")[2] or "*") for entry in only]
    check_keys([a for a, _ in pairs], ["*", *(entry.name for entry in suite.datasets)], "data set")
    check_keys([b for _, b in pairs], ["*", *(entry.name for entry in suite.models)], "model")
    return [cell for cell in cells if any(a in ("*", cell.dataset) and b in ("*", cell.model) for a, b in pairs)]


def finished(folder: Path, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return the results of those ``cells`` that are finished, in order."""
    return [read_json(path) for path in (cell.result(folder) for cell in cells) if path.is_file()]

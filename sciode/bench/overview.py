"""One figure for the whole run: a true trajectory, the best network's forecast, and every model's error."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciode.bench.cells import Cell
from sciode.bench.config import DETERMINISTIC, Suite
from sciode.bench.curves import Record, by_model, error_axes, log_scale
from sciode.bench.pictures import first_trajectory, limit, snapshot, space_time
from sciode.bench.rollouts import truth_path
from sciode.bench.samples import largest


def overview_figure(folder: Path, suite: Suite, records: Mapping[str, Sequence[Record]]) -> Figure:
    """Return a column for each data set: truth, best forecast by a network, error over time."""
    names = [name for name, cells in records.items() if by_model(cells)]
    figure = Figure(figsize=(2.75 * len(names) + 0.4, 6.0), layout="constrained")
    panels = figure.subplots(3, len(names), squeeze=False, gridspec_kw={"height_ratios": [1, 1, 1.25]})
    models = largest(suite)
    for column, name in enumerate(names):
        best = _best(records[name], suite)
        _pair(panels[:2, column], folder, name, best)
        axes = panels[2, column]
        error_axes(axes, records[name], models)
        log_scale(axes)
        panels[0, column].set_title(name.replace("_", " "), loc="left", fontweight="bold")
        panels[1, column].set_title(f"forecast by {best.model}", loc="left", fontsize=9)
    panels[0, 0].set_ylabel("truth\nx")
    panels[1, 0].set_ylabel("forecast\nx")
    panels[2, 0].set_ylabel("rollout nRMSE")
    handles: dict[str, Artist] = {}
    for axes in panels[2]:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(len(handles), 6))
    return figure


def _best(records: Sequence[Record], suite: Suite) -> Cell:
    """Return the learned cell with the smallest rollout error; any other model where none was trained."""
    whole = [record for record in records if "failed" not in record]
    trained = [record for record in whole if suite.model(record["model"]).model not in DETERMINISTIC]

    def error(record: Record) -> float:
        found = record["metrics"]["rollout_nrmse"]
        return float("inf") if found is None else float(found)

    best = min(trained or whole, key=error)
    return Cell(best["dataset"], best["model"], best["seed"])


def _pair(panels: np.ndarray, folder: Path, name: str, best: Cell) -> None:
    true, guess = first_trajectory(truth_path(folder, name)), first_trajectory(best.rollout(folder))
    bound = limit(true.values if true.ndim == 2 else true.values[-1])
    for axes, field in zip(panels, (true, guess), strict=True):
        _picture(axes, field, bound)
    if true.ndim == 2:
        panels[0].tick_params(labelbottom=False)


def _picture(axes: Axes, field: xr.DataArray, bound: float) -> None:
    if field.ndim == 2:
        space_time(axes, field, bound)
        return
    middle = field.values if field.ndim == 3 else field.values[..., field.shape[-1] // 2]
    snapshot(axes, middle[-1], bound)
    axes.set_xlabel(f"last state, t = {float(field['time'][-1]):.3g}")

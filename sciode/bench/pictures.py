"""Pictures of fields: truth, forecasts and their errors for the first test trajectory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from sciode.bench.rollouts import read_rollout
from sciode.bench.style import ERROR, FIELD

_ABREAST = 5  # forecasts in a row, as many as a page shows at a readable size


def field_figure(truth: Path, forecasts: Mapping[str, Path]) -> Figure | None:
    """Return the picture of one data set: space--time diagrams in 1D, snapshots in 2D; None in 3D.

    Parameters
    ----------
    truth
        ``rollouts/DATASET--truth.nc``.
    forecasts
        Model to its rollout file, in the order to show.
    """
    true = first_trajectory(truth)
    guesses = {name: first_trajectory(path) for name, path in forecasts.items()}
    if true.ndim == 2:
        return _space_time(true, guesses)
    return _snapshots(true, guesses) if true.ndim == 3 else None


def first_trajectory(path: Path) -> xr.DataArray:
    """Return the first field of the first trajectory of a rollout file, "time x [y]"."""
    data = read_rollout(path)
    return data[next(iter(data.data_vars))].isel(trajectory=0)


def limit(values: np.ndarray) -> float:
    """Return the bound of a symmetric colour scale; not drawn out by values that are not finite.

    >>> limit(np.array([-2.0, 1.0, np.nan]))
    2.0
    """
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def space_time(axes: Axes, field: xr.DataArray, bound: float, cmap: str = FIELD) -> AxesImage:
    """Draw a 1D trajectory: time to the right, space upwards."""
    t, x = field["time"].values, field["x"].values
    edges = (float(t[0]), float(t[-1]), float(x[0]), float(x[-1]))
    image = axes.imshow(
        field.values.T, origin="lower", aspect="auto", extent=edges, cmap=cmap, vmin=-bound, vmax=bound
    )
    axes.grid(False)
    return image


def snapshot(axes: Axes, field: np.ndarray, bound: float, cmap: str = FIELD) -> AxesImage:
    """Draw one 2D state "x y", x to the right."""
    image = axes.imshow(field.T, origin="lower", cmap=cmap, vmin=-bound, vmax=bound)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    return image


def _space_time(true: xr.DataArray, guesses: Mapping[str, xr.DataArray]) -> Figure:
    parts = [dict(list(guesses.items())[i : i + _ABREAST]) for i in range(0, max(1, len(guesses)), _ABREAST)]
    columns = 1 + len(parts[0])
    figure = Figure(figsize=(2.15 * columns + 0.6, 3.9 * len(parts)), layout="constrained")
    rows = figure.subfigures(len(parts), 1, squeeze=False)[:, 0]
    for row, part in zip(rows, parts, strict=True):
        _abreast(row, true, part, columns)
    return figure


def _abreast(figure: SubFigure, true: xr.DataArray, guesses: Mapping[str, xr.DataArray], columns: int) -> None:
    """Draw the truth, then forecasts above their errors, and leave the columns empty that are too many."""
    panels = figure.subplots(2, columns, sharex=True, sharey=True, squeeze=False)
    bound = limit(true.values)
    for spare in panels[:, 1 + len(guesses) :].flat:
        spare.set_visible(False)
    upper = space_time(panels[0, 0], true, bound)
    panels[0, 0].set_title(f"truth, {true.name}", loc="left")
    panels[1, 0].set_visible(False)
    panels[0, 0].set_ylabel("x")
    panels[0, 0].set_xlabel("time")
    panels[0, 0].tick_params(labelbottom=True)
    lower = None
    for column, (name, guess) in enumerate(guesses.items(), start=1):
        space_time(panels[0, column], guess, bound)
        panels[0, column].set_title(name, loc="left")
        lower = space_time(panels[1, column], guess - true, bound, ERROR)
        panels[1, column].set_title(f"{name} − truth", loc="left")
        panels[1, column].set_xlabel("time")
    figure.colorbar(upper, ax=list(panels[0]), aspect=14, pad=0.01)
    if lower is not None:
        figure.colorbar(lower, ax=list(panels[1]), aspect=14, pad=0.01)
        panels[1, 1].tick_params(labelleft=True)
        panels[1, 1].set_ylabel("x")


def _snapshots(true: xr.DataArray, guesses: Mapping[str, xr.DataArray]) -> Figure:
    times = _moments(true.sizes["time"])
    rows = ["truth", *guesses]
    figure = Figure(figsize=(1.42 * 2 * len(times) + 1.3, 1.5 * len(rows) + 0.2), layout="constrained")
    panels = figure.subplots(len(rows), 2 * len(times), squeeze=False)
    bound = limit(true.values[list(times)])
    upper = lower = None
    for row, name in enumerate(rows):
        field = true if name == "truth" else guesses[name]
        panels[row, 0].set_ylabel(name)
        for column, step in enumerate(times):
            upper = snapshot(panels[row, column], field.values[step], bound)
            beside = panels[row, len(times) + column]
            if name == "truth":
                beside.set_visible(False)
                continue
            lower = snapshot(beside, field.values[step] - true.values[step], bound, ERROR)
            if row == 1:
                beside.set_title(f"error, t = {_time(true, step)}", loc="left", fontsize=9)
    for column, step in enumerate(times):
        panels[0, column].set_title(f"{true.name}, t = {_time(true, step)}", loc="left", fontsize=9)
    for image, ax in ((upper, panels[:, : len(times)]), (lower, panels[:, len(times) :])):
        if image is not None:
            figure.colorbar(image, ax=list(ax.flat), aspect=45, shrink=0.5, pad=0.01)
    return figure


def _time(field: xr.DataArray, step: int) -> str:
    return f"{float(field['time'][step]):.3g}"


def _moments(count: int) -> Sequence[int]:
    return sorted({1, count // 2, count - 1})

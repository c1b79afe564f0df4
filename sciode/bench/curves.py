"""Line plots of a run: error over time, spectra, training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sciode.bench.style import INK, colours, dash

_BANDS = 5  # more bands over each other hide each other
Record = Mapping[str, Any]
"""The content of a cell's JSON file."""


def by_model(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group the cells of one data set by model; those that failed are left out."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if "failed" not in record:
            groups.setdefault(record["model"], []).append(record)
    return groups


def array(values: Sequence[float | None]) -> np.ndarray:
    """Return numbers from JSON, NaN where there is none."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def error_axes(axes: Axes, records: Sequence[Record], models: Sequence[str], name: str = "nrmse") -> None:
    """Draw a curve of every model: the mean over the seeds, and a band from the lowest to the highest."""
    palette = colours(models)
    for model, cells in by_model(records).items():
        time = array(cells[0]["curves"]["time"])
        values = np.stack([array(cell["curves"][name]) for cell in cells])
        axes.plot(time, values.mean(axis=0), color=palette[model], linestyle=dash(model, models), label=model)
        if len(cells) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(time, low, high, color=palette[model], alpha=0.2, linewidth=0)
    axes.set_xlabel("time")


def error_figure(records: Sequence[Record], models: Sequence[str]) -> Figure:
    """Return nRMSE and correlation over the time of the rollout, side by side."""
    figure = Figure(figsize=(9.2, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    error_axes(left, records, models)
    log_scale(left)
    left.set_ylabel("nRMSE")
    left.set_title("rollout error", loc="left")
    error_axes(right, records, models, "correlation")
    _quartiles(right, records, models)
    right.axhline(0.8, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    right.set_ylabel("correlation with the truth")
    right.set_ylim(min(0.0, right.get_ylim()[0]), 1.04)
    right.set_title("followed until 0.8", loc="left")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


def _quartiles(axes: Axes, records: Sequence[Record], models: Sequence[str]) -> None:
    """Shade between the quartiles over trajectories of models with one seed; others have their seeds' band."""
    palette, groups = colours(models), by_model(records)
    if len(groups) > _BANDS:
        return
    for model, cells in groups.items():
        curves = cells[0]["curves"]
        if len(cells) == 1 and "correlation_low" in curves:
            low, high = array(curves["correlation_low"]), array(curves["correlation_high"])
            axes.fill_between(array(curves["time"]), low, high, color=palette[model], alpha=0.12, linewidth=0)


def log_scale(axes: Axes) -> None:
    """Make the error axis logarithmic, within bounds that leave the curves apart."""
    values = [np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()]
    if any((found > 0).any() for found in values):
        axes.set_yscale("log")
        # A solver that is exact to round-off, or one that blew up, must not squeeze all the others.
        low, high = axes.get_ylim()
        high = min(high, 1e3)
        axes.set_ylim(min(max(low, 1e-7), high / 30), high)
        axes.minorticks_off()


def spectrum_figure(records: Sequence[Record], models: Sequence[str]) -> Figure:
    """Return energy by wave number, one panel for each time kept: the truth, and the first seed of each model."""
    groups, palette = by_model(records), colours(models)
    first = next(iter(groups.values()))[0]["spectra"]
    figure = Figure(figsize=(9.2, 2.9), layout="constrained")
    panels = figure.subplots(1, len(first["time"]), sharey=True, squeeze=False)[0]
    waves = array(first["wavenumber"])[1:]
    for index, (axes, time) in enumerate(zip(panels, first["time"], strict=True)):
        truth = array(first["truth"][index])[1:]
        axes.loglog(waves, truth, color=INK, linewidth=2.6, alpha=0.55, label="truth")
        for model, cells in groups.items():
            energy = array(cells[0]["spectra"]["model"][index])[1:]
            axes.loglog(
                waves, energy, color=palette[model], linestyle=dash(model, models), label=model, linewidth=1.4
            )
        axes.minorticks_off()
        axes.set_title(f"t = {time:.3g}", loc="left")
        axes.set_xlabel("wave number")
    panels[0].set_ylim(*_energy_limits(first["truth"]))
    panels[0].set_ylabel("energy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


def _energy_limits(truth: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Return bounds of the energy axis: those of the truth, and not more than twelve decades."""
    energy = np.concatenate([array(row)[1:] for row in truth])
    energy = energy[energy > 0]
    top = float(energy.max()) if energy.size else 1.0
    return max(top * 1e-12, float(energy.min(initial=top)) * 0.1), top * 10


def training_figure(records: Sequence[Record], models: Sequence[str]) -> Figure | None:
    """Return validation error by epoch, a line for each seed; None where nothing was trained."""
    palette, named = colours(models), set[str]()
    trained = [record for record in records if "training" in record]
    if not trained:
        return None
    figure = Figure(figsize=(6.4, 2.7), layout="constrained")
    axes = figure.subplots()
    for record in trained:
        model = record["model"]
        points = [(r["epoch"], r["validation"]) for r in record["training"] if r["validation"] is not None]
        if not points:
            continue
        label = None if model in named else model
        look: dict[str, Any] = {"color": palette[model], "linestyle": dash(model, models), "linewidth": 1.1}
        axes.plot(*zip(*points, strict=True), **look, alpha=0.85, label=label)
        named.add(model)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("validation nRMSE")
    axes.set_title("training", loc="left")
    if named:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def leads_figure(records: Sequence[Record], models: Sequence[str]) -> Figure | None:
    """Return the error of direct forecasts by lead time; None where no model was trained with several leads."""
    palette = colours(models)
    groups = {name: cells for name, cells in by_model(records).items() if "direct" in cells[0]["curves"]}
    if not groups:
        return None
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    axes = figure.subplots()
    for name, cells in groups.items():
        lead = array(cells[0]["curves"]["lead"])
        values = np.stack([array(cell["curves"]["direct"]) for cell in cells])
        axes.plot(lead, values.mean(axis=0), color=palette[name], marker="o", markersize=3, label=name)
        axes.fill_between(
            lead, values.min(axis=0), values.max(axis=0), color=palette[name], alpha=0.2, linewidth=0
        )
    axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("lead time in steps of the data")
    axes.set_ylabel("median relative L1")
    axes.set_title("one evaluation from the first state", loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure

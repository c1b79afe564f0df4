"""Figures of chaotic forecasts: one step by wave number, and what ensembles know of their error."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciode.bench.curves import Record, array, by_model
from sciode.bench.style import INK, colours, dash


def bands_figure(records: Sequence[Record], models: Sequence[str]) -> Figure | None:
    """Return the spectrum of the error of one step beside the truth's; None for records that lack it."""
    groups, palette = by_model(records), colours(models)
    groups = {name: [c for c in cells if "step_error" in c["spectra"]] for name, cells in groups.items()}
    groups = {name: cells for name, cells in groups.items() if cells}
    if not groups:
        return None
    figure = Figure(figsize=(6.4, 3.1), layout="constrained")
    axes = figure.subplots()
    first = next(iter(groups.values()))[0]["spectra"]
    waves, truth = array(first["wavenumber"])[1:], array(first["step_truth"])[1:]
    axes.loglog(waves, truth, color=INK, linewidth=2.6, alpha=0.55, label="truth")
    for name, cells in groups.items():
        energy = np.mean([array(cell["spectra"]["step_error"])[1:] for cell in cells], axis=0)
        axes.loglog(waves, energy, color=palette[name], linestyle=dash(name, models), linewidth=1.4, label=name)
    axes.minorticks_off()
    axes.set_ylim(float(np.nanmax(truth)) * 1e-13, float(np.nanmax(truth)) * 10)
    axes.set_xlabel("wave number")
    axes.set_ylabel("energy")
    axes.set_title("error of one step", loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def ensemble_figure(records: Sequence[Record], models: Sequence[str]) -> Figure | None:
    """Return spread and error over time, warned and true times, and ranks, of the models that draw; else None."""
    palette = colours(models)
    groups = {name: [c for c in cells if "ensemble" in c] for name, cells in by_model(records).items()}
    groups = {name: cells for name, cells in groups.items() if cells}
    if not groups:
        return None
    figure = Figure(figsize=(9.2, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for name, cells in groups.items():
        _spread(left, cells, name, palette[name])
        for cell in cells:
            found = cell["ensemble"]
            middle.plot(
                array(found["warned"]), array(found["lost"]), "o", color=palette[name], markersize=3, alpha=0.6
            )
    left.set_xlabel("time")
    left.set_ylabel("root mean square")
    left.set_title("error, and spread (dashed)", loc="left")
    left.legend(loc="lower right")
    edge = max(middle.get_xlim()[1], middle.get_ylim()[1])
    middle.plot([0, edge], [0, edge], color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    middle.set_xlabel("time when members part")
    middle.set_ylabel("time when the truth is lost")
    middle.set_title("warning", loc="left")
    _ranks(right, groups, palette)
    return figure


def _spread(axes: Axes, cells: Sequence[Record], name: str, colour: str) -> None:
    time = array(cells[0]["curves"]["time"])
    for key, style, label in (("error", "-", name), ("spread", (0, (4, 2)), None)):
        values = np.mean([array(cell["ensemble"][key]) for cell in cells], axis=0)
        axes.semilogy(time, values, color=colour, linestyle=style, label=label)
    axes.minorticks_off()


def _ranks(axes: Axes, groups: dict[str, list[Record]], palette: dict[str, str]) -> None:
    for name, cells in groups.items():
        counts = np.sum([array(cell["ensemble"]["ranks"]) for cell in cells], axis=0)
        axes.step(np.arange(len(counts)), counts / counts.sum() * len(counts), where="mid", color=palette[name])
    axes.axhline(1.0, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    axes.set_ylim(0.0, max(1.5, 1.05 * max(float(np.max(line.get_ydata())) for line in axes.get_lines())))
    axes.set_xlabel("rank of the truth among the members")
    axes.set_ylabel("frequency, 1 if reliable")
    axes.set_title("ranks", loc="left")

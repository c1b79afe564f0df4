"""Generated states beside those of the data, as one picture."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from sciode.bench.style import FIELD, INK, drawing, png, settle
from sciode.data import Trajectories
from sciode.synthesis.compare import increments, spectra

_COLOURS = {"test data": INK, "model": "#D55E00", "Gaussian field": "#0072B2"}
_CURVES, _IMAGES = 6, 3


def draw(path: Path, made: Tensor, truth: Tensor, gaussian: Tensor, data: Trajectories) -> None:
    """Write the picture of the first field: states above; spectrum, values, increments and mean below.

    ``made``, ``truth``, ``gaussian`` are states ``"b c *n"`` in physical units.
    """
    groups = {"test data": truth, "model": made, "Gaussian field": gaussian}
    first = {name: states[:, :1].double().cpu() for name, states in groups.items()}
    with drawing():
        figure = Figure(figsize=(9.4, 6.4), layout="constrained")
        parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1.0))
        upper, lower = parts[0, 0], parts[1, 0]
        _states(upper, first, data)
        panels = lower.subplots(1, 4, squeeze=False)[0]
        _spectra(panels[0], first, data)
        _density(panels[1], first, f"values, {data.fields[0]}")
        _density(panels[2], {name: increments(s) for name, s in first.items()}, "increments")
        _means(panels[3], first)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        settle(figure)
        png(figure, path)


def _states(figure: SubFigure, groups: dict[str, Tensor], data: Trajectories) -> None:
    columns = {name: _spread(states, _CURVES if states.dim() == 3 else _IMAGES) for name, states in groups.items()}
    bound = float(torch.stack([states.abs().max() for states in columns.values()]).max())
    if len(data.grid) == 1:
        panels = figure.subplots(1, 3, sharey=True, squeeze=False)[0]
        for axes, (name, states) in zip(panels, columns.items(), strict=True):
            for row, state in enumerate(states[:, 0].numpy()):
                axes.axhline(2 * bound * row, color="#888888", linewidth=0.5, alpha=0.5)
                axes.plot(data.grid[0], state + 2 * bound * row, color=_COLOURS[name], linewidth=1.3)
            axes.set(title=name, xlabel="x", yticks=[])
            axes.grid(False)
        panels[0].set_ylabel(f"{data.fields[0]}, {len(states)} states")
        return
    panels = figure.subplots(1, 3 * _IMAGES, squeeze=False)[0]
    for column, (name, states) in enumerate(columns.items()):
        for row, state in enumerate(states[:, 0].numpy()):
            axes = panels[column * _IMAGES + row]
            plane = state if state.ndim == 2 else state[..., state.shape[-1] // 2]
            axes.imshow(plane.T, origin="lower", cmap=FIELD, vmin=-bound, vmax=bound)
            axes.set(xticks=[], yticks=[], title=name if row == 0 else "")
            axes.grid(False)


def _spread(states: Tensor, count: int) -> Tensor:
    return states[torch.arange(count) * len(states) // count]


def _spectra(axes: Axes, groups: dict[str, Tensor], data: Trajectories) -> None:
    for name, states in groups.items():
        energy = spectra(states, data.lengths)[:, 1:].numpy()
        shells = np.arange(1, energy.shape[1] + 1)
        low, high = np.quantile(energy, (0.1, 0.9), axis=0)
        wide = name == "test data"
        axes.fill_between(shells, low, high, color=_COLOURS[name], alpha=0.16, linewidth=0)
        axes.loglog(
            shells,
            energy.mean(0),
            color=_COLOURS[name],
            linewidth=2.8 if wide else 1.4,
            alpha=0.6 if wide else 1.0,
            label=name,
        )
    truth = spectra(groups["test data"], data.lengths)[:, 1:].mean(0)
    axes.set_ylim(max(float(truth.max()) * 1e-12, float(truth.min()) / 30), float(truth.max()) * 10)
    axes.minorticks_off()
    axes.set(title="energy by shell", xlabel="shell")


def _density(axes: Axes, groups: dict[str, Tensor], title: str) -> None:
    low, high = (float(f(groups["test data"])) for f in (torch.min, torch.max))
    room = 0.15 * (high - low)
    edges = np.linspace(low - room, high + room, 50)
    for name, values in groups.items():
        density, _ = np.histogram(values.flatten().numpy(), edges, density=True)
        wide = name == "test data"
        axes.semilogy(
            0.5 * (edges[1:] + edges[:-1]),
            np.where(density > 0, density, np.nan),
            color=_COLOURS[name],
            linewidth=2.8 if wide else 1.4,
            alpha=0.6 if wide else 1.0,
        )
    axes.minorticks_off()
    axes.set(title=title)


def _means(axes: Axes, groups: dict[str, Tensor]) -> None:
    for row, (name, states) in enumerate(reversed(groups.items())):
        means = _spread(states, min(len(states), 200)).flatten(1).mean(1).numpy()
        shake = np.random.default_rng(0).uniform(-0.28, 0.28, len(means))
        axes.plot(means, row + shake, ".", color=_COLOURS[name], markersize=2.5, alpha=0.6)
    spread = float(groups["test data"].std())
    axes.set_xlim(min(axes.get_xlim()[0], -0.1 * spread), max(axes.get_xlim()[1], 0.1 * spread))
    axes.set(title="mean of a state", yticks=[])
    axes.grid(False, axis="y")

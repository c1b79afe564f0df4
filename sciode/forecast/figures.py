"""Pictures of forecasts: bands against what came, calibration, error over lead, attribution, alarms."""

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sciode.bench.style import INK, drawing, png
from sciode.core.random import generator
from sciode.forecast.judge import scaled, target_of
from sciode.metrics import pit, reliability

_BLUE, _RED, _GREEN = "#0072B2", "#D55E00", "#009E73"
_LEVELS = tuple(round(0.05 * k, 2) for k in range(1, 20))


def typical(forecast: xr.Dataset, count: int = 6) -> list[int]:
    """Return forecasts to look at, by a rule: evenly spaced by how far the truth moved over the horizon.

    The first fell most, the last rose most; the middle ones stayed.
    """
    truth = scaled(forecast.truth, forecast[target_of(forecast)].attrs).numpy()
    with np.errstate(invalid="ignore"):
        moved = truth[:, -1] - truth[:, 0]
    whole = np.flatnonzero(np.isfinite(moved))
    order = whole[np.argsort(moved[whole], kind="stable")]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[i]) for i in places]


def bands(forecast: xr.Dataset, before: xr.Dataset | None = None, threshold: float | None = None) -> Figure:
    """Draw sampled futures of some moments as bands, with the truth and, where given, the history before."""
    name = target_of(forecast)
    chosen = typical(forecast)
    with drawing():
        figure = Figure(figsize=(10.5, 5.2), layout="constrained")
        grid = figure.subplots(2, 3, sharey=True, squeeze=False)
        for axes, number in zip(grid.flat, chosen, strict=False):
            past = None if before is None else before.isel(series=number)
            _band(axes, forecast.isel(series=number), name, past)
            label = f"{forecast.run.values[number]}, " if "run" in forecast.coords else ""
            axes.set_title(f"{label}t = {float(forecast.origin[number]):.2f} s")
            if threshold is not None:
                axes.axhline(threshold, color=_RED, linewidth=0.9, linestyle=(0, (4, 2)))
        for axes in list(grid.flat)[len(chosen) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(_named(forecast[name]))
        for axes in grid[-1]:
            axes.set_xlabel("time after the last measurement, s")
        handles, texts = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=len(texts))
    return figure


def _band(axes: Axes, one: xr.Dataset, name: str, past: xr.Dataset | None) -> None:
    lead, draws = one.lead.values, one[name].transpose("sample", "time").values
    for level, alpha in ((0.9, 0.18), (0.5, 0.32)):
        low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        axes.fill_between(
            lead, low, high, color=_BLUE, alpha=alpha, linewidth=0, label=f"{level:.0%} of the samples"
        )
    axes.plot(lead, np.median(draws, axis=0), color=_BLUE, linewidth=1.2, label="median")
    if past is not None:
        ticks = np.arange(1 - past.sizes["time"], 1) / float(past.attrs["sample_rate"])
        axes.plot(ticks, past[name].values, color=INK, linewidth=1.0, alpha=0.6)
        axes.axvline(0.0, color=INK, linewidth=0.6, alpha=0.5)
    if "truth" in one:
        axes.plot(lead, one.truth.values, color=INK, linewidth=1.2, label="measured")
    if one[name].attrs.get("scale") == "log":
        axes.set_yscale("log")


def calibration(forecast: xr.Dataset) -> Figure:
    """Draw how often the truth lies within intervals of each level, and where it lies among the samples."""
    name = target_of(forecast)
    draws, truth = scaled(forecast[name]), scaled(forecast.truth, forecast[name].attrs)
    last = draws.shape[-1] - 1
    with drawing():
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for lead, colour in zip(sorted({0, last // 2, last}), (_GREEN, _RED, _BLUE), strict=False):
            good = torch.isfinite(truth[:, lead])
            found = reliability(draws[:, good, lead], truth[good, lead], torch.tensor(_LEVELS))
            left.plot(_LEVELS, found.numpy(), color=colour, label=f"{float(forecast.lead[lead]):g} s ahead")
        left.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        left.set(
            xlabel="nominal probability of the interval",
            ylabel="part of the truths inside",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        left.legend()
        good = torch.isfinite(truth[:, last])
        ranks = pit(draws[:, good, last], truth[good, last], generator(0, "pit"))
        right.hist(ranks.numpy(), bins=10, range=(0, 1), density=True, color=_BLUE, alpha=0.55)
        right.axhline(1.0, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        right.set(
            xlabel=f"rank of the truth among the samples, {float(forecast.lead[last]):g} s ahead", ylabel="density"
        )
    return figure


def over_lead(scores: xr.Dataset, level: float = 0.9) -> Figure:
    """Draw error, spread and coverage against the time ahead."""
    with drawing():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for key, colour, text in (
            ("rmse", INK, "root mean square error"),
            ("aleatoric", _BLUE, "spread by noise (aleatoric)"),
            ("epistemic", _RED, "spread between members (epistemic)"),
        ):
            left.plot(scores.time, scores[key], color=colour, label=text)
        left.set(xlabel="time ahead, s", ylabel="on the model's scale")
        left.set_ylim(bottom=0)
        left.legend(fontsize=8)
        right.fill_between(
            scores.time, scores.coverage_low, scores.coverage_high, color=_BLUE, alpha=0.2, linewidth=0
        )
        right.plot(scores.time, scores.coverage, color=_BLUE)
        right.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        right.set(xlabel="time ahead, s", ylabel=f"truths inside the {level:.0%} interval", ylim=(0, 1))
    return figure


def attributed(shares: dict[str, float], attribution: xr.Dataset | None = None) -> Figure:
    """Draw the part of each channel in the forecast and, where given, of each tick of the channels."""
    names = list(shares)[::-1]
    with drawing():
        figure = Figure(figsize=(8.4, 0.9 + 0.36 * len(names)), layout="constrained")
        panels = figure.subplots(1, 1 if attribution is None else 2, squeeze=False)[0]
        panels[0].barh(names, [shares[name] for name in names], color=_BLUE, alpha=0.75)
        panels[0].set_xlabel("part of the forecast's change")
        panels[0].grid(visible=False, axis="y")
        if attribution is not None:
            table = np.stack([np.abs(attribution[name].values).mean(0) for name in names])
            table = table / max(float(table.max()), 1e-12)
            ticks = -attribution.back.values
            edges = np.arange(ticks.min(), ticks.max() + 2) - 0.5
            order = np.argsort(ticks)
            panels[1].pcolormesh(edges, np.arange(len(names) + 1) - 0.5, table[:, order] ** 0.5, cmap="Blues")
            panels[1].axvline(0.5, color=INK, linewidth=0.8)
            panels[1].set(xlabel="ticks after the last measurement", yticks=range(len(names)), yticklabels=[])
            panels[1].grid(visible=False)
    return figure


def timeline(
    series: xr.Dataset, forecast: xr.Dataset, name: str, chances: NDArray[np.float64], on: float, runs: int = 6
) -> Figure:
    """Draw amplitude, threshold and the chance to reach it, for the runs with the highest peaks."""
    numbers = np.unique(forecast.number.values)
    peak = np.array([np.nanmax(series[name].values[number]) for number in numbers])
    chosen = sorted(numbers[np.argsort(-peak, kind="stable")[:runs]])
    rate = float(series.attrs["sample_rate"])
    with drawing():
        figure = Figure(figsize=(10.5, 1.5 * len(chosen) + 0.6), layout="constrained")
        for axes, number in zip(figure.subplots(len(chosen), 1, squeeze=False)[:, 0], chosen, strict=True):
            begin = float(series.start[number]) if "start" in series.coords else 0.0
            values = series[name].values[number]
            axes.plot(begin + np.arange(len(values)) / rate, values, color=INK, linewidth=0.9)
            axes.axhline(on, color=_RED, linewidth=0.9, linestyle=(0, (4, 2)))
            axes.set_ylabel(_named(series[name]), fontsize=8)
            rows = forecast.number.values == number
            beside = axes.twinx()
            beside.fill_between(forecast.origin.values[rows], chances[rows], color=_BLUE, alpha=0.25, linewidth=0)
            beside.set(ylim=(0, 1), ylabel="chance")
            beside.grid(visible=False)
            axes.set_title(
                str(series.run.values[number]) if "run" in series.coords else f"series {number}", loc="left"
            )
        axes.set_xlabel("time, s")
    return figure


def forecast_picture(path: str | Path, history: xr.Dataset, forecast: xr.Dataset, plan: xr.Dataset) -> Path:
    """Draw one forecast with its history, and with what was measured where the plan holds that too; as PNG."""
    name = target_of(forecast)
    one = forecast.isel(series=0)
    if name in plan and np.isfinite(plan[name].values).any():
        one = one.assign(truth=("time", plan[name].isel(series=0).values[: one.sizes["time"]]))
    with drawing():
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        _band(axes, one, name, history.isel(series=0))
        axes.set(xlabel="time after the last measurement, s", ylabel=_named(forecast[name]))
        axes.legend()
    png(figure, Path(path))
    return Path(path)


def _named(values: xr.DataArray) -> str:
    units = values.attrs.get("units", "")
    return f"{values.name}, {units}" if units else str(values.name)

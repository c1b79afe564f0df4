"""Error over the number of training trajectories, and what pre-training saves of them."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sciode.bench.config import Suite
from sciode.bench.curves import Record, by_model
from sciode.bench.scores import CHAOS
from sciode.bench.style import INK, colours
from sciode.bench.table import digits
from sciode.metrics import accuracy_gain, efficiency_gain

METRICS: dict[str, str] = {
    "direct_l1": "median relative L1, direct",
    "final_l1": "median relative L1, state by state",
}
"""Errors of the last state that curves are drawn of."""
FOLLOWED: dict[str, str] = {
    "correlation_time": "time until the correlation falls below 0.8",
    "one_step_nrmse": "nRMSE of one step",
}
"""What is drawn in their place of suites that ask for metrics of chaos, where the last state says nothing."""
Curves = dict[str, dict[int, list[float]]]
"""Errors of all seeds by name of the curve and number of trajectories."""


def curves_of(suite: Suite, records: Sequence[Record], metric: str) -> Curves:
    """Gather errors by curve and number; a number where a seed has no finite error is left out."""
    entries = {entry.name: entry for entry in suite.models if entry.curve and entry.trajectories}
    found: Curves = {}
    for name, cells in by_model(records).items():
        values = [cell["metrics"].get(metric) for cell in cells]
        if name in entries and None not in values:
            entry = entries[name]
            found.setdefault(str(entry.curve), {})[int(entry.trajectories or 0)] = values
    return found


def largest(suite: Suite) -> list[str]:
    """Return the models that other figures show: of those on a curve the one with most trajectories."""
    top: dict[str, int] = {}
    for entry in suite.models:
        if entry.curve and entry.trajectories:
            top[entry.curve] = max(top.get(entry.curve, 0), entry.trajectories)
    return [
        entry.name
        for entry in suite.models
        if entry.trajectories == top.get(entry.curve or "", entry.trajectories)
    ]


def samples_figure(suite: Suite, records: Sequence[Record]) -> Figure | None:
    """Return error over trajectories, mean and range of the seeds; None for a suite without such curves."""
    chaotic = any(name in CHAOS for name in suite.metrics)
    heads = FOLLOWED if chaotic else METRICS
    drawn = {metric: curves_of(suite, records, metric) for metric in heads}
    drawn = {metric: curves for metric, curves in drawn.items() if any(len(c) > 1 for c in curves.values())}
    if not drawn:
        return None
    figure = Figure(figsize=(4.4 * len(drawn) + 1.0, 3.2), layout="constrained")
    panels = figure.subplots(1, len(drawn), sharey=not chaotic, squeeze=False)[0]
    palette = colours(list(dict.fromkeys(str(e.curve) for e in suite.models if e.curve)))
    labels: dict[str, Any] = {}
    for axes, (metric, curves) in zip(panels, drawn.items(), strict=True):
        _draw(axes, curves, palette)
        _level(axes, records, metric)
        axes.set_title(heads[metric], loc="left")
        if metric == "correlation_time":
            axes.set_yscale("linear")
            axes.set_ylim(bottom=0.0)
        labels |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    panels[0].set_ylabel("time" if chaotic else "error of the last state")
    figure.legend(list(labels.values()), list(labels), loc="outside right center")
    return figure


def _draw(axes: Axes, curves: Curves, palette: Mapping[str, str]) -> None:
    for name, curve in curves.items():
        counts = sorted(curve)
        middle = [fmean(curve[n]) for n in counts]
        low, high = [min(curve[n]) for n in counts], [max(curve[n]) for n in counts]
        axes.loglog(counts, middle, color=palette[name], marker="o", markersize=4, label=name)
        axes.fill_between(counts, low, high, color=palette[name], alpha=0.2, linewidth=0)
    ticks = sorted({n for curve in curves.values() for n in curve})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(n) for n in ticks])
    axes.yaxis.set_major_formatter(lambda value, _: digits(value))
    axes.yaxis.set_minor_formatter(lambda value, _: digits(value))
    axes.set_xlabel("training trajectories")


def _level(axes: Axes, records: Sequence[Record], metric: str) -> None:
    found = [cell["metrics"].get(metric) for cell in by_model(records).get("persistence", [])]
    if found and found[0] is not None:
        axes.axhline(found[0], color=INK, linewidth=0.7, linestyle=(0, (2, 2)), label="persistence")


def gains(suite: Suite, records: Sequence[Record]) -> list[list[str]]:
    """Return rows of curve, baseline, efficiency gain EG, accuracy gain AG by number of trajectories.

    Of errors averaged over the seeds; each curve beside those of models that start from nothing. EG counts from
    the baseline's largest number of trajectories, and a bound stands where the curves do not reach far enough.
    """
    metric = next((m for m in METRICS if len(curves_of(suite, records, m)) > 1), None)
    if metric is None:
        return []
    means = {
        name: {n: fmean(values) for n, values in curve.items()}
        for name, curve in curves_of(suite, records, metric).items()
    }
    fresh = {entry.curve for entry in suite.models if entry.start is None}
    return [
        [name, base, _efficiency(curve, means[base]), *(_accuracy(curve, means[base], n) for n in sorted(curve))]
        for base in means
        if base in fresh
        for name, curve in means.items()
        if name not in fresh
    ]


def _accuracy(model: Mapping[int, float], baseline: Mapping[int, float], count: int) -> str:
    return digits(accuracy_gain(model, baseline, count)) if count in baseline else "-"


def _efficiency(model: Mapping[int, float], baseline: Mapping[int, float]) -> str:
    most = max(baseline)
    if model[min(model)] <= baseline[most]:
        return f"> {digits(most / min(model))}"
    if min(model.values()) > baseline[most]:
        return f"< {digits(most / max(model))}"
    return digits(efficiency_gain(model, baseline))

"""The figure of benchmarks/probconserv.py: a front before and after the law, where a shock is, mass over time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from sciode.metrics import front_position

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = {"ANP": "#D55E00", "SoftC-ANP": "#E69F00", "ProbConserv-ANP": "#0072B2", "truth": "#1b2a3c"}


def draw(
    asked: Callable[..., Any], drawn: Callable[..., Any], stefan: Any, porous: Any, models: Mapping[str, Any]
) -> None:
    """Write ``docs/images/probconserv.png`` from the models of the first seed."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    question = asked(porous, 6.0)
    base = question.ask(models["porous"])
    _profile(axes[0], question, base, base.given(question.law)[0])
    question = asked(stefan, 0.6)
    base = question.ask(models["stefan"])
    _shock(axes[1], question, base, drawn(question, base)[1])
    _over_time(axes[2], asked, porous, models)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "probconserv.png", dpi=100)


def _profile(axis: Axes, question: Any, base: Any, after: Any) -> None:
    x = question.x
    axis.plot(x, question.truth, color=COLOURS["truth"], linewidth=1.2, label="truth")
    for name, predicted in (("ANP", base), ("ProbConserv-ANP", after)):
        mean, variance = (moment[0] for moment in predicted.moments())
        axis.plot(x, mean, color=COLOURS[name], linewidth=1.4, label=name)
        reach = 2 * variance.sqrt()
        axis.fill_between(x, mean - reach, mean + reach, color=COLOURS[name], alpha=0.18, linewidth=0)
    axis.set(title="porous medium, m = 6, t = 0.5", xlabel="x", ylabel="u, two standard deviations")


def _shock(axis: Axes, question: Any, base: Any, draws: Tensor) -> None:
    level = question.case.level(0.6)
    noise = torch.randn(base.mean.shape, dtype=base.mean.dtype, generator=torch.Generator().manual_seed(5))
    free = base.mean + base.variance.sqrt() * noise
    bins = torch.linspace(0.15, 0.32, 69).tolist()
    for name, states in (("ANP", free), ("ProbConserv-ANP", draws)):
        where = front_position(states.flatten(0, 1), question.x, level)
        axis.hist(
            where[~where.isnan()].numpy(),
            bins=bins,
            density=True,
            histtype="step",
            color=COLOURS[name],
            label=name,
        )
    true = question.case.problem.front(question.time, question.value).item()
    axis.axvline(true, color=COLOURS["truth"], linewidth=1.0, label="truth")
    axis.set(title="Stefan, u* = 0.6: where draws have the shock", xlabel="x", ylabel="density")


def _over_time(axis: Axes, asked: Callable[..., Any], case: Any, models: Mapping[str, Any]) -> None:
    times = [case.duration * k / 10 for k in range(1, 10)]
    rows: dict[str, list[float]] = {"ANP": [], "SoftC-ANP": [], "ProbConserv-ANP": [], "truth": []}
    for time in times:
        question = asked(case, 3.0, time, functions=20)
        base = question.ask(models["porous"], 20)
        soft = question.ask(models["porous, soft"], 20)
        for name, predicted in (
            ("ANP", base),
            ("SoftC-ANP", soft),
            ("ProbConserv-ANP", base.given(question.law)[0]),
        ):
            rows[name].append(float(question.law.residual(predicted.moments()[0]).abs().mean()))
        rows["truth"].append(float(question.law.residual(question.truth).abs()))
    for name, values in rows.items():
        label = "truth by trapezoids" if name == "truth" else name
        axis.semilogy(times, [max(value, 1e-18) for value in values], color=COLOURS[name], label=label)
    axis.set(title="porous medium, m = 3: mass error", xlabel="t", ylabel="mean |CE|")

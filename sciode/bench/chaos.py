"""What chaos asks of a forecast: which waves a step gets wrong, if energy stays, and what an ensemble knows."""

from typing import Any

import torch
from torch import Tensor

from sciode import metrics
from sciode.bench.problems import Problem
from sciode.bench.scores import number, numbers
from sciode.surrogate import Surrogate, rollout

EDGES = (4, 12)
"""Shells of wave numbers at which the low band and the middle one end, as of :func:`sciode.metrics.band_error`."""
BANDS = ("low", "mid", "high")


def bands(scores: dict[str, Tensor]) -> dict[str, float | None]:
    """Return the error of one step by band of wave numbers, over the size of the truth there."""
    error, truth = scores["step_error"].sum(0), scores["step_truth"].sum(0)
    parts = zip(BANDS, error.tensor_split(EDGES), truth.tensor_split(EDGES), strict=True)
    return {f"one_step_{name}": number((e.sum() / t.sum()).sqrt()) for name, e, t in parts}


def energy_drift(ahead: Tensor, true: Tensor) -> Tensor:
    """Return how far the mean square of a forecast, in space and time, is from the truth's, relative, ``[b]``."""
    return ahead.square().flatten(1).mean(1) / true.square().flatten(1).mean(1) - 1.0


def ensemble(model: Surrogate, true: Tensor, problem: Problem) -> dict[str, Tensor]:
    """Return spread, error and more of as many forecasts as the data set's entry asks for; nothing without draws.

    Parameters
    ----------
    model
        Asked for members where it has a method ``seeded``.
    true
        True states with the first one, ``"b t+1 c *n"``.
    """
    if not problem.entry.members or not hasattr(model, "seeded"):
        return {}
    paths = [
        rollout(model, true[:, 0], problem.rollout, problem.step, seed=1 + member)
        for member in range(problem.entry.members)
    ]
    scored = problem.scored
    members, later = torch.stack(paths)[:, :, :, scored], true[:, 1:, scored]
    return {
        "spread": metrics.ensemble_spread(members),
        "skill": metrics.ensemble_error(members, later),
        "crps": metrics.crps(members, later),
        "warned": metrics.warning_time(members, dt=problem.step),
        "ranks": metrics.rank_histogram(members, later)[None].double(),
    }


def summary(scores: dict[str, Tensor], problem: Problem, lost: Tensor) -> dict[str, float | None]:
    """Return the ensemble's metrics, over lead times up to the mean of those when the truth is ``lost``, ``[b]``.

    ``spread_error`` is the correlation, over trajectories, of spread and error at a lead time, mean over lead
    times; ``warning_correlation`` that of the time when members part and the time when the forecast is wrong.
    """
    if "spread" not in scores:
        return {}
    upto = max(1, round(float(lost.mean()) / problem.step))
    spread, error = scores["spread"][:, :upto], scores["skill"][:, :upto]
    members = problem.entry.members
    ratio = ((members + 1) / members * spread.square().mean(0) / error.square().mean(0)).sqrt()
    return {
        "spread_skill": number(ratio.mean()),
        "spread_error": number(_correlated(spread, error).mean()),
        "crps": number(scores["crps"][:, :upto].mean()),
        "warning_time": number(scores["warned"].mean()),
        "warning_correlation": number(_correlated(scores["warned"], lost)),
    }


def record(scores: dict[str, Tensor], lost: Tensor) -> dict[str, Any]:
    """Return what figures need of an ensemble; empty without one."""
    if "spread" not in scores:
        return {}
    kept = {
        "spread": numbers(scores["spread"].square().mean(0).sqrt()),
        "error": numbers(scores["skill"].square().mean(0).sqrt()),
        "warned": numbers(scores["warned"]),
        "lost": numbers(lost),
        "ranks": numbers(scores["ranks"].sum((0, 1))),
    }
    return {"ensemble": kept}


def quartiles(correlation: Tensor) -> dict[str, list[float | None]]:
    """Return the quartiles over trajectories of a curve ``"b t"``."""
    low, high = torch.quantile(correlation.double().nan_to_num(0.0), torch.tensor([0.25, 0.75]).double(), dim=0)
    return {"correlation_low": numbers(low), "correlation_high": numbers(high)}


def _correlated(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation over the first axis."""
    a, b = (x.double() - x.double().mean(0) for x in (a, b))
    return (a * b).sum(0) / (a.square().sum(0) * b.square().sum(0)).sqrt()

"""What the lead time does: the last state reached state by state, in some jumps, in one; and the error by lead."""

import math
from typing import Any

import torch
from torch import Tensor

from sciode import metrics
from sciode.bench.problems import Problem
from sciode.bench.scores import number, numbers
from sciode.surrogate import Surrogate, rollout


def errors(model: Surrogate, true: Tensor, ahead: Tensor, problem: Problem) -> dict[str, Tensor]:
    """Return relative L1 errors of each trajectory: ``final_l1`` ``[b]``; from models that know leads more.

    Parameters
    ----------
    model
        Asked for long leads only where its training had them.
    true, ahead
        True states with the first one, ``"b t+1 c *n"``, and the forecast state by state, ``"b t c *n"``.

    Returns
    -------
    dict
        ``mixed_l1`` ``[b]`` and ``by_lead`` ``[b, t+1]`` beside it, leads from 0 on.
    """
    found = {"final_l1": _l1(ahead[:, -1:], true[:, -1:], problem)[:, 0]}
    steps = problem.rollout
    if steps < 2 or not knows(model, steps * problem.step):
        return found
    few = rollout(model, true[:, 0], steps, problem.step, jump=jump_of(steps))
    lead = torch.zeros(len(true), dtype=true.dtype, device=true.device)
    at_zero = model(true[:, 0], lead)[:, None]
    direct = rollout(model, true[:, 0], steps, problem.step, jump=steps)
    by_lead = _l1(torch.cat([at_zero, direct], dim=1), true, problem)
    return {**found, "mixed_l1": _l1(few[:, -1:], true[:, -1:], problem)[:, 0], "by_lead": by_lead}


def knows(model: Surrogate, lead: float) -> bool:
    """Return whether the training of ``model`` had lead times up to ``lead``."""
    longest = getattr(model, "longest_lead", None)
    if hasattr(model, "after"):  # which remembers the state one lead ago
        return False
    return longest is not None and longest.item() * (1.0 + 1e-4) >= lead


def jump_of(steps: int) -> int:
    """Return the jump of the mixed rollout, about the root.

    >>> jump_of(16), jump_of(8)
    (4, 3)
    """
    return math.ceil(math.sqrt(steps))


def summary(scores: dict[str, Tensor], problem: Problem) -> dict[str, float | None]:
    """Return the medians over the trajectories."""
    found: dict[str, Tensor] = {name: scores[name] for name in ("final_l1", "mixed_l1") if name in scores}
    if "by_lead" in scores:
        found["direct_l1"] = scores["by_lead"][:, problem.rollout]
    return {name: number(_median(values)) for name, values in found.items()}


def curve(scores: dict[str, Tensor], problem: Problem) -> dict[str, list[Any]]:
    """Return the median error of direct forecasts by lead, in time steps of the data; empty without them."""
    if "by_lead" not in scores:
        return {}
    steps = [lead * problem.entry.lead for lead in range(problem.rollout + 1)]
    return {"lead": steps, "direct": numbers(_median(scores["by_lead"]))}


def _median(values: Tensor) -> Tensor:
    return torch.quantile(values.double(), 0.5, dim=0)


def _l1(predicted: Tensor, true: Tensor, problem: Problem) -> Tensor:
    """Return ``[b, t]``, the mean over groups of fields; without groups, of all that are forecast."""
    groups = problem.entry.groups
    if not groups:
        predicted, true = predicted[:, :, problem.scored], true[:, :, problem.scored]
        groups = (true.shape[2],)
    pairs = zip(predicted.split(groups, dim=2), true.split(groups, dim=2), strict=True)
    each = [metrics.relative_l1(p, t, keep=("trajectory", "time"), joint="channel") for p, t in pairs]
    return torch.stack(each).mean(dim=0)

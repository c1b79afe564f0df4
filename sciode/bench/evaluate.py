"""What a model is worth on the test trajectories, a few of them in memory at a time.

Two questions, not to be mixed: how good is one step from a true state, over all steps of all test trajectories;
and how good is a forecast that feeds on itself from the first state.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode import metrics
from sciode.bench import chaos, leads
from sciode.bench.problems import Problem
from sciode.bench.scores import PDEBENCH, number, numbers
from sciode.surrogate import Surrogate, rollout

# Values of a batch of trajectories held at once: 16 MiB in float32, times a few for what the metrics make of it.
_BATCH = 2**22
THRESHOLD = 0.8
"""A forecast is followed until its correlation with the truth falls below this."""


@torch.no_grad()
def evaluate(model: Surrogate, problem: Problem, device: str) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Measure ``model`` on the test part of ``problem``.

    Returns
    -------
    tuple
        JSON-able scores: ``metrics`` (name: number, None where it is not finite), ``curves`` over the time of
        the rollout, ``spectra`` at three times; and the first trajectories, predicted and true,
        "b t c *n" on the CPU, with the initial state first.
    """
    parts = [_batch_scores(model, true, problem, device) for true in _batches(problem)]
    scores = {key: torch.cat([part[key] for part in parts]) for key in parts[0] if key not in _ASIDE}
    seconds, count = sum(part["seconds"] for part in parts), len(scores["nrmse"])
    keep = problem.entry.keep
    lost = metrics.crossing_time(scores["correlation"], THRESHOLD, problem.step)
    shown = [torch.cat([part[key] for part in parts])[:keep] for key in ("predicted", "true")]
    record = {
        "metrics": _summary(scores, seconds / (count * problem.rollout), problem.step)
        | _pdebench(parts)
        | leads.summary(scores, problem)
        | chaos.bands(scores)
        | chaos.summary(scores, problem, lost),
        "curves": _curves(scores, problem) | leads.curve(scores, problem) | chaos.quartiles(scores["correlation"]),
        "spectra": _spectra(scores, problem),
        **chaos.record(scores, lost),
    }
    return record, shown[0], shown[1]


_ASIDE = ("seconds", "predicted", "true", "pdebench")
_PER_STEP = ("trajectory", "time")


def _batches(problem: Problem) -> Iterator[Tensor]:
    ids, lead = problem.split.test, problem.entry.lead
    most = (problem.data.shape[1] - 1) // lead
    size = max(1, _BATCH // ((most + 1) * math.prod(problem.data.shape[2:])))
    for start in range(0, len(ids), size):
        chosen = np.asarray(ids[start : start + size])
        yield problem.data[chosen][:, : most * lead + 1 : lead]


def _batch_scores(model: Surrogate, true: Tensor, problem: Problem, device: str) -> dict[str, Any]:
    true = true.to(device)
    one_step = _one_step(model, true, problem)
    true, scored = true[:, : problem.rollout + 1], problem.scored
    _synchronise(device)
    clock = time.perf_counter()
    ahead = rollout(model, true[:, 0], problem.rollout, problem.step)
    _synchronise(device)
    seconds = time.perf_counter() - clock
    path = torch.cat([true[:, :1], ahead], dim=1)
    shown = {"predicted": path[: problem.entry.keep], "true": true[: problem.entry.keep]}
    further = {**leads.errors(model, true, ahead, problem), **chaos.ensemble(model, true, problem)}
    path, true, ahead = path[:, :, scored], true[:, :, scored], ahead[:, :, scored]
    later = true[:, 1:]
    drift = metrics.conservation_drift(path).relative - metrics.conservation_drift(true).relative
    times = list(spectrum_steps(problem.rollout))
    scores = {
        **one_step,
        "nrmse": metrics.nrmse(ahead, later, keep=_PER_STEP),
        "vrmse": metrics.vrmse(ahead, later, keep=_PER_STEP),
        "correlation": metrics.correlation(ahead, later),
        "drift": drift[:, 1:].abs().mean(dim=2),
        "energy": chaos.energy_drift(ahead, later),
        "spectrum": metrics.spectrum(path[:, times], problem.data.lengths).mean(dim=2),
        "true_spectrum": metrics.spectrum(true[:, times], problem.data.lengths).mean(dim=2),
        **shown,
        **further,
    }
    theirs = metrics.pdebench_metrics(ahead, later, lengths=problem.data.lengths)
    return {"seconds": seconds, "pdebench": theirs, **{key: value.float().cpu() for key, value in scores.items()}}


def _one_step(model: Surrogate, true: Tensor, problem: Problem) -> dict[str, Tensor]:
    """Return nRMSE "b t" of every step from a true state, and the mean spectra of error and truth, "b shells"."""
    dt = torch.full((len(true),), problem.step, dtype=true.dtype, device=true.device)
    errors, spectra = [], []
    for k in range(true.shape[1] - 1):
        step = model.after(true[:, k - 1 : k] if k else None) if hasattr(model, "after") else model
        later, target = step(true[:, k], dt)[:, None], true[:, k + 1 : k + 2]
        later, target = later[:, :, problem.scored], target[:, :, problem.scored]
        errors.append(metrics.nrmse(later, target, keep=_PER_STEP))
        pair = torch.cat([later - target, target], dim=1)
        spectra.append(metrics.spectrum(pair, problem.data.lengths).mean(dim=2))
    error, truth = torch.stack(spectra).mean(0).unbind(1)
    return {"one_step": torch.cat(errors, dim=1), "step_error": error, "step_truth": truth}


def spectrum_steps(steps: int) -> tuple[int, ...]:
    """Return the steps at which spectra are kept: early, halfway, last.

    >>> spectrum_steps(20), spectrum_steps(1)
    ((1, 10, 20), (1,))
    """
    return tuple(sorted({1, max(1, steps // 2), steps}))


def _summary(scores: dict[str, Tensor], seconds: float, step: float) -> dict[str, float | None]:
    followed = metrics.crossing_time(scores["correlation"], THRESHOLD, step)
    return {
        "one_step_nrmse": number(scores["one_step"].mean()),
        "rollout_nrmse": number(scores["nrmse"].mean()),
        "rollout_vrmse": number(scores["vrmse"].mean()),
        "correlation_time": number(followed.mean()),
        "correlation_time_90": number(metrics.crossing_time(scores["correlation"], 0.9, step).mean()),
        "correlation_time_mean": number(metrics.crossing_time(scores["correlation"].mean(0), THRESHOLD, step)),
        "mass_drift": number(scores["drift"][:, -1].mean()),
        "energy_drift": number(scores["energy"].abs().mean()),
        "rollout_ms": 1e3 * seconds,
    }


def _pdebench(parts: list[dict[str, Any]]) -> dict[str, float | None]:
    """Weigh the batches by their trajectories, as PDEBench's loop means to."""
    sizes = [len(part["nrmse"]) for part in parts]
    return {
        name: number(
            sum(n * part["pdebench"][name.removeprefix("pdebench_")] for n, part in zip(sizes, parts, strict=True))
            / sum(sizes)
        )
        for name in PDEBENCH
    }


def _curves(scores: dict[str, Tensor], problem: Problem) -> dict[str, list[float | None]]:
    start = float(problem.data.times[0])
    times = [start + (k + 1) * problem.step for k in range(problem.rollout)]
    names = ("nrmse", "vrmse", "correlation", "drift")
    return {"time": [*times], **{name: numbers(scores[name].mean(dim=0)) for name in names}}


def _spectra(scores: dict[str, Tensor], problem: Problem) -> dict[str, Any]:
    waves = metrics.shell_wavenumbers(problem.data.shape[3:], problem.data.lengths)
    start = float(problem.data.times[0])
    return {
        "time": [start + k * problem.step for k in spectrum_steps(problem.rollout)],
        "wavenumber": numbers(waves),
        "model": [numbers(row) for row in scores["spectrum"].mean(dim=0)],
        "truth": [numbers(row) for row in scores["true_spectrum"].mean(dim=0)],
        "step_error": numbers(scores["step_error"].mean(dim=0)),
        "step_truth": numbers(scores["step_truth"].mean(dim=0)),
    }


def _synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)

"""The metrics of a suite by name: what its key ``metrics`` can list, and how tables head them."""

import math
from typing import Any

FORECAST: dict[str, str] = {
    "one_step_nrmse": "1-step nRMSE",
    "rollout_nrmse": "rollout nRMSE",
    "rollout_vrmse": "VRMSE",
    "correlation_time": "corr. time",
    "mass_drift": "mass drift",
}
"""The headline scores; the first is always there, since the ratio to persistence is made of it."""
PDEBENCH: dict[str, str] = {
    "pdebench_rmse": "RMSE",
    "pdebench_nrmse": "nRMSE",
    "pdebench_crmse": "cRMSE",
    "pdebench_max": "max",
    "pdebench_brmse": "bRMSE",
    "pdebench_frmse_low": "fRMSE low",
    "pdebench_frmse_mid": "fRMSE mid",
    "pdebench_frmse_high": "fRMSE high",
}
"""PDEBench's metrics of the rollout (mode "pdebench")."""
OPERATOR: dict[str, str] = {
    "final_l1": "final L1",
    "mixed_l1": "final L1, mixed",
    "direct_l1": "final L1, direct",
}
"""Median relative L1 error of the last state by groups of fields, as published for Poseidon: state by state, in
about the root of as many jumps, and in one. Models trained with such lead times have the last two."""
CHAOS: dict[str, str] = {
    "correlation_time_90": "corr. time 0.9",
    "correlation_time_mean": "corr. time of the mean",
    "energy_drift": "energy drift",
    "one_step_low": "1-step, low",
    "one_step_mid": "1-step, mid",
    "one_step_high": "1-step, high",
    "spread_skill": "spread/error",
    "spread_error": "corr(spread, error)",
    "crps": "CRPS",
    "warning_time": "warned at",
    "warning_correlation": "corr(warned, lost)",
}
"""For chaotic systems: the time until the correlation falls below 0.9, and until its mean over trajectories falls
below 0.8, the other definition in use; the relative error of the mean square; the relative error of one step by
band of wave numbers, see :mod:`sciode.bench.chaos`; and, of models that draw, what an ensemble is worth."""
COSTS: dict[str, str] = {"parameters": "params", "train_seconds": "train s", "rollout_ms": "ms/step"}
"""What a model costs: always there."""
NAMES: tuple[str, ...] = (*FORECAST, *PDEBENCH)
"""What a suite has where it lists nothing."""
CHOICES: tuple[str, ...] = (*FORECAST, *PDEBENCH, *OPERATOR, *CHAOS)
"""What a suite can list."""
HEADS: dict[str, str] = {**FORECAST, **PDEBENCH, **OPERATOR, **CHAOS, **COSTS}
SPREAD = ("one_step_nrmse", "rollout_nrmse", "correlation_time")
"""Metrics shown with their standard deviation over the seeds."""


def recorded(chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that the results of a suite hold.

    >>> recorded(("pdebench_max",))
    ('one_step_nrmse', 'pdebench_max', 'parameters', 'train_seconds', 'rollout_ms')
    """
    return tuple(name for name in HEADS if name in chosen or name in COSTS or name == "one_step_nrmse")


def number(value: Any) -> float | None:
    """Return a float for JSON, None where it is not finite.

    >>> number(2), number(float("nan"))
    (2.0, None)
    """
    found = float(value)
    return found if math.isfinite(found) else None


def numbers(values: Any) -> list[float | None]:
    """Return the values of a vector tensor for JSON."""
    return [number(value) for value in values.tolist()]

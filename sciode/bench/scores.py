"""The metrics of a suite by name: what its key ``metrics`` can list, and how tables head them."""

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
COSTS: dict[str, str] = {"parameters": "params", "train_seconds": "train s", "rollout_ms": "ms/step"}
"""What a model costs: always there."""
NAMES: tuple[str, ...] = (*FORECAST, *PDEBENCH)
"""What a suite can list."""
HEADS: dict[str, str] = {**FORECAST, **PDEBENCH, **COSTS}
SPREAD = ("one_step_nrmse", "rollout_nrmse")
"""Metrics shown with their standard deviation over the seeds."""


def recorded(chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that the results of a suite hold.

    >>> recorded(("pdebench_max",))
    ('one_step_nrmse', 'pdebench_max', 'parameters', 'train_seconds', 'rollout_ms')
    """
    return tuple(name for name in HEADS if name in chosen or name in COSTS or name == "one_step_nrmse")

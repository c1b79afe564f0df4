"""Sensors that fail: what a forecaster makes of values that are out of range, and of values that look right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.data.series import SeriesSpec, stuck
from sciode.forecast.backtest import backtest
from sciode.forecast.base import Forecaster
from sciode.forecast.judge import judge

_KINDS = ("shift", "stuck")


@dataclass(frozen=True)
class Fault:
    """A sensor's failure, for the whole of a run.

    Parameters
    ----------
    channel : str
        Which.
    kind : {"shift", "stuck"}
        "shift": off by ``size``, its noise goes on. "stuck": at ``size`` from its mean.
    size : float
        In standard deviations of the training values, on the model's scale (the logarithm where it has one).

    Examples
    --------
    >>> Fault("p_dyn", "stuck").size
    0.0
    """

    channel: str
    kind: str = "stuck"
    size: float = 0.0

    def __post_init__(self) -> None:
        lookup(self.kind, dict.fromkeys(_KINDS), "kind of fault")
        if not np.isfinite(self.size):
            raise InputError(f"the size of a fault is finite, found {self.size!r}")


def fail(series: xr.Dataset, fault: Fault, forecaster: Forecaster, spec: SeriesSpec | None = None) -> xr.Dataset:
    """Return series as they are seen when a sensor fails.

    With ``spec`` a stuck sensor is found out as in :func:`sciode.data.series.read_series`, and marked as not good;
    without, nobody notices.
    """
    name = fault.channel
    lookup(name, dict.fromkeys(forecaster.channels_.names), "channel")
    scale, seen = forecaster.scales_[name], series.copy(deep=True)
    x = torch.from_numpy(series[name].values.astype(np.float64))
    if fault.kind == "shift":
        bad = scale.out(scale.into(x) + fault.size).numpy()
    else:
        there = ~np.isnan(x.numpy())
        bad = np.where(there, float(scale.out(torch.tensor(fault.size, dtype=torch.float64))), np.nan)
    seen[name].values[...] = bad
    if spec is not None and spec.stuck and f"{name}_good" in seen:
        for row, number in enumerate(bad):
            age = seen[f"{name}_age"].values[row] if f"{name}_age" in seen else np.zeros(len(number))
            seen[f"{name}_good"].values[row] &= ~stuck(number, age, spec)
    return seen


def failures(
    forecaster: Forecaster,
    series: xr.Dataset,
    faults: Sequence[Fault | None],
    *,
    spec: SeriesSpec | None = None,
    every: int = 10,
    samples: int = 200,
    seed: int = 0,
    lead: int | None = None,
) -> list[dict[str, float | str]]:
    """Judge a forecaster at a lead (ticks; the horizon unless told) under each fault; None is no fault.

    Truth is never touched.

    Returns a row for each: ``sensor``, ``fault``, ``size``, and the scores of :func:`sciode.forecast.judge`.
    """
    rows: list[dict[str, float | str]] = []
    for fault in faults:
        seen = series if fault is None else fail(series, fault, forecaster, spec)
        forecast = backtest(forecaster, series, seen=seen, every=every, samples=samples, seed=seed)
        scores = judge(forecast).isel(time=-1 if lead is None else lead - 1)
        row: dict[str, float | str] = {
            "sensor": "-" if fault is None else fault.channel,
            "fault": "none" if fault is None else fault.kind,
            "size": 0.0 if fault is None else fault.size,
        }
        rows.append(row | {str(key): float(value) for key, value in scores.data_vars.items()})
    return rows

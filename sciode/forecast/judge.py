"""What a backtest was worth at each lead: errors, likelihoods, coverage, and alarms."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics import (
    EventScores,
    bootstrap,
    central,
    crps,
    event_scores,
    gaussian_nll,
    hysteresis,
    mixture_nll,
)


def judge(forecast: xr.Dataset, *, level: float = 0.9) -> xr.Dataset:
    """Score a backtest at each lead, on the scale that the model works on (the logarithm where it does).

    Returns
    -------
    xarray.Dataset
        Along ``time``: ``rmse`` of the mean, ``crps``, ``coverage`` of the central interval of probability
        ``level`` with ``coverage_low`` and ``coverage_high`` (95 %, runs resampled), its ``width``,
        ``nll_mixture`` (members as Gaussians in equal parts), ``nll_gaussian`` (their moments),
        ``nll_best_member``, ``aleatoric``, ``epistemic`` (root mean square standard deviations).

    Raises
    ------
    InputError
        For a forecast without truth.
    """
    if "truth" not in forecast:
        raise InputError("a judgement needs the truth: take sciode.forecast.backtest")
    name = target_of(forecast)
    draws, truth = scaled(forecast[name]), scaled(forecast.truth, forecast[name].attrs)
    good = torch.isfinite(truth)
    filled = torch.where(good, truth, 0.0)
    low, high = central(draws, level)
    inside = (filled >= low) & (filled <= high)
    mean, variance = _members(draws, forecast.member.values)
    each = [mixture_nll(m[None], v[None], filled) for m, v in zip(mean, variance, strict=True)]
    scores = {
        "rmse": _mean((draws.mean(0) - filled).square(), good).sqrt(),
        "crps": _mean(crps(draws[..., None, None], filled[..., None, None]), good),
        "coverage": _mean(inside.double(), good),
        "width": _mean(high - low, good),
        "nll_mixture": _mean(mixture_nll(mean, variance, filled), good),
        "nll_gaussian": _mean(gaussian_nll(mean, variance, filled), good),
        "nll_best_member": torch.stack([_mean(one, good) for one in each]).amin(0),
        "aleatoric": _mean(torch.from_numpy(forecast[f"{name}_aleatoric"].values).square(), good).sqrt(),
        "epistemic": _mean(torch.from_numpy(forecast[f"{name}_epistemic"].values).square(), good).sqrt(),
    }
    ends = _over_runs(inside, good, forecast)
    scores |= {"coverage_low": ends[0], "coverage_high": ends[1]}
    coords = {"time": forecast.lead.values}
    return xr.Dataset({key: ("time", value.double().numpy()) for key, value in scores.items()}, coords=coords)


def target_of(forecast: xr.Dataset) -> str:
    """Return the name of the forecast channel."""
    return next(str(name) for name, value in forecast.data_vars.items() if value.attrs.get("role") == "target")


def scaled(values: xr.DataArray, attributes: dict[str, object] | None = None) -> Float[Tensor, "..."]:
    """Return values on the model's scale, float64: their logarithm where the attributes say so."""
    told = values.attrs if attributes is None else attributes
    x = torch.from_numpy(np.ascontiguousarray(values.values, dtype=np.float64))
    return x.clamp_min(float(str(told["floor"]))).log() if told.get("scale") == "log" else x


def _members(draws: Tensor, member: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each member's samples, ``"m s h"`` each."""
    parts = [draws[torch.from_numpy(member == j)] for j in range(int(member.max()) + 1)]
    means = torch.stack([part.mean(0) for part in parts])
    return means, torch.stack([part.var(0) for part in parts]).clamp_min(1e-12)


def _mean(values: Tensor, good: Bool[Tensor, "s h"]) -> Float[Tensor, " h"]:
    return torch.where(good, values, 0.0).sum(0) / good.sum(0)


def _over_runs(inside: Tensor, good: Tensor, forecast: xr.Dataset) -> Float[Tensor, "2 h"]:
    """Return a 95 % interval of the coverage at each lead: windows of one run are not independent, runs are."""
    names = forecast["run"].values if "run" in forecast.coords else np.arange(len(good))
    rows = [torch.from_numpy(names == name) for name in np.unique(names)]
    if len(rows) < 2:
        return torch.full((2, good.shape[1]), torch.nan)
    by_run = torch.stack([_mean(inside[row].double(), good[row]) for row in rows])
    ends = [bootstrap(column[torch.isfinite(column)]) for column in by_run.T]
    return torch.tensor(ends, dtype=torch.float64).T


def chances(forecast: xr.Dataset, threshold: float) -> NDArray[np.float64]:
    """Return, for each series, the part of the samples that reach a threshold (in the target's unit) in time."""
    peak = forecast[target_of(forecast)].transpose("sample", "series", "time").values.max(-1)
    found: NDArray[np.float64] = (peak >= threshold).mean(0)
    return found


def alarms(
    forecast: xr.Dataset, series: xr.Dataset, *, on: float, off: float, chance: float = 0.5, quiet: float = 0.25
) -> EventScores:
    """Compare alarms of a backtest with what happened.

    An event begins where the target rises to ``on`` and ends where it falls below ``off`` (its unit). The alarm is
    on from where the chance of reaching ``on`` within the horizon rises to ``chance`` until it falls below
    ``quiet``.

    Raises :class:`InputError` unless the backtest goes through each series in equal steps.
    """
    name = target_of(forecast)
    reached = chances(forecast, on)
    rate = float(forecast.attrs["sample_rate"])
    truth, told, step = [], [], None
    for number in np.unique(forecast.number.values):
        rows = forecast.number.values == number
        begin = float(series["start"].values[number]) if "start" in series.coords else 0.0
        ticks = np.rint((forecast.origin.values[rows] - begin) * rate).astype(int)
        steps = np.unique(np.diff(ticks))
        if len(steps) > 1 or (len(steps) and step not in (None, int(steps[0]))):
            raise InputError("alarms are judged on a backtest with equal steps")
        step = int(steps[0]) if len(steps) else step
        values = torch.from_numpy(series[name].values[number].astype(np.float64))
        truth.append(hysteresis(values, on, off)[ticks])
        told.append(hysteresis(torch.from_numpy(reached[rows]), chance, quiet))
    if step is None:
        raise InputError("alarms need more than one forecast for a series")
    horizon = float(forecast.lead[-1])
    return event_scores(truth, told, dt=step / rate, horizon=horizon)

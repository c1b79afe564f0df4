"""Intervals that cover what they say: split conformal prediction on held-out runs, lead by lead."""

import torch
import xarray as xr
from torch import Tensor

from sciode.forecast.backtest import backtest
from sciode.forecast.base import Forecaster
from sciode.forecast.judge import scaled, target_of
from sciode.metrics import central, conformal_factor


def recalibrate(
    forecaster: Forecaster,
    series: xr.Dataset,
    *,
    level: float = 0.9,
    every: int = 10,
    samples: int = 400,
    seed: int = 0,
) -> Tensor:
    """Stretch the samples of later forecasts about their mean, at each lead as held-out runs ask for.

    The factor is that of the interval of probability ``level``. Windows of one run are not exchangeable, so that
    the guarantee of split conformal prediction is nearly and not exactly met. Calling it again begins anew.

    Returns the factors, ``"h"``.

    Raises :class:`InputError` for too few windows for the level.
    """
    forecaster.stretch_ = None
    found = backtest(forecaster, series, every=every, samples=samples, seed=seed)
    name = target_of(found)
    draws, truth = scaled(found[name]), scaled(found.truth, found[name].attrs)
    low, high = central(draws, level)
    mean, reach = draws.mean(0), (0.5 * (high - low)).clamp_min(1e-9)
    factors = []
    for lead in range(draws.shape[-1]):
        good = torch.isfinite(truth[:, lead])
        factors.append(conformal_factor(mean[good, lead], reach[good, lead], truth[good, lead], level))
    forecaster.stretch_ = torch.tensor(factors, dtype=torch.float32)
    return forecaster.stretch_

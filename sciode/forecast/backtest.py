"""Backtests: forecasts from many ticks of held-out runs, with the truth beside."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sciode.core.errors import InputError
from sciode.forecast.base import Forecaster


def cut(
    series: xr.Dataset, history: int, horizon: int, every: int, target: str, seen: xr.Dataset | None = None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return (histories, futures) around every ``every``-th tick, along ``series``; none reaches past a run.

    ``run`` and ``origin`` (s of the run) say where each was cut; histories come from ``seen`` where that is given.

    Raises :class:`InputError` where no series is long enough.
    """
    good = series[target].notnull().values
    if f"{target}_good" in series:
        good &= series[f"{target}_good"].values.astype(bool)
    ends = np.array([row.nonzero()[0][-1] + 1 if row.any() else 0 for row in good])
    at = [np.arange(history, end - horizon + 1, every) for end in ends]
    row = np.repeat(np.arange(len(at)), [len(ticks) for ticks in at])
    tick = np.concatenate(at)
    if not len(row):
        raise InputError(
            f"no series has {history} ticks of history and {horizon} to come; the longest has "
            f"{ends.max(initial=0)}"
        )
    before = _cut(series if seen is None else seen, row, tick[:, None] + np.arange(-history, 0))
    after = _cut(series, row, tick[:, None] + np.arange(horizon))
    step = 1.0 / float(series.attrs["sample_rate"])
    begin = series["start"].values[row] if "start" in series.coords else np.zeros(len(row))
    origin = xr.DataArray(begin + (tick - 1) * step, dims="series", attrs={"units": "s"})
    number = xr.DataArray(row, dims="series")
    labels = {"origin": origin, "number": number}
    return before.assign_coords(labels), after.assign_coords(labels)


def _cut(series: xr.Dataset, row: NDArray[np.int64], ticks: NDArray[np.int64]) -> xr.Dataset:
    variables = {
        str(name): (("series", "time"), value.transpose("series", "time").values[row[:, None], ticks], value.attrs)
        for name, value in series.data_vars.items()
    }
    along = {
        key: ("series", value.values[row], value.attrs)
        for key, value in series.coords.items()
        if value.dims == ("series",)
    }
    step = 1.0 / float(series.attrs["sample_rate"])
    time = ("time", (ticks[0] - ticks[0, 0]) * step, {"units": "s"})
    return xr.Dataset(variables, coords={"time": time, **along}, attrs=series.attrs)


def backtest(
    forecaster: Forecaster,
    series: xr.Dataset,
    *,
    every: int = 10,
    samples: int = 200,
    seed: int = 0,
    history: int = 0,
    seen: xr.Dataset | None = None,
) -> xr.Dataset:
    """Forecast from every ``every``-th tick of held-out series, and put the truth beside.

    Returns what :meth:`Forecaster.predict` does, windows along ``series``, with ``truth`` ``(series, time)``, NaN
    where it is not good, and the coordinates ``run``, ``number`` of the series, and ``origin`` (s of the run).

    ``seen`` is what the sensors said, where it is not what was: series of the same shape.
    ``history`` is the least number of ticks before the first forecast: the same for models that are compared.

    Raises :class:`InputError` for series that are too short, and what ``predict`` raises.
    """
    design, target = forecaster.design, forecaster.channels_.target
    if seen is not None and seen.sizes != series.sizes:
        raise InputError(f"what was seen has sizes {dict(seen.sizes)}, what was {dict(series.sizes)}")
    before, future = cut(series, max(design.history, history), design.horizon, every, target, seen)
    found = forecaster.predict(before, samples=samples, seed=seed, future=future)
    good = future[f"{target}_good"].values if f"{target}_good" in future else True
    truth = np.where(good, future[target].values, np.nan)
    found["truth"] = (("series", "time"), truth, {"units": found[target].attrs["units"]})
    return found

"""The report of a forecaster on held-out runs: one HTML page, and nothing fetched from anywhere."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

import sciode
from sciode.bench.page import inline, render
from sciode.bench.style import settle, svg
from sciode.core.files import write_text
from sciode.forecast.attribution import shares
from sciode.forecast.backtest import backtest, cut
from sciode.forecast.base import Forecaster
from sciode.forecast.baselines import Persistence
from sciode.forecast.design import Design
from sciode.forecast.figures import attributed, bands, calibration, over_lead, timeline
from sciode.forecast.judge import alarms, chances, judge
from sciode.metrics import EventScores


@dataclass(frozen=True)
class Extras:
    """What a report may hold besides scores: attribution, failing sensors, and where the model comes from."""

    attribution: xr.Dataset | None = None
    failures: Sequence[Mapping[str, float | str]] = ()
    about: Mapping[str, Any] | None = None


def write_report(
    path: str | Path,
    forecaster: Forecaster,
    series: xr.Dataset,
    *,
    on: float | None = None,
    off: float | None = None,
    samples: int = 400,
    seed: int = 0,
    extras: Extras | None = None,
) -> Path:
    """Judge a fitted forecaster on held-out series, and write the page, atomically.

    Parameters
    ----------
    path : path
        HTML file.
    forecaster, series
        Fitted, and runs that it has not seen.
    on, off : float, optional
        Threshold of events in the target's unit, and where they end (0.4 of it unless told).
    samples, seed : int
        Of each forecast.
    extras : Extras, optional
        See there.

    Raises
    ------
    InputError
        What :func:`backtest` and :func:`sciode.forecast.alarms` raise.
    """
    extras = extras or Extras()
    forecast = backtest(forecaster, series, samples=samples, seed=seed)
    scores = judge(forecast)
    before, _ = cut(series, forecaster.design.history, forecaster.design.horizon, 10, forecaster.channels_.target)
    figures = {
        "bands": bands(forecast, before, on),
        "calibration": calibration(forecast),
        "lead": over_lead(scores),
    }
    events = None
    if on is not None:
        dense = backtest(forecaster, series, every=2, samples=max(100, 2 * forecaster.step_.members), seed=seed)
        events = alarms(dense, series, on=on, off=0.4 * on if off is None else off)
        figures["alarms"] = timeline(series, dense, forecaster.channels_.target, chances(dense, on), on)
    if extras.attribution is not None:
        figures["attribution"] = attributed(shares(extras.attribution), extras.attribution)
    page = render(
        "forecast.html",
        title=f"{type(forecaster).__name__}: {forecaster.channels_.target}",
        figures=inline({name: _drawn(figure, name) for name, figure in figures.items()}),
        headline=_headline(forecaster, series, forecast, scores, samples, seed),
        scores=_rows(scores),
        events=None if events is None else _events(events, on or 0.0),
        failures=[dict(row) for row in extras.failures],
        units=forecaster.channels_.units[forecaster.channels_.target],
        card=_card(forecaster, extras.about or {}, seed),
        logarithm=forecaster.scales_[forecaster.channels_.target].floor is not None,
        horizon=float(forecast.lead[-1]),
        runs=[str(name) for name in np.unique(series.run.values)] if "run" in series.coords else [],
        count=forecast.sizes["series"],
    )
    write_text(path, page)
    return Path(path)


def _drawn(figure: Figure, name: str) -> str:
    settle(figure)
    return svg(figure, name)


def _headline(
    forecaster: Forecaster, series: xr.Dataset, forecast: xr.Dataset, scores: xr.Dataset, samples: int, seed: int
) -> dict[str, float]:
    last = scores.isel(time=-1)
    held = Persistence(Design(forecaster.design.horizon, log=forecaster.design.log)).fit(series)
    kept = backtest(held, series, samples=samples, seed=seed, history=forecaster.design.history)
    plain = float(judge(kept).rmse[-1])
    names = ("rmse", "coverage", "coverage_low", "coverage_high", "nll_mixture", "nll_gaussian", "nll_best_member")
    return {"persistence": plain, **{name: float(last[name]) for name in names}}


def _rows(scores: xr.Dataset) -> list[dict[str, float]]:
    last = scores.sizes["time"] - 1
    chosen = sorted({0, last // 10, last // 4, last // 2, 3 * last // 4, last})
    return [{"lead": float(scores.time[i]), **{str(k): float(v[i]) for k, v in scores.items()}} for i in chosen]


def _events(found: EventScores, on: float) -> dict[str, Any]:
    leads = [onset.lead for run in found.onsets for onset in run]
    return {
        "on": on,
        "onsets": len(leads),
        "detected": found.detection_rate,
        "ahead": found.ahead_rate,
        "lead": found.lead_time,
        "false": found.false_alarms_per_run,
    }


def _card(forecaster: Forecaster, about: Mapping[str, Any], seed: int) -> list[tuple[str, str]]:
    channels = forecaster.channels_
    rows = [("model", type(forecaster).__name__)]
    for key, value in forecaster.settings().items():
        told = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        rows.append(
            (key, ", ".join(f"{k} = {v}" for k, v in told.items()) if isinstance(told, dict) else str(told))
        )
    rows += [(f"channel {n}", f"{role}, {channels.units[n] or 'no unit'}") for role, n in _roles(forecaster)]
    rows.append(("clock", f"{channels.rate:g} Hz"))
    rows += [(str(k), ", ".join(map(str, v)) if isinstance(v, list | tuple) else str(v)) for k, v in about.items()]
    versions = f"sciode {sciode.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    return [*rows, ("seed of the samples", str(seed)), ("versions", versions)]


def _roles(forecaster: Forecaster) -> list[tuple[str, str]]:
    channels = forecaster.channels_
    past = [("past covariate", name) for name in channels.past]
    return [("target", channels.target), *past, *(("known in advance", name) for name in channels.known)]

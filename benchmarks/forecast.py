"""Forecasts of generated engine logs: errors, calibration, failing sensors, alarms, attribution, seed by seed.

python benchmarks/forecast.py runs/forecast              # three logs of 40 runs, about 25 min on a CPU
python benchmarks/forecast.py runs/forecast --seeds 0    # one of them

Each seed has a log of its own: 20 runs to train, 5 to stop and to calibrate by, 15 to judge. Finished seeds are
kept under the folder, and not run again.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import machine, table, write
from scipy.stats import spearmanr

from sciode.core.files import read_json, write_json
from sciode.data.logs import SensorLog
from sciode.data.series import SeriesSpec, read_series
from sciode.forecast import (
    AnchoredEnsemble,
    Design,
    Forecaster,
    Persistence,
    Ridge,
    Training,
    alarms,
    backtest,
    judge,
)
from sciode.forecast.attribution import attribute, incompleteness, shares
from sciode.forecast.backtest import cut
from sciode.forecast.faults import Fault, failures
from sciode.forecast.recalibrate import recalibrate
from sciode.generate.engine_log import EngineLog, engine_log

SPEC = SeriesSpec(rate=100.0, how={"p_dyn": "rms", "oh": "std"})
LOG = ("p_dyn", "oh")
LEADS = (5, 10, 20, 35, 50)  # ticks, of attribution
SENSORS = ("p_dyn", "oh", "p_c", "t_inj", "mixture_ratio", "flow")
ON, OFF = 1.0, 0.4  # bar, of an instability
HISTORY = 26  # ticks before the first forecast, for all
PRIOR = 0.3  # chosen on a log of another seed, 10, which is not judged


def design(**other: Any) -> Design:
    """Return what all models look at."""
    return Design(horizon=50, log=LOG, **other)


def ensemble(seed: int, prior: float | None = PRIOR, failing: float = 0.15, **other: Any) -> AnchoredEnsemble:
    """Return 20 members as they are judged."""
    return AnchoredEnsemble(prior=prior, design=design(**other), training=Training(seed=seed, failures=failing))


def scores(model: Forecaster, test: xr.Dataset, seed: int) -> dict[str, float]:
    """Judge a fitted model at 500 ms."""
    found = judge(backtest(model, test, every=10, samples=400, seed=seed, history=HISTORY)).isel(time=-1)
    return {str(key): float(value) for key, value in found.data_vars.items()}


def without_plan(series: xr.Dataset) -> xr.Dataset:
    """Return series whose plan is known up to the origin only."""
    changed = series.copy()
    for name in ("mixture_ratio", "flow"):
        changed[name] = series[name].assign_attrs(role="past_covariate")
    return changed


def clean(seed: int, parts: list[xr.Dataset]) -> tuple[AnchoredEnsemble, dict[str, Any]]:
    """Fit the models on all training runs, and judge them."""
    train, validation, test = parts
    start = time.perf_counter()
    model = ensemble(seed).fit(train, validation)
    found: dict[str, Any] = {"training seconds": time.perf_counter() - start}
    others: dict[str, Forecaster] = {
        "persistence": Persistence(design()).fit(train),
        "AR ridge": Ridge(own=True, design=design()).fit(train),
        "ARX ridge, with sensors and plan": Ridge(design=design()).fit(train),
        "plain ensemble": ensemble(seed, None).fit(train, validation),
    }
    found["models"] = {"anchored ensemble": scores(model, test, seed)}
    found["models"] |= {name: scores(other, test, seed) for name, other in others.items()}
    blind = ensemble(seed).fit(without_plan(train), without_plan(validation))
    found["models"]["anchored, future plan unknown"] = scores(blind, without_plan(test), seed)
    recalibrate(model, validation)
    found["models"]["anchored, recalibrated"] = scores(model, test, seed)
    model.stretch_ = None
    return model, found


def few_runs(seed: int, log: SensorLog, parts: list[xr.Dataset]) -> list[dict[str, Any]]:
    """Compare anchored and plain ensembles on one to three training runs, without stopping by other runs."""
    rows = []
    for count in (1, 2, 3):
        train = read_series(log, SPEC, list(log.runs)[:count])
        for name, prior in (("anchored", PRIOR), ("plain", None)):
            found = scores(ensemble(seed, prior).fit(train), parts[2], seed)
            rows.append({"runs": count, "ensemble": name, **found})
    return rows


def broken(seed: int, model: Forecaster, parts: list[xr.Dataset]) -> list[dict[str, Any]]:
    """Let sensors fail: out of range unnoticed; in range, with and without masks and failures in training."""
    bare = ensemble(seed, failing=0.0, masks=False).fit(parts[0], parts[1])
    shifts = [Fault(name, "shift", size) for name in ("p_dyn", "oh") for size in (2.0, 4.0, 6.0, 8.0)]
    stuck = [Fault(name, "stuck") for name in ("p_dyn", "oh", "p_c", "t_inj")]
    rows = []
    for lead in (10, 50):
        for name, other in (("masks", model), ("no masks", bare)):
            faults = [None, *(shifts if lead == 50 else []), *stuck]
            found = failures(other, parts[2], faults, spec=SPEC, samples=200, seed=seed, lead=lead)
            rows += [{"model": name, "lead": lead, **row} for row in found]
    return rows


def explained(seed: int, model: Forecaster, parts: list[xr.Dataset]) -> dict[str, Any]:
    """Rank sensors by integrated gradients, and by what a model loses that is trained without them."""
    history, future = cut(parts[2], HISTORY, 50, 30, "p_dyn")
    found = [attribute(model, history, future, lead=lead, points=64) for lead in LEADS]
    part = np.array([[shares(one)[name] for name in SENSORS] for one in found])
    whole = np.array([_crps(ensemble(s).fit(parts[0], parts[1]), parts[2]) for s in _again(seed)])
    lost = np.zeros((len(SENSORS), len(LEADS)))
    for row, name in zip(lost, SENSORS, strict=True):
        without = [_crps(ensemble(s, deaf=(name,)).fit(parts[0], parts[1]), parts[2]) for s in _again(seed)]
        row[:] = (np.array(without) - whole).mean(0)
    agreed = {str(lead): _rank(part[i], lost[:, i]) for i, lead in enumerate(LEADS)}
    return {
        "shares": dict(zip(SENSORS, part.mean(0).tolist(), strict=True)),
        "lost": dict(zip(SENSORS, lost.mean(1).tolist(), strict=True)),
        "spearman": _rank(part.mean(0), lost.mean(1)),
        "spearman by lead": agreed,
        "incompleteness": max(incompleteness(one) for one in found),
    }


def _again(seed: int) -> list[int]:
    """Return the seeds of trainings to average over: what a weak sensor is worth is less than their spread."""
    return [seed, 100 + seed, 200 + seed]


def _rank(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def _crps(model: Forecaster, test: xr.Dataset) -> np.ndarray:
    found = judge(backtest(model, test, every=10, samples=400, seed=0, history=HISTORY))
    return np.array([float(found.crps[lead - 1]) for lead in LEADS])


def warned(seed: int, model: Forecaster, test: xr.Dataset) -> dict[str, float]:
    """Judge alarms for the amplitude reaching ``ON`` within the horizon."""
    forecast = backtest(model, test, every=2, samples=100, seed=seed, history=HISTORY)
    found = alarms(forecast, test, on=ON, off=OFF)
    return {
        "onsets": float(sum(len(run) for run in found.onsets)),
        "detected": found.detection_rate,
        "ahead": found.ahead_rate,
        "lead": found.lead_time,
        "false": found.false_alarms_per_run,
    }


def speed(model: AnchoredEnsemble, parts: list[xr.Dataset]) -> dict[str, float]:
    """Time a forecast of 500 samples over 50 ticks, and training steps of members together and one by one."""
    history, future = cut(parts[2], HISTORY, 50, 1000, "p_dyn")
    one, plan = history.isel(series=[0]), future.isel(series=[0])
    predict = _fastest(lambda: model.predict(one, samples=500, future=plan), 5)
    short = Training(steps=100)
    batched = _fastest(lambda: AnchoredEnsemble(design=design(), training=short).fit(parts[0]), 3)
    single = _fastest(lambda: AnchoredEnsemble(members=1, design=design(), training=short).fit(parts[0]), 3)
    return {"prediction seconds": predict, "batched over looped": 20 * single / batched}


def _fastest(call: Callable[[], Any], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def one_seed(seed: int, folder: Path) -> dict[str, Any]:
    """Return all numbers of a seed; those of a finished one are read."""
    kept = folder / f"seed-{seed}.json"
    if kept.is_file():
        return dict(read_json(kept))
    file = folder / f"engine-{seed}.h5"
    if not file.is_file():
        engine_log(file, EngineLog(runs=40, seed=seed))
    log = SensorLog(file)
    names = list(log.runs)
    parts = [read_series(log, SPEC, names[a:b]) for a, b in ((0, 20), (20, 25), (25, 40))]
    model, found = clean(seed, parts)
    found["speed"] = speed(model, parts)
    found["alarms"] = warned(seed, model, parts[2])
    found["explained"] = explained(seed, model, parts)
    found["few"] = few_runs(seed, log, parts)
    found["broken"] = broken(seed, model, parts)
    write_json(kept, found)
    return found


def report(found: dict[int, dict[str, Any]]) -> None:
    """Write the tables."""
    rows = []
    for seed, one in found.items():
        for name, s in one["models"].items():
            rows.append(_row(seed, name, s))
    extra = [_few(found), _broken(found), _rest(found)]
    notes = (
        "Generated engine logs, amplitude of the dynamic pressure 500 ms ahead, on its logarithm. Coverage: of "
        "the central 90 % interval, with its 95 % range over 15 test runs.\n\n"
        + "\n\n".join(extra)
        + "\n\nAt 500 ms:"
    )
    write("forecast-cpu", "Forecasts of engine logs", notes, machine("cpu", ["sciode", "xarray"]), rows)


def _row(seed: int, name: str, s: dict[str, float]) -> dict[str, Any]:
    cover = f"{s['coverage']:.3f} ({s['coverage_low']:.3f} to {s['coverage_high']:.3f})"
    keys = ("rmse", "crps", "nll_mixture", "nll_gaussian", "nll_best_member", "aleatoric", "epistemic")
    return {"seed": seed, "model": name, "coverage": cover, **{key: s[key] for key in keys}}


def _few(found: dict[int, dict[str, Any]]) -> str:
    rows = [
        {"seed": seed, **{key: row[key] for key in ("runs", "ensemble", "rmse", "nll_mixture", "coverage")}}
        for seed, one in found.items()
        for row in one["few"]
    ]
    return "Few training runs:\n\n" + table(rows)


def _broken(found: dict[int, dict[str, Any]]) -> str:
    keys = ("model", "sensor", "fault", "size", "rmse", "coverage", "aleatoric", "epistemic")
    rows = []
    for seed, one in found.items():
        base = {(r["model"], r["lead"]): r["epistemic"] for r in one["broken"] if r["fault"] == "none"}
        for row in one["broken"]:
            ratio = row["epistemic"] / base[row["model"], row["lead"]]
            told = {key: row[key] for key in keys}
            rows.append({"seed": seed, "ms": 10 * row["lead"], **told, "epistemic / clean": ratio})
    return "Failing sensors (size in standard deviations; stuck ones at their mean):\n\n" + table(rows)


def _rest(found: dict[int, dict[str, Any]]) -> str:
    rows = []
    for seed, one in found.items():
        told = one["explained"]
        order = sorted(SENSORS, key=lambda name: -told["shares"][name])
        rows.append(
            {
                "seed": seed,
                **{f"alarms: {key}": value for key, value in one["alarms"].items()},
                "IG shares": ", ".join(f"{name} {told['shares'][name]:.2f}" for name in order),
                "CRPS lost without": ", ".join(f"{name} {told['lost'][name]:.3f}" for name in order),
                "Spearman": told["spearman"],
                "Spearman by lead": ", ".join(
                    f"{10 * int(k)} ms {v:.2f}" for k, v in told["spearman by lead"].items()
                ),
                "IG incompleteness": told["incompleteness"],
                "training s": one["training seconds"],
                **one["speed"],
            }
        )
    return "Alarms, attribution, speed:\n\n" + table(rows)


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    report({seed: one_seed(seed, asked.folder) for seed in asked.seeds})


if __name__ == "__main__":
    main()

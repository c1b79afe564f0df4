"""The whole way, in files: a log to a model, a model and a log to forecasts, scores and a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from sciode.core.errors import InputError
from sciode.core.files import atomic_path
from sciode.core.names import lookup
from sciode.data.logs import SensorLog
from sciode.data.sensor_log import split_runs
from sciode.data.series import SeriesSpec, read_series
from sciode.forecast.anchored import AnchoredEnsemble
from sciode.forecast.attribution import attribute
from sciode.forecast.backtest import backtest, cut
from sciode.forecast.base import Forecaster
from sciode.forecast.baselines import Persistence, Ridge
from sciode.forecast.design import Design
from sciode.forecast.faults import Fault, failures
from sciode.forecast.figures import forecast_picture
from sciode.forecast.judge import judge
from sciode.forecast.laplace import LaplaceForecaster
from sciode.forecast.latent import LatentSDE
from sciode.forecast.learn import Training
from sciode.forecast.process import ProcessForecaster
from sciode.forecast.recalibrate import recalibrate
from sciode.forecast.report import Extras, write_report
from sciode.forecast.store import Artefact, load_forecaster, save_forecaster
from sciode.forecast.variational import VariationalForecaster


@dataclass(frozen=True)
class Recipe:
    """What ``sciode forecast fit`` makes.

    Parameters
    ----------
    kind : str
        "anchored", "plain", "variational", "lowrank", "laplace", "gp", "sde", "ridge", "ar", "persistence".
    rate : float
        Of the common clock, Hz.
    horizon : float
        s.
    amplitude : tuple of str
        Oscillating channels: their standard deviation in each tick is taken, and its logarithm modelled.
    members, steps : int
        Of ensembles.
    """

    kind: str = "anchored"
    rate: float = 100.0
    horizon: float = 0.5
    amplitude: tuple[str, ...] = ()
    members: int = 20
    steps: int = 2000

    def spec(self) -> SeriesSpec:
        """Return how logs are read."""
        return SeriesSpec(rate=self.rate, how=dict.fromkeys(self.amplitude, "std"))

    def forecaster(self, seed: int, quiet: bool) -> Forecaster:
        """Return the forecaster, not yet fitted."""
        ticks = round(self.horizon * self.rate)
        if ticks < 1:
            raise InputError(f"a horizon of {self.horizon:g} s is less than a tick at {self.rate:g} Hz")
        design = Design(horizon=ticks, log=self.amplitude)
        training = Training(steps=self.steps, seed=seed, quiet=quiet)
        kinds: dict[str, Callable[[], Forecaster]] = {
            "anchored": lambda: AnchoredEnsemble(self.members, design=design, training=training),
            "plain": lambda: AnchoredEnsemble(self.members, prior=None, design=design, training=training),
            "variational": lambda: VariationalForecaster(0, self.members, design=design, training=training),
            "lowrank": lambda: VariationalForecaster(8, self.members, design=design, training=training),
            "gp": lambda: ProcessForecaster(self.members, design=design, seed=seed),
            "sde": lambda: LatentSDE(
                design=design,
                training=Training(max(self.steps // 5, 1), 64, 3e-3, seed=seed, quiet=quiet),
            ),
            "laplace": lambda: LaplaceForecaster(self.members, design=design, training=training),
            "ridge": lambda: Ridge(design=design, seed=seed),
            "ar": lambda: Ridge(own=True, design=design, seed=seed),
            "persistence": lambda: Persistence(design),
        }
        return lookup(self.kind, kinds, "forecaster")()


def fit_log(
    log: str | Path,
    output: str | Path,
    recipe: Recipe,
    *,
    runs: Sequence[str] | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Train on a log's training runs, stop and calibrate by its validation runs, and write the model.

    ``runs`` are taken instead of the training runs; validation runs among them are refused as a leak.
    """
    file = SensorLog(log)
    for name in recipe.amplitude:
        if not any(name in run.signals for run in file.runs.values()):
            raise InputError(f"--amplitude {name}: the log has no such channel")
    split = split_runs(file, seed=seed)
    chosen = list(split["train"] if runs is None else runs)
    held = [name for name in split["val"] if name not in chosen]
    model, spec = recipe.forecaster(seed, quiet), recipe.spec()
    train = read_series(file, spec, chosen)
    validation = read_series(file, spec, held) if held else None
    model.fit(train, validation)
    about = {"log": Path(log).name, "runs": chosen, "validation": held, "seed": seed}
    if validation is not None:
        recalibrate(model, validation, seed=seed)
    return save_forecaster(output, Artefact(model, spec, about))


def evaluate_log(
    model: str | Path,
    log: str | Path,
    *,
    runs: Sequence[str] | None = None,
    samples: int = 400,
    every: int = 10,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Return scores at a tenth, half and the whole of the horizon on runs that the model has not seen."""
    artefact = load_forecaster(model)
    series = unseen(artefact, log, runs)
    found = judge(backtest(artefact.forecaster, series, every=every, samples=samples, seed=seed))
    last = found.sizes["time"] - 1
    chosen = sorted({0, last // 10, last // 2, last})
    return [
        {"lead": float(found.time[i]), **{str(k): float(v[i]) for k, v in found.data_vars.items()}} for i in chosen
    ]


def unseen(artefact: Artefact, log: str | Path, runs: Sequence[str] | None = None) -> xr.Dataset:
    """Return the series of runs that the model was not trained on; all such runs unless told.

    Raises :class:`InputError` for runs that it has seen, and where none are left.
    """
    file, told = SensorLog(log), artefact.about
    seen = {*told.get("runs", ()), *told.get("validation", ())} if told.get("log") == Path(log).name else set()
    chosen = [name for name in file.runs if name not in seen] if runs is None else list(runs)
    leaks = sorted(seen & set(chosen))
    if leaks:
        raise InputError(f"the model was trained on {', '.join(leaks)} of this log: judge it on others")
    if not chosen:
        raise InputError(f"the model has seen all runs of {Path(log).name}: record or generate others")
    return read_series(file, artefact.spec, chosen)


def predict_log(
    model: str | Path,
    log: str | Path,
    output: str | Path,
    *,
    run: str | None = None,
    at: float | None = None,
    samples: int = 500,
    seed: int = 0,
) -> list[Path]:
    """Forecast one run from one moment (s of the run), and write samples and a picture."""
    artefact = load_forecaster(model)
    forecaster, file = artefact.forecaster, SensorLog(log)
    name = max(file.runs) if run is None else run
    series = read_series(file, artefact.spec, [name])
    design = forecaster.design
    before, after = cut(series, design.history, design.horizon, 1, forecaster.channels_.target)
    moments = before.origin.values
    chosen = len(moments) - 1 if at is None else int(np.abs(moments - at).argmin())
    if at is not None and abs(moments[chosen] - at) > 1.0 / artefact.spec.rate:
        raise InputError(
            f"run {name} can be forecast from {moments.min():.2f} s to {moments.max():.2f} s, asked is {at:g} s"
        )
    history, plan = before.isel(series=[chosen]), after.isel(series=[chosen])
    found = forecaster.predict(history, samples=samples, seed=seed, future=plan)
    with atomic_path(output) as partial:
        found.to_netcdf(partial, engine="h5netcdf")
    return [Path(output), forecast_picture(Path(output).with_suffix(".png"), history, found, plan)]


def report_log(
    model: str | Path,
    log: str | Path,
    output: str | Path,
    *,
    runs: Sequence[str] | None = None,
    on: float | None = None,
    off: float | None = None,
    samples: int = 400,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Write the report of a model on runs that it has not seen, with attribution and failing sensors."""
    artefact = load_forecaster(model)
    forecaster = artefact.forecaster
    series, design = unseen(artefact, log, runs), forecaster.design
    target = forecaster.channels_.target
    history, plan = cut(series, design.history, design.horizon, design.horizon, target)
    attribution = attribute(forecaster, history, plan, quiet=quiet)
    faults: list[Fault | None] = [None]
    for name in (target, *forecaster.channels_.past):
        faults += [Fault(name, "stuck"), Fault(name, "shift", 4.0)]
    found = failures(forecaster, series, faults, spec=artefact.spec, samples=samples, seed=seed)
    extras = Extras(attribution, found, artefact.about)
    return write_report(output, forecaster, series, on=on, off=off, samples=samples, seed=seed, extras=extras)

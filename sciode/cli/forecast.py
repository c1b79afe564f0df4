"""``sciode forecast``: from sensor logs to calibrated forecasts, reports and alarms."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Argument(help="A model that `sciode forecast fit` wrote.")]
Log = Annotated[Path, typer.Argument(help="A sciode-log HDF5 file.")]
Runs = Annotated[str | None, typer.Option(help="Runs, separated by commas.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Seed = Annotated[int, typer.Option(help="Of the samples.")]


@app.command("fit")
def fit(
    log: Log,
    model: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("model.safetensors"),
    kind: Annotated[str, typer.Option("--model", "-m", help="anchored, persistence, ridge, ...")] = "anchored",
    rate: Annotated[float, typer.Option(help="Of the common clock, Hz.")] = 100.0,
    horizon: Annotated[float, typer.Option(help="Seconds ahead.")] = 0.5,
    amplitude: Annotated[
        list[str] | None,
        typer.Option(
            help="Oscillating channel: take its amplitude in each tick, and the logarithm of it; repeat."
        ),
    ] = None,
    members: Annotated[int, typer.Option(help="Of an ensemble.")] = 20,
    steps: Annotated[int, typer.Option(help="Of the training.")] = 2000,
    runs: Runs = None,
    seed: Annotated[int, typer.Option(help="Of the split, weights and batches.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a forecaster on the runs of a log; some are held out to stop and to calibrate by."""
    from sciode.forecast.pipeline import Recipe, fit_log

    recipe = Recipe(kind, rate, horizon, tuple(amplitude or ()), members, steps)
    chosen = runs.split(",") if runs else None
    typer.echo(fit_log(log, model, recipe, runs=chosen, seed=seed, quiet=quiet))


@app.command("predict")
def predict(
    model: Model,
    log: Log,
    output: Annotated[Path, typer.Option("--output", "-o", help="netCDF file to write.")] = Path("forecast.nc"),
    run: Annotated[str | None, typer.Option(help="Which; the last one unless told.")] = None,
    at: Annotated[
        float | None, typer.Option(help="From which second of the run; as late as the truth is known.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Paths.")] = 500,
    seed: Seed = 0,
) -> None:
    """Forecast one run from one moment: samples as netCDF, and a picture beside."""
    from sciode.forecast.pipeline import predict_log

    for path in predict_log(model, log, output, run=run, at=at, samples=samples, seed=seed):
        typer.echo(path)


@app.command("evaluate")
def evaluate(
    model: Model,
    log: Log,
    runs: Runs = None,
    samples: Annotated[int, typer.Option(help="Paths of each forecast.")] = 400,
    every: Annotated[int, typer.Option(help="Ticks between forecasts.")] = 10,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    seed: Seed = 0,
) -> None:
    """Judge a model on runs that it has not seen, lead by lead."""
    from sciode.bench.console import print_table
    from sciode.core.files import write_json
    from sciode.forecast.pipeline import evaluate_log

    chosen = runs.split(",") if runs else None
    rows = evaluate_log(model, log, runs=chosen, samples=samples, every=every, seed=seed)
    heads = list(rows[0])
    print_table(heads, [[f"{row[head]:.3g}" for head in heads] for row in rows])
    if output is not None:
        write_json(output, rows)


@app.command("report")
def report(
    model: Model,
    log: Log,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("forecast.html"),
    runs: Runs = None,
    on: Annotated[float | None, typer.Option(help="Alarm threshold, in the target's unit.")] = None,
    off: Annotated[float | None, typer.Option(help="Where an event ends; 0.4 of --on unless told.")] = None,
    samples: Annotated[int, typer.Option(help="Paths of each forecast.")] = 400,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Write one page: forecasts against truth, calibration, failing sensors, attribution, alarms, model card."""
    from sciode.forecast.pipeline import report_log

    chosen = runs.split(",") if runs else None
    typer.echo(
        report_log(model, log, output, runs=chosen, on=on, off=off, samples=samples, seed=seed, quiet=quiet)
    )


@app.command("watch")
def watch(
    model: Model,
    log: Log,
    run: Annotated[str | None, typer.Option(help="Which; the last one unless told.")] = None,
    on: Annotated[float | None, typer.Option(help="Alarm threshold, in the target's unit.")] = None,
    samples: Annotated[int, typer.Option(help="Paths of each forecast.")] = 200,
    lost: Annotated[
        float, typer.Option(help="Seconds without growth after which the writer counts as lost.")
    ] = 5.0,
    patience: Annotated[float, typer.Option(help="Seconds after that to go on waiting.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    seed: Seed = 0,
) -> None:
    """Follow a log that is being written: forecasts and alarms as it grows."""
    import time

    from sciode.forecast.store import load_forecaster
    from sciode.forecast.watch import Watching, say, watch

    settings = Watching(on=on, samples=samples, lost=lost, seed=seed)
    artefact = load_forecaster(model)
    since: float | None = None
    for told in watch(artefact, log, settings, run=run):
        if told["kind"] == "idle":
            if since is not None and time.monotonic() - since > patience:
                return
            continue
        since = time.monotonic() if told["kind"] == "lost" else None if told["kind"] == "back" else since
        typer.echo(json.dumps(told) if as_json else say(told, artefact))

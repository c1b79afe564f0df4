"""``sciode generate``: a generative model of the states in a file."""

from pathlib import Path
from typing import Annotated, Any

import typer


def generate(
    path: Annotated[Path, typer.Argument(help="A PDEBench or Well HDF5 file.")],
    directory: Annotated[
        Path | None, typer.Option("--directory", "-o", help="Run directory; default: runs/FILE-generate.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; 20 where no steps are set either.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="States to generate.")] = 256,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 10,
    sampler: Annotated[
        str,
        typer.Option(help="ddim, deis, dpm_solver_pp, euler, heun or unipc; heun calls the network twice a step."),
    ] = "unipc",
    conserve: Annotated[
        bool, typer.Option(help="Give every state the mean over space that all training states share, if they do.")
    ] = True,
    batch: Annotated[int, typer.Option(help="States in a training step.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", "--lr", help="Peak rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of weights, order, split and noise.")] = 0,
    options: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="KEY=VALUE: ema=0.99, model.width=64; give it again.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; default: a GPU if any.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove an earlier training and start again.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a diffusion model of single states, sample it in a few evaluations, set the states beside the data.

    Started again, it goes on where it stopped; a finished training is only sampled again.
    """
    from sciode.cli.train import _options
    from sciode.synthesis import synthesize

    shape, settings = _options(options or [])
    settings = {"batch": batch, "learning_rate": learning_rate, **settings}
    if epochs is not None:
        settings["epochs"] = epochs
    folder = Path("runs") / f"{path.stem}-generate" if directory is None else directory
    made = synthesize(
        path, folder, sampler=sampler, steps=steps, samples=samples, conserve=conserve, seed=seed,
        model=shape, fresh=fresh, device=device, quiet=quiet, **settings,
    )  # fmt: skip
    _report(made.metrics)
    for file in (made.samples, made.picture, folder / "metrics.json"):
        typer.echo(file)


def _report(metrics: dict[str, Any]) -> None:
    from sciode.bench.console import print_table

    groups = metrics["against_test_states"]
    bands = list(groups["model"]["spectrum"])
    rows = []
    for name, found in groups.items():
        errors = [f"{found['spectrum'][band]:.3g}" for band in bands]
        shape = [f"{found['increments'][key]:.3g}" for key in ("skewness", "excess_kurtosis")]
        rows.append([name, *errors, *shape, f"{found['mean']:.2g}", f"{found['energy_distance']:.3g}"])
    head = [
        "states",
        *(f"spectrum, {band}" for band in bands),
        "skewness du",
        "kurtosis du",
        "mean",
        "energy dist.",
    ]
    print_table(head, rows)

"""``sciode train``: train a surrogate on a file of trajectories."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sciode.core.errors import InputError


def train(
    path: Annotated[Path | None, typer.Argument(help="A PDEBench or Well HDF5 file.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file of a pre-training or fine-tuning, instead.")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="A surrogate by name, such as fno or unet.")] = "fno",
    directory: Annotated[
        Path | None, typer.Option("--directory", "-o", help="Run directory; default: runs/FILE-MODEL.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; 20 where no steps are set either.")] = None,
    batch: Annotated[int, typer.Option(help="Windows in a step, over all processes together.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", "--lr", help="Peak rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of the initial weights, the order and the split.")] = 0,
    rule: Annotated[str, typer.Option(help="How to split trajectories: sciode or pdebench.")] = "sciode",
    options: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="KEY=VALUE: unroll=2, precision=bf16, model.width=64; give it again."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; default: a GPU if any.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove an earlier run and start again.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a surrogate on a file. Started again, it goes on where it stopped.

    With --config all settings stand in that file; of the other options only --directory, --device, --fresh and
    --quiet count then.

    On many GPUs: accelerate launch --multi_gpu -m sciode.cli train ...
    On many CPU processes: accelerate launch --multi_gpu --num_processes N -m sciode.cli train ... --device cpu
    """
    if (path is None) == (config is None):
        raise InputError("sciode train takes a file of data, or --config with a TOML file: one of them")
    if config is not None:
        _configured(config, directory, device, fresh, quiet)
        return
    assert path is not None
    import torch

    from sciode.core.random import derive_seed
    from sciode.data import open_trajectories, split
    from sciode.surrogate import build
    from sciode.train import fit

    shape, settings = _options(options or [])
    data = open_trajectories(path)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "weights"))
        network: Any = build(model, data, **shape)
    settings = {"batch": batch, "learning_rate": learning_rate, "seed": seed, **settings}
    if epochs is not None:
        settings["epochs"] = epochs
    folder = Path("runs") / f"{path.stem}-{model}" if directory is None else directory
    parts = split(data, rule, seed)
    history = fit(
        network, data, split=parts, directory=folder, resume=not fresh, device=device, quiet=quiet, **settings
    )
    _report(history.best, history.best_epoch, history.steps, history.checkpoint)


def _configured(path: Path, directory: Path | None, device: str | None, fresh: bool, quiet: bool) -> None:
    from sciode.bench.configured import train_from

    history = train_from(path, directory, device=device, resume=not fresh, quiet=quiet)
    _report(history.best, history.best_epoch, history.steps, history.checkpoint)


def _report(best: float, epoch: int, steps: int, checkpoint: Path | None) -> None:
    from accelerate import PartialState

    if PartialState().is_main_process:
        typer.echo(f"best one-step error {best:.4g} in epoch {epoch}, after {steps} steps: {checkpoint}")


def _options(texts: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort ``model.key=value`` from ``key=value``; values are JSON where they can be, else texts."""
    import json

    shape: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"--set takes KEY=VALUE, such as unroll=2 or model.width=64; got {text!r}")
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            parsed = value
        target, name = (shape, key[len("model.") :]) if key.startswith("model.") else (settings, key)
        target[name] = parsed
    return shape, settings

"""From a file of trajectories to generated states, numbers and a picture."""

import inspect
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.files import write_json
from sciode.core.names import check_keys, lookup
from sciode.core.random import derive_seed
from sciode.data import Trajectories, open_trajectories, split, write_trajectories
from sciode.synthesis.compare import compare
from sciode.synthesis.model import FieldModel
from sciode.synthesis.picture import draw
from sciode.synthesis.sampling import SAMPLERS, conserved_mean, gaussian_fields, sample_fields
from sciode.train import DenoisingTask, fit

_MEMORY = 2**30  # bytes of states to compare with


@dataclass(frozen=True)
class Synthesis:
    """What :func:`synthesize` left behind.

    Attributes
    ----------
    metrics : dict
        The content of ``metrics.json``.
    samples, picture : Path
        The generated states (HDF5, the layout of the data), and the picture.
    """

    metrics: dict[str, Any]
    samples: Path
    picture: Path


def synthesize(
    file: str | Path,
    directory: str | Path,
    *,
    sampler: str = "unipc",
    steps: int = 10,
    samples: int = 256,
    conserve: bool = True,
    seed: int = 0,
    model: dict[str, Any] | None = None,
    fresh: bool = False,
    device: str | None = None,
    quiet: bool = False,
    **config: Any,
) -> Synthesis:
    """Train a :class:`FieldModel` on the states of ``file``, or go on where that stopped; sample it; compare.

    Trained on the training ids of ``sciode.data.split``; compared with the states of the test ids. Beside the
    model stand the training states themselves (as near as one can hope to come) and Gaussian fields of their
    spectrum.

    Parameters
    ----------
    file
        PDEBench or Well HDF5 file.
    directory
        Gets ``samples.hdf5``, ``metrics.json``, ``picture.png`` and, of the training, ``metrics.jsonl`` and
        ``checkpoints/``.
    sampler, steps
        Name in :data:`SAMPLERS`, and its steps.
    conserve
        Give every state the mean over space that all training states share, where they share one.
    samples, seed
        How many states; seed of weights, order, split and noise.
    model
        Arguments of :class:`FieldModel` that override those fitted to the data.
    fresh
        Remove an earlier training and start again.
    device, quiet
        As for :func:`sciode.train.fit`.
    **config
        See :class:`sciode.train.FitConfig`.

    Raises
    ------
    InputError
        For a missing file, an unknown sampler, data that are not finite, fewer than three trajectories.
    """
    make = lookup(sampler, SAMPLERS, "sampler")
    folder = Path(directory)
    if samples < 2:
        raise InputError(f"samples must be at least 2, got {samples}")
    data = open_trajectories(file)
    ids = split(data, seed=seed)
    network = _network(data, seed, model or {})
    method = make(network.denoiser.schedule, steps)
    training: dict[str, Any] = {"directory": folder, "resume": not fresh, "device": device, "quiet": quiet}
    history = fit(network, data, split=ids, task=DenoisingTask(), seed=seed, **training, **config)
    seen, truth = _states(data, ids.train), _states(data, ids.test)
    mean = conserved_mean(seen) if conserve else None
    clock = time.perf_counter()
    made = sample_fields(network, method, samples, data.shape[3:], mean=mean, seed=seed, quiet=quiet)
    seconds = time.perf_counter() - clock
    gaussian = gaussian_fields(seen, samples, seed=seed)
    groups = {"model": made, "gaussian field": gaussian, "training states": seen, "test states": truth}
    metrics = {
        "file": Path(file).name,
        "sampler": method.name,
        "evaluations": method.evaluations,
        "samples": samples,
        "conserved_mean": None if mean is None else mean.tolist(),
        "seconds_of_sampling": round(seconds, 3),
        "parameters": sum(p.numel() for p in network.parameters()),
        "training_steps": history.steps,
        "best_validation_loss": history.best,
        "against_test_states": {name: compare(group, truth, data.lengths) for name, group in groups.items()},
    }
    write_json(folder / "metrics.json", metrics)
    _write(folder / "samples.hdf5", data, made, metrics)
    draw(folder / "picture.png", made, truth, gaussian, data)
    return Synthesis(metrics, folder / "samples.hdf5", folder / "picture.png")


def _network(data: Trajectories, seed: int, config: dict[str, Any]) -> FieldModel:
    check_keys(config, inspect.signature(FieldModel).parameters, "argument of the model")
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "weights"))
        return FieldModel.for_data(data, **config)


def _states(data: Trajectories, ids: np.ndarray) -> Tensor:
    """Return states ``"b c *n"`` of trajectories, as many times of each as fit in memory."""
    size = 4 * len(ids) * int(np.prod(data.shape[1:]))
    stride = -(-size // _MEMORY)
    return data.read(ids, np.arange(0, data.shape[1], stride)).flatten(0, 1)


def _write(path: Path, data: Trajectories, made: Tensor, metrics: dict[str, Any]) -> None:
    about = {key: metrics[key] for key in ("file", "sampler", "evaluations")}
    write_trajectories(
        path,
        data.schema,
        source=[made[:, None]],
        shape=(len(made), 1, *made.shape[1:]),
        fields=data.fields,
        times=[0.0],
        grid=data.grid,
        lengths=data.lengths,
        parameters={**data.parameters, "generated": about},
    )

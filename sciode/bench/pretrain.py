"""Pre-training of a suite: one model on several data sets, which others of its models start from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sciode.bench.config import Pretraining
from sciode.bench.problems import Problem, prepare
from sciode.core.checkpoint import load_checkpoint
from sciode.core.errors import InputError
from sciode.core.files import write_json
from sciode.core.names import lookup
from sciode.core.random import derive_seed
from sciode.data import Families, Trajectories
from sciode.surrogate import Emulator, Poseidon, build, load_surrogate
from sciode.train import FitConfig, RelativeL1, Sobolev, all_to_all, fit, relative_l2
from sciode.train.objective import Loss

LOSSES = ("relative_l1", "relative_l2", "sobolev")


def weights_path(folder: Path, name: str, seed: int) -> Path:
    """Return where the weights of a finished pre-training stand."""
    return folder / "pretrained" / f"{name}--{seed}.safetensors"


def pretrain(entry: Pretraining, seed: int, folder: Path, device: str) -> float:
    """Train on all data sets of ``entry`` and keep the best weights; returns their validation error.

    A run that was killed goes on from its last checkpoint.
    """
    problems = {part.name: prepare(part, device, quiet=True) for part in entry.datasets}
    data = joined(problems)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        model: Any = build(entry.model, data, **entry.config)
    options, loss = training({**entry.train, "seed": seed}, data.shape)
    target = weights_path(folder, entry.name, seed)
    work = target.with_suffix("")
    kind = torch.device(device).type
    history = fit(model, data, directory=work, loss=loss, device=kind, quiet=True, **options)
    if history.checkpoint is None:
        raise InputError(f"pre-training {entry.name} left no checkpoint in {work}")
    write_json(target.with_suffix(".json"), {"best": history.best, "records": list(history.records)})
    history.checkpoint.replace(target)
    return history.best


def joined(problems: Mapping[str, Problem]) -> Families:
    """Join data sets; every state is normalised by the constants of its own."""
    return Families({name: problem.data for name, problem in problems.items()})


def continued(path: Path, data: Trajectories) -> Emulator:
    """Return the model of a checkpoint, made to take the fields of ``data``.

    Embedding and recovery are new where the fields differ; the units are fitted anew in any case.

    Raises
    ------
    InputError
        For a model of other dimensions, or one that knows no other fields.
    """
    model = load_surrogate(path)
    channels, dimensions = data.shape[2], len(data.shape) - 3
    if not isinstance(model, Emulator) or model.dimensions != dimensions:
        raise InputError(f"{path} holds {type(model).__name__}, which does not take {dimensions}D fields")
    known = tuple(load_checkpoint(path)[1].get("fields", data.fields))
    if model.channels == channels and known == data.fields:
        return model.train()
    if not isinstance(model, Poseidon):
        raise InputError(
            f"{path}: {type(model).__name__} was trained on {', '.join(known)}, the data have "
            f"{', '.join(data.fields)}; only Poseidon takes other fields"
        )
    return model.adapted(channels).train()


def training(table: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[dict[str, Any], Loss]:
    """Turn the table ``train`` of a suite into options of ``fit``, and a loss.

    ``leads = "all"`` pairs every state of a trajectory with every later one. ``loss`` is "relative_l2" (default)
    or "relative_l1", of ``groups`` of channels, or "sobolev", of an ``order``.

    >>> training({"leads": "all", "steps": 5}, (10, 4, 1, 8))[0]
    {'leads': (0, 1, 2, 3), 'steps': 5}
    """
    options = dict(table)
    name, groups = options.pop("loss", "relative_l2"), options.pop("groups", None)
    order = options.pop("order", None)
    lookup(name, dict.fromkeys(LOSSES), "loss")
    if groups is not None and name != "relative_l1":
        raise InputError(f"groups belong to loss = 'relative_l1', found loss = {name!r}")
    if order is not None and name != "sobolev":
        raise InputError(f"order belongs to loss = 'sobolev', found loss = {name!r}")
    loss: Loss = relative_l2
    if name == "sobolev":
        loss = Sobolev() if order is None else Sobolev(order)
    if name == "relative_l1":
        loss = RelativeL1(tuple(groups or (shape[2],)))
    if options.get("leads") == "all":
        options["leads"] = all_to_all(shape[1], options.get("stride", 1))
    FitConfig.of(options)
    return options, loss

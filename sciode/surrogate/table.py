"""Surrogates by name, and back from a checkpoint."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sciode.core.checkpoint import load_checkpoint
from sciode.core.errors import InputError
from sciode.core.names import check_keys, lookup
from sciode.nn import load_tensors
from sciode.surrogate.base import Persistence, Surrogate
from sciode.surrogate.corrector import Corrector
from sciode.surrogate.dilated import DilatedResNet
from sciode.surrogate.emulator import Emulator, Sized
from sciode.surrogate.fno import FNO
from sciode.surrogate.history import History
from sciode.surrogate.modern_unet import ModernUNet
from sciode.surrogate.poseidon import Poseidon
from sciode.surrogate.refiner import Refiner
from sciode.surrogate.unet import UNet

surrogates: dict[str, type[Emulator] | type[Persistence]] = {
    "corrector": Corrector,
    "dilated": DilatedResNet,
    "fno": FNO,
    "history": History,
    "modern-unet": ModernUNet,
    "persistence": Persistence,
    "poseidon": Poseidon,
    "refiner": Refiner,
    "unet": UNet,
}
_WEIGHTS = "model."


def build(name: str, data: Sized | None = None, **config: Any) -> Surrogate:
    """Build a surrogate by its name, sized for ``data`` where given.

    Raises
    ------
    UnknownName
        For a name or a key of ``config`` that does not exist, with the nearest one that does.

    Examples
    --------
    >>> build("unet", channels=1, dimensions=1, width=8, depth=2).config["width"]
    8
    """
    kind = lookup(name, surrogates, "surrogate")
    check_keys(config, _arguments(kind), f"argument of {name}")
    if issubclass(kind, Persistence):
        return kind()
    if data is not None:
        return kind.for_data(data, **config)
    if missing := [key for key in ("channels", "dimensions") if key not in config]:
        raise InputError(f"{name} needs {missing[0]}=, or the data to take it from")
    return kind(**config)


def load_surrogate(path: str | Path, models: Mapping[str, Callable[..., nn.Module]] | None = None) -> nn.Module:
    """Rebuild a trained model from its checkpoint alone, on the CPU and in evaluation mode.

    Parameters
    ----------
    path : path
        ``best.safetensors`` or ``last.safetensors`` of a training run.
    models : mapping, optional
        Constructors by lower-case class name, for models that are not of this package.

    Raises
    ------
    InputError
        For a file that is damaged, is no checkpoint, or whose tensors do not fit its card.
    """
    tensors, card = load_checkpoint(path)
    if "model" not in card:
        raise InputError(f"{path} holds no model")
    own = {kind.__name__.lower(): kind for kind in surrogates.values()}
    known: dict[str, Callable[..., Any]] = {**own, **(models or {})}
    model = lookup(card["model"]["name"].lower(), known, "surrogate")(**card["model"]["config"])
    weights = {key[len(_WEIGHTS) :]: tensor for key, tensor in tensors.items() if key.startswith(_WEIGHTS)}
    load_tensors(model, weights)
    return model.eval()


def _arguments(kind: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]

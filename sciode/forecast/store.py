"""Fitted forecasters as files: tensors in safetensors, all else as JSON in its header. No pickle."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from torch import nn

import sciode
from sciode.core.checkpoint import load_checkpoint, save_checkpoint
from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.data.series import SeriesSpec
from sciode.forecast.anchored import AnchoredEnsemble
from sciode.forecast.base import Forecaster
from sciode.forecast.baselines import LinearStep, Persistence, Ridge, Seasonal
from sciode.forecast.design import Design
from sciode.forecast.frame import Channels, Scale
from sciode.forecast.laplace import LaplaceForecaster
from sciode.forecast.latent import LatentSDE, LatentStep
from sciode.forecast.learn import GaussianStep, Training
from sciode.forecast.process import ProcessForecaster, ProcessStep
from sciode.forecast.variational import VariationalForecaster

FORECASTERS: dict[str, type[Forecaster]] = {
    kind.__name__: kind
    for kind in (
        *(AnchoredEnsemble, LaplaceForecaster, LatentSDE, Persistence, ProcessForecaster, Ridge, Seasonal),
        VariationalForecaster,
    )
}
_STEPS = {"gaussian": GaussianStep, "linear": LinearStep, "process": ProcessStep, "sde": LatentStep}
_STRETCH = "stretch"


@dataclass(frozen=True)
class Artefact:
    """A fitted forecaster, how its series were read, and where it comes from (runs, log, seed, ...)."""

    forecaster: Forecaster
    spec: SeriesSpec
    about: Mapping[str, Any]


def save_forecaster(path: str | Path, artefact: Artefact) -> Path:
    """Write a fitted forecaster, atomically.

    Raises :class:`InputError` for one that is not fitted, or whose model has no card.
    """
    model = artefact.forecaster
    step = getattr(model, "step_", None)
    if not isinstance(step, GaussianStep | LinearStep | ProcessStep | LatentStep):
        raise InputError(f"a {type(model).__name__} with a model of kind {type(step).__name__} cannot be stored")
    tensors = {f"step.{name}": tensor for name, tensor in step.state_dict().items()}
    if model.stretch_ is not None:
        tensors[_STRETCH] = model.stretch_
    settings = {key: asdict(x) if is_dataclass(x) else x for key, x in model.settings().items()}  # type: ignore[arg-type]
    card = {
        "sciode": sciode.__version__,
        "kind": "forecaster",
        "class": type(model).__name__,
        "settings": settings,
        "channels": asdict(model.channels_),
        "scales": {name: scale.card() for name, scale in model.scales_.items()},
        "step": step.card(),
        "series": asdict(artefact.spec),
        "about": dict(artefact.about),
    }
    save_checkpoint(path, tensors, card)
    return Path(path)


def load_forecaster(path: str | Path) -> Artefact:
    """Read what :func:`save_forecaster` wrote.

    Raises :class:`InputError` for a file that is missing, damaged or no forecaster, :class:`UnknownName` for a
    class that this sciode does not have.
    """
    tensors, card = load_checkpoint(path)
    if card.get("kind") != "forecaster":
        raise InputError(f"{path} holds no forecaster; its card has {', '.join(card)}")
    model = lookup(card["class"], FORECASTERS, "forecaster")(**_arguments(card["settings"]))
    channels = dict(card["channels"])
    channels |= {"past": tuple(channels["past"]), "known": tuple(channels["known"])}
    model.channels_ = Channels(**channels)
    model.scales_ = {name: Scale(**scale) for name, scale in card["scales"].items()}
    step: nn.Module = lookup(card["step"]["kind"], _STEPS, "kind of model").of(card["step"])  # type: ignore[attr-defined]
    step.load_state_dict({n.removeprefix("step."): t for n, t in tensors.items() if n.startswith("step.")})
    model.step_ = step.eval()  # type: ignore[assignment]
    model.stretch_ = tensors.get(_STRETCH)
    told = dict(card["series"])
    return Artefact(model, SeriesSpec(**{**told, "channels": tuple(told["channels"])}), card["about"])


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(settings)
    if found.get("design") is not None:
        lists: dict[str, Any] = {k: tuple(x) if isinstance(x, list) else x for k, x in found["design"].items()}
        found["design"] = Design(**lists)
    if found.get("training") is not None:
        found["training"] = Training(**found["training"])
    return found

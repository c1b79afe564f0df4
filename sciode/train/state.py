"""The state of a run as tensors and a JSON card in one file: a kill leaves the old file or the new one.

Random numbers need no place in it: the order of an epoch and the noise of a step follow from the seed and
their numbers. Nor does the learning rate, a function of the step.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.nn.sharded import gathered, spread_like
from sciode.nn.tensors import load_tensors, module_tensors, real_view

MODEL, WEIGHTS, OPTIMIZER, LOSS = "model.", "train.weights.", "train.optimizer.", "train.loss"
# Options that do not change the result, so a resumed run may change them.
_FREE = {"workers", "memory", "sharded", "checkpoint_every", "checkpoint_steps"}


@dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps, of the whole run
    within: int = 0  # finished steps of the epoch under way
    best: float | None = None
    best_epoch: int | None = None
    waited: int = 0  # validations since the best
    stopped: str | None = None
    records: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield the optimizer's state as real tensors, named ``<parameter number>.<entry>``."""
    state = optimizer.state_dict()["state"]
    for number, entries in state.items():
        for entry, value in entries.items():
            yield f"{number}.{entry}", real_view(gathered(torch.as_tensor(value)))


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` yielded."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, entry = name.partition(".")
        like = parameters[int(number)]
        paired = like.is_complex() and tensor.ndim == like.ndim + 1
        value = torch.view_as_complex(tensor) if paired else tensor
        state.setdefault(int(number), {})[entry] = spread_like(value, like) if value.ndim else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def run_tensors(
    model: nn.Module, averaged: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, loss: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a run by name: averaged model, plain weights, optimizer, sum of the epoch's losses.

    One by one, so that a process which only takes part in gathering spread ones holds no more than one of them.
    """
    yield from ((MODEL + name, tensor) for name, tensor in averaged.items())
    yield from ((WEIGHTS + name, gathered(tensor)) for name, tensor in module_tensors(model).items())
    yield from ((OPTIMIZER + name, tensor) for name, tensor in optimizer_tensors(optimizer))
    yield LOSS, loss


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under ``prefix``, without it.

    >>> part({"a.x": torch.ones(1), "b.x": torch.ones(1)}, "a.").keys()
    dict_keys(['x'])
    """
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def restore(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Put back plain weights and optimizer; return the averaged model's tensors."""
    load_tensors(model, part(tensors, WEIGHTS))
    load_optimizer(optimizer, part(tensors, OPTIMIZER))
    return part(tensors, MODEL)


def check_same(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise InputError that names the first thing in which the saved run and this one differ.

    >>> check_same({"config": {"batch": 8}}, {"config": {"batch": 16}})
    Traceback (most recent call last):
    sciode.core.errors.InputError: the saved run differs in config.batch: 8 there, 16 here; ...
    """
    for name in ("model", "config", "loss", "data", "split"):
        difference = _difference(saved.get(name), now.get(name), name)
        if difference:
            raise InputError(
                f"the saved run differs in {difference}; give another directory, or resume=False to start anew"
            )


def _difference(there: Any, here: Any, path: str) -> str | None:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here} - (_FREE if path == "config" else set())):
            if found := _difference(there.get(key), here.get(key), f"{path}.{key}"):
                return found
        return None
    if there == here:
        return None
    return f"{path}: {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

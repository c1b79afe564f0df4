"""What to learn from a window, where it is not the state a lead time later."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.train.config import FitConfig
from sciode.train.windows import Batch


class Task(Protocol):
    """A training objective of its own, for :func:`sciode.train.fit`.

    Its ``repr`` goes into the checkpoint, and a run is resumed only with the same: let it be a frozen dataclass.
    The model has a JSON-able ``config``, and a ``normaliser`` that is fitted on the training ids.
    """

    @property
    def states(self) -> int:
        """Number of states in a window."""
        ...

    def losses(self, model: Any, u: Tensor, dt: Tensor) -> Tensor:
        """Return ``[b]`` of ``u`` ``"b t c *n"`` in physical units and the time between states ``[b]``.

        Random numbers come from torch's own generator: it is seeded by the step in training, and in validation so
        that every validation draws the same.
        """
        ...


class TaskObjective(nn.Module):
    """The mean loss of a model in a task, as one module, so that one wrapper parallelises it."""

    def __init__(self, model: nn.Module, task: Task, seed: int) -> None:
        super().__init__()
        self.model: Any = model
        self.task, self.seed = task, seed
        self.states, self.validated, self.context = task.states, task.states, 0

    def forward(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.task.losses(self.model, u, dt).mean()

    def set_units(self, data: Any, ids: np.ndarray) -> None:
        """Fit the normaliser."""
        self.model.normaliser.fit(data, ids)

    def units(self) -> Mapping[str, Any]:
        """Return the model's units, JSON-able."""
        return {"normaliser": self.model.normaliser.to_dict()}

    @torch.no_grad()
    def errors(self, batches: Iterable[Batch]) -> Tensor:
        """Return ``[2]`` in float64: the sum of losses, and how many there are; the same noise every time."""
        sums: list[Tensor] = []
        state = torch.get_rng_state()
        for number, (u, dt) in enumerate(batches):
            torch.manual_seed(derive_seed(self.seed, "validation", number))
            losses = self.task.losses(self.model, u, dt).double()
            sums.append(torch.stack([losses.sum(), losses.new_tensor(len(losses))]))
        torch.set_rng_state(state)
        return torch.stack(sums).sum(0) if sums else torch.zeros(2, dtype=torch.float64)


def check_task(model: object, config: FitConfig) -> None:
    """Raise InputError where ``model`` or the settings do not go with a task."""
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise InputError(f"{type(model).__name__} has no parameters to train")
    for name in ("config", "normaliser"):
        if not hasattr(model, name):
            raise InputError(f"{type(model).__name__} has no attribute {name!r}; see sciode.train.Task")
    if config.unroll != 1 or config.pushforward:
        raise InputError("unroll and pushforward are for predicting the next state; with task= leave them out")

"""How many steps a training takes, and which weights decay."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import nn

from sciode.core.errors import InputError
from sciode.core.names import check_keys
from sciode.train.config import FitConfig


@dataclass(frozen=True)
class Plan:
    """Windows in a step, steps in a whole epoch, epochs, and steps in all."""

    batch: int
    per_epoch: int
    epochs: int
    steps: int

    @classmethod
    def of(cls, config: FitConfig, windows: int, processes: int = 1) -> Self:
        """Plan the training on ``windows`` windows; a batch larger than the data shrinks to them.

        Raises InputError where the batch does not divide among the processes.

        >>> Plan.of(FitConfig(epochs=3, batch=4), windows=10)
        Plan(batch=4, per_epoch=2, epochs=3, steps=6)
        >>> Plan.of(FitConfig(steps=5, batch=4), windows=10)
        Plan(batch=4, per_epoch=2, epochs=3, steps=5)
        """
        if config.batch % processes:
            raise InputError(f"batch={config.batch} does not divide among {processes} processes")
        count = min(windows, config.windows_per_epoch or windows)
        batch = min(config.batch, count // processes * processes)
        if batch == 0:
            raise InputError(f"{count} windows are too few for {processes} processes")
        per_epoch = count // batch
        if config.steps is not None:
            return cls(batch, per_epoch, math.ceil(config.steps / per_epoch), config.steps)
        epochs = config.epochs or 0
        return cls(batch, per_epoch, epochs, epochs * per_epoch)

    def steps_in(self, epoch: int) -> int:
        """Return the number of steps of ``epoch`` (from 0); the last may be shorter."""
        return min(self.per_epoch, self.steps - epoch * self.per_epoch)


def weight_groups(
    model: nn.Module, decay: float, rates: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return optimizer groups: matrices and kernels decay, biases and scales do not; ``rate`` is a factor.

    The model's ``rate_groups()`` names the groups that ``rates`` may give a factor of the learning rate.
    """
    named: dict[str, list[nn.Parameter]] = getattr(model, "rate_groups", dict)()
    check_keys(rates or {}, list(named), "group of weights with a learning rate of its own")
    plain = set(getattr(model, "undecayed", list)())
    factor = {p: rates[name] for name, group in named.items() if rates and name in rates for p in group}
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            key = decay if p.ndim > 1 and p not in plain else 0.0, factor.get(p, 1.0)
            found.setdefault(key, []).append(p)
    # decaying groups first, so that the numbering of weights does not depend on which comes first in the model
    order = sorted(found, key=lambda key: (key[0] == 0.0, key[1]))
    return [{"params": found[key], "weight_decay": key[0], "rate": key[1]} for key in order]

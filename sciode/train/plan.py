"""How many steps a training takes, and which weights decay."""

import math
from dataclasses import dataclass
from typing import Any, Self

from torch import nn

from sciode.core.errors import InputError
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


def weight_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return optimizer groups in which matrices and kernels decay, biases and scales do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]

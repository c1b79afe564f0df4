"""The score that chooses the best weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from sciode.train.windows import Batch

# Smallest norm of a target, in units of the channel's spread: a field at rest is not divided by zero.
_FLOOR = 1e-3


@torch.no_grad()
def one_step_errors(
    model: Any, batches: Iterable[Batch], context: int = 0, keep: Callable[[Tensor], Any] | None = None
) -> Tensor:
    """Return ``[2]`` in float64: the sum of relative errors of one step, and how many there are.

    The error of a window is the L2 norm of prediction minus target over that of the target, in physical
    units, averaged over the channels that change (nRMSE of one sample). A model with a ``context`` sees so many
    states before. Predictions are projected to the law that ``keep`` makes of the present states, if given.
    """
    sums: Tensor | None = None
    for u, dt in batches:
        step = model.after(u[:, :context]) if context else model
        later = step(u[:, context], dt)
        later = later if keep is None else keep(u[:, context]).project(later)
        prediction, target = later.float(), u[:, context + 1]
        error = (prediction - target).square().flatten(2).mean(2).sqrt()
        size = target.square().flatten(2).mean(2).sqrt()
        moving = (model.increment != 0).to(error.dtype)
        each = error / torch.maximum(size, _FLOOR * model.normaliser.std)
        relative = ((each * moving).sum(1) / moving.sum().clamp_min(1.0)).double()
        now = torch.stack([relative.sum(), relative.new_tensor(len(relative))])
        sums = now if sums is None else sums + now
    return torch.zeros(2, dtype=torch.float64) if sums is None else sums

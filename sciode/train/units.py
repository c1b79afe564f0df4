"""Physical units of a model, from the training trajectories alone."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.data import Windows
from sciode.train.trainable import Trainable
from sciode.train.windows import evenly

_WINDOWS = 512
# A channel that hardly changes keeps a little room to move; one that never does, none.
_LEAST = 1e-4


def set_units(model: Trainable, data: Any, ids: np.ndarray, lead: int, longest: int | None = None) -> None:
    """Fit ``normaliser``, ``reference_dt`` and ``increment`` on the trajectories ``ids``.

    ``longest`` is kept in ``longest_lead`` where the model has it. The reference is ``lead`` steps of the data;
    the increment of a channel is the root mean square of its change over it, in units of its spread, over at most
    512 windows evenly spread. Channels that never change, in any training trajectory, get no increment, and their
    bounds are kept where the model has room for them; unless no channel changes.
    """
    model.normaliser.fit(data, ids)
    model.reference_dt.fill_(lead * float(data.dt))
    if hasattr(model, "longest_lead"):
        model.longest_lead.fill_((longest or lead) * float(data.dt))
    if hasattr(model, "points"):
        model.points.copy_(torch.tensor(data.shape[3:]))
    change = _increment(data, ids, lead)
    model.increment.copy_((change / model.normaliser.std.double().cpu()).clamp(min=_LEAST))
    if hasattr(model, "lowest") and hasattr(model, "highest") and bool((change == 0).any()):
        still, low, high = _bounds(data, ids)  # a second pass, but for such data alone
        still &= change == 0
        if not bool(still.all()):
            model.increment[still.to(model.increment.device)] = 0.0
            model.lowest.copy_(low.where(still, -torch.inf))
            model.highest.copy_(high.where(still, torch.inf))


def _increment(data: Any, ids: np.ndarray, lead: int) -> Tensor:
    windows = Windows(data, ids, 2, 1, lead)
    chosen = evenly(len(windows), _WINDOWS).tolist()
    total = torch.zeros(data.shape[2], dtype=torch.float64)
    for index in chosen:
        before, after = windows[index]["u"].double()
        total += (after - before).square().flatten(1).mean(1)
    return (total / len(chosen)).sqrt()


def _bounds(data: Any, ids: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Return which channels never change, and the smallest and largest value of each, over all trajectories."""
    still = torch.ones(data.shape[2], dtype=torch.bool)
    low, high = (torch.full((data.shape[2],), bound, dtype=torch.float64) for bound in (torch.inf, -torch.inf))
    for _, _, block in data.blocks(np.asarray(ids, dtype=np.int64)):
        by_channel = block.transpose(0, 2)  # "c t k *n"
        still &= (by_channel == by_channel[:, :1]).flatten(1).all(1)
        low = torch.minimum(low, by_channel.flatten(1).amin(1))
        high = torch.maximum(high, by_channel.flatten(1).amax(1))
    return still, low, high

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
    512 windows evenly spread. Channels that never change get no increment, and their bounds are kept where the
    model has room for them; unless no channel changes.
    """
    model.normaliser.fit(data, ids)
    model.reference_dt.fill_(lead * float(data.dt))
    if hasattr(model, "longest_lead"):
        model.longest_lead.fill_((longest or lead) * float(data.dt))
    change, low, high = _increment(data, ids, lead)
    still = change == 0
    model.increment.copy_((change / model.normaliser.std.double().cpu()).clamp(min=_LEAST))
    if hasattr(model, "lowest") and hasattr(model, "highest") and not bool(still.all()):
        model.increment[still.to(model.increment.device)] = 0.0
        model.lowest.copy_(low.where(still, -torch.inf))
        model.highest.copy_(high.where(still, torch.inf))


def _increment(data: Any, ids: np.ndarray, lead: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for every channel the root mean square change, and the smallest and the largest value."""
    windows = Windows(data, ids, 2, 1, lead)
    chosen = evenly(len(windows), _WINDOWS).tolist()
    total = torch.zeros(data.shape[2], dtype=torch.float64)
    low, high = torch.full_like(total, torch.inf), torch.full_like(total, -torch.inf)
    for index in chosen:
        before, after = windows[index]["u"].double()
        total += (after - before).square().flatten(1).mean(1)
        values = after.flatten(1)
        low, high = torch.minimum(low, values.amin(1)), torch.maximum(high, values.amax(1))
    return (total / len(chosen)).sqrt(), low, high

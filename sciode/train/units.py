"""Physical units of a model, from the training trajectories alone."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.data import Windows
from sciode.train.trainable import Trainable
from sciode.train.windows import evenly

_WINDOWS = 512
# A channel that never changes keeps a little room to move.
_LEAST = 1e-4


def set_units(model: Trainable, data: Any, ids: np.ndarray, lead: int, longest: int | None = None) -> None:
    """Fit ``normaliser``, ``reference_dt`` and ``increment`` on the trajectories ``ids``.

    ``longest`` is kept in ``longest_lead`` where the model has it. The reference is ``lead`` steps of the data;
    the increment of a channel is the root mean square of its change over it, in units of its spread, over at most
    512 windows evenly spread.
    """
    model.normaliser.fit(data, ids)
    model.reference_dt.fill_(lead * float(data.dt))
    if hasattr(model, "longest_lead"):
        model.longest_lead.fill_((longest or lead) * float(data.dt))
    model.increment.copy_(_increment(data, ids, lead) / model.normaliser.std.double().cpu())
    model.increment.clamp_(min=_LEAST)


def _increment(data: Any, ids: np.ndarray, lead: int) -> Tensor:
    windows = Windows(data, ids, 2, 1, lead)
    chosen = evenly(len(windows), _WINDOWS).tolist()
    total = torch.zeros(data.shape[2], dtype=torch.float64)
    for index in chosen:
        before, after = windows[index]["u"].double()
        total += (after - before).square().flatten(1).mean(1)
    return (total / len(chosen)).sqrt()

"""What a solve returns."""

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from sciode.core.typing import State, Time, leaves


class Status(IntEnum):
    """How a sample's integration ended."""

    OK = 0
    NON_FINITE = 3


class Stats(NamedTuple):
    """Work done."""

    steps: int
    evaluations: int


class Solution(NamedTuple):
    """States at the asked times.

    ``t`` float64 ``[k]``; ``y`` ``"b k ..."`` in the user's variables, ``y[:, 0]`` the initial state at
    ``t[0]``; ``status`` int ``[b]``, a :class:`Status` per sample; ``stats`` counts of steps and drift calls.
    """

    t: Time
    y: State
    status: Tensor
    stats: Stats


def status_of(y: State) -> Tensor:
    """Return the status ``[b]`` of a final state: NaN and infinity travel, so the last state tells."""
    good = [
        torch.isfinite(part).flatten(1).all(dim=1) if part.dim() > 1 else torch.isfinite(part)
        for part in leaves(y)
    ]
    bad = ~torch.stack(good).all(dim=0)
    return bad.to(torch.int32) * int(Status.NON_FINITE)

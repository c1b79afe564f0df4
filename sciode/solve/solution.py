"""What a solve returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, each, leaves
from sciode.solve.chart import Chart, Identity


class Status(IntEnum):
    """How a sample's integration ended."""

    OK = 0
    MIN_STEP = 1
    MAX_STEPS = 2
    NON_FINITE = 3
    EVENT = 4  # a terminal event: nothing went wrong


_WORDS = {
    Status.MIN_STEP: "the step fell below the smallest allowed",
    Status.MAX_STEPS: "the allowed number of steps was used up",
    Status.NON_FINITE: "the state or its slope became NaN or infinite",
}


class Stats(NamedTuple):
    """Work done: steps taken, drift calls, and under step control what each sample accepted and refused."""

    steps: int
    evaluations: int
    accepted: Tensor | None = None  # int [b]
    rejected: Tensor | None = None  # int [b]


class Interpolant(Protocol):
    """The dense output of a solve."""

    def __call__(self, t: Tensor) -> State:
        """Return the states ``"b k ..."`` at times ``[k]`` or ``[b, k]``, without further drift calls."""
        ...


class Solution(NamedTuple):
    """States at the asked times.

    ``t`` float64 ``[k]`` or ``[b, k]``; ``y`` ``"b k ..."`` in the user's variables, ``y[:, 0]`` the initial
    state at ``t[0]``, NaN where a sample ended early; ``status`` int ``[b]``, a :class:`Status` per sample;
    ``stats`` the work done; ``reached`` float64 ``[b]``, the last time at which each sample was good;
    ``interpolant`` the dense output, if it was asked for; ``events`` what the events found.
    """

    t: Time
    y: State
    status: Tensor
    stats: Stats
    reached: Tensor
    interpolant: Interpolant | None = None
    events: tuple[Any, ...] = ()

    def __call__(self, t: Tensor | Sequence[float]) -> State:
        """Return the states ``"b k ..."`` at any times within the solve."""
        if self.interpolant is None:
            raise InputError("this solution has no dense output: solve with a controller and dense=True")
        return self.interpolant(torch.as_tensor(t, dtype=torch.float64))

    @property
    def message(self) -> str:
        """Say in words what went wrong first, and in which sample; empty if nothing did."""
        bad = ((self.status != Status.OK) & (self.status != Status.EVENT)).nonzero().flatten().tolist()
        if not bad:
            return ""
        first = bad[0]
        more = f" (and {len(bad) - 1} more of {len(self.status)} samples)" if len(bad) > 1 else ""
        status = Status(int(self.status[first]))
        when = f"after t = {float(self.reached[first]):.6g}"
        return f"sample {first}: {_WORDS[status]}, {when}{more}"


@dataclass(frozen=True)
class Charted:
    """A dense output seen in the user's variables and time."""

    chart: Chart
    inner: Interpolant

    def __call__(self, t: Tensor) -> State:
        """Return the states ``"b k ..."``."""
        s = self.chart.clock(t)
        y = self.inner(s)
        if isinstance(self.chart, Identity):
            return y
        rows = [self.chart.leave(each(lambda p, i=i: p[:, i], y), s[..., i]) for i in range(s.shape[-1])]
        return each(lambda *p: torch.stack(p, dim=1), *rows)


Rows: TypeAlias = list[State] | Tensor
"""The states of a solve, the first included: a list, or one tensor ``"b k ..."`` (identity chart)."""


class Report(NamedTuple):
    """How a solve went: the fields of a :class:`Solution` beside the states; ``reached`` in the chart's clock."""

    status: Tensor
    stats: Stats
    reached: Tensor
    interpolant: Interpolant | None = None
    events: tuple[Any, ...] = ()


def plainly_finite(y: State) -> bool:
    """Return whether one pass shows that every number is finite: False may also mean that a sum overflowed."""
    return all(math.isfinite(abs(part.detach().sum().item())) for part in leaves(y))


def finite(y: State) -> Tensor:
    """Return a mask ``[b]`` of the samples in which every number is finite."""
    good = [torch.isfinite(part.detach()).reshape(part.shape[0], -1).all(dim=1) for part in leaves(y)]
    return torch.stack(good).all(dim=0)

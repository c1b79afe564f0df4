"""How to integrate, apart from what: a solver with its steps, which any term, forward or adjoint, is given to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.loop import FixedLoop, Hook
from sciode.solve.solution import Interpolant, Stats, Status, finite
from sciode.solve.step import Solver
from sciode.solve.steps import even
from sciode.solve.term import Term


class Report(NamedTuple):
    """How a solve went: the fields of a :class:`Solution` beside the states; ``reached`` in the chart's clock."""

    status: Tensor
    stats: Stats
    reached: Tensor
    interpolant: Interpolant | None = None
    events: tuple[object, ...] = ()


class Run(Protocol):
    """One integration under way."""

    def states(self, y: State) -> Iterator[State]:
        """Yield the state, in the chart's coordinates, at every asked time after the first."""
        ...

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went; ``rows`` are the first state and all that ``states`` has yielded."""
        ...


@dataclass(frozen=True)
class Method:
    """A solver and the rule for its steps."""

    solver: Solver
    dt: float
    hooks: tuple[Hook, ...] = ()

    def run(self, term: Term, times: Sequence[float]) -> "FixedRun":
        """Prepare to integrate ``term`` to the asked ``times`` (of the chart's clock)."""
        return FixedRun(FixedLoop(self.solver, term, even(times, self.dt), self.hooks), times)


class FixedRun:
    """An integration with given steps."""

    def __init__(self, loop: FixedLoop, times: Sequence[float]) -> None:
        self.loop, self.times = loop, times

    def states(self, y: State) -> Iterator[State]:
        """Yield the states."""
        return self.loop.states(y)

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went. NaN and infinity travel, so the last state tells whether to look closer."""
        bad = ~finite(rows[-1])
        reached = torch.full(bad.shape, self.times[-1], dtype=torch.float64)
        if bool(bad.any()):
            good = torch.stack([finite(row) for row in rows]).cpu().to(torch.int8)
            reached = torch.tensor(self.times, dtype=torch.float64)[good.cumprod(0).sum(0) - 1]
        stats = Stats(len(self.loop.steps.sizes), self.loop.evaluations)
        return Report(bad.to(torch.int32) * int(Status.NON_FINITE), stats, reached)


def check_kind(solver: object) -> None:
    """Refuse a tableau, or a class, where a solver is meant: the two slips people make."""
    if isinstance(solver, type) or not hasattr(solver, "step"):
        name = getattr(solver, "__name__", type(solver).__name__)
        raise InputError(f"solver takes a method such as RungeKutta(tableaus.RK4), found {name}")


def batch(y: State) -> int:
    """Return the batch size of a state."""
    return leaves(y)[0].shape[0]

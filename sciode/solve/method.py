"""How to integrate, apart from what: a solver with its steps, which any term, forward or adjoint, is given to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.adaptive import AdaptiveRun
from sciode.solve.capture import Hook
from sciode.solve.chart import IDENTITY
from sciode.solve.compiled_run import CompiledLoop, CompiledRun
from sciode.solve.control import Controller
from sciode.solve.each_run import EachRun
from sciode.solve.events import Event
from sciode.solve.exponential_pair import ExponentialPair
from sciode.solve.increment import Asked
from sciode.solve.loop import FixedLoop
from sciode.solve.packing import Packing
from sciode.solve.pairs import ChartPair, PackedPair, Pair, SolverPair
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.solution import Report, Stats, Status, finite, plainly_finite
from sciode.solve.step import needs_of
from sciode.solve.steps import even
from sciode.solve.term import Term


class Run(Protocol):
    """One integration under way."""

    def states(self, y: State) -> Iterator[State]:
        """Yield the state, in the chart's coordinates, at every asked time after the first."""
        ...

    def table(self, y: State) -> Tensor | None:
        """Return all states in one piece, ``"b k ..."``, instead of ``states``; None where that is not cheaper."""
        ...

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went; ``rows`` are the first state and all that ``states`` has yielded."""
        ...


@dataclass(frozen=True)
class Method:
    """A solver and the rule for its steps: a largest ``dt`` for given steps, or a controller."""

    solver: Any
    dt: float | None = None
    hooks: tuple[Hook, ...] = ()
    controller: Controller | None = None
    dense: bool = False
    capture: Any = None  # Capture on given steps; Compiled or CompiledLoop under a controller
    events: tuple[Event, ...] = ()
    last: bool = False  # on given steps: the state at the last asked time is all that is wanted

    def run(self, term: Term, times: Sequence[float] | Tensor) -> Run:
        """Prepare to integrate ``term`` to the asked ``times`` (of the chart's clock)."""
        if self.controller is not None and self.capture is not None:
            if self.events or self.dense or self.hooks or term.noise is not None:
                raise InputError("capture under step control takes no events, dense output, hooks or noise")
            return CompiledRun(self._pair, self.controller, term, list(times), self.dt, self.capture)
        if self.controller is not None and (self.controller.per_sample or self.events):
            clock = torch.as_tensor(times, dtype=torch.float64)
            clock = clock[None] if clock.dim() == 1 else clock
            return EachRun(self._pair, self.controller, term, clock, self.dt, self.hooks, self.dense, self.events)
        times = list(times)
        if self.controller is None:
            if isinstance(self.capture, CompiledLoop):
                raise InputError("CompiledLoop needs a controller; on given steps use Compiled() or CudaGraph()")
            return self._fixed(term, times)
        return self._adaptive(term, times, keep=self.dense)

    def replayed(self, term: Term, y: State, times: Sequence[float] | Tensor) -> "FixedRun | None":
        """Prepare the same integration with given steps, which can be taken again, forward and back.

        Under a controller the steps are found first, without a record and inside the stability region, ending on
        every asked time. None where that search fails, in whatever sample.
        """
        if self.events or self.dense:
            raise InputError("events and dense output go with adjoint=Direct() only")
        if self.controller is None:
            return self._fixed(term, list(times))
        if self.controller.per_sample or isinstance(times, Tensor):
            raise InputError(
                "this adjoint takes the accepted steps again, which all samples must share: use Direct"
            )
        if term.noise is not None:
            term = replace(term, noise=replace(term.noise, driver=Asked(term.noise.driver)))
        run = self._adaptive(term, times, land=True)
        with torch.no_grad():
            found = run.report([y, *run.states(y)])
        if bool(found.status.any()):
            return None
        steps = run.steps() if len(times) > 1 else even(times, 1.0)
        return FixedRun(FixedLoop(self.solver, term, steps, self.hooks), times, found)

    def _fixed(self, term: Term, times: Sequence[float]) -> "FixedRun":
        assert self.dt is not None
        steps = even(times, self.dt)
        if self.last and len(times) > 2:  # states that nobody keeps make room for the next ones
            steps, times = steps._replace(marks=(0, steps.marks[-1])), [times[0], times[-1]]
        return FixedRun(FixedLoop(self.solver, term, steps, self.hooks, self.capture), times)

    def _adaptive(self, term: Term, times: Sequence[float], keep: bool = False, land: bool = False) -> AdaptiveRun:
        assert self.controller is not None
        return AdaptiveRun(self._pair, self.controller, term, times, self.dt, self.hooks, keep, land)

    def _pair(self, term: Term, packing: Packing, y: State) -> Pair:
        if term.noise is not None:
            needs_of(self.solver, term)
        if not isinstance(self.solver, RungeKutta):
            if not hasattr(self.solver, "attempt"):
                raise InputError(f"{type(self.solver).__name__} has no error estimate: give dt= and no controller")
            tuned = getattr(self.solver, "tuned", None)  # an iteration inside that should know the tolerance
            return SolverPair(self.solver if tuned is None else tuned(self.controller), term, packing)
        if term.linear is not None:
            return ExponentialPair(self.solver.tableau, term, packing)
        if term.chart is not IDENTITY:
            return ChartPair(self.solver.tableau, term, packing, packing.pack(y))
        return PackedPair(self.solver.tableau, term, packing, packing.pack(y))


class FixedRun:
    """An integration with given steps; ``found`` tells how the search for them went, if there was one."""

    def __init__(self, loop: FixedLoop, times: Sequence[float], found: Report | None = None) -> None:
        self.loop, self.times, self.found = loop, times, found

    def states(self, y: State) -> Iterator[State]:
        """Yield the states."""
        return self.loop.states(y)

    def table(self, y: State) -> None:
        """Return None: the states come one by one."""

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went. NaN and infinity travel, so the last state tells whether to look closer."""
        well = plainly_finite(rows[-1])
        device = leaves(rows[-1])[0].device
        bad = torch.zeros(batch(rows[-1]), dtype=torch.bool, device=device) if well else ~finite(rows[-1])
        reached = torch.full(bad.shape, self.times[-1], dtype=torch.float64)
        if not well and bool(bad.any()):
            good = torch.stack([finite(row) for row in rows]).cpu().to(torch.int8)
            reached = torch.tensor(self.times, dtype=torch.float64)[good.cumprod(0).sum(0) - 1]
        stats = Stats(len(self.loop.steps.sizes), self.loop.evaluations)
        if self.found is not None:
            more = self.found.stats.evaluations
            stats = self.found.stats._replace(evaluations=stats.evaluations + more)
        return Report(bad.to(torch.int32) * int(Status.NON_FINITE), stats, reached)


def check_kind(solver: object) -> None:
    """Refuse a tableau, or a class, where a solver is meant: the two slips people make."""
    if isinstance(solver, type) or not hasattr(solver, "step"):
        name = getattr(solver, "__name__", type(solver).__name__)
        raise InputError(f"solver takes a method such as RungeKutta(tableaus.RK4), found {name}")


def batch(y: State) -> int:
    """Return the batch size of a state."""
    return leaves(y)[0].shape[0]

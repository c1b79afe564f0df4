"""Exact gradients in constant memory: a reversible solve is undone step by step, and each step differentiated.

Only the states at asked times are kept, from which going back starts afresh.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.adjoint import Direct
from sciode.solve.gradients import apart, check_listed, check_undoing, learned, loose, only_once, pull
from sciode.solve.loop import FixedLoop
from sciode.solve.method import FixedRun, Method
from sciode.solve.reversible import Reversible
from sciode.solve.solution import Report, Rows
from sciode.solve.step import At
from sciode.solve.term import Term

_NAME = "ReversibleAdjoint"


@runtime_checkable
class Undoable(Protocol):
    """A method whose steps can be taken back exactly."""

    def undo(self, term: Term, at: At, y: State, memory: Any, plan: Any) -> tuple[State, Any]:
        """Return the state and memory before the step that ended in ``(y, memory)``."""
        ...


@dataclass(frozen=True)
class ReversibleAdjoint:
    """The gradient of :class:`Direct` up to rounding, for the memory of one step and the asked states.

    Needs a solver with an exact inverse, such as :class:`Reversible` or :class:`ReversibleHeun`, and the tensors
    that the drift and the amplitude depend on in ``Term(parameters=...)``. Differentiable once.

    Raises
    ------
    InputError
        For a solver that cannot undo its steps, hooks, a linear part that damps too much to be undone, and a
        drift that depends on a tensor with a gradient which ``parameters`` do not hold.

    References
    ----------
    Kidger, Foster, Li and Lyons, Efficient and Accurate Gradients for Neural SDEs, arXiv:2105.13493, section 3;
    McCallum and Foster, arXiv:2410.11648.

    Examples
    --------
    >>> from sciode.solve import Reversible, RungeKutta, Term, solve, tableaus
    >>> x0 = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    >>> solver = Reversible(RungeKutta(tableaus.RK4))
    >>> y = solve(Term(lambda s, y: -y), x0, [0.0, 1.0], solver=solver, dt=0.1, adjoint=ReversibleAdjoint()).y
    >>> y[:, 1].sum().backward()
    >>> round(x0.grad[0, 0].item(), 5)  # 1/e
    0.36788
    """

    def run(self, method: Method, term: Term, y: State, times: Sequence[float]) -> tuple[Rows, Report]:
        """Integrate without a record."""
        if not isinstance(method.solver, Undoable):
            kind = type(method.solver).__name__
            raise InputError(
                f"{_NAME} needs a solver that can undo its steps, found {kind}: use Reversible({kind}(...)) or "
                "ReversibleHeun, or Checkpointed with any solver"
            )
        check_undoing(method, term, y, times, _NAME)
        run = _given_steps(method, term, y, times)
        if run is None:  # the search for steps failed, and its report says how
            base = method.solver.base if isinstance(method.solver, Reversible) else method.solver
            return Direct().run(replace(method, solver=base), term, y, times)
        loop = run.loop
        if not (torch.is_grad_enabled() and len(loop.steps.sizes)):
            rows = [y, *run.states(y)]
            return rows, run.report(rows)
        check_listed(term, loop.at(0, y).times[0], y, _NAME)
        parameters, rates = learned(term, y)
        parts, rebuild = apart(y)
        flat = _Undo.apply(_Backward(loop, rebuild, parameters, rates), *parts, *parameters, *rates)
        rows = [y, *(rebuild(flat[i : i + len(parts)]) for i in range(0, len(flat), len(parts)))]
        return rows, run.report(rows)


def _given_steps(method: Method, term: Term, y: State, times: Sequence[float]) -> FixedRun | None:
    """Return the integration with its steps known; those of a coupled method are its base's."""
    if method.controller is None or not isinstance(method.solver, Reversible):
        return method.replayed(term, y, times)
    found = replace(method, solver=method.solver.base).replayed(term, y, times)
    if found is None:
        return None
    return FixedRun(FixedLoop(method.solver, term, found.loop.steps), times, found.found)


class _Undo(torch.autograd.Function):
    """A whole solve as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, way: "_Backward", *tensors: Tensor) -> tuple[Tensor, ...]:
        loop, kept = way.loop, []
        y = state = way.rebuild(tensors[: way.width(tensors)])
        memory = loop.start(state)
        for first, last in zip(loop.steps.marks[:-1], loop.steps.marks[1:], strict=True):
            state, memory = loop.advance(state, memory, first, last)
            kept.append((state, memory))
        saved, ctx.rebuild = apart((y, kept, tensors))
        ctx.save_for_backward(*saved)
        ctx.set_materialize_grads(False)
        ctx.way = way
        return tuple(part for state, _ in kept for part in leaves(state))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        y, kept, inputs = ctx.rebuild(ctx.saved_tensors)
        width = len(leaves(y))
        rows = [cotangents[i : i + width] for i in range(0, len(cotangents), width)]
        with torch.no_grad():
            grads = ctx.way.run(y, kept, rows)
        return (None, *only_once(grads, _NAME, [*inputs, *cotangents]))


@dataclass(frozen=True)
class _Backward:
    """The way back over all steps."""

    loop: FixedLoop
    rebuild: Callable[[Sequence[Tensor]], State]
    parameters: list[Tensor]
    rates: list[Tensor]

    def width(self, tensors: Sequence[Tensor]) -> int:
        """Return how many of the node's inputs are the state."""
        return len(tensors) - len(self.parameters) - len(self.rates)

    def run(
        self, y: State, kept: Sequence[tuple[State, Any]], rows: Sequence[Sequence[Tensor | None]]
    ) -> list[Tensor]:
        """Return the gradients of all inputs."""
        loop, marks = self.loop, self.loop.steps.marks
        weights = _Weights(loop, self.rates)
        totals = [torch.zeros_like(p) for p in self.parameters]
        cotangent = [torch.zeros_like(part) for part in apart(kept[-1])[0]]
        for gap in reversed(range(len(kept))):
            state, memory = kept[gap]
            for i, row in enumerate(rows[gap]):
                cotangent[i] = cotangent[i] if row is None else cotangent[i] + row
            for index in reversed(range(marks[gap], marks[gap + 1])):
                at, plan = loop.at(index, y), loop.plan(index, y)
                state, memory = loop.solver.undo(loop.term, at, state, memory, plan)  # type: ignore[attr-defined]
                cotangent = self._pull(index, (state, memory), cotangent, weights, totals)
        with torch.enable_grad():
            points = loose(leaves(y))
            outputs = apart(
                (self.rebuild(points), loop.solver.start(loop.term, loop.at(0, y), self.rebuild(points)))
            )[0]
        found = pull(outputs, cotangent, [*points, *self.parameters, *self.rates])
        cut = len(points) + len(totals)
        _add(totals, found[len(points) : cut])
        weights.to_rates(found[cut:])
        return [*found[: len(points)], *totals, *weights.gradients()]

    def _pull(
        self, index: int, before: Any, cotangent: list[Tensor], weights: "_Weights", totals: list[Tensor]
    ) -> list[Tensor]:
        """Differentiate one step, from the state before it."""
        tensors, rebuild = apart(before)
        points = loose(tensors)
        y, memory = rebuild(points)
        plan, numbers = weights.of(index, y)
        with torch.enable_grad():
            after = self.loop.solver.step(self.loop.term, self.loop.at(index, y), y, memory, plan)
        found = pull(apart(after)[0], cotangent, [*points, *self.parameters, *self.rates, *numbers])
        cut = len(points) + len(totals)
        _add(totals, found[len(points) : cut])
        weights.to_rates(found[cut : cut + len(self.rates)])
        weights.add(found[cut + len(self.rates) :])
        return found[: len(points)]


class _Weights:
    """The weights of the steps, and the gradient of the rates through them.

    Steps of one size share their weights: the gradients of these are summed, and go to the rates at once.
    """

    def __init__(self, loop: FixedLoop, rates: list[Tensor]) -> None:
        self.loop, self.rates = loop, rates
        self.totals = [torch.zeros_like(rate) for rate in rates]
        self.key: Any = None
        self.recorded: list[Tensor] = []
        self.loose: list[Tensor] = []
        self.sums: list[Tensor] = []

    def of(self, index: int, y: State) -> tuple[Any, list[Tensor]]:
        """Return the weights of a step, and those of its tensors to differentiate by."""
        if not self.rates:
            return self.loop.plan(index, y), []
        key = self.loop.key(index)
        if key != self.key:
            self.flush()
            with torch.enable_grad():
                plan = self.loop.solver.plan(self.loop.term.linear, key[0], y, key[1])
            tensors, rebuild = apart(plan, shared=True)
            self.key, self.recorded = key, [part for part in tensors if part.requires_grad]
            self.loose = loose(self.recorded)
            self.sums = [torch.zeros_like(part) for part in self.recorded]
            known = {id(part): cut for part, cut in zip(self.recorded, self.loose, strict=True)}
            self.plan = rebuild([known.get(id(part), part) for part in tensors])
        return self.plan, self.loose

    def add(self, grads: Sequence[Tensor]) -> None:
        """Add one step's gradients."""
        _add(self.sums, grads)

    def to_rates(self, grads: Sequence[Tensor]) -> None:
        """Add gradients that reach the rates on other ways than through the weights."""
        _add(self.totals, grads)

    def flush(self) -> None:
        """Take what was summed to the rates."""
        if self.recorded:
            _add(self.totals, pull(self.recorded, self.sums, self.rates))
        self.recorded = []

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the rates."""
        self.flush()
        return self.totals


def _add(totals: list[Tensor], grads: Sequence[Tensor]) -> None:
    for total, grad in zip(totals, grads, strict=True):
        total.add_(grad)

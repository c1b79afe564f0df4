"""The adjoint equation, integrated back over one gap between asked times.

Symbols: ``a`` cotangent of the state, ``g`` gradients of parameters and rates.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from sciode.core.typing import State, leaves
from sciode.solve.adjoint_term import Dual, Stored, between, reversed_steps
from sciode.solve.along_path import AlongPath
from sciode.solve.increment import Increment, turned
from sciode.solve.loop import FixedLoop
from sciode.solve.method import FixedRun
from sciode.solve.step import Solver
from sciode.solve.steps import Steps, even
from sciode.solve.term import Term


@dataclass
class WayBack:
    """Goes back over the gaps of ``run``; ``solver`` and ``dt`` replace the run's own, if given."""

    run: FixedRun
    dual: Dual
    solver: Solver | None = None
    dt: float | None = None
    _plans: dict[Any, Any] = field(default_factory=dict)  # the gaps share their weights

    def stored(self, gap: int, y: State, a: list[Tensor], g: list[Tensor]) -> tuple[Tensor, ...]:
        """Return ``(a, g)`` at the start of a gap, whose states are found by a solve forward from ``y``."""
        loop, back = self.run.loop, self._steps(gap)
        if loop.term.noise is None:
            steps = between(back, (self.solver or loop.solver).nodes)
            states = Stored(y, FixedLoop(loop.solver, loop.term, steps).states(y), steps)
        else:
            states = Stored(y, self._again(gap, y), between(back, ()))
        return self._integrate(gap, lambda term: replace(self.dual, term=term).given(states), (*a, *g))

    def together(self, gap: int, y: State, a: list[Tensor], g: list[Tensor]) -> tuple[Tensor, ...]:
        """Return ``(y, a, g)`` at the start of a gap, from ``y`` at its end."""
        return self._integrate(gap, lambda term: replace(self.dual, term=term).together(), (*leaves(y), *a, *g))

    def _steps(self, gap: int) -> Steps:
        if self.dt is not None:
            return even((self.run.times[gap + 1], self.run.times[gap]), self.dt)
        marks = self.run.loop.steps.marks
        return reversed_steps(self.run.loop.steps, marks[gap], marks[gap + 1])

    def _again(self, gap: int, y: State) -> Iterator[State]:
        """Take the forward steps of a gap again, along the same path."""
        loop, marks = self.run.loop, self.run.loop.steps.marks
        memory = loop.solver.start(loop.term, loop.at(marks[gap], y), y)
        for index in range(marks[gap], marks[gap + 1]):
            y, memory = loop.advance(y, memory, index, index + 1)
            yield y

    def _integrate(self, gap: int, equation: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        forward, back = self.run.loop, self._steps(gap)
        term: Term = equation(forward.term)
        if forward.term.noise is None:
            way = FixedLoop(self.solver or forward.solver, term, back, _plans=self._plans)
        else:
            last = forward.steps.marks[gap + 1] - 1

            def path(index: int) -> Increment:
                noise = forward.at(last - index, self.dual.y).noise
                assert noise is not None
                return turned(noise)

            solver: Any = AlongPath(forward.term, equation)
            way = FixedLoop(solver, term, back, _plans=self._plans, _noise=path)
        end, _ = way.advance(state, way.start(state), 0, len(back.sizes))
        return leaves(end)

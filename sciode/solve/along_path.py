r"""Heun's method along a noise path: a stochastic equation as an ordinary one, step by step.

Within a step the path is replaced by its chord, and the equation is ordinary: :math:`y' = L y + N + G W / h`.
Heun's method for it is the stochastic Heun method, of the Stratonovich calculus, in which the chain rule is the
usual one. So the adjoint of this ordinary equation is the adjoint of the stochastic one, along the same path.

Symbols: ``G`` amplitude, ``W`` increment of the path over a step, ``h`` step, ``N`` drift.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from sciode.core.typing import State, Time, each
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.step import At
from sciode.solve.tableaus import HEUN
from sciode.solve.term import Diagonal, Term

_HEUN = RungeKutta(HEUN)


@dataclass(frozen=True)
class AlongPath:
    """Integrate ``equation(driven)``, made anew for each step from ``term`` driven by its increment."""

    term: Term
    equation: Callable[[Term], Term]

    @property
    def order(self) -> int:
        """Strong order, rounded down."""
        return 0

    @property
    def nodes(self) -> tuple[float, ...]:
        """The ends of the step."""
        return _HEUN.nodes

    @property
    def history(self) -> int:
        """0: weights depend on no earlier step."""
        return 0

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> tuple[float, Any]:
        """Return the step and its weights."""
        return h, _HEUN.plan(linear, h, y)

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered."""

    def step(self, term: Term, at: At, y: State, memory: None, plan: tuple[float, Any]) -> tuple[State, None]:
        """Take a step; ``term`` is not looked at, as every step has its own."""
        assert at.noise is not None
        h, weights = plan
        return _HEUN.step(self.equation(driven(self.term, at.noise.W, h)), at, y, None, weights)


def driven(term: Term, W: State, h: float) -> Term:
    """Return the ordinary equation of a step ``h`` over which the path goes straight from 0 to ``W``."""
    noise = term.noise
    assert noise is not None
    rate = each(lambda part: part / h, W)

    def drift(s: Time, y: State) -> State:
        return each(torch.add, term.drift(s, y), noise.apply(noise.amplitude(s, y), rate))

    return replace(term, drift=drift, noise=None)

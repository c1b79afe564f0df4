"""The reversible Heun method: why it exists is that its step can be undone by its own formulas.

A backward pass then finds the states of the forward pass again, to round-off, and stores none of them.

Symbols: ``f`` drift L y + N, ``G`` amplitude, ``W`` Wiener increment, ``h`` step, ``z`` the second state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from sciode.core.typing import State, Time, each
from sciode.solve.increment import Needs
from sciode.solve.step import At
from sciode.solve.stochastic_parts import Plan, average, driven, plan, pushed, rates_of, slope
from sciode.solve.term import Term


class Pair(NamedTuple):
    """What :class:`ReversibleHeun` remembers: the second state, and f and G there."""

    z: State
    f: State
    G: State | None


@dataclass(frozen=True)
class ReversibleHeun:
    r"""Heun's method on a pair of states, which can be undone exactly: Stratonovich, all kinds of noise.

    .. math:: z_1 = 2 y_0 - z_0 + h f_0 + G_0 W, \qquad
              y_1 = y_0 + \tfrac{h}{2} (f_0 + f_1) + \tfrac12 (G_0 + G_1) W, \qquad f_i = f(s_i, z_i).

    One evaluation of f and G a step. Strong order 1/2, 1 for additive noise. Its region of stability is an
    interval of the imaginary axis: not for equations with strong damping.

    References
    ----------
    Kidger, Foster, Li and Lyons, *Efficient and accurate gradients for neural SDEs*, arXiv:2105.13493.
    """

    strong: ClassVar[Mapping[str, float]] = {
        "additive": 1.0, "diagonal": 0.5, "scalar": 0.5, "general": 0.5, "fractional": 0.5,
    }  # fmt: skip
    order: ClassVar[int] = 0
    nodes: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    history: ClassVar[int] = 0
    plan = plan

    def needs(self, term: Term) -> Needs:
        """Refuse noise that it cannot take."""
        assert term.noise is not None
        term.noise.check("ReversibleHeun", self.strong, stratonovich=True, ito=False)
        return Needs()

    def start(self, term: Term, at: At, y: State) -> Pair:
        """Both states start from ``y``."""
        return _pair(term, at.times[0], y, rates_of(term.linear, y))

    def step(self, term: Term, at: At, y: State, memory: Pair, plan: Plan) -> tuple[State, Pair]:
        """Take a step."""
        after = _pair(term, at.times[1], _mirrored(term, at, y, memory, plan.h), plan.rates)
        return _trapezoid(term, at, y, memory, after, plan.h), after

    def undo(self, term: Term, at: At, y: State, memory: Pair, plan: Plan) -> tuple[State, Pair]:
        """Return what :meth:`step` came from: the same formulas with -h and -W, exact to round-off."""
        back = At(at.times, None if at.noise is None else at.noise._replace(W=each(torch.neg, at.noise.W)))
        before = _pair(term, at.times[0], _mirrored(term, back, y, memory, -plan.h), plan.rates)
        return _trapezoid(term, back, y, memory, before, -plan.h), before


def _pair(term: Term, s: Time, z: State, rates: tuple[Tensor, ...] | None) -> Pair:
    return Pair(z, slope(term, s, z, rates), None if term.noise is None else term.noise.amplitude(s, z))


def _mirrored(term: Term, at: At, y: State, memory: Pair, h: float) -> State:
    z = pushed(each(lambda a, b: 2.0 * a - b, y, memory.z), h, memory.f)
    if at.noise is None or term.noise is None or memory.G is None:
        return z
    return driven(z, term.noise, memory.G, at.noise.W)


def _trapezoid(term: Term, at: At, y: State, first: Pair, second: Pair, h: float) -> State:
    made = pushed(y, 0.5 * h, each(torch.add, first.f, second.f))
    if at.noise is None or term.noise is None or first.G is None or second.G is None:
        return made
    return driven(made, term.noise, average(first.G, second.G), at.noise.W)

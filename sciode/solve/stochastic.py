r"""Steppers for :math:`\mathrm{d}y = f(s, y)\,\mathrm{d}s + G(s, y)\,\mathrm{d}W`, where f = L y + N.

Each says in ``strong`` which kinds of noise it takes, and the strong order it then has. Without noise each is
the deterministic method that is left: Euler, Heun.

Symbols: ``f`` drift, ``G`` amplitude, ``W`` Wiener increment, ``h`` step.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, each, leaves
from sciode.solve.increment import Needs
from sciode.solve.noise import Noise
from sciode.solve.step import At, Trial
from sciode.solve.stochastic_parts import Plan, average, driven, plan, pushed, rates_of, slope
from sciode.solve.term import Term

Derivative: TypeAlias = Callable[[Noise, Time, State, State, float], State]
"""(noise, s, y, G, h) -> the derivative of the amplitude along G itself."""


def _refuse_complex(name: str, noise: Noise | None, y: State) -> None:
    # For circular complex noise E W^2 = 0, and the iterated integrals of real noise are not those of it.
    if noise is not None and noise.kind == "diagonal" and any(part.is_complex() for part in leaves(y)):
        raise InputError(f"{name} takes diagonal noise on real states only; for a complex one use EulerMaruyama")


@dataclass(frozen=True)
class EulerMaruyama:
    r"""Euler--Maruyama, :math:`y + h f + G W`: Ito, all kinds of noise.

    Strong order 1/2, 1 for additive noise; weak order 1.

    References
    ----------
    Kloeden and Platen, *Numerical Solution of Stochastic Differential Equations* (1992), section 10.2.
    """

    strong: ClassVar[Mapping[str, float]] = {
        "additive": 1.0, "diagonal": 0.5, "scalar": 0.5, "general": 0.5, "fractional": 0.5,
    }  # fmt: skip
    order: ClassVar[int] = 0
    nodes: ClassVar[tuple[float, ...]] = (0.0,)
    history: ClassVar[int] = 0
    plan = plan

    def needs(self, term: Term) -> Needs:
        """Refuse noise that it cannot take."""
        assert term.noise is not None
        term.noise.check("EulerMaruyama", self.strong, stratonovich=False, ito=True)
        return Needs()

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered."""

    def step(self, term: Term, at: At, y: State, memory: None, plan: Plan) -> tuple[State, None]:
        """Take a step."""
        s = at.times[0]
        made = pushed(y, plan.h, slope(term, s, y, plan.rates))
        if at.noise is None or term.noise is None:
            return made, None
        return driven(made, term.noise, term.noise.amplitude(s, y), at.noise.W), None


def by_difference(noise: Noise, s: Time, y: State, G: State, h: float) -> State:
    """Derivative of the amplitude along itself, by a difference of width sqrt(h): one more evaluation, or two.

    Under Stratonovich calculus the factor of this derivative has a mean, so that a one-sided difference would
    cost half an order: there it is central.
    """
    root = math.sqrt(abs(h))
    ahead = noise.amplitude(s, pushed(y, root, G))
    if noise.calculus == "ito":
        return each(lambda a, b: (a - b) / root, ahead, G)
    behind = noise.amplitude(s, pushed(y, -root, G))
    return each(lambda a, b: (a - b) / (2.0 * root), ahead, behind)


def by_jvp(noise: Noise, s: Time, y: State, G: State, h: float) -> State:
    """Derivative of the amplitude along itself, exact, by forward-mode differentiation."""
    derivative: State = torch.func.jvp(lambda point: noise.amplitude(s, point), (y,), (G,))[1]
    return derivative


@dataclass(frozen=True)
class Milstein:
    r"""Milstein's method, :math:`y + h f + G W + \tfrac12 (G \cdot \nabla) G\,(W^2 - h)`.

    Under Stratonovich calculus :math:`W^2` alone. For commutative noise: additive, diagonal, scalar.
    Strong and weak order 1.

    Parameters
    ----------
    derivative
        How the derivative of G along G is found: ``by_difference`` (default) or ``by_jvp``.

    References
    ----------
    Kloeden and Platen (1992), sections 10.3 and 11.1.
    """

    derivative: Derivative = by_difference
    strong: ClassVar[Mapping[str, float]] = {"additive": 1.0, "diagonal": 1.0, "scalar": 1.0}
    order: ClassVar[int] = 1
    nodes: ClassVar[tuple[float, ...]] = (0.0,)
    history: ClassVar[int] = 0
    plan = plan

    def needs(self, term: Term) -> Needs:
        """Refuse noise that it cannot take."""
        assert term.noise is not None
        term.noise.check("Milstein", self.strong, stratonovich=True, ito=True)
        return Needs()

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered."""
        _refuse_complex("Milstein", term.noise, y)

    def step(self, term: Term, at: At, y: State, memory: None, plan: Plan) -> tuple[State, None]:
        """Take a step."""
        s, noise = at.times[0], term.noise
        made = pushed(y, plan.h, slope(term, s, y, plan.rates))
        if at.noise is None or noise is None:
            return made, None
        G, W = noise.amplitude(s, y), at.noise.W
        made = driven(made, noise, G, W)
        if noise.kind == "additive":
            return made, None
        mean = abs(plan.h) if noise.calculus == "ito" else 0.0
        square = each(lambda w: 0.5 * (w * w - mean), W)
        return driven(made, noise, self.derivative(noise, s, y, G, plan.h), square), None


@dataclass(frozen=True)
class StochasticHeun:
    r"""Heun's method, the trapezoidal rule with an Euler predictor: Stratonovich, all kinds of noise.

    Strong order 1/2 for general noise, 1 for commutative noise. With a controller its error estimate is the
    difference to the Euler step, O(h) for multiplicative noise: on the safe side.

    References
    ----------
    Kloeden and Platen (1992), section 15.1; Ruemelin, SIAM J. Numer. Anal. 19 (1982).
    """

    strong: ClassVar[Mapping[str, float]] = {
        "additive": 1.0, "diagonal": 1.0, "scalar": 1.0, "general": 0.5, "fractional": 0.5,
    }  # fmt: skip
    order: ClassVar[int] = 0
    error_order: ClassVar[int] = 0
    nodes: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    history: ClassVar[int] = 0
    plan = plan

    def needs(self, term: Term) -> Needs:
        """Refuse noise that it cannot take."""
        assert term.noise is not None
        term.noise.check("StochasticHeun", self.strong, stratonovich=True, ito=False)
        return Needs()

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered."""

    def step(self, term: Term, at: At, y: State, memory: None, plan: Plan) -> tuple[State, None]:
        """Take a step."""
        return _heun(term, at, y, plan)[0], None

    def attempt(self, term: Term, at: At, h: Any, y: State, memory: None) -> Trial:
        """Try a step."""
        made, euler, k = _heun(term, at, y, Plan(h, rates_of(term.linear, y)))
        return Trial(made, each(torch.sub, made, euler), None, (k,))


def _heun(term: Term, at: At, y: State, plan: Plan) -> tuple[State, State, State]:
    """Return the step, its predictor and the first slope."""
    (s0, s1), noise = at.times[:2], term.noise
    f0 = slope(term, s0, y, plan.rates)
    ahead = pushed(y, plan.h, f0)
    if at.noise is None or noise is None:
        return pushed(y, 0.5 * plan.h, each(torch.add, f0, slope(term, s1, ahead, plan.rates))), ahead, f0
    G0, W = noise.amplitude(s0, y), at.noise.W
    ahead = driven(ahead, noise, G0, W)
    f1, G1 = slope(term, s1, ahead, plan.rates), noise.amplitude(s1, ahead)
    made = pushed(y, 0.5 * plan.h, each(torch.add, f0, f1))
    return driven(made, noise, average(G0, G1), W), ahead, f0

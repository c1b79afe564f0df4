r"""Exponential Euler--Maruyama for :math:`\mathrm{d}y = (L y + N)\,\mathrm{d}s + G\,\mathrm{d}W`, L diagonal.

The linear part and additive noise are integrated exactly: from s to s + h,

.. math:: y' = e^{hL} y + h \varphi_1(hL) N + X, \qquad
          \mathrm{Var}\,X = G^2\, h\, \varphi_1\big(2 (\Re L - \kappa) h\big),

for an amplitude that goes as :math:`e^{\kappa s}` and is G at the end of the step.

Symbols: ``N`` drift, ``G`` amplitude, ``X`` Ornstein--Uhlenbeck increment, ``kappa`` growth, ``h`` step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from sciode.core.typing import State, each, leaves, like
from sciode.solve.increment import Needs
from sciode.solve.phi import phi, scaled_phi
from sciode.solve.step import At
from sciode.solve.stochastic_parts import driven, rates_of
from sciode.solve.term import Diagonal, Term


class Weights(NamedTuple):
    """What of a step depends on h and L only, for one leaf of the state."""

    carry: Tensor  # e^(hL)
    drift: Tensor  # h phi_1(hL)


class Plan(NamedTuple):
    """The weights of all leaves."""

    h: float
    leaves: tuple[Weights, ...] | None  # None: there is no linear part


@dataclass(frozen=True)
class ExponentialEulerMaruyama:
    r"""Exponential Euler--Maruyama with exact Ornstein--Uhlenbeck increments: Ito.

    Exact for a linear equation with additive noise, whatever the step. Otherwise strong order 1 for additive
    noise and 1/2 for diagonal noise, with constants that do not grow with the damping. For fractional noise the
    modes are integrated exactly, jointly with the Wiener process they share.

    References
    ----------
    Lord and Rougemont, IMA J. Numer. Anal. 24 (2004); Jentzen and Kloeden, Proc. R. Soc. A 465 (2009).

    Examples
    --------
    The stationary variance of an Ornstein--Uhlenbeck process, 1/2, after one long step:

    >>> from sciode.solve import Diagonal, Noise, Term, solve
    >>> noise = Noise(lambda s, y: torch.ones_like(y), kind="additive")
    >>> process = Term(lambda s, y: torch.zeros_like(y), Diagonal(-1.0), noise)
    >>> y = solve(process, torch.zeros(20000, 1), [0.0, 50.0], solver=ExponentialEulerMaruyama(), dt=50.0).y
    >>> bool((y[:, 1].var() - 0.5).abs() < 0.03)
    True
    """

    strong: ClassVar[Mapping[str, float]] = {"additive": 1.0, "diagonal": 0.5, "fractional": 0.5}
    order: ClassVar[int] = 0
    nodes: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    history: ClassVar[int] = 0

    def needs(self, term: Term) -> Needs:
        """Refuse noise that it cannot take; name the rates whose increments it wants."""
        noise = term.noise
        assert noise is not None
        noise.check("ExponentialEulerMaruyama", self.strong, stratonovich=False, ito=True)
        if noise.bank is not None:
            return Needs(rates=(-noise.bank.rates,), joint=True)
        if term.linear is None:
            none = torch.zeros((), dtype=torch.float64)
            return Needs(rates=(none - noise.growth,)) if noise.growth else Needs()
        count = len(term.linear.rate) if isinstance(term.linear.rate, tuple) else 1
        return Needs(rates=tuple(rate - noise.growth for rate in term.linear.rates(count)))

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> Plan:
        """Compute the weights of a step ``h``: in float64, then cast to the state's dtype and device."""
        rates_of(linear, y)  # refuses what does not fit
        if linear is None:
            return Plan(h, None)
        parts = leaves(y)
        rates = linear.rates(len(parts))

        def cast(value: Tensor, part: Tensor) -> Tensor:
            return value.to(device=part.device, dtype=part.dtype if value.is_complex() else part.real.dtype)

        made = tuple(
            Weights(cast(phi(0, rate * h), part), cast(scaled_phi(1, 1.0, rate, h), part))
            for rate, part in zip(rates, parts, strict=True)
        )
        return Plan(h, made)

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered."""

    def step(self, term: Term, at: At, y: State, memory: None, plan: Plan) -> tuple[State, None]:
        """Take a step."""
        N, noise = term.drift(at.times[0], y), term.noise
        made = _carried(y, N, plan)
        if at.noise is None or noise is None:
            return made, None
        if noise.bank is not None:
            return _banked(made, term, at, y, N, plan), None
        # An additive amplitude is known at the end of the step, to which the growth refers.
        s = at.times[1] if noise.kind == "additive" else at.times[0]
        X = at.noise.W if at.noise.X is None else at.noise.X  # without a linear part X is W
        return driven(made, noise, noise.amplitude(s, y), X), None


def _carried(y: State, N: State, plan: Plan) -> State:
    if plan.leaves is None:
        return each(lambda part, k: part.add(k, alpha=plan.h), y, N)
    rows = zip(leaves(y), leaves(N), plan.leaves, strict=True)
    return like(y, tuple(torch.addcmul(part * row.carry, row.drift, k) for part, k, row in rows))


def _banked(made: State, term: Term, at: At, y: State, N: State, plan: Plan) -> State:
    """Let x follow what the modes really do over the step.

    The drift of x holds the modes' drift as it is at the start of the step. What the modes gain beyond that,
    weighted, is the increment of the fractional noise that x still lacks: no bound on h gamma remains.
    """
    assert term.noise is not None and term.noise.bank is not None and at.noise is not None
    (x, modes), before = leaves(made), leaves(y)[1]
    rates, weights = (value.to(before) for value in term.noise.bank)
    X = leaves(at.noise.X)[0] if at.noise.X is not None else None
    assert X is not None
    modes = modes + X
    gained = modes - before + plan.h * (rates * before - leaves(N)[1])
    (amplitude,) = leaves(term.noise.amplitude(at.times[0], y))
    return x + amplitude * (gained @ weights), modes

r"""One stepper for every stochastic Runge--Kutta method of :mod:`sciode.solve.stochastic_tableaus`.

Symbols: ``f`` drift, ``G`` amplitude, ``h`` step, ``W`` Wiener increment, ``H`` its space--time Levy area, ``I``
iterated Ito integrals: :math:`I_{10} = h (W/2 + H)`, :math:`I_{11} = (W^2 - h)/2`,
:math:`I_{111} = (W^3 - 3 h W)/6`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, each, leaves, like
from sciode.solve.increment import Increment, Needs
from sciode.solve.noise import Noise
from sciode.solve.step import At
from sciode.solve.stochastic_parts import driven, rates_of, slope
from sciode.solve.stochastic_tableaus import SRI1, StochasticTableau
from sciode.solve.term import Diagonal, Term


class Plan(NamedTuple):
    """What of a step depends on h and L only."""

    h: float
    rates: tuple[Tensor, ...] | None
    matrix: Tensor  # [stages, 2 or 4]: the weight of each amplitude, in powers W, H, W^2, W^3
    bias: Tensor  # [stages, 1]


@dataclass(frozen=True)
class StochasticRungeKutta:
    """Stochastic Runge--Kutta method given by a table: Ito, strong order 3/2.

    For additive, diagonal and scalar noise (tables ``SRI1``, ``SRI2``), or with fewer stages for additive noise
    alone (``SRA1``, ``SRA3``). Needs the space--time Levy area of the path.

    Parameters
    ----------
    tableau
        One of :mod:`sciode.solve.stochastic_tableaus`.

    References
    ----------
    Roessler, SIAM J. Numer. Anal. 48 (2010), 922-952, equations (6.1) and (6.3).

    Examples
    --------
    >>> from sciode.solve import stochastic_tableaus
    >>> StochasticRungeKutta(stochastic_tableaus.SRA1).strong
    {'additive': 1.5}
    """

    tableau: StochasticTableau = SRI1

    @property
    def strong(self) -> Mapping[str, float]:
        """Strong order, per kind of noise."""
        kinds = ("additive",) if self.tableau.additive else ("additive", "diagonal", "scalar")
        return dict.fromkeys(kinds, 1.5)

    @property
    def order(self) -> int:
        """Strong order, rounded down."""
        return 1

    @property
    def nodes(self) -> tuple[float, ...]:
        """Times of the stages within a step, each once, in units of h."""
        return tuple(sorted({*self.tableau.drift_nodes, *self.tableau.noise_nodes}))

    @property
    def history(self) -> int:
        """0: weights depend on no earlier step."""
        return 0

    def needs(self, term: Term) -> Needs:
        """Refuse noise that it cannot take; ask for the area."""
        assert term.noise is not None
        term.noise.check(self.tableau.name, self.strong, stratonovich=False, ito=True)
        return Needs(area=True)

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> Plan:
        """Return the weight of each amplitude as a polynomial of W and H."""
        if not math.isfinite(h):
            raise InputError("a stochastic Runge-Kutta method takes finite steps")
        b1, b2, b3, b4 = (torch.tensor(row, dtype=torch.float64) for row in self.tableau.noise)
        length = abs(h)
        root = math.sqrt(length)
        columns = [b1 + b3 / 2.0 - b4 / 2.0, b3, b2 / (2.0 * root), b4 / (6.0 * length)]
        bias = -b2 * root / 2.0
        if self.tableau.additive:
            del columns[2:]
        part = leaves(y)[0].real
        matrix = torch.stack(columns, dim=1).to(part)
        return Plan(h, rates_of(linear, y), matrix, bias[:, None].to(part))

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered."""
        if term.noise is not None and any(part.is_complex() for part in leaves(y)):
            kinds = ("diagonal",) if self.tableau.additive else ("diagonal", "additive")
            if term.noise.kind in kinds:
                raise InputError(f"{self.tableau.name} takes {term.noise.kind} noise on real states only")

    def step(self, term: Term, at: At, y: State, memory: None, plan: Plan) -> tuple[State, None]:
        """Take a step."""
        table, noise = self.tableau, term.noise
        if at.noise is None or noise is None:
            return self._drift_only(term, at, y, plan), None
        times, root = dict(zip(self.nodes, at.times, strict=False)), math.sqrt(abs(plan.h))
        mean = _mean(at.noise)
        f: list[State] = []
        G: list[State] = []
        for i in range(max(len(table.drift), len(table.noise_nodes))):
            if i < len(table.drift):
                point = _plus(y, table.drift_drift[i], f, plan.h)
                point = _forced(point, noise, table.drift_noise[i], G, mean)
                f.append(slope(term, times[table.drift_nodes[i]], point, plan.rates))
            if i < len(table.noise_nodes):
                point = _plus(y, table.noise_drift[i], f, plan.h)
                point = _plus(point, table.noise_noise[i], G, root)
                G.append(noise.amplitude(times[table.noise_nodes[i]], point))
        made = _plus(y, table.drift, f, plan.h)
        for amplitude, by in zip(G, _weights(at.noise, plan), strict=True):
            made = driven(made, noise, amplitude, by)
        return made, None

    def _drift_only(self, term: Term, at: At, y: State, plan: Plan) -> State:
        times = dict(zip(self.nodes, at.times, strict=False))
        f: list[State] = []
        for node, row in zip(self.tableau.drift_nodes, self.tableau.drift_drift, strict=True):
            f.append(slope(term, times[node], _plus(y, row, f, plan.h), plan.rates))
        return _plus(y, self.tableau.drift, f, plan.h)


def _plus(base: State, row: Sequence[float], parts: Sequence[State], scale: float) -> State:
    """Return base + scale * sum of row * parts: ``base`` itself for an empty row, else fresh."""
    fresh = False
    for weight, part in zip(row, parts, strict=False):
        if weight:
            add = Tensor.add_ if fresh else Tensor.add
            base = each(lambda a, b, add=add, by=scale * weight: add(a, b, alpha=by), base, part)
            fresh = True
    return base


def _forced(point: State, noise: Noise, row: Sequence[float], parts: Sequence[State], mean: State) -> State:
    """Return point + mean * sum of row * parts."""
    for weight, part in zip(row, parts, strict=False):
        if weight:
            point = driven(point, noise, part, each(lambda w, by=weight: w * by, mean), fresh=False)
    return point


def _mean(noise: Increment) -> State:
    """Return I_10 / h."""
    assert noise.H is not None
    return each(lambda H, W: H.add(W, alpha=0.5), noise.H, noise.W)


def _weights(noise: Increment, plan: Plan) -> list[State]:
    """Return, per stage, what its amplitude is multiplied by: one matrix product for all stages."""
    assert noise.H is not None
    made = [_polynomials(W, H, plan) for W, H in zip(leaves(noise.W), leaves(noise.H), strict=True)]
    return [like(noise.W, stage) for stage in zip(*made, strict=True)]


def _polynomials(W: Tensor, H: Tensor, plan: Plan) -> tuple[Tensor, ...]:
    basis = [W, H]
    if plan.matrix.shape[1] > 2:
        square = W * W
        basis += [square, square * W]
    product = torch.addmm(plan.bias.to(W), plan.matrix.to(W), torch.stack(basis).flatten(1))
    return product.reshape(-1, *W.shape).unbind(0)

"""One stepper for every explicit Runge--Kutta method, classical and exponential.

Symbols: ``s`` times of the stages, ``h`` step, ``y`` state, ``k`` slopes N(s, y), ``z = h L``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sciode.core.symbol import Symbol
from sciode.core.typing import State, leaves, like
from sciode.solve.phi import phi
from sciode.solve.step import At
from sciode.solve.tableau import Entry, Tableau
from sciode.solve.term import Diagonal, Scaled, Term, check_factor
from sciode.solve.weights import Row, Weight, at_rest, carried, cast, check_rate, combine, entry_weight


class Plan(NamedTuple):
    """Everything of a step that depends on h and L only, for one leaf of the state."""

    carry: tuple[Weight | None, ...]  # e^(c_i z) per stage, then e^z; None is the identity
    rows: tuple[Row, ...]  # one per stage, then the update
    paired: bool  # real weights, complex state: combine (re, im) pairs, at half the arithmetic


@dataclass(frozen=True)
class RungeKutta:
    """Explicit (exponential) Runge--Kutta method given by a tableau.

    Parameters
    ----------
    tableau
        One of :mod:`sciode.solve.tableaus`, or your own.
    factor
        Set by :meth:`folded`: the factor of the drift that is part of the weights.

    Examples
    --------
    >>> from sciode.solve import tableaus
    >>> RungeKutta(tableaus.KROGSTAD4).order
    4
    """

    tableau: Tableau
    factor: Symbol | None = None

    def folded(self, term: Term) -> "RungeKutta":
        """Return the method for ``term`` alone, its weights holding the factor of a :class:`Scaled` drift.

        Per step this saves a product for every call of the drift. Numbers stay numbers: a method without a linear
        part keeps its scalar weights. A factor with a gradient stays outside, where autograd and the adjoints
        look for it.
        """
        drift = term.drift
        if not isinstance(drift, Scaled) or term.linear is None or drift.factor.value.requires_grad:
            # Folded for one term, a method may be handed another: that of the adjoint, whose drift is whole.
            return self if self.factor is None else replace(self, factor=None)
        return replace(self, factor=drift.factor)

    @property
    def order(self) -> int:
        """Order of convergence."""
        return self.tableau.order

    @property
    def nodes(self) -> tuple[float, ...]:
        """Times of the stages within a step, in units of h.

        A last stage that the update does not use serves error control alone: a fixed step goes without it.
        """
        return self.tableau.nodes[: self._stages]

    @property
    def _stages(self) -> int:
        update = self.tableau.update
        return max(i + 1 for i, entry in enumerate(update) if entry)

    @property
    def history(self) -> int:
        """0: weights depend on no earlier step."""
        return 0

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> tuple[Plan, ...]:
        """Compute the weights of a step ``h``: in float64, then cast to the state's dtype and device."""
        parts = leaves(y)
        if linear is None:
            return tuple(self._leaf_plan(None, h, part) for part in parts)
        return tuple(self._leaf_plan(r, h, part) for r, part in zip(linear.rates(len(parts)), parts, strict=True))

    def _leaf_plan(self, rate: Tensor | None, h: float, y: Tensor) -> Plan:
        check_rate(rate, y)
        factor = None if self.factor is None else self.factor.value
        if factor is not None:
            check_factor(factor, y)
        constants = [part for part in (rate, factor) if part is not None]
        paired = y.is_complex() and not any(part.is_complex() for part in constants)
        paired = paired and any(part.dim() for part in constants)

        def settle(value: Tensor) -> Weight:
            return cast(value[..., None].expand(*value.shape, 2) if paired else value, y, paired)

        known: dict[object, Weight] = {}  # equal entries share one tensor

        def carry(node: float) -> Weight | None:
            if rate is None or node == 0.0:
                return None
            if node not in known:
                known[node] = settle(phi(0, (node * h) * rate))
            return known[node]

        def weight(entry: Entry) -> Weight:
            if entry not in known:
                known[entry] = at_rest(entry, h) if rate is None else settle(product(entry_weight(entry, rate, h)))
            return known[entry]

        def product(value: Tensor) -> Tensor:
            return value if factor is None else value * factor.to(value.device)

        def row(entries: Sequence[Entry]) -> Row:
            shared: dict[Entry, list[int]] = {}
            for index, entry in enumerate(entries):
                if entry:
                    shared.setdefault(entry, []).append(index)
            return tuple((weight(entry), tuple(indices)) for entry, indices in shared.items())

        table = self.tableau
        rows = tuple(row(entries) for entries in (*table.stages[: self._stages], table.update))
        return Plan(tuple(carry(node) for node in (*self.nodes, 1.0)), rows, paired)

    def start(self, term: Term, at: At, y: State) -> None:
        """Nothing is remembered from step to step."""

    def step(self, term: Term, at: At, y: State, memory: None, plan: tuple[Plan, ...]) -> tuple[State, None]:
        """Advance ``y`` by the step that ``plan`` was made for."""
        parts = [_view(part, leaf) for part, leaf in zip(leaves(y), plan, strict=True)]
        flown = [carried(leaf.carry, part) for leaf, part in zip(plan, parts, strict=True)]
        slopes: list[list[Tensor]] = [[] for _ in plan]
        drift = term.drift
        if self.factor is not None:
            assert isinstance(drift, Scaled)
            drift = drift.inner
        last = len(plan[0].rows) - 1
        for stage in range(last + 1):
            point = like(y, tuple(_point(leaf, stage, flown[i], slopes[i]) for i, leaf in enumerate(plan)))
            if stage == last:
                break
            for k, leaf, known in zip(leaves(drift(at.times[stage], point)), plan, slopes, strict=True):
                known.append(_view(k, leaf))
        return point, None


def _view(part: Tensor, plan: Plan) -> Tensor:
    return torch.view_as_real(part.resolve_conj()) if plan.paired else part


def _point(plan: Plan, stage: int, flown: list[Tensor], slopes: list[Tensor]) -> Tensor:
    value = combine(flown[stage], plan.rows[stage], slopes)
    return torch.view_as_complex(value) if plan.paired else value

"""One stepper for every explicit Runge--Kutta method, classical and exponential.

Symbols: ``s`` times of the stages, ``h`` step, ``y`` state, ``k`` slopes N(s, y), ``z = h L``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, leaves, like
from sciode.solve.phi import phi, scaled_phi
from sciode.solve.tableau import Entry, Phi, Tableau
from sciode.solve.term import Diagonal, Term

Weight: TypeAlias = float | complex | Tensor
Row: TypeAlias = tuple[tuple[Weight, tuple[int, ...]], ...]
"""A linear combination of slopes: pairs (weight, the slopes that share it)."""


class Plan(NamedTuple):
    """Everything of a step that depends on h and L only, for one leaf of the state."""

    carry: tuple[Weight | None, ...]  # e^(c_i z) per stage, then e^z; None is the identity
    rows: tuple[Row, ...]  # one per stage, then the update


@dataclass(frozen=True)
class RungeKutta:
    """Explicit (exponential) Runge--Kutta method given by a tableau.

    Parameters
    ----------
    tableau
        One of :mod:`sciode.solve.tableaus`, or your own.

    Examples
    --------
    >>> from sciode.solve import tableaus
    >>> RungeKutta(tableaus.KROGSTAD4).order
    4
    """

    tableau: Tableau

    @property
    def order(self) -> int:
        """Order of convergence."""
        return self.tableau.order

    def plan(self, linear: Diagonal | None, h: float, y: State) -> tuple[Plan, ...]:
        """Compute the weights of a step ``h``: in float64, then cast to the state's dtype and device."""
        parts = leaves(y)
        if linear is None:
            return tuple(self._leaf_plan(None, h, part) for part in parts)
        return tuple(self._leaf_plan(r, h, part) for r, part in zip(linear.rates(len(parts)), parts, strict=True))

    def _leaf_plan(self, rate: Tensor | None, h: float, y: Tensor) -> Plan:
        _check_rate(rate, y)
        known: dict[object, Weight] = {}  # equal entries share one tensor

        def carry(node: float) -> Weight | None:
            if rate is None or node == 0.0:
                return None
            if node not in known:
                known[node] = _cast(phi(0, (node * h) * rate), y)
            return known[node]

        def weight(entry: Entry) -> Weight:
            if entry not in known:
                known[entry] = _weight(entry, rate, h, y)
            return known[entry]

        def row(entries: Sequence[Entry]) -> Row:
            shared: dict[Entry, list[int]] = {}
            for index, entry in enumerate(entries):
                if entry:
                    shared.setdefault(entry, []).append(index)
            return tuple((weight(entry), tuple(indices)) for entry, indices in shared.items())

        table = self.tableau
        rows = tuple(row(entries) for entries in (*table.stages, table.update))
        return Plan(tuple(carry(node) for node in (*table.nodes, 1.0)), rows)

    def step(self, term: Term, s: Sequence[Time], y: State, plan: tuple[Plan, ...]) -> State:
        """Advance ``y`` by the step that ``plan`` was made for; ``s`` are the times of the stages."""
        parts = leaves(y)
        carried = [_carried(leaf.carry, part) for leaf, part in zip(plan, parts, strict=True)]
        slopes: list[tuple[Tensor, ...]] = []
        for stage in range(len(self.tableau.nodes) + 1):
            point = like(
                y,
                tuple(
                    _combine(carried[i][stage], plan[i].rows[stage], [k[i] for k in slopes])
                    for i in range(len(parts))
                ),
            )
            if stage == len(self.tableau.nodes):
                return point
            slopes.append(leaves(term.slope(s[stage], point)))
        raise AssertionError("unreachable")


def _check_rate(rate: Tensor | None, y: Tensor) -> None:
    if rate is None:
        return
    if rate.is_complex() and not y.is_complex():
        raise InputError(
            "a complex linear part needs a complex state: solve in a Fourier chart, or pass complex x0"
        )
    try:
        fits = torch.broadcast_shapes(rate.shape, y.shape) == y.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise InputError(f"the linear part {list(rate.shape)} does not broadcast to the state {list(y.shape)}")


def _weight(entry: Entry, rate: Tensor | None, h: float, y: Tensor) -> Weight:
    if rate is None:
        # At L = 0 phi_k is 1/k!; one number per entry keeps the classical methods at their classical cost.
        zero = torch.zeros((), dtype=torch.float64)
        return sum(part.weight * scaled_phi(part.order, part.scale, zero, h).item() for part in entry)
    first, *others = entry
    total = first.weight * scaled_phi(first.order, first.scale, rate, h)
    for part in others:
        total = total + part.weight * scaled_phi(part.order, part.scale, rate, h)
    return _cast(total, y)


def _cast(weight: Tensor, y: Tensor) -> Weight:
    if weight.dim() == 0 and not weight.requires_grad:
        return weight.item()  # on the host, once per solve: a number is cheaper in the loop than a tensor
    return weight.to(device=y.device, dtype=y.dtype)


def _carried(carry: tuple[Weight | None, ...], y: Tensor) -> list[Tensor]:
    products: dict[int, Tensor] = {}
    for weight in carry:
        if weight is not None and id(weight) not in products:
            products[id(weight)] = y * weight
    return [y if weight is None else products[id(weight)] for weight in carry]


def _combine(base: Tensor, row: Row, slopes: list[Tensor]) -> Tensor:
    """Return base + sum of weight * slopes. In place only on what was made here, which autograd allows."""
    fresh = False
    for weight, indices in row:
        if not isinstance(weight, Tensor):
            for index in indices:
                base = base.add_(slopes[index], alpha=weight) if fresh else base.add(slopes[index], alpha=weight)
                fresh = True
            continue
        k = slopes[indices[0]]
        for index in indices[1:]:
            k = k + slopes[index]
        base = base.addcmul_(weight, k) if fresh else base.addcmul(weight, k)
        fresh = True
    return base


__all__ = ["Phi", "Plan", "RungeKutta"]

r"""Exponential Runge--Kutta pairs under step control: the weights depend on h L and are made per step size.

Symbols: ``z = h L``, ``h`` step (a host float, or a tensor ``[b, 1]``), ``k`` slopes N(s, y).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, leaves, like
from sciode.solve.dense import embedded_order
from sciode.solve.packing import Packing
from sciode.solve.pairs import Attempt
from sciode.solve.phi import phi
from sciode.solve.step import At
from sciode.solve.tableau import Entry, Tableau
from sciode.solve.term import Term

_KEPT = 32  # rungs of a ladder; under free control a solve has as many sizes as steps, and none comes back


class Weights(NamedTuple):
    """All weights of a step for one leaf: flows e^(c z), rows of the stages, of the update, of the error."""

    carry: tuple[Any, ...]
    rows: tuple[tuple[Any, ...], ...]
    error: tuple[Any, ...]


class ExponentialPair:
    """An exponential pair, or the Lawson form of a classical one, on the leaves of a state."""

    def __init__(self, tableau: Tableau, term: Term, packing: Packing) -> None:
        if tableau.embedded is None:
            raise InputError(
                "this method has no error estimate: use ETD2, HO3 or KROGSTAD43, or dt= without a controller"
            )
        assert term.linear is not None
        self.term, self.packing, self.tableau = term, packing, tableau
        self.rates = term.linear.rates(len(packing.shapes))
        self.nodes, self.order = tableau.nodes, tableau.order
        self.error_order = embedded_order(tableau)
        entries = [part for entry in tableau.update for part in entry]
        # Weights that are integrals over the whole step know the slope as a polynomial, hence the state inside.
        self.interpolates = all(part.scale == 1.0 and part.order > 0 for part in entries)
        self.kept: OrderedDict[float, tuple[Weights, ...]] = OrderedDict()

    def native(self, y: State) -> State:
        """Return ``y``."""
        return y

    def state(self, y: State) -> State:
        """Return ``y``."""
        return y

    def visible(self, y: State, s: Time) -> Tensor:
        """Return a state or an error in the user's variables, packed."""
        state = self.term.chart.leave(y, s)
        return Packing(state).pack(state)

    def start(self, at: At, y: State) -> State:
        """Return the first slope."""
        return self.term.drift(at.times[0], y)

    def attempt(self, at: At, h: Any, y: State, memory: State | None) -> Attempt:
        """Try a step."""
        weights = self._weights(h, leaves(y))
        parts = leaves(y)
        slopes = [leaves(self.term.drift(at.times[0], y) if memory is None else memory)]
        last = len(self.nodes)
        point, new = y, y
        for stage in range(1, last + 1):
            if stage < last or not self.tableau.reuses_last:
                known = [[k[i] for k in slopes] for i in range(len(parts))]
                moved = [_point(w, stage, p, k) for w, p, k in zip(weights, parts, known, strict=True)]
                point = like(y, tuple(moved))
                new = point
            if stage < last:
                slopes.append(leaves(self.term.drift(at.times[stage], point)))
        with torch.no_grad():
            error = like(y, tuple(_sum(w.error, [k[i] for k in slopes]) for i, w in enumerate(weights)))
        memory = like(y, slopes[-1]) if self.tableau.reuses_last else None
        return Attempt(new, error, memory, slopes)

    def interpolate(self, thetas: Sequence[float], h: float, y: State, slopes: Any) -> State:
        """Return states ``[m, b, ...]``: the slope's polynomial under the exact linear flow."""
        parts, out = leaves(y), []
        for i, (rate, part) in enumerate(zip(self.rates, parts, strict=True)):
            rows = []
            for theta in thetas:
                z = theta * h * rate
                row = part * _cast(phi(0, z), part)
                for entry, k in zip(self.tableau.update, slopes, strict=True):
                    if entry:
                        scaled = [_cast(p.weight * theta**p.order * h * phi(p.order, z), part) for p in entry]
                        row = row + sum(scaled[1:], scaled[0]) * k[i]
                rows.append(row)
            out.append(torch.stack(rows))
        return like(y, tuple(out))

    def _weights(self, h: Any, parts: tuple[Tensor, ...]) -> tuple[Weights, ...]:
        if isinstance(h, Tensor):
            return tuple(
                self._leaf(r, h.reshape(-1, *[1] * (p.dim() - 1)), p)
                for r, p in zip(self.rates, parts, strict=True)
            )
        if h not in self.kept:
            if len(self.kept) == _KEPT:
                self.kept.popitem(last=False)
            self.kept[h] = tuple(self._leaf(r, h, p) for r, p in zip(self.rates, parts, strict=True))
        self.kept.move_to_end(h)
        return self.kept[h]

    def _leaf(self, rate: Tensor, h: Any, y: Tensor) -> Weights:
        known: dict[Any, Any] = {}

        def flow(node: float) -> Any:
            if ("flow", node) not in known:
                known["flow", node] = None if node == 0.0 else _cast(phi(0, node * h * rate), y)
            return known["flow", node]

        def weight(entry: Entry) -> Any:
            if entry not in known:
                known[entry] = (
                    _cast(sum(p.weight * h * phi(p.order, p.scale * h * rate) for p in entry), y)
                    if entry
                    else None
                )
            return known[entry]

        table = self.tableau
        assert table.embedded is not None
        rows = tuple(tuple(weight(entry) for entry in row) for row in (*table.stages, table.update))
        difference = tuple(
            (*b, *(p._replace(weight=-p.weight) for p in c)) if b != c else ()
            for b, c in zip(table.update, table.embedded, strict=True)
        )
        return Weights(
            tuple(flow(c) for c in (*table.nodes, 1.0)), rows, tuple(weight(entry) for entry in difference)
        )


def _cast(weight: Tensor, y: Tensor) -> Tensor:
    dtype = y.dtype if weight.is_complex() else (y.real.dtype if y.is_complex() else y.dtype)
    return weight.to(device=y.device, dtype=dtype)


def _point(weights: Weights, stage: int, y: Tensor, slopes: list[Tensor]) -> Tensor:
    flow = weights.carry[stage]
    value = y if flow is None else y * flow
    for weight, k in zip(weights.rows[stage], slopes, strict=False):
        if weight is not None:
            value = torch.addcmul(value, weight, k) if weight.dtype == k.dtype else value + weight * k
    return value


def _sum(weights: tuple[Any, ...], slopes: list[Tensor]) -> Tensor:
    total = torch.zeros_like(slopes[0])
    for weight, k in zip(weights, slopes, strict=True):
        if weight is not None:
            total = total + weight * k
    return total

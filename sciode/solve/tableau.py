r"""A method is data: nodes, and entries that are short sums of :math:`w\,\varphi_k(c z)`.

At L = 0 each phi-function is a number, so a classical Runge--Kutta tableau is the special case and needs no
class of its own. A classical tableau meets a linear part as its Lawson (integrating factor) method.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Phi(NamedTuple):
    r"""One summand :math:`w\,\varphi_k(c z)` of a tableau entry."""

    weight: float
    order: int
    scale: float


Entry: TypeAlias = tuple[Phi, ...]
"""A sum of summands; the empty tuple is zero."""


@dataclass(frozen=True)
class Tableau:
    r"""An explicit (exponential) Runge--Kutta method.

    .. math::
        Y_i = e^{c_i hL} y + h \sum_{j<i} a_{ij}(hL)\, N(s + c_i h, Y_j), \qquad
        y_1 = e^{hL} y + h \sum_i b_i(hL)\, N(s + c_i h, Y_i)

    Parameters
    ----------
    nodes
        c, one per stage, c_0 = 0.
    stages
        Row i holds the i entries a_i0 .. a_i(i-1).
    update
        b, one entry per stage.
    order
        Order of convergence on non-stiff problems.
    embedded
        A second update for error estimates, or None.
    reuses_last
        True if the last stage is the next step's first (first same as last).

    References
    ----------
    Hochbruck and Ostermann, Acta Numerica 19 (2010), equations (2.34)--(2.35).
    """

    nodes: tuple[float, ...]
    stages: tuple[tuple[Entry, ...], ...]
    update: tuple[Entry, ...]
    order: int
    embedded: tuple[Entry, ...] | None = None
    reuses_last: bool = False

    def __post_init__(self) -> None:
        count = len(self.nodes)
        rows = [len(row) for row in self.stages]
        if rows != list(range(count)) or len(self.update) != count:
            raise ValueError(f"{count} nodes need rows of length 0..{count - 1} and {count} updates, not {rows}")

    def at_zero(self) -> tuple[list[list[float]], list[float], list[float]]:
        """Return (A, b, c) of the classical method that remains at L = 0.

        >>> from sciode.solve.tableaus import ETD2
        >>> ETD2.at_zero()
        ([[0.0, 0.0], [1.0, 0.0]], [0.5, 0.5], [0.0, 1.0])
        """
        count = len(self.nodes)
        matrix = [[number(entry) for entry in row] + [0.0] * (count - len(row)) for row in self.stages]
        return matrix, [number(entry) for entry in self.update], list(self.nodes)


def number(entry: Entry) -> float:
    """Return the value of an entry at L = 0, where phi_k = 1/k!."""
    return math.fsum(part.weight / math.factorial(part.order) for part in entry)


def classical(
    nodes: Sequence[float],
    stages: Sequence[Sequence[float]],
    update: Sequence[float],
    order: int,
    embedded: Sequence[float] | None = None,
    *,
    reuses_last: bool = False,
) -> Tableau:
    """Build a :class:`Tableau` from the plain numbers of a classical method.

    Beside a linear part it acts as its Lawson method, a_ij exp((c_i - c_j) z): same order, but the constant
    of a stiff problem is larger than that of a true exponential method.

    >>> classical([0, 0.5], [[], [0.5]], [0, 1], order=2).at_zero()[0]
    [[0.0, 0.0], [0.5, 0.0]]
    """

    def row(weights: Sequence[float], node: float) -> tuple[Entry, ...]:
        pairs = zip(weights, nodes, strict=False)
        return tuple((Phi(float(w), 0, float(node - c)),) if w else () for w, c in pairs)

    return Tableau(
        nodes=tuple(float(c) for c in nodes),
        stages=tuple(row(weights, node) for weights, node in zip(stages, nodes, strict=True)),
        update=row(update, 1.0),
        order=order,
        embedded=None if embedded is None else row(embedded, 1.0),
        reuses_last=reuses_last,
    )

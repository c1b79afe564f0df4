r"""Dense output from the slopes a step has anyway, for every tableau by one rule.

Symbols: ``theta`` place within a step, in [0, 1]; ``beta[j, i]`` coefficient of theta^j in the weight b_i(theta).

.. math:: y(s + \theta h) = y + h \sum_i b_i(\theta) k_i, \qquad b_i(\theta) = \sum_j \beta_{ji} \theta^j

The order conditions of this continuous method are linear in beta: for each rooted tree t of at most q
nodes, :math:`\sum_i b_i(\theta) \Phi_i(t) = \theta^{|t|} / \gamma(t)`. They are solved once per tableau, for
the largest q that has a solution, together with continuity of y at both ends and of its slope. No coefficient
is typed in.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from sciode.solve.tableau import Tableau, number

_TOLERANCE = 1e-10


class Dense(NamedTuple):
    """The continuous method: ``beta`` float64 ``[degree, stages]`` for theta^1 .. theta^degree, and its order."""

    beta: np.ndarray
    order: int


@cache
def dense(tableau: Tableau) -> Dense:
    """Return the continuous extension of highest order that needs no further evaluation.

    >>> from sciode.solve import tableaus
    >>> dense(tableaus.DOPRI5).order, dense(tableaus.BOSH3).order
    (4, 3)
    """
    for order in range(tableau.order, 0, -1):
        # One power more than the order may be what continuity of the slope costs; without it second.
        for smooth in (True, False):
            for degree in (order, order + 1, order + 2):
                beta = _solve(tableau, order, degree, smooth)
                if beta is not None:
                    return Dense(beta, order)
    raise ValueError("no continuous extension: the update of the tableau is inconsistent")


def _solve(tableau: Tableau, order: int, degree: int, smooth: bool) -> np.ndarray | None:
    matrix, update, _ = (np.asarray(part) for part in tableau.at_zero())
    stages, powers = len(update), np.arange(1, degree + 1)
    rows: list[np.ndarray] = []
    right: list[float] = []

    def demand(row: np.ndarray, value: float) -> None:
        rows.append(row.reshape(-1))
        right.append(value)

    for size, density, weights in trees(matrix, order):
        for j in powers:  # the coefficient of theta^j
            demand((powers == j)[:, None] * weights, 1.0 / density if j == size else 0.0)
    for i in range(stages):
        here = np.eye(stages)[i]
        demand(np.ones(degree)[:, None] * here, update[i])
        if smooth:
            demand((powers == 1)[:, None] * here, float(i == 0))
            if tableau.reuses_last:
                demand(powers[:, None] * here, float(i == stages - 1))
    system, wanted = np.stack(rows), np.asarray(right)
    beta = np.linalg.lstsq(system, wanted, rcond=1e-13)[0]
    if np.abs(system @ beta - wanted).max() > _TOLERANCE:
        return None
    return beta.reshape(degree, stages)


def trees(matrix: np.ndarray, order: int) -> list[tuple[int, int, np.ndarray]]:
    """Return (nodes, density gamma, elementary weights Phi_i) of every rooted tree of at most ``order`` nodes.

    Butcher, *Numerical Methods for Ordinary Differential Equations* (2016), section 310.

    >>> [len([t for t in trees(np.zeros((1, 1)), 6) if t[0] == n]) for n in range(1, 7)]
    [1, 1, 2, 4, 9, 20]
    """
    known = [(1, 1, np.ones(len(matrix)))]
    for size in range(2, order + 1):
        smaller = list(known)
        for branches in _partitions(size - 1, smaller):
            density, weights = size, np.ones(len(matrix))
            for index in branches:
                density *= smaller[index][1]
                weights = weights * (matrix @ smaller[index][2])
            known.append((size, density, weights))
    return known


def _partitions(total: int, parts: list[tuple[int, int, np.ndarray]]) -> list[tuple[int, ...]]:
    """Return the multisets of ``parts`` (by index) whose sizes add up to ``total``."""
    if total == 0:
        return [()]
    return [
        (index, *rest)
        for index, part in enumerate(parts)
        if part[0] <= total
        for rest in _partitions(total - part[0], parts[: index + 1])
    ]


@cache
def embedded_order(tableau: Tableau) -> int:
    """Return the order of the embedded method: the error estimate is O(h^(order + 1)).

    >>> from sciode.solve import tableaus
    >>> embedded_order(tableaus.DOPRI5)
    4
    """
    assert tableau.embedded is not None
    companion = np.asarray([number(entry) for entry in tableau.embedded])
    failing = [
        size
        for size, density, weights in trees(np.asarray(tableau.at_zero()[0]), tableau.order)
        if abs(companion @ weights - 1.0 / density) > _TOLERANCE
    ]
    return min(failing) - 1 if failing else tableau.order


@cache
def real_stability(tableau: Tableau) -> float:
    """Return the largest x such that |R(-x')| <= 1 for all x' in [0, x], R the stability polynomial.

    >>> from sciode.solve import tableaus
    >>> round(real_stability(tableaus.DOPRI5), 2), round(real_stability(tableaus.RK4), 3)
    (3.31, 2.785)
    """
    matrix, update, _ = (np.asarray(part) for part in tableau.at_zero())
    x = np.linspace(0.0, 40.0, 400_001)[1:]
    value, power = np.ones_like(x), np.ones(len(update))
    for k in range(1, len(update) + 1):
        value = value + (update @ power) * (-x) ** k
        power = matrix @ power
    outside = np.abs(value) > 1.0 + 1e-9
    return float(x[outside.argmax()]) if outside.any() else float(x[-1])

<<<<<<< HEAD
r"""Implicit Runge--Kutta methods with an explicit first stage and one diagonal number (ESDIRK), as numbers.

Symbols: ``c`` nodes, ``A`` lower triangular, ``gamma`` its diagonal, ``R`` stability function.

.. math:: Y_i = y + h \sum_{j<i} a_{ij} f(s + c_j h, Y_j) + h\gamma f(s + c_i h, Y_i), \qquad y_1 = Y_s

All are stiffly accurate: the last stage is the new state, so R(infinity) = 0 where A is invertible beyond its
first row, and stiff components are put where they belong in one step.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from sciode.core.errors import InputError


@dataclass(frozen=True)
class ImplicitTableau:
    """An ESDIRK method that is stiffly accurate.

    Parameters
    ----------
    matrix
        Rows of A up to the diagonal; the first is (0,), the last is also the weights b.
    order
        Order of convergence on non-stiff problems.
    embedded
        A second set of weights for the error estimate, or None.
    embedded_order
        Its order; the estimate is O(h^(embedded_order + 1)).

    Examples
    --------
    >>> KVAERNO5.gamma, len(KVAERNO5.nodes), KVAERNO5.order
    (0.26, 7, 5)
    """

    matrix: tuple[tuple[float, ...], ...]
    order: int
    embedded: tuple[float, ...] | None = None
    embedded_order: int = 0

    def __post_init__(self) -> None:
        if [len(row) for row in self.matrix] != list(range(1, len(self.matrix) + 1)) or len(self.matrix) < 2:
            raise InputError("matrix takes the rows of a lower triangular matrix, of length 1, 2, 3, ...")
        diagonal = {row[-1] for row in self.matrix[1:]}
        if self.matrix[0] != (0.0,) or len(diagonal) > 1 or not self.gamma > 0.0:
            raise InputError(f"the diagonal must be 0 and then one number > 0, found {sorted(diagonal)}")
        if self.embedded is not None and len(self.embedded) != len(self.matrix):
            raise InputError(f"{len(self.matrix)} stages need as many embedded weights, not {len(self.embedded)}")

    @property
    def gamma(self) -> float:
        """The number on the diagonal."""
        return self.matrix[1][-1]

    @property
    def nodes(self) -> tuple[float, ...]:
        """Times of the stages within a step, in units of h: the sums of the rows."""
        sums = (math.fsum(row) for row in self.matrix)
        return tuple(1.0 if abs(c - 1.0) < 1e-14 else c for c in sums)


@cache
def predictor(tableau: ImplicitTableau, degree: int) -> tuple[tuple[float, ...], ...]:
    """Return, per stage, the weights of the earlier slopes that extrapolate to its own slope.

    A polynomial of at most ``degree`` through the slopes at the nodes; where there are more of them than it
    needs, the weights of least size, which carry least noise.

    >>> [round(w, 12) for w in predictor(KVAERNO3, 1)[2]]
    [-0.147140180162, 1.147140180162]
    """
    nodes = np.asarray(tableau.nodes)
    rows: list[tuple[float, ...]] = [()]
    for i in range(1, len(nodes)):
        powers = np.arange(min(degree + 1, len(np.unique(nodes[:i]))))[:, None]
        weights = np.linalg.lstsq(nodes[:i] ** powers, nodes[i] ** powers[:, 0], rcond=None)[0]
        rows.append(tuple(float(w) for w in weights))
    return tuple(rows)


IMPLICIT_EULER = ImplicitTableau(((0.0,), (0.0, 1.0)), order=1)
"""Backward Euler."""

_G2 = 1.0 - math.sqrt(0.5)
TR_BDF2 = ImplicitTableau(((0.0,), (_G2, _G2), (math.sqrt(2.0) / 4.0, math.sqrt(2.0) / 4.0, _G2)), order=2)
"""Trapezoid, then second-order backward difference; Hosea and Shampine, Appl. Numer. Math. 20 (1996)."""

# The root of g^3 - 3 g^2 + 3 g / 2 - 1/6 between 1/3 and 1/2, which makes R vanish at infinity.
_G3 = 0.43586652150845899942
KVAERNO3 = ImplicitTableau(
    (
        (0.0,),
        (_G3, _G3),
        ((-4.0 * _G3**2 + 6.0 * _G3 - 1.0) / (4.0 * _G3), (1.0 - 2.0 * _G3) / (4.0 * _G3), _G3),
        (
            (6.0 * _G3 - 1.0) / (12.0 * _G3),
            -1.0 / ((24.0 * _G3 - 12.0) * _G3),
            (-6.0 * _G3**2 + 6.0 * _G3 - 1.0) / (6.0 * _G3 - 3.0),
            _G3,
        ),
    ),
    order=3,
    embedded=((-4.0 * _G3**2 + 6.0 * _G3 - 1.0) / (4.0 * _G3), (1.0 - 2.0 * _G3) / (4.0 * _G3), _G3, 0.0),
    embedded_order=2,
)
"""Kvaerno, *Singly diagonally implicit Runge--Kutta methods with an explicit first stage*, BIT 44 (2004), 3(2)."""

KVAERNO5 = ImplicitTableau(
    (
        (0.0,),
        (0.26, 0.26),
        (0.13, 0.84033320996790809, 0.26),
        (0.22371961478320505, 0.47675532319799699, -0.06470895363112615, 0.26),
        (0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998, 0.26),
        (0.13855640231268224, 0.0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676, 0.26),
        (
            0.13659751177640291,
            0.0,
            -0.05496908796538376,
            -0.04118626728321046,
            0.62993304899016403,
            0.06962479448202728,
            0.26,
        ),
    ),
    order=5,
    embedded=(0.13855640231268224, 0.0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676, 0.26, 0.0),
    embedded_order=4,
)
"""Kvaerno, BIT 44 (2004), 5(4)."""
=======
r"""Implicit methods as data: singly diagonally implicit with an explicit first stage (ESDIRK), L-stable.

Symbols: ``gamma`` the diagonal entry, ``c`` nodes, ``a`` entries below the diagonal.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class ImplicitTableau:
    r"""A stiffly accurate ESDIRK method: the last stage is the new state, its slope the next step's first.

    .. math:: Y_i = y + h \sum_{j<i} a_{ij} k_j + h \gamma k_i, \qquad k_i = F(s + c_i h, Y_i), \qquad
              y_1 = Y_s

    Parameters
    ----------
    nodes
        c, one per stage; the first is 0, the last 1.
    stages
        Row i holds the i entries below the diagonal.
    gamma
        The diagonal of every row but the first, where it is 0.
    embedded
        Weights of the second solution, one per stage.
    order, error_order
        Order of the method, and of the embedded one.

    References
    ----------
    Kvaerno, *Singly diagonally implicit Runge--Kutta methods with an explicit first stage*, BIT 44 (2004).

    Examples
    --------
    >>> len(KVAERNO5.nodes), KVAERNO5.order, KVAERNO5.error_order
    (7, 5, 4)
    """

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    gamma: float
    embedded: tuple[float, ...]
    order: int
    error_order: int

    def __post_init__(self) -> None:
        count = len(self.nodes)
        rows = [len(row) for row in self.stages]
        if rows != list(range(count)) or len(self.embedded) != count:
            raise ValueError(f"{count} nodes need rows of length 0..{count - 1} and {count} weights, not {rows}")
        if self.nodes[0] != 0.0 or self.nodes[-1] != 1.0 or not self.gamma > 0.0:
            raise ValueError(
                f"the first node must be 0, the last 1 and gamma > 0; found {self.nodes}, {self.gamma}"
            )

    def matrix(self) -> list[list[float]]:
        """Return A, square."""
        count = len(self.nodes)
        rows = [[*row, self.gamma if i else 0.0] for i, row in enumerate(self.stages)]
        return [row + [0.0] * (count - len(row)) for row in rows]


@cache
def predictors(tableau: ImplicitTableau) -> tuple[tuple[float, ...], ...]:
    r"""Return for every stage the weights of earlier slopes, a row of ``i`` each, that predict its own.

    A stage at the node of the one before is expected to have the same value: a_ij + gamma w_j = a_(i-1)j.
    Another is extrapolated by the polynomial through the slopes of the first three nodes.

    >>> predictors(KVAERNO3)[1]
    (1.0,)
    """
    rows: list[tuple[float, ...]] = [()]
    for i in range(1, len(tableau.nodes)):
        if tableau.nodes[i] == tableau.nodes[i - 1]:
            before = (*tableau.stages[i - 1], tableau.gamma)
            pairs = zip(before, tableau.stages[i], strict=True)
            rows.append(tuple((old - new) / tableau.gamma for old, new in pairs))
        else:
            known = tableau.nodes[: min(i, 3)]
            row = [_lagrange(known, j, tableau.nodes[i]) for j in range(len(known))]
            rows.append((*row, *[0.0] * (i - len(known))))
    return tuple(rows)


def _lagrange(nodes: tuple[float, ...], j: int, at: float) -> float:
    value = 1.0
    for i, node in enumerate(nodes):
        if i != j:
            value *= (at - node) / (nodes[j] - node)
    return value


def _kvaerno3() -> ImplicitTableau:
    # The root of 6 g^3 - 18 g^2 + 9 g - 1 at which the method is L-stable.
    g = 0.435866521508458999416019451194
    third = ((-4 * g * g + 6 * g - 1) / (4 * g), (1 - 2 * g) / (4 * g))
    last = ((6 * g - 1) / (12 * g), -1 / ((24 * g - 12) * g), (-6 * g * g + 6 * g - 1) / (6 * g - 3))
    return ImplicitTableau(
        nodes=(0.0, 2 * g, 1.0, 1.0),
        stages=((), (g,), third, last),
        gamma=g,
        embedded=(*third, g, 0.0),
        order=3,
        error_order=2,
    )


def _kvaerno5() -> ImplicitTableau:
    g = 0.26
    sixth = (0.13855640231268224, 0.0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676)
    return ImplicitTableau(
        nodes=(0.0, 0.52, 1.230333209967908, 0.8957659843500759, 0.43639360985864756, 1.0, 1.0),
        stages=(
            (),
            (g,),
            (0.13, 0.84033320996790809),
            (0.22371961478320505, 0.47675532319799699, -0.06470895363112615),
            (0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998),
            sixth,
            (
                0.13659751177640291,
                0.0,
                -0.05496908796538376,
                -0.04118626728321046,
                0.62993304899016403,
                0.06962479448202728,
            ),
        ),
        gamma=g,
        embedded=(*sixth, g, 0.0),
        order=5,
        error_order=4,
    )


KVAERNO3 = _kvaerno3()
"""Kvaerno 3(2), four stages, L-stable, as is its embedded method A-stable."""

KVAERNO5 = _kvaerno5()
"""Kvaerno 5(4), seven stages, L-stable. Its third stage lies beyond the step, at 1.23 h."""
>>>>>>> ed5547c (Implicit methods for stiff equations: Kvaerno 3(2) and 5(4), Newton by dense or Krylov solves, gradients by the implicit function theorem)

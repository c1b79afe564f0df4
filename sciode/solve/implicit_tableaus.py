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

    >>> [round(w, 8) for w in predictor(KVAERNO3, 1)[2]]
    [-0.14714018, 1.14714018]
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

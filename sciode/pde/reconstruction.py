r"""Values inside a cell from the averages of its neighbours: van Leer's limited slopes, and WENO of order five.

Symbols: ``xi`` position in a cell, -1/2 .. 1/2; ``c`` weights of averages; ``d`` linear weights of the three
stencils; ``beta`` their smoothness.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

GAUSS = 0.5 / 3**0.5
"""The points of the two-point Gauss rule lie this far from the middle of a cell."""


def van_leer(q: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Return the values at the low and the high face of all cells but the first and the last along ``dim``.

    The slope is the harmonic mean of the two differences where they agree in sign, and zero at an extremum:
    a face value lies between its cell and the next, so positive stays positive.

    References
    ----------
    van Leer, J. Comput. Phys. 14 (1974), 361; order 2 away from extrema.

    Examples
    --------
    >>> low, high = van_leer(torch.tensor([0.0, 1.0, 2.0, 0.0]))
    >>> low, high
    (tensor([0.5000, 2.0000]), tensor([1.5000, 2.0000]))
    """
    step = q.diff(dim=dim)
    count = step.shape[dim]
    a, b = step.narrow(dim, 0, count - 1), step.narrow(dim, 1, count - 1)
    product = a * b
    rising = product > 0
    # The quotient that is not wanted must be finite too, or its gradient is NaN.
    half = torch.where(rising, product, torch.zeros_like(product)) / torch.where(rising, a + b, torch.ones_like(a))
    middle = q.narrow(dim, 1, count - 1)
    return middle - half, middle + half


def weno5(q: Tensor, xi: float, dim: int = -1) -> Tensor:
    r"""Return the value at ``xi`` in all cells but two at either end along ``dim``.

    Three parabolas, each with the averages of three cells, weighted by WENO-Z: of order 5 where the data are
    smooth, extrema included, and of a parabola that avoids the jump elsewhere.

    Parameters
    ----------
    q
        Cell averages.
    xi
        Position in the cell, from -1/2, the low face, to 1/2, the high face; 0 has no positive linear weights.

    References
    ----------
    Jiang and Shu, J. Comput. Phys. 126 (1996), 202, for the smoothness; Borges et al., J. Comput. Phys. 227
    (2008), 3191, equation (28), for the weights.

    Examples
    --------
    A parabola is met exactly; these are the averages of x^2 over cells of width 1:

    >>> x = torch.arange(7, dtype=torch.float64)
    >>> weno5(x**2 + 1 / 12, 0.5)
    tensor([ 6.2500, 12.2500, 20.2500], dtype=torch.float64)
    """
    count = q.shape[dim] - 4
    cells = [q.narrow(dim, j, count) for j in range(5)]
    candidates, linear = table(xi)
    beta = [_smoothness(cells[r], cells[r + 1], cells[r + 2], r) for r in range(3)]
    tau = (beta[0] - beta[2]).abs()
    alpha = [d * (1 + (tau / (b + 1e-13)) ** 2) for d, b in zip(linear, beta, strict=True)]
    values = [sum(c * cells[r + j] for j, c in enumerate(candidates[r])) for r in range(3)]
    # About the cell's own average: constants come out to the last bit.
    middle = cells[2]
    excess = sum(a * (v - middle) for a, v in zip(alpha, values, strict=True))
    total = middle + excess / (alpha[0] + alpha[1] + alpha[2])
    assert isinstance(total, Tensor)
    return total


def _smoothness(a: Tensor, b: Tensor, c: Tensor, r: int) -> Tensor:
    slope = (a - 4 * b + 3 * c, a - c, 3 * a - 4 * b + c)[r]
    return 13 / 12 * (a - 2 * b + c) ** 2 + 0.25 * slope**2


@cache
def table(xi: float) -> tuple[list[list[float]], list[float]]:
    """Return the weights of averages of the three parabolas at ``xi``, and their linear weights.

    >>> [round(d, 12) for d in table(0.5)[1]]
    [0.1, 0.6, 0.3]
    """
    candidates = [_weights(np.arange(r - 2, r + 1), xi) for r in range(3)]
    rows = np.zeros((5, 3))
    for r, weights in enumerate(candidates):
        rows[r : r + 3, r] = weights
    linear = np.linalg.lstsq(rows, _weights(np.arange(-2, 3), xi), rcond=None)[0]
    return [[float(c) for c in weights] for weights in candidates], [float(d) for d in linear]


def _weights(cells: np.ndarray, xi: float) -> np.ndarray:
    """Solve for the weights that give monomials at ``xi`` from their averages over cells of width one."""
    powers = np.arange(len(cells))[:, None]
    averages = ((cells + 0.5) ** (powers + 1) - (cells - 0.5) ** (powers + 1)) / (powers + 1)
    return np.linalg.solve(averages, xi ** powers[:, 0])

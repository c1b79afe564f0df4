r"""Values inside a cell from the averages of its neighbours: van Leer's limited slopes, and WENO of order five.

Symbols: ``xi`` position in a cell, -1/2 .. 1/2; ``c`` weights of averages; ``d`` linear weights of the three
stencils; ``beta`` their smoothness.
"""

from collections.abc import Sequence
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
    return weno5_at(q, (xi,), dim)[0]


def weno5_at(q: Tensor, positions: Sequence[float], dim: int = -1) -> list[Tensor]:
    """Return the values of :func:`weno5` at several positions, which share what is not linear in the weights.

    >>> x = torch.arange(7, dtype=torch.float64)
    >>> [round(v[0].item(), 12) for v in weno5_at(x**2 + 1 / 12, (-0.5, 0.5))]
    [2.25, 6.25]
    """
    count = q.shape[dim] - 4
    step = q.diff(dim=dim)
    # Differences of neighbours, about which everything is said: constants come out to the last bit.
    a, b, c, d = (step.narrow(dim, j, count) for j in range(4))
    slopes = ((a, b), (b, c), (c, d))
    beta = [13 / 12 * (high - low).square() for low, high in slopes]
    tilts = (3 * b - a, b + c, 3 * c - d)
    beta = [torch.addcmul(bend, tilt, tilt, value=0.25) for bend, tilt in zip(beta, tilts, strict=True)]
    tau = (beta[0] - beta[2]).abs()
    trust = [1 + (tau / (b_r + 1e-13)).square() for b_r in beta]
    middle = q.narrow(dim, 2, count)
    return [_blend(middle, slopes, trust, xi) for xi in positions]


def _blend(middle: Tensor, slopes: tuple[tuple[Tensor, Tensor], ...], trust: list[Tensor], xi: float) -> Tensor:
    parabolas, linear = _KNOWN[xi] if xi in _KNOWN else _by_steps(xi)
    total = excess = torch.zeros_like(middle)
    for (low, high), (one, two), d, t in zip(slopes, parabolas, linear, trust, strict=True):
        weight = d * t
        total, excess = total + weight, torch.addcmul(excess, weight, one * low + two * high)
    return middle + excess / total


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


def _by_steps(xi: float) -> tuple[list[tuple[float, float]], list[float]]:
    """Return each parabola's weights of its two differences, which add up to its value less the cell's average."""
    ((a, b, _), (c, _, d), (_, e, f)), linear = table(xi)
    return [(-a, -(a + b)), (-c, d), (e + f, f)], linear


# Worked out before a compiler looks: it would follow the linear algebra.
_KNOWN = {xi: _by_steps(xi) for xi in (-0.5, 0.5, -GAUSS, GAUSS)}

"""Exact solutions of two Riemann problems: the Euler equations of an ideal gas, and a dam on a wet bed.

Both depend on ``xi = (x - x0) / t`` alone. Symbols: ``a`` speed of sound, ``p`` pressure, ``c`` speed of a wave
on water; a star marks the state between the outer waves.
"""

import math
from collections.abc import Callable, Sequence

import torch
from scipy.optimize import brentq
from torch import Tensor

from sciode.core.errors import InputError

Side = tuple[float, float, float]
"""Density, velocity, pressure."""


def exact_riemann(left: Sequence[float], right: Sequence[float], xi: Tensor, gamma: float = 1.4) -> Tensor:
    r"""Return the solution ``"3 n"`` (density, velocity, pressure) of the Euler equations at ``xi`` ``[n]``.

    Two states meet at xi = 0. Pressure between the waves is the root of
    :math:`f(p; L) + f(p; R) + u_R - u_L = 0`, with f from Rankine and Hugoniot across a shock and from the
    Riemann invariant across a fan.

    Parameters
    ----------
    left, right
        Density, velocity, pressure; density and pressure > 0.
    xi
        (x - x0) / t, float64.
    gamma
        Ratio of specific heats, > 1.

    Raises
    ------
    InputError
        For states that are not physical, or that part so fast that a vacuum opens between them.

    References
    ----------
    Toro, *Riemann Solvers and Numerical Methods for Fluid Dynamics* (2009), sections 4.2, 4.3 and 4.5.

    Examples
    --------
    Sod's tube; Toro's Table 4.3 gives p* = 0.30313 and u* = 0.92745:

    >>> w = exact_riemann((1.0, 0.0, 1.0), (0.125, 0.0, 0.1), torch.tensor([0.9], dtype=torch.float64))
    >>> [round(v, 5) for v in w[:, 0].tolist()]
    [0.42632, 0.92745, 0.30313]
    """
    one, two = _side(left, gamma), _side(right, gamma)
    a1, a2 = _sound(one, gamma), _sound(two, gamma)
    if 2 * (a1 + a2) / (gamma - 1) <= two[1] - one[1]:
        raise InputError(f"{tuple(left)} and {tuple(right)} open a vacuum, which this solution does not know")

    def gap(p: float) -> float:
        return _across(p, one, gamma) + _across(p, two, gamma) + two[1] - one[1]

    p = _root(gap, max(one[2], two[2]))
    u = 0.5 * (one[1] + two[1]) + 0.5 * (_across(p, two, gamma) - _across(p, one, gamma))
    # The right half is the left half seen in a mirror.
    mirrored = _half((two[0], -two[1], two[2]), p, -u, -xi, gamma)
    mirrored = mirrored * torch.tensor([1.0, -1.0, 1.0], dtype=xi.dtype)[:, None]
    return torch.where(xi < u, _half(one, p, u, xi, gamma), mirrored)


def _side(state: Sequence[float], gamma: float) -> Side:
    if not gamma > 1:
        raise InputError(f"gamma must be above 1, found {gamma}")
    density, velocity, p = (float(value) for value in state)
    if not (density > 0 and p > 0 and all(math.isfinite(v) for v in (density, velocity, p))):
        raise InputError(f"a state is (density, velocity, pressure), density and pressure positive; found {state}")
    return density, velocity, p


def _sound(side: Side, gamma: float) -> float:
    return math.sqrt(gamma * side[2] / side[0])


def _across(p: float, side: Side, gamma: float) -> float:
    """Return the change of velocity from ``side`` to pressure ``p``: Toro's equations (4.6) and (4.7)."""
    density, _, outer = side
    if p > outer:
        return (p - outer) * math.sqrt(2 / density / ((gamma + 1) * p + (gamma - 1) * outer))
    return 2 * _sound(side, gamma) / (gamma - 1) * ((p / outer) ** ((gamma - 1) / (2 * gamma)) - 1)


def _half(side: Side, p: float, u: float, xi: Tensor, gamma: float) -> Tensor:
    """Return the solution left of the contact."""
    density, velocity, outer = side
    a = _sound(side, gamma)
    ratio, mu = p / outer, (gamma - 1) / (gamma + 1)
    before = _constant(side, xi)
    if ratio > 1:
        speed = velocity - a * math.sqrt((gamma + 1) / (2 * gamma) * ratio + (gamma - 1) / (2 * gamma))
        return torch.where(xi < speed, before, _constant((density * (ratio + mu) / (mu * ratio + 1), u, p), xi))
    after = _constant((density * ratio ** (1 / gamma), u, p), xi)
    tail = u - a * ratio ** ((gamma - 1) / (2 * gamma))
    local = (2 / (gamma + 1) + mu / a * (velocity - xi)).clamp_min(0.0)  # speed of sound in the fan, over a
    fan = torch.stack(
        [
            density * local ** (2 / (gamma - 1)),
            2 / (gamma + 1) * (a + (gamma - 1) / 2 * velocity + xi),
            outer * local ** (2 * gamma / (gamma - 1)),
        ]
    )
    return torch.where(xi < velocity - a, before, torch.where(xi < tail, fan, after))


def _constant(state: Sequence[float], xi: Tensor) -> Tensor:
    return torch.tensor(state, dtype=xi.dtype)[:, None].expand(len(state), len(xi))


def _root(gap: Callable[[float], float], guess: float) -> float:
    """Return the root of an increasing function on the positive numbers."""
    high = guess
    while gap(high) < 0:
        high *= 2.0
    low = guess
    while gap(low) > 0:
        low *= 0.5
    return low if low == high else float(brentq(gap, low, high, xtol=1e-15 * high, rtol=1e-14))


def dam_break(high: float, low: float, xi: Tensor, gravity: float = 1.0) -> Tensor:
    r"""Return Stoker's solution ``"2 n"`` (depth, velocity) of a dam at xi = 0 between two still waters.

    A fan runs into the deep side and a bore into the shallow one; between them depth and velocity are constant.

    Parameters
    ----------
    high, low
        Depths left and right of the dam, ``high > low > 0``.
    xi
        (x - x0) / t, float64.
    gravity
        g > 0, length per time^2.

    Raises
    ------
    InputError
        Unless ``high > low > 0``.

    References
    ----------
    Stoker, *Water Waves* (1957), section 10.8; Toro, *Shock-Capturing Methods for Free-Surface Shallow Flows*
    (2001), section 5.2.

    Examples
    --------
    >>> h, u = dam_break(2.0, 1.0, torch.tensor([-9.0, 0.0, 9.0], dtype=torch.float64))
    >>> [round(v, 4) for v in h.tolist()]
    [2.0, 1.4538, 1.0]
    """
    if not 0 < low < high < math.inf:
        raise InputError(f"a dam has deep water left and shallow water right, high > low > 0; found {high}, {low}")
    c = math.sqrt(gravity * high)

    def gap(h: float) -> float:
        bore = (h - low) * math.sqrt(0.5 * gravity * (h + low) / (h * low))
        return bore + 2 * math.sqrt(gravity * h) - 2 * c

    h = _root(gap, low)
    u = 2 * (c - math.sqrt(gravity * h))
    fan = torch.stack([(2 * c - xi) ** 2 / (9 * gravity), 2 / 3 * (c + xi)])
    inner = torch.where(xi < h * u / (h - low), _constant((h, u), xi), _constant((low, 0.0), xi))
    return torch.where(
        xi < -c, _constant((high, 0.0), xi), torch.where(xi < u - math.sqrt(gravity * h), fan, inner)
    )

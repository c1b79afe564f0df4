r"""The generalised porous medium equation, :math:`u_t = (k(u)\,u_x)_x` on a line with walls.

With :math:`\Phi' = k` the flux is :math:`-\Phi(u)_x`: one difference of a continuous function, which takes
degenerate and discontinuous diffusivities as they are, and telescopes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State
from sciode.solve import Term

Potential = Callable[[Tensor], Tensor]


def power(exponent: float) -> Potential:
    """Return the potential of k(u) = u^m, u not negative: the porous medium equation; m = 0 is heat.

    >>> power(1.0)(torch.tensor([2.0])).tolist()
    [2.0]
    """
    if not exponent >= 0:
        raise InputError(f"the exponent m of a porous medium is not negative, found {exponent!r}")
    return lambda u: u.clamp_min(0.0) ** (exponent + 1.0) / (exponent + 1.0) if exponent else u


def switched(threshold: float, high: float = 1.0, low: float = 0.0) -> Potential:
    """Return the potential of k(u) = high where u >= threshold, else low: the one-phase Stefan problem at low = 0.

    >>> switched(0.5)(torch.tensor([0.2, 1.0])).tolist()
    [0.0, 0.5]
    """
    if not (high > 0 and low >= 0):
        raise InputError(f"a diffusivity is not negative and somewhere positive, found {low!r}, {high!r}")
    return lambda u: high * (u - threshold).clamp_min(0.0) + low * torch.minimum(u, u.new_tensor(threshold))


def porous_medium(
    points: int,
    potential: Potential,
    left: Callable[[Tensor], Tensor] | None = None,
    right: Callable[[Tensor], Tensor] | None = None,
    length: float = 1.0,
) -> Term:
    r"""Generalised porous medium equation for cell averages ``"b 1 n"``, by finite volumes in space.

    Mass changes by the flux through the ends alone, to round-off: see :func:`end_fluxes`. An explicit solver takes
    steps below :math:`h^2 / (2 \max k)`.

    Parameters
    ----------
    points : int
        Cells n.
    potential : callable
        :math:`\Phi`, elementwise, not falling, such as :func:`power`.
    left, right : callable, optional
        u at an end as a function of time; without it no flux passes there.
    length : float
        Of the line; cells start half a cell in.

    References
    ----------
    Maddix, Sampaio and Gerritsen, *Numerical artifacts in the discontinuous generalized porous medium equation*,
    J. Comput. Phys. 368 (2018), 277.

    Examples
    --------
    >>> from sciode.solve import solve
    >>> u0 = torch.rand(1, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> u = solve(porous_medium(16, power(2.0)), u0, [0.0, 0.01], dt=1e-3).y
    >>> bool((u[:, 1].mean() - u0.mean()).abs() < 1e-15)
    True
    """
    if points < 2 or not length > 0:
        raise InputError(f"a line takes two cells or more and a length above zero, found {points}, {length!r}")
    step = length / points

    def drift(t: Tensor, u: State) -> State:
        assert isinstance(u, Tensor)
        first, last = end_fluxes(t, u, potential, left, right, length)
        inner = -torch.diff(potential(u), dim=-1) / step
        return -torch.diff(torch.cat([first, inner, last], dim=-1), dim=-1) / step

    return Term(drift)


def end_fluxes(
    t: Tensor,
    u: Tensor,
    potential: Potential,
    left: Callable[[Tensor], Tensor] | None = None,
    right: Callable[[Tensor], Tensor] | None = None,
    length: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the fluxes ``"b 1 1"`` to the right through both ends, over half a cell; mass grows by their
    difference.

    >>> first, last = end_fluxes(torch.tensor(0.0), torch.zeros(1, 1, 4), power(0.0), lambda t: torch.ones(()))
    >>> first.item(), last.item()
    (8.0, 0.0)
    """
    half = 0.5 * length / u.shape[-1]
    fluxes = []
    for cell, value, side in ((u[..., :1], left, -1.0), (u[..., -1:], right, 1.0)):
        if value is None:
            fluxes.append(torch.zeros_like(cell))
            continue
        fluxes.append(-side * (potential(value(t).to(u)) - potential(cell)) / half)
    return fluxes[0], fluxes[1]

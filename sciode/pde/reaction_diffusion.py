"""Reaction and diffusion: one species on a line, two on a square."""

import torch
from torch import Tensor

from sciode.core.typing import State, Time
from sciode.pde.transport import quadratic
from sciode.solve import Cosine, Diagonal, Fourier, Term
from sciode.spectral import Grid, Symbol


def fisher_kpp(points: int = 1024, length: float = 1.0, diffusion: float = 0.5, growth: float = 1.0) -> Term:
    r"""Fisher--KPP, :math:`\partial_t u = \nu\,\partial_{xx} u + \rho\,u (1 - u)`, periodic.

    PDEBench's 1D reaction-diffusion. Keeps 0 <= u <= 1. The growth :math:`\rho u` is linear and goes into L;
    :math:`-\rho u^2` is the drift.

    Parameters
    ----------
    points
        Grid points n of the state ``"b 1 n"``.
    length
        Length of the box.
    diffusion
        nu, length^2 per time.
    growth
        rho, 1/time.

    References
    ----------
    PDEBench, arXiv:2210.07182, equation (10).

    Examples
    --------
    A uniform state follows the logistic curve:

    >>> from sciode.solve import solve
    >>> u0 = torch.full((1, 1, 16), 0.5, dtype=torch.float64)
    >>> u = solve(fisher_kpp(16), u0, [0.0, 1.0], dt=0.01).y[0, 1, 0, 0].item()
    >>> round(u, 6)
    0.731059
    """
    grid = Grid((points,), (length,))
    loss = quadratic(points, Symbol(-growth * grid.dealias()))
    return Term(loss, Diagonal(diffusion * grid.laplacian + growth), chart=Fourier(grid.points))


def fitzhugh_nagumo(
    points: int = 128,
    length: float = 2.0,
    diffusion: tuple[float, float] = (1e-3, 5e-3),
    threshold: float = 5e-3,
) -> Term:
    r"""FitzHugh--Nagumo on a square with no flux through the walls: PDEBench's 2D diffusion-reaction.

    .. math::
        \partial_t u = D_u \Delta u + u - u^3 - k - v, \qquad \partial_t v = D_v \Delta v + u - v

    Solved at cell centres in the cosine basis, which meets the walls exactly; diffusion is diagonal there,
    the reaction is pointwise, and its modes above 2/3 of the highest are cut.

    Parameters
    ----------
    points
        Cells n per side of the state ``"b 2 n n"``: activator u, inhibitor v.
    length
        Side of the square.
    diffusion
        D_u and D_v, length^2 per time.
    threshold
        k.

    References
    ----------
    PDEBench, arXiv:2210.07182, equations (14)--(17). Its generator is a finite-volume scheme on the same cells.

    Examples
    --------
    >>> from sciode.solve import solve
    >>> u0 = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> solve(fitzhugh_nagumo(16), u0, [0.0, 0.5], dt=0.05).y.shape
    torch.Size([1, 2, 2, 16, 16])
    """
    chart = Cosine((points, points))
    k = torch.arange(points, dtype=torch.float64) * (torch.pi / length)
    laplacian = -(k[:, None] ** 2 + k[None, :] ** 2)
    kept = (torch.arange(points) < 2 / 3 * points).to(torch.float64)
    mask = Symbol(kept[:, None] * kept[None, :])
    rate = torch.stack([diffusion[0] * laplacian, diffusion[1] * laplacian])

    def drift(s: Time, y: State) -> Tensor:
        u, v = torch.unbind(_real(chart.leave(y)), dim=1)
        reaction = torch.stack([u - u**3 - threshold - v, u - v], dim=1)
        return _real(chart.enter(reaction)) * mask.like(reaction)

    return Term(drift, Diagonal(rate), chart=chart)


def _real(state: State) -> Tensor:
    assert isinstance(state, Tensor)
    return state

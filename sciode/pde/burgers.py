"""The viscous Burgers equation."""

from sciode.pde.transport import quadratic_flux
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid


def burgers(points: int = 1024, length: float = 1.0, viscosity: float = 0.01) -> Term:
    r"""Viscous Burgers equation, :math:`\partial_t u + \partial_x(u^2/2) = \nu\,\partial_{xx} u`, periodic.

    Conserves the mean exactly; energy decays. A shock is about :math:`4\nu/\Delta u` wide and wants a few
    points across it. PDEBench writes the coefficient as its ``Nu`` divided by pi: ``viscosity=Nu / math.pi``.

    Parameters
    ----------
    points
        Grid points n of the state ``"b 1 n"``.
    length
        Length of the box.
    viscosity
        nu >= 0, length^2 per time.

    References
    ----------
    PDEBench, arXiv:2210.07182, equation (8); Cole--Hopf solution in :func:`sciode.pde.exact.cole_hopf`.

    Examples
    --------
    >>> import torch
    >>> from sciode.solve import solve
    >>> u0 = torch.sin(2 * torch.pi * torch.arange(64, dtype=torch.float64) / 64)[None, None]
    >>> u = solve(burgers(64, viscosity=0.05), u0, [0.0, 0.5], dt=0.01).y
    >>> u.shape, bool(u[:, 1].mean().abs() < 1e-15)
    (torch.Size([1, 2, 1, 64]), True)
    """
    grid = Grid((points,), (length,))
    return Term(quadratic_flux(grid), Diagonal(viscosity * grid.laplacian), chart=Fourier(grid.points))

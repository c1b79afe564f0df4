"""The Kuramoto--Sivashinsky equation."""

from sciode.pde.transport import quadratic_flux
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid


def kuramoto_sivashinsky(points: int = 128, length: float = 22.0, viscosity: float = 1.0) -> Term:
    r"""Kuramoto--Sivashinsky equation, periodic.

    .. math:: \partial_t u + u\,\partial_x u + \partial_{xx} u + \nu\,\partial_{xxxx} u = 0

    Long waves grow (rate :math:`k^2 - \nu k^4`), the quadratic term carries the energy to short
    waves, and these decay: chaos in space and time from about ``length = 22`` on. Conserves the mean.

    Parameters
    ----------
    points
        Grid points n of the state ``"b 1 n"``.
    length
        Length of the box.
    viscosity
        nu > 0; the standard form has 1.

    References
    ----------
    Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005), section 4.

    Examples
    --------
    >>> import torch
    >>> from sciode.solve import solve
    >>> x = 22 * torch.arange(64, dtype=torch.float64) / 64
    >>> u0 = torch.cos(2 * torch.pi * x / 22)[None, None]
    >>> solve(kuramoto_sivashinsky(64), u0, [0.0, 1.0, 2.0], dt=0.1).y.shape
    torch.Size([1, 3, 1, 64])
    """
    grid = Grid((points,), (length,))
    rate = -grid.derivative(0, 2) - viscosity * grid.derivative(0, 4)
    return Term(quadratic_flux(grid), Diagonal(rate), chart=Fourier(grid.points))

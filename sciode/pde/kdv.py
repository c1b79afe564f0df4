"""The Korteweg--de Vries equation."""

from sciode.pde.transport import quadratic_flux
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid


def kdv(points: int = 256, length: float = 32.0, nonlinearity: float = 6.0, dispersion: float = 1.0) -> Term:
    r"""Korteweg--de Vries, :math:`\partial_t u + a\,u\,\partial_x u + d\,\partial_{xxx} u = 0`, periodic.

    Conserves mean, momentum :math:`\int u^2` and energy :math:`\int (d/2) u_x^2 - (a/6) u^3`; a soliton keeps
    its shape (:func:`sciode.pde.exact.kdv_soliton`). The stiff part is imaginary: it turns, it does not damp.

    Parameters
    ----------
    points
        Grid points n of the state ``"b 1 n"``.
    length
        Length of the box.
    nonlinearity
        a; 6 in the classical form, 1 in Brandstetter et al. (arXiv:2202.07643).
    dispersion
        d, length^3 per time.

    Examples
    --------
    >>> import torch
    >>> from sciode.pde.exact import kdv_soliton
    >>> from sciode.solve import solve
    >>> x = 32 * torch.arange(128, dtype=torch.float64) / 128
    >>> u = solve(kdv(128), kdv_soliton(x, 0.0, speed=2.0)[None, None], [0.0, 1.0], dt=0.005).y[0, 1, 0]
    >>> bool((u - kdv_soliton(x, 1.0, speed=2.0)).abs().max() < 1e-4)
    True
    """
    grid = Grid((points,), (length,))
    rate = -dispersion * grid.derivative(0, 3)
    return Term(quadratic_flux(grid, nonlinearity), Diagonal(rate), chart=Fourier(grid.points))

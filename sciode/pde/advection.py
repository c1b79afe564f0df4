"""Linear advection."""

from sciode.pde.transport import no_drift
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid


def advection(points: int = 1024, length: float = 1.0, velocity: float = 0.4) -> Term:
    r"""Linear advection, :math:`\partial_t u + \beta\,\partial_x u = 0`, periodic.

    Everything is in the linear part, so a step of any size is exact for the modes below Nyquist.

    Parameters
    ----------
    points
        Grid points n of the state ``"b 1 n"``.
    length
        Length of the box.
    velocity
        beta, length per time.

    References
    ----------
    PDEBench, arXiv:2210.07182, equation (6).

    Examples
    --------
    >>> import torch
    >>> from sciode.solve import solve
    >>> x = torch.arange(32, dtype=torch.float64) / 32
    >>> u0 = torch.sin(2 * torch.pi * x)[None, None]
    >>> u = solve(advection(32, velocity=1.0), u0, [0.0, 0.25], dt=0.25).y[:, 1]
    >>> torch.allclose(u, torch.sin(2 * torch.pi * (x - 0.25))[None, None])
    True
    """
    grid = Grid((points,), (length,))
    return Term(no_drift, Diagonal(-velocity * grid.derivative(0)), chart=Fourier(grid.points))

"""The Kuramoto--Sivashinsky equation."""

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde.transport import quadratic
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid, Symbol


def kuramoto_sivashinsky(
    points: int = 128,
    length: float | Tensor = 22.0,
    viscosity: float | Tensor = 1.0,
    pace: float | Tensor = 1.0,
) -> Term:
    r"""Kuramoto--Sivashinsky equation, periodic; each parameter may differ by sample.

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
    pace
        Time runs so many times faster: the right-hand side is multiplied by it.

    A parameter that is a tensor ``[b]`` holds one value for each sample of the batch.

    Raises
    ------
    InputError
        For parameters that are not positive, or tensors of another shape than ``[b]``.

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
    side, nu, speed = (
        _number(name, value) for name, value in (("length", length), ("viscosity", viscosity), ("pace", pace))
    )
    # Boxes that differ share a grid of length 1, whose wave numbers are then divided by their lengths.
    box, side = (1.0, side) if isinstance(side, Tensor) else (side, 1.0)
    grid = Grid((points,), (box,))
    rate = speed * (-grid.derivative(0, 2) / side**2 - nu * grid.derivative(0, 4) / side**4)
    flux = -0.5 * speed / side * grid.derivative(0) * grid.dealias()
    return Term(quadratic(points, Symbol(flux)), Diagonal(rate), chart=Fourier(grid.points))


def _number(name: str, value: float | Tensor) -> float | Tensor:
    """Return a number, or a tensor ``[b]`` as a column that broadcasts over ``"b 1 k"``."""
    if not isinstance(value, Tensor):
        if not 0 < value < float("inf"):
            raise InputError(f"{name} must be positive, found {value}")
        return value
    if value.dim() != 1:
        raise InputError(f"{name} takes a number, or one for each sample, [b], found shape {list(value.shape)}")
    bad = ~(torch.isfinite(value) & (value > 0))
    if bool(bad.any()):
        raise InputError(f"{name} must be positive, found {value[bad][0].item()}")
    return value.to("cpu", torch.float64).view(-1, 1, 1)  # where wave numbers are; the solver takes rates along

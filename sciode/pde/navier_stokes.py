"""Two-dimensional incompressible flow, by its vorticity."""

import math

import torch
from torch import Tensor

from sciode.core.typing import State, Time
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid, Symbol


def navier_stokes(
    points: int = 64,
    length: float = 2 * math.pi,
    viscosity: float = 1e-3,
    drag: float = 0.0,
    forcing: float = 0.0,
    forcing_mode: int = 4,
) -> Term:
    r"""Incompressible Navier--Stokes in vorticity form, periodic square; decaying, or with Kolmogorov forcing.

    .. math::
        \partial_t \omega + \nabla \cdot (\mathbf{u}\,\omega) = \nu \Delta \omega - \gamma\,\omega
        - f q \cos(q y), \qquad \Delta \psi = -\omega, \quad \mathbf{u} = (\partial_y \psi, -\partial_x \psi)

    with :math:`q = 2\pi m / L`: the curl of the body force :math:`f \sin(q y)` along x. The advection is

    .. math::
        \nabla \cdot (\mathbf{u}\,\omega) = (\partial_{xx} - \partial_{yy})(u v) + \partial_{xy}(v^2 - u^2)

    which takes two inverse and two forward transforms, the fewest known (Basdevant 1983), dealiased by the 2/3
    rule; mean vorticity is conserved, and without viscosity so are energy and enstrophy, up to the time step.

    Parameters
    ----------
    points
        Grid points n per side of the state ``"b 1 n n"``.
    length
        Side of the box.
    viscosity
        nu, length^2 per time.
    drag
        gamma, 1/time; 0.1 keeps a forced flow from piling up at the largest scale.
    forcing
        f, length per time^2; 0 is the decaying case, 1 is usual.
    forcing_mode
        m, waves of the forcing across the box.

    References
    ----------
    Basdevant, J. Comput. Phys. 50 (1983), 209, for the form of the advection; Chandler
    and Kerswell, J. Fluid Mech. 722 (2013); Kochkov et al., PNAS 118 (2021) for the drag.

    Examples
    --------
    >>> from sciode.pde.exact import taylor_green
    >>> from sciode.solve import solve
    >>> w0, w1 = taylor_green(16, 0.0, 0.1), taylor_green(16, 1.0, 0.1)
    >>> w = solve(navier_stokes(16, viscosity=0.1), w0[None, None], [0.0, 1.0], dt=0.1).y[0, 1, 0]
    >>> torch.allclose(w, w1, atol=1e-12)
    True
    """
    grid = Grid((points, points), (length, length))
    mask = grid.dealias()
    to_velocity = Symbol(_to_velocity(grid))
    shear = Symbol(mask * (grid.derivative(1, 2) - grid.derivative(0, 2)))
    stretch = Symbol(-mask * grid.derivative(0) * grid.derivative(1))
    force = Symbol(_kolmogorov(grid, forcing, forcing_mode))
    dims = (-2, -1)

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        # One axis after the other: irfftn copies its input on the way.
        velocity = torch.fft.irfft(torch.fft.ifft(y * to_velocity.like(y), dim=-2), n=points)
        u, v = velocity[:, :1], velocity[:, 1:]
        product = torch.fft.rfftn(u * v, dim=dims)
        difference = torch.fft.rfftn((v - u).mul_(v + u), dim=dims)
        total = product.mul_(shear.like(y)).addcmul_(stretch.like(y), difference)
        return total.add_(force.like(y)) if forcing else total

    return Term(drift, Diagonal(viscosity * grid.laplacian - drag), chart=Fourier(grid.points))


def _kolmogorov(grid: Grid, forcing: float, mode: int) -> Tensor:
    q = 2 * math.pi * mode / grid.lengths[1]
    _, y = grid.coordinates()
    return torch.fft.rfftn(-forcing * q * torch.cos(q * y), dim=(-2, -1))


def _to_velocity(grid: Grid) -> Tensor:
    inverse = torch.where(grid.laplacian == 0, 0.0, -1.0 / grid.laplacian)  # psi = inverse * omega
    return torch.stack([grid.derivative(1) * inverse, -grid.derivative(0) * inverse])


def velocity(vorticity: Tensor, length: float = 2 * math.pi) -> Tensor:
    r"""Return the velocity ``"b 2 n n"`` of a vorticity field ``"b 1 n n"`` with zero mean flow.

    >>> from sciode.pde.exact import taylor_green
    >>> u = velocity(taylor_green(16, 0.0, 0.1)[None, None])
    >>> round(u.abs().max().item(), 12)
    1.0
    """
    grid = Grid((vorticity.shape[-2], vorticity.shape[-1]), (length, length))
    spectrum = torch.fft.rfftn(vorticity, dim=(-2, -1))
    symbol = Symbol(_to_velocity(grid))
    return torch.fft.irfftn(spectrum * symbol.like(spectrum), s=grid.points, dim=(-2, -1))

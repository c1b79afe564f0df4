r"""Two-dimensional incompressible flow by its velocity, and a tracer that goes with it.

The velocity form costs as many transforms as the vorticity form, keeps the mean flow, and its state is what
most data sets of incompressible flow store.

Symbols: ``u, v`` velocity, ``c`` tracer, ``q`` wave vector of the force, ``P`` projection onto zero divergence.
"""

import math

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid, Symbol

DIMS = (-2, -1)


def incompressible_flow(
    points: int = 128,
    length: float = 1.0,
    viscosity: float = 4e-4,
    drag: float = 0.0,
    forcing: float = 0.0,
    forcing_x: float = 0.0,
    forcing_y: float = 1.0,
) -> Term:
    r"""Incompressible Navier--Stokes by its velocity, periodic square; free or with Kolmogorov forcing.

    .. math::
        \partial_t \mathbf u = P\left[-\nabla\cdot(\mathbf u \otimes \mathbf u)
        + f \sin(\mathbf q \cdot \mathbf x)\,\mathbf e_x\right] + \nu \Delta \mathbf u - \gamma\,\mathbf u,
        \qquad \mathbf q = \frac{2\pi}{L} (m_x, m_y)

    P is applied in Fourier space, so zero divergence is kept to round-off and no pressure is solved for. The
    gradient of :math:`v^2` falls to P too: :math:`u^2 - v^2` and :math:`uv` are all that is transformed, two
    inverse and two forward transforms. Modes above 2/3 of the highest take no part in the products, so without
    viscosity energy and enstrophy are conserved up to the time step; the mean velocity always is (drag 0).

    Parameters
    ----------
    points
        Grid points n per side of the state ``"b 2 n n"``: u along the first space axis, v along the second.
        It should have no divergence (:func:`project`); what it has decays by viscosity alone.
    length
        Side L of the box.
    viscosity
        nu, length^2 per time.
    drag
        gamma, 1/time.
    forcing
        f, length per time^2. 0 is the free case.
    forcing_x, forcing_y
        m_x and m_y, whole waves of the force across the box: (0, 4) is the usual Kolmogorov flow, (1, 1) the
        oblique one of Poseidon's FNS-KF.

    Raises
    ------
    InputError
        If the force has no whole number of waves, varies not across x, or is too fine for the grid.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, for the data; Basdevant, J. Comput. Phys. 50 (1983), 209, for the
    count of transforms.

    Examples
    --------
    >>> from sciode.pde.exact import taylor_green
    >>> from sciode.pde.navier_stokes import velocity
    >>> from sciode.solve import solve
    >>> u0, u1 = (velocity(taylor_green(16, t, 0.1)[None, None]) for t in (0.0, 1.0))
    >>> u = solve(incompressible_flow(16, 2 * math.pi, 0.1), u0, [0.0, 1.0], dt=0.1).y[:, 1]
    >>> torch.allclose(u, u1, atol=1e-12)
    True
    """
    grid = Grid((points, points), (length, length))
    force = Symbol(_force(grid, forcing, forcing_x, forcing_y))
    flux, mask = Symbol(_momentum(grid)), Symbol(grid.dealias())

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        u, v = torch.fft.irfftn(y * mask.like(y), s=grid.points, dim=DIMS).unbind(1)
        products = torch.fft.rfftn(torch.stack([(u - v) * (u + v), u * v], dim=1), dim=DIMS)
        return (flux.like(y) * products[:, None]).sum(2) + force.like(y)

    return Term(drift, Diagonal(viscosity * grid.laplacian - drag), chart=Fourier(grid.points))


def tracer_flow(
    points: int = 128, length: float = 1.0, viscosity: float = 4e-4, diffusivity: float = 4e-4
) -> Term:
    r"""Free incompressible flow that carries a tracer.

    .. math::
        \partial_t c + \nabla\cdot(\mathbf u\,c) = \kappa\,\Delta c

    The amount of tracer is conserved exactly; without diffusion so is its mean square, up to the time step.

    Parameters
    ----------
    points
        Grid points n per side of the state ``"b 3 n n"``: u, v, c.
    length
        Side of the box.
    viscosity
        nu, length^2 per time.
    diffusivity
        kappa, length^2 per time.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B: NS-Tracer-PwC, and the tracer of NS-SVS.

    Examples
    --------
    A uniform flow carries the tracer along:

    >>> from sciode.solve import solve
    >>> x, y = Grid((16, 16), (1.0, 1.0)).coordinates()
    >>> wave = lambda x: torch.cos(2 * math.pi * x)
    >>> start = torch.stack([torch.full_like(x, 0.5), torch.zeros_like(x), wave(x)])[None]
    >>> end = solve(tracer_flow(16, diffusivity=0.0), start, [0.0, 1.0], dt=0.01).y[0, 1, 2]
    >>> torch.allclose(end, wave(x - 0.5), atol=1e-6)
    True
    """
    grid = Grid((points, points), (length, length))
    mask, flux = Symbol(grid.dealias()), Symbol(_momentum(grid))
    divergence = Symbol(-grid.dealias() * torch.stack(_gradient(grid)))
    rate = torch.stack([viscosity * grid.laplacian] * 2 + [diffusivity * grid.laplacian])

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        u, v, c = torch.fft.irfftn(y * mask.like(y), s=grid.points, dim=DIMS).unbind(1)
        pointwise = torch.stack([(u - v) * (u + v), u * v, u * c, v * c], dim=1)
        products = torch.fft.rfftn(pointwise, dim=DIMS)
        momentum = (flux.like(y) * products[:, None, :2]).sum(2)
        carried = (divergence.like(y) * products[:, 2:]).sum(1, keepdim=True)
        return torch.cat([momentum, carried], dim=1)

    return Term(drift, Diagonal(rate), chart=Fourier(grid.points))


def project(velocity: Tensor, length: float | tuple[float, float] = 1.0) -> Tensor:
    """Return the part ``"... 2 n m"`` of a periodic velocity that has no divergence; its mean stays.

    ``length`` is the side of the box, or both sides. Raises :class:`InputError` for anything but two components.

    >>> x, y = Grid((8, 8), (1.0, 1.0)).coordinates()
    >>> gradient = torch.stack([torch.cos(2 * math.pi * x), torch.zeros_like(x)])
    >>> bool(project(gradient).abs().max() < 1e-15)
    True
    """
    grid = _grid_of(velocity, length)
    spectrum = torch.fft.rfftn(velocity, dim=DIMS)
    symbol = Symbol(_projection(grid)).like(spectrum)
    return torch.fft.irfftn((symbol * spectrum.unsqueeze(-4)).sum(-3), s=grid.points, dim=DIMS)


def vorticity(velocity: Tensor, length: float | tuple[float, float] = 1.0) -> Tensor:
    r"""Return the vorticity ``"... 1 n m"`` of a periodic velocity ``"... 2 n m"``.

    It is :math:`\omega = \partial_x v - \partial_y u`. The way back is :func:`sciode.pde.velocity`,
    up to the mean flow, which a vorticity does not know.

    >>> from sciode.pde.exact import taylor_green
    >>> from sciode.pde.navier_stokes import velocity
    >>> w = taylor_green(16, 0.0, 0.1)[None, None]
    >>> torch.allclose(vorticity(velocity(w), 2 * math.pi), w)
    True
    """
    return _first_order(velocity, length, curl=True)


def divergence(velocity: Tensor, length: float | tuple[float, float] = 1.0) -> Tensor:
    r"""Return :math:`\partial_x u + \partial_y v`, ``"... 1 n m"``, of a periodic velocity ``"... 2 n m"``.

    >>> divergence(torch.ones(1, 2, 8, 8)).abs().max().item()
    0.0
    """
    return _first_order(velocity, length, curl=False)


def _first_order(velocity: Tensor, length: float | tuple[float, float], curl: bool) -> Tensor:
    grid = _grid_of(velocity, length)
    dx, dy = _gradient(grid)
    spectrum = torch.fft.rfftn(velocity, dim=DIMS)
    symbol = Symbol(torch.stack([-dy, dx] if curl else [dx, dy])).like(spectrum)
    return torch.fft.irfftn((symbol * spectrum).sum(-3, keepdim=True), s=grid.points, dim=DIMS)


def _grid_of(velocity: Tensor, length: float | tuple[float, float]) -> Grid:
    if velocity.dim() < 3 or velocity.shape[-3] != 2 or velocity.is_complex():
        raise InputError(
            f"a plane velocity is real, '... 2 n m', found {velocity.dtype} {list(velocity.shape)}; "
            "give u and v as channels 0 and 1"
        )
    sides = length if isinstance(length, tuple) else (length, length)
    return Grid((velocity.shape[-2], velocity.shape[-1]), sides)


def _gradient(grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the symbols of both derivatives, each on the whole half spectrum."""
    dx, dy = torch.broadcast_tensors(grid.derivative(0), grid.derivative(1))
    return dx, dy


def _projection(grid: Grid) -> Tensor:
    """Return I - k k^T / |k|^2, complex128 ``[2, 2, *k]``; where k = 0, the identity."""
    k = torch.stack(_gradient(grid)).imag
    square = k.square().sum(0)
    along = k[:, None] * k[None, :] / torch.where(square == 0, 1.0, square)
    return (torch.eye(2, dtype=torch.float64)[:, :, None, None] - along).to(torch.complex128)


def _momentum(grid: Grid) -> Tensor:
    """Return ``[2, 2, *k]``: from u^2 - v^2 and u v to -P div(u u), dealiased."""
    dx, dy = _gradient(grid)
    tensor = torch.stack([torch.stack([dx, dy]), torch.stack([torch.zeros_like(dx), dx])])
    return -grid.dealias() * (_projection(grid)[:, :, None] * tensor[None]).sum(1)


def _force(grid: Grid, forcing: float, waves_x: float, waves_y: float) -> Tensor:
    """Return the spectrum ``[2, *k]`` of the projected body force f sin(q x) e_x."""
    if waves_x != int(waves_x) or waves_y != int(waves_y):
        raise InputError(f"the force has whole waves across the box, found ({waves_x}, {waves_y})")
    highest = max(abs(waves_x), abs(waves_y))
    if forcing and (waves_y == 0 or 3 * highest >= min(grid.points)):
        raise InputError(
            f"a force of ({waves_x:g}, {waves_y:g}) waves along x drives no flow on {grid.points} points; "
            f"give forcing_y other than 0, and more than {3 * highest:g} points"
        )
    x, y = grid.coordinates()
    phase = 2 * math.pi * (waves_x * x / grid.lengths[0] + waves_y * y / grid.lengths[1])
    along = torch.fft.rfftn(forcing * torch.sin(phase), dim=DIMS)
    return _projection(grid)[:, 0] * along

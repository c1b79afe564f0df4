"""The compressible Euler equations of an ideal gas, by finite volumes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde.finite_volume import box, finite_volume, pull, shrink
from sciode.pde.riemann import hllc
from sciode.solve import Term


def euler(
    points: int | tuple[int, ...] = 128,
    length: float | tuple[float, ...] = 1.0,
    gamma: float = 1.4,
    reconstruction: str = "muscl",
    boundary: str = "periodic",
) -> Term:
    r"""Compressible flow of an ideal gas without viscosity, on a line or in the plane.

    .. math::
        \partial_t (\rho, \rho\mathbf{u}, E) + \nabla\cdot(\rho\mathbf{u},\;
        \rho\mathbf{u}\otimes\mathbf{u} + p I,\; (E + p)\mathbf{u}) = 0, \qquad
        E = \frac{p}{\gamma - 1} + \tfrac12 \rho |\mathbf{u}|^2

    Godunov's scheme with the HLLC flux. Mass, momentum and energy change through the ends only, so a periodic
    box keeps them to round-off. Solve it with ``RungeKutta(tableaus.SSPRK3)`` and a step from
    :func:`euler_step`: density and pressure then stay positive, provably while the Courant number of the fastest
    face is at most 1/12, and in practice far above it.

    Parameters
    ----------
    points
        Cells n per axis, one number for a line; the state is ``"b c *n"`` of cell averages with c = 2 + d:
        density, momentum per axis, energy per volume.
    length
        Length of the box, one for all axes or one each.
    gamma
        Ratio of specific heats, > 1; 1.4 for air.
    reconstruction
        ``"muscl"`` (order 2) or ``"weno5"`` (order 5 on a line, 4 in the plane; about three times the cost).
    boundary
        ``"periodic"`` or ``"outflow"``.

    Raises
    ------
    InputError
        For ``gamma <= 1``, fewer than 6 cells, a length that is not positive; at a call, for a state of
        another shape.

    References
    ----------
    Toro, *Riemann Solvers and Numerical Methods for Fluid Dynamics* (2009), chapters 10 and 14; Zhang and
    Shu, J. Comput. Phys. 229 (2010), 8918, for positivity.

    Examples
    --------
    A gas at rest stays at rest:

    >>> from sciode.solve import RungeKutta, solve, tableaus
    >>> x0 = to_conserved(torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 4, 1, 1).expand(1, 4, 8, 8))
    >>> dt = euler_step(x0, 1.0)
    >>> y = solve(euler((8, 8)), x0, [0.0, 0.1], solver=RungeKutta(tableaus.SSPRK3), dt=dt).y
    >>> bool((y[:, 1] - x0).abs().max() < 1e-6)
    True
    """
    cells, lengths = box(points, length)
    return Term(finite_volume(Gas(gamma), cells, lengths, reconstruction, boundary))


@dataclass(frozen=True)
class Gas:
    """The Euler equations as :func:`finite_volume` needs them.

    >>> Gas(5 / 3).channels(2)
    4
    """

    gamma: float = 1.4

    def __post_init__(self) -> None:
        if not (isinstance(self.gamma, int | float) and 1 < self.gamma < math.inf):
            raise InputError(f"gamma must be a number above 1, such as 1.4 for air; found {self.gamma!r}")

    def channels(self, dimensions: int) -> int:
        """Return density, momentum per axis and energy, counted."""
        return 2 + dimensions

    def to_primitive(self, u: Tensor) -> Tensor:
        """Return density, velocity and pressure, ``"b c *n"``."""
        return to_primitive(u, self.gamma)

    def to_conserved(self, w: Tensor) -> Tensor:
        """Return density, momentum and energy, ``"b c *n"``."""
        return to_conserved(w, self.gamma)

    def flux(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the HLLC flux."""
        return hllc(left, right, self.gamma)

    def limit(self, faces: Tensor, mean: Tensor) -> Tensor:
        """Scale the values ``"p b c *n"`` of a cell towards its mean until density and pressure are positive."""
        theta = shrink(_lowest(faces[:, :, 0], mean[:, 0]), mean[:, 0]).unsqueeze(1)
        faces = pull(faces, mean, theta)
        everywhere = torch.cat([faces, _rest(faces, mean)[None]])
        pressure = self._pressure(everywhere.flatten(0, 1)).unflatten(0, everywhere.shape[:2])
        theta = shrink(pressure.amin(0), self._pressure(mean)).unsqueeze(1)
        return pull(faces, mean, theta)

    def _pressure(self, u: Tensor) -> Tensor:
        return pressure(u, self.gamma)


def _rest(faces: Tensor, mean: Tensor) -> Tensor:
    """Return what is left of a cell when each face has taken a sixth of it, as Simpson's rule has it."""
    return 1.5 * mean - 0.5 * faces.mean(0)


def _lowest(values: Tensor, mean: Tensor) -> Tensor:
    return torch.minimum(values.amin(0), _rest(values, mean))


def pressure(u: Tensor, gamma: float = 1.4) -> Tensor:
    """Return the pressure ``"b *n"`` of conserved variables ``"b c *n"``."""
    return (gamma - 1) * (u[:, -1] - 0.5 * u[:, 1:-1].square().sum(1) / u[:, 0])


def to_primitive(u: Tensor, gamma: float = 1.4) -> Tensor:
    """Return density, velocity per axis and pressure ``"b c *n"`` of conserved variables ``"b c *n"``.

    >>> to_primitive(torch.tensor([[2.0, 4.0, 6.5]]))
    tensor([[2., 2., 1.]])
    """
    return torch.cat([u[:, :1], u[:, 1:-1] / u[:, :1], pressure(u, gamma).unsqueeze(1)], dim=1)


def to_conserved(w: Tensor, gamma: float = 1.4) -> Tensor:
    """Return density, momentum per axis and energy ``"b c *n"``: the inverse of :func:`to_primitive`.

    >>> to_conserved(torch.tensor([[2.0, 2.0, 1.0]]))
    tensor([[2.0000, 4.0000, 6.5000]])
    """
    density, velocity = w[:, :1], w[:, 1:-1]
    energy = w[:, -1:] / (gamma - 1) + 0.5 * density * velocity.square().sum(1, keepdim=True)
    return torch.cat([density, density * velocity, energy], dim=1)


def euler_step(u: Tensor, length: float | tuple[float, ...] = 1.0, gamma: float = 1.4, cfl: float = 0.4) -> float:
    r"""Return a stable step for a state: ``cfl`` over the largest :math:`\sum_i (|u_i| + a) / \Delta x_i`.

    Waves may get faster later: leave room, or ask again.

    Parameters
    ----------
    u
        Conserved variables ``"b c *n"``.
    length
        Length of the box, one for all axes or one each.
    gamma
        Ratio of specific heats.
    cfl
        Courant number, > 0; SSP-RK3 with MUSCL is stable up to about 1.

    Raises
    ------
    InputError
        For a state that is not finite, or whose density or pressure is not positive (it names the sample), and
        for a ``cfl`` that is not positive.

    Examples
    --------
    >>> u = to_conserved(torch.tensor([1.4, 1.0, 1.0]).reshape(1, 3, 1).expand(1, 3, 10))
    >>> round(euler_step(u, cfl=0.5), 6)  # speed 1 + 1, cells of 0.1
    0.025
    """
    Gas(gamma)
    check_gas(u, gamma)
    _, lengths = box(tuple(u.shape[2:]), length)
    w = to_primitive(u, gamma)
    sound = (gamma * w[:, -1] / w[:, 0]).sqrt()
    return courant(w[:, 1:-1].abs() + sound.unsqueeze(1), lengths, cfl)


def courant(speed: Tensor, lengths: tuple[float, ...], cfl: float) -> float:
    """Return ``cfl`` over the largest sum of crossings per time, of speeds ``"b d *n"``."""
    if not 0 < cfl < math.inf:
        raise InputError(f"cfl must be a positive number, such as 0.4; found {cfl}")
    crossings = sum(speed[:, i] * (n / lengths[i]) for i, n in enumerate(speed.shape[2:]))
    assert isinstance(crossings, Tensor)
    return cfl / crossings.max().item()


def check_gas(u: Tensor, gamma: float = 1.4) -> None:
    """Raise :class:`InputError` for a state ``"b c *n"`` that is no gas; waits for the device."""
    dimensions = u.dim() - 2
    if dimensions not in (1, 2) or u.shape[1] != 2 + dimensions:
        raise InputError(
            f"expected density, momentum per axis and energy 'b {2 + max(dimensions, 1)} *n', "
            f"found {list(u.shape)}"
        )
    check_positive(u[:, 0], "density")
    check_positive(pressure(u, gamma), "pressure")


def check_positive(values: Tensor, name: str) -> None:
    """Raise :class:`InputError`, with the first bad sample and its value, unless all are finite and positive."""
    bad = ~((values > 0) & values.isfinite())
    if bool(bad.any()):
        at = bad.nonzero()[0].tolist()
        raise InputError(
            f"{name} must be positive and finite: sample {at[0]} has {values[tuple(at)].item():g} at cell {at[1:]}"
        )

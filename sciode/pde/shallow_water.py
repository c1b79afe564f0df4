"""The shallow-water equations over a flat bottom, by finite volumes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde.euler import check_positive, courant
from sciode.pde.finite_volume import box, finite_volume, pull, shrink
from sciode.pde.riemann import hll
from sciode.solve import Term


def shallow_water(
    points: int | tuple[int, ...] = 128,
    length: float | tuple[float, ...] = 1.0,
    gravity: float = 1.0,
    reconstruction: str = "muscl",
    boundary: str = "outflow",
) -> Term:
    r"""Water whose depth is small beside its waves, over a flat bottom, on a line or in the plane.

    .. math::
        \partial_t (h, h\mathbf{u}) + \nabla\cdot(h\mathbf{u},\;
        h\mathbf{u}\otimes\mathbf{u} + \tfrac12 g h^2 I) = 0

    Godunov's scheme with the HLL flux. A lake at rest stays at rest to the last bit; a periodic box keeps water
    and momentum to round-off; depths stay positive. There is no dry ground: every depth must be above zero.

    Parameters
    ----------
    points
        Cells n per axis, one number for a line; the state is ``"b c *n"`` of cell averages with c = 1 + d:
        depth, discharge (depth times velocity) per axis.
    length
        Length of the box, one for all axes or one each.
    gravity
        g > 0, length per time^2.
    reconstruction
        ``"muscl"`` (order 2) or ``"weno5"`` (order 5 on a line, 4 in the plane).
    boundary
        ``"outflow"`` or ``"periodic"``.

    Raises
    ------
    InputError
        For a gravity that is not positive, fewer than 6 cells; at a call, for a state of another shape.

    References
    ----------
    PDEBench, arXiv:2210.07182, equations (11)--(13); LeVeque, *Finite Volume Methods for Hyperbolic Problems*
    (2002), chapter 13.

    Examples
    --------
    >>> from sciode.solve import RungeKutta, solve, tableaus
    >>> lake = torch.tensor([1.0, 0.0]).reshape(1, 2, 1).expand(1, 2, 8)
    >>> dt = shallow_water_step(lake, 1.0)
    >>> y = solve(shallow_water(8), lake, [0.0, 1.0], solver=RungeKutta(tableaus.SSPRK3), dt=dt).y
    >>> bool((y[:, 1] == lake).all())
    True
    """
    cells, lengths = box(points, length)
    return Term(finite_volume(ShallowWater(gravity), cells, lengths, reconstruction, boundary))


@dataclass(frozen=True)
class ShallowWater:
    """The shallow-water equations as :func:`finite_volume` needs them.

    >>> ShallowWater(9.81).channels(2)
    3
    """

    gravity: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.gravity, int | float) and 0 < self.gravity < math.inf):
            raise InputError(f"gravity must be a positive number, found {self.gravity!r}")

    def channels(self, dimensions: int) -> int:
        """Return depth and discharge per axis, counted."""
        return 1 + dimensions

    def to_primitive(self, u: Tensor) -> Tensor:
        """Return depth and velocity, ``"b c *n"``."""
        return torch.cat([u[:, :1], u[:, 1:] / u[:, :1]], dim=1)

    def to_conserved(self, w: Tensor) -> Tensor:
        """Return depth and discharge, ``"b c *n"``."""
        return torch.cat([w[:, :1], w[:, 1:] * w[:, :1]], dim=1)

    def flux(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the HLL flux."""
        return hll(left, right, self.gravity)

    def limit(self, faces: Tensor, mean: Tensor) -> Tensor:
        """Scale the values ``"p b c *n"`` of each cell towards its mean until every depth is positive."""
        depth, inside = faces[:, :, 0], mean[:, 0]
        # The remainder of the cell, after a sixth for each face, counts too: see Zhang and Shu (2010).
        lowest = torch.minimum(depth.amin(0), 1.5 * inside - 0.5 * depth.mean(0))
        return pull(faces, mean, shrink(lowest, inside).unsqueeze(1))


def shallow_water_step(
    u: Tensor, length: float | tuple[float, ...] = 1.0, gravity: float = 1.0, cfl: float = 0.4
) -> float:
    r"""Return a stable step: ``cfl`` over the largest :math:`\sum_i (|u_i| + \sqrt{g h}) / \Delta x_i`.

    Parameters
    ----------
    u
        Depth and discharges ``"b c *n"``.
    length
        Length of the box, one for all axes or one each.
    gravity
        g, length per time^2.
    cfl
        Courant number, > 0.

    Raises
    ------
    InputError
        For depths that are not positive or not finite (it names the sample), another number of channels, and a
        ``cfl`` that is not positive.

    Examples
    --------
    >>> lake = torch.tensor([4.0, 0.0]).reshape(1, 2, 1).expand(1, 2, 10)
    >>> round(shallow_water_step(lake, cfl=0.5), 6)  # waves run at 2, cells of 0.1
    0.025
    """
    dimensions = u.dim() - 2
    if dimensions not in (1, 2) or u.shape[1] != 1 + dimensions:
        raise InputError(
            f"expected depth and discharge per axis 'b {1 + max(dimensions, 1)} *n', found {list(u.shape)}"
        )
    law = ShallowWater(gravity)
    check_positive(u[:, 0], "depth")
    _, lengths = box(tuple(u.shape[2:]), length)
    w = law.to_primitive(u)
    return courant(w[:, 1:].abs() + (law.gravity * w[:, :1]).sqrt(), lengths, cfl)

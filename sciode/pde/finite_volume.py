r"""Finite volumes for conservation laws :math:`\partial_t U + \nabla\cdot F(U) = 0` on a uniform grid.

A state holds cell averages, ``"b c *n"``; channels 1 .. d are a vector, one component per axis, so that a law
states its flux along the first axis only and every other axis is that one after a turn. One evaluation is:
ghost cells, values of every cell on its faces, limiting, a flux per face, differences of fluxes.

Symbols: ``u`` conserved averages, ``w`` primitive variables, ``xi`` position in a cell, -1/2 .. 1/2.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.core.typing import State, Time
from sciode.pde.reconstruction import GAUSS, van_leer, weno5_at
from sciode.solve import Drift


class Law(Protocol):
    """A hyperbolic conservation law, as the scheme needs it; every function works along axis 1 on channels."""

    def channels(self, dimensions: int) -> int:
        """Return the number of conserved quantities in so many space dimensions."""
        ...

    def to_primitive(self, u: Tensor) -> Tensor:
        """Return the variables that are reconstructed by the second-order scheme."""
        ...

    def to_conserved(self, w: Tensor) -> Tensor:
        """Return the inverse of :meth:`to_primitive`."""
        ...

    def flux(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the numerical flux along the direction of channel 1."""
        ...

    def limit(self, faces: Tensor, mean: Tensor) -> Tensor:
        """Return values ``"p b c *n"`` pulled towards the ``mean`` of their cell until all are physical."""
        ...


Faces = Callable[[Law, Tensor], Tensor]
"""Takes averages with ghost cells, gives ``"2 g b c *n"``: low and high face, quadrature points on each."""

WIDTH = 3
"""Ghost cells at either end: a face value of the outermost neighbour reaches two cells further."""


def finite_volume(
    law: Law,
    points: tuple[int, ...],
    lengths: tuple[float, ...],
    reconstruction: str = "muscl",
    boundary: str = "periodic",
) -> Drift:
    r"""Return the drift :math:`-\nabla\cdot F` of a law on a box, by finite volumes.

    Parameters
    ----------
    law
        Its flux, its variables and what it calls physical.
    points
        Cells per axis, each at least 6.
    lengths
        Length of the box per axis.
    reconstruction
        ``"muscl"``: linear in primitive variables, van Leer's limiter, order 2. ``"weno5"``: order 5 in
        conserved variables; fluxes at two Gauss points per transverse axis, so order 4 in two dimensions.
    boundary
        ``"periodic"``, or ``"outflow"``: the outermost cell is repeated outside.

    Raises
    ------
    InputError
        For a grid too small and, at a call, for a state of another shape.
    UnknownName
        For a reconstruction or a boundary that is not known.

    References
    ----------
    Shu, *Essentially non-oscillatory and weighted ENO schemes*, NASA/CR-97-206253 (1997), section 2.3;
    Toro, *Riemann Solvers and Numerical Methods for Fluid Dynamics* (2009), chapter 14.

    Examples
    --------
    >>> from sciode.pde.shallow_water import ShallowWater
    >>> drift = finite_volume(ShallowWater(9.81), (8,), (1.0,))
    >>> drift(torch.tensor(0.0), torch.ones(1, 2, 8)).abs().max().item()
    0.0
    """
    check_box(points, lengths)
    faces = lookup(reconstruction, RECONSTRUCTIONS, "reconstruction")
    extend = lookup(boundary, BOUNDARIES, "boundary")
    spacing = [length / n for n, length in zip(points, lengths, strict=True)]
    shape, dimensions = (law.channels(len(points)), *points), len(points)

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        if y.shape[1:] != shape:
            raise InputError(
                f"expected a state 'b c *n' of shape [b, {', '.join(map(str, shape))}], found {list(y.shape)}"
            )
        total = torch.zeros_like(y)
        for axis in range(dimensions):
            turned = _turn(y, axis)
            for dim in range(2, y.dim()):
                turned = extend(turned, dim)
            total = total - _turn(_difference(law, faces, turned), axis) / spacing[axis]
        return total

    return drift


def _difference(law: Law, faces: Faces, extended: Tensor) -> Tensor:
    """Return the flux through the high face less that through the low one, along the first space axis."""
    values = faces(law, extended)
    inner = [slice(None), slice(None), slice(WIDTH - 1, 1 - WIDTH)]
    inner += [slice(WIDTH, -WIDTH)] * (extended.dim() - 3)
    limited = law.limit(values.flatten(0, 1), extended[tuple(inner)]).view_as(values)
    low, high = limited[0], limited[1]  # "g b c n+2 *m"
    count = low.shape[3]
    flux = law.flux(high.narrow(3, 0, count - 1).flatten(0, 1), low.narrow(3, 1, count - 1).flatten(0, 1))
    flux = flux.unflatten(0, low.shape[:2]).mean(0)
    return flux.diff(dim=2)


def _turn(u: Tensor, axis: int) -> Tensor:
    """Exchange the first space axis and another, and with them two components of the vector: its own inverse."""
    if axis == 0:
        return u
    order = list(range(u.shape[1]))
    order[1], order[1 + axis] = order[1 + axis], order[1]
    return torch.stack([u[:, i] for i in order], dim=1).transpose(2, 2 + axis)


def _muscl(law: Law, extended: Tensor) -> Tensor:
    w = law.to_primitive(_without(extended, range(3, extended.dim()), WIDTH))
    low, high = van_leer(w.narrow(2, WIDTH - 2, w.shape[2] - 2 * (WIDTH - 2)), dim=2)
    both = torch.stack([low, high]).flatten(0, 1)
    return law.to_conserved(both).unflatten(0, (2, 1, len(w)))


def _weno5(law: Law, extended: Tensor) -> Tensor:
    values = torch.stack(weno5_at(extended, (-0.5, 0.5), dim=2)).unsqueeze(1)
    for dim in range(5, values.dim()):
        inside = values.narrow(dim, 1, values.shape[dim] - 2)
        values = torch.cat(weno5_at(inside, (-GAUSS, GAUSS), dim=dim), dim=1)
    return values


def _without(u: Tensor, dims: range, width: int) -> Tensor:
    for dim in dims:
        u = u.narrow(dim, width, u.shape[dim] - 2 * width)
    return u


def _periodic(u: Tensor, dim: int) -> Tensor:
    return torch.cat([u.narrow(dim, u.shape[dim] - WIDTH, WIDTH), u, u.narrow(dim, 0, WIDTH)], dim=dim)


def _outflow(u: Tensor, dim: int) -> Tensor:
    shape = [WIDTH if d == dim else -1 for d in range(u.dim())]
    first, last = u.narrow(dim, 0, 1), u.narrow(dim, u.shape[dim] - 1, 1)
    return torch.cat([first.expand(shape), u, last.expand(shape)], dim=dim)


RECONSTRUCTIONS: dict[str, Faces] = {"muscl": _muscl, "weno5": _weno5}
BOUNDARIES: dict[str, Callable[[Tensor, int], Tensor]] = {"periodic": _periodic, "outflow": _outflow}


def box(
    points: int | tuple[int, ...], length: float | tuple[float, ...]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return cells and lengths per axis; a single number of cells is a line, a single length is every side's.

    >>> box((8, 8), 1.0)
    ((8, 8), (1.0, 1.0))
    """
    cells = (points,) if isinstance(points, int) else tuple(points)
    return cells, (float(length),) * len(cells) if isinstance(length, int | float) else tuple(length)


def check_box(points: tuple[int, ...], lengths: tuple[float, ...]) -> None:
    """Raise :class:`InputError` for a box that finite volumes cannot use."""
    if not 1 <= len(points) <= 2 or len(points) != len(lengths):
        raise InputError(f"a box has one or two axes and a length for each, found {points} and {lengths}")
    if any(n < 2 * WIDTH for n in points):
        raise InputError(
            f"finite volumes take at least {2 * WIDTH} cells per axis, found {points}; use more points"
        )
    if any(not (length > 0 and math.isfinite(length)) for length in lengths):
        raise InputError(f"lengths must be positive and finite, found {lengths}")


def pull(values: Tensor, mean: Tensor, fraction: Tensor) -> Tensor:
    """Return ``mean + fraction (values - mean)``."""
    return mean + fraction * (values - mean)


def shrink(lowest: Tensor, mean: Tensor, kept: float = 1e-6) -> Tensor:
    r"""Return the largest factor in [0, 1] by which deviations may stay so that ``kept * mean`` is not undercut.

    For a concave quantity q this keeps :math:`q(\bar U + \theta (U - \bar U)) \ge \epsilon \bar q`.

    References
    ----------
    Zhang and Shu, J. Comput. Phys. 229 (2010), 8918, section 2.2; the relative floor makes it free of units.

    Examples
    --------
    >>> shrink(torch.tensor([-1.0, 0.5]), torch.tensor(1.0), kept=0.0)
    tensor([0.5000, 1.0000])
    """
    floor = kept * mean
    bad = lowest < floor
    gap = torch.where(bad, mean - lowest, torch.ones_like(mean))
    return torch.where(bad, (mean - floor) / gap, torch.ones_like(mean)).clamp(0.0, 1.0)

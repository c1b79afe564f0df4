r"""Smoothness as a law with slack: derivatives of a field are small, in the mean square or all but at fronts."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.constraints.linear import LinearConstraint
from sciode.core.errors import InputError

_LARGEST = 4096


def smooth(
    axes: Sequence[Float[Tensor, " n"]],
    scale: float,
    order: int = 2,
    *,
    around: Float[Tensor, "*n"] | None = None,
) -> LinearConstraint:
    r"""Return the law that derivatives of a field are zero but for a standard deviation ``scale``.

    Its ``condition`` is the update with precision :math:`D^T D / s^2`, D the derivative along every axis, in the
    unit of the field over that of the axis, so that the prior is the same on another grid: each row is weighted by
    the square root of the cell it stands for. Apply it before the law that must hold exactly.

    Parameters
    ----------
    axes : sequence of Tensor
        Coordinates along every axis, rising, equal steps; in all at most 4096 points.
    scale : float
        Standard deviation of the derivative, averaged over one unit of length (area).
    order : int
        Of the derivative, 1 or 2.
    around : Tensor, optional
        A field ``"*n"``: the law of total variation, linearised there. The scale of a row grows as the square root
        of its own derivative, so fronts of that field are let be (lagged diffusivity; repeat from the new mean).

    Raises
    ------
    InputError
        For a scale not positive, another order, steps that are not equal, or more points than rows can be
        held for.

    References
    ----------
    Hansen et al. (arXiv:2302.11002), section 3.3 and appendix: diffusion as a second constraint. Vogel and Oman,
    *Iterative methods for total variation denoising*, SIAM J. Sci. Comput. 17 (1996), 227: the linearised law.

    Examples
    --------
    >>> x = torch.linspace(0, 1, 5)
    >>> mean, _ = smooth([x], 0.1).condition(torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0]), torch.ones(5))
    >>> bool((mean - 0.4).abs().max() < 0.12)
    True
    """
    if not scale > 0:
        raise InputError(f"the scale of a derivative is above zero, found {scale!r}")
    if order not in (1, 2):
        raise InputError(f"smoothness is of order 1 or 2, found {order!r}")
    shape = [len(axis) for axis in axes]
    count = int(torch.tensor(shape).prod())
    if count > _LARGEST:
        raise InputError(
            f"smoothness holds a row for every point, at most {_LARGEST}, found {count}: take a coarser grid, "
            f"or a "
            "covariance that is smooth itself (sciode.constraints.Product)"
        )
    steps = [_step(axis) for axis in axes]
    cell = float(torch.tensor(steps, dtype=torch.float64).prod())
    eye = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
    rows = torch.cat([eye.diff(n=order, dim=i + 1).flatten(1).mT / step**order for i, step in enumerate(steps)])
    slack = torch.full((len(rows),), scale / cell**0.5, dtype=torch.float64)
    if around is not None:
        if list(around.shape) != shape:
            raise InputError(f"a field on this grid is {shape}, found {list(around.shape)}")
        slope = (rows @ around.detach().double().flatten()).abs()
        slack = slack * ((slope + scale) / scale).sqrt()
    return LinearConstraint(rows, rows.new_zeros(len(rows)), slack)


def _step(axis: Tensor) -> float:
    steps = axis.detach().double().diff()
    if len(axis) < 3 or bool((steps <= 0).any()) or float((steps - steps[0]).abs().max()) > 1e-6 * float(steps[0]):
        raise InputError("smoothness takes axes of three points or more, in equal rising steps")
    return float(steps.mean())

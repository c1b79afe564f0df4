"""Errors of fields, one number per trajectory, step and channel, averaged over whichever axes the caller drops.

Every function takes ``keep``: names out of ``"trajectory"``, ``"time"``, ``"channel"`` that stay in the result,
always in that order. So ``keep="time"`` is the error curve of a rollout ``[t]``, and ``keep=()`` one number. A
field without one cell inside ``mask`` does not count.

Symbols: ``P`` prediction, ``Y`` target, ``<.>`` mean over space.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics.layout import Pair, average, axis_names, check_pair, root

Names = str | Iterable[str]


def field_rmse(pair: Pair) -> Float[Tensor, "b t c"]:
    """sqrt<(P - Y)²> of each field."""
    return root(pair.mean((pair.pred - pair.target) ** 2)).flatten(2)


def field_nrmse(pair: Pair, epsilon: float = 0.0) -> Float[Tensor, "b t c"]:
    """sqrt<(P - Y)²> / (sqrt<Y²> + epsilon) of each field."""
    return pair.ratio(field_rmse(pair), root(pair.mean(pair.target**2)).flatten(2) + epsilon)


def field_vrmse(pair: Pair, epsilon: float = 1e-7) -> Float[Tensor, "b t c"]:
    """sqrt(<(P - Y)²> / (var Y + epsilon)) of each field, with the unbiased variance."""
    centred = (pair.target - pair.mean(pair.target)) ** 2
    if pair.mask is None:
        cells = pair.target[0, 0, 0].numel()
        unbias = cells / max(cells - 1, 1)
        variance = pair.mean(centred) * unbias
    else:
        count = pair.mask.sum(dim=pair.space, keepdim=True)
        variance = pair.mean(centred) * count / (count - 1).clamp(min=1)
    return root(pair.mean((pair.pred - pair.target) ** 2) / (variance + epsilon)).flatten(2)


def rmse(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    keep: Names = (),
) -> Tensor:
    r"""Root mean square error: :math:`\sqrt{\langle (P-Y)^2\rangle}` per field, then averaged.

    The root is taken before the average over trajectories, steps and channels, as PDEBench does.

    Parameters
    ----------
    pred, target
        Trajectories "b t c \*n" in the same physical unit, 1 to 3 space axes.
    mask
        True where cells count; broadcasts to "b t c \*n" (a mask of the space shape alone is enough).
    keep
        Axes that stay: any of "trajectory", "time", "channel".

    Returns
    -------
    Scalar tensor, or the kept axes; in the unit of u. Differentiable, with gradient 0 where the error is 0.

    Raises
    ------
    InputError
        Shapes differ, wrong rank, NaN in the target, or an unknown axis name.

    References
    ----------
    Takamoto et al., PDEBench, arXiv:2210.07182, appendix B.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(2, 3, 1, 16)
    >>> round(float(rmse(target + 0.1, target)), 6)
    0.1
    >>> rmse(target + 0.1, target, keep="time").shape
    torch.Size([3])
    """
    pair = check_pair(pred, target, mask)
    return average(field_rmse(pair), pair.valid, keep)


def nrmse(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    keep: Names = (),
    epsilon: float = 0.0,
) -> Tensor:
    r"""nRMSE of PDEBench: :math:`\sqrt{\langle (P-Y)^2\rangle / \langle Y^2\rangle}` per field, averaged.

    Parameters are those of :func:`rmse`; ``epsilon`` (unit of u) is added to the denominator. With the default
    0, a target field that is zero everywhere gives infinity (NaN if the prediction is zero too). Returns a pure
    number.

    References
    ----------
    Takamoto et al., PDEBench, arXiv:2210.07182, appendix B.

    Examples
    --------
    >>> import torch
    >>> target = torch.ones(2, 3, 1, 16)
    >>> round(float(nrmse(1.5 * target, target)), 6)
    0.5
    """
    pair = check_pair(pred, target, mask)
    return average(field_nrmse(pair, epsilon), pair.valid, keep)


def vrmse(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    keep: Names = (),
    epsilon: float = 1e-7,
) -> Tensor:
    r"""VRMSE of The Well: :math:`\sqrt{\langle (P-Y)^2\rangle / (\mathrm{var}\,Y + \epsilon)}`, averaged.

    The variance over space is the unbiased one. Predicting the mean of each field scores about 1, whatever the
    offset of the variable; so it does not flatter fields such as density, as :func:`nrmse` does. Parameters as
    in :func:`rmse`; ``epsilon`` has the unit of u². Returns a pure number.

    References
    ----------
    Ohana et al., The Well, arXiv:2412.00568.

    Examples
    --------
    >>> import torch
    >>> target = torch.linspace(0, 1, 101).expand(1, 1, 1, 101)
    >>> round(float(vrmse(target.mean().expand_as(target), target)), 2)
    1.0
    """
    pair = check_pair(pred, target, mask)
    return average(field_vrmse(pair, epsilon), pair.valid, keep)


def relative_l1(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    keep: Names = (),
    joint: Names = (),
) -> Tensor:
    r"""Relative L1 error: :math:`\sum |P-Y| / \sum |Y|`, sums over space and the ``joint`` axes, then averaged.

    Parameters are those of :func:`rmse`, and ``joint``: axes that enter the norms together with space, so
    ``joint="channel"`` weighs channels by their size. An axis cannot be in ``keep`` and in ``joint``.

    References
    ----------
    Herde et al., Poseidon, arXiv:2405.19101, section 4 (which takes the median over trajectories:
    ``keep="trajectory"``).

    Examples
    --------
    >>> import torch
    >>> target = torch.ones(2, 3, 2, 16)
    >>> round(float(relative_l1(0.75 * target, target, joint="channel")), 6)
    0.25
    """
    pair = check_pair(pred, target, mask)
    return _relative(pair, lambda p, x, axes: p.mean(x.abs(), axes), keep, joint)


def relative_l2(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    keep: Names = (),
    joint: Names = (),
) -> Tensor:
    r"""Relative L2 error: :math:`\|P-Y\|_2 / \|Y\|_2`, norms over space and the ``joint`` axes, then averaged.

    Without ``joint`` it is :func:`nrmse`; with ``joint=("time", "channel")`` it is the loss of the Fourier neural
    operator. Parameters as in :func:`relative_l1`.

    References
    ----------
    Li et al., Fourier neural operator, arXiv:2010.08895, section 5.

    Examples
    --------
    >>> import torch
    >>> target = torch.ones(2, 3, 2, 16)
    >>> round(float(relative_l2(1.25 * target, target, joint=("time", "channel"))), 6)
    0.25
    """
    pair = check_pair(pred, target, mask)
    return _relative(pair, lambda p, x, axes: root(p.mean(x**2, axes)), keep, joint)


def _relative(
    pair: Pair, norm: Callable[[Pair, Tensor, tuple[int, ...]], Tensor], keep: Names, joint: Names
) -> Tensor:
    kept, together = axis_names(keep, "axis in keep"), axis_names(joint, "axis in joint")
    if set(kept) & set(together):
        raise InputError(f"an axis cannot be both kept and joint, found keep={keep!r}, joint={joint!r}")
    axes = together + pair.space
    valid = pair.valid
    for axis in together:
        valid = valid.any(dim=axis, keepdim=True)
    top, bottom = (norm(pair, x, axes).reshape(valid.shape) for x in (pair.pred - pair.target, pair.target))
    return average(top / torch.where(valid, bottom, 1), valid, keep)

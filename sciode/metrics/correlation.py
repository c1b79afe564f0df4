"""How long a rollout follows the truth: the correlation at each step, and the time until it is lost."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics.layout import Pair, check_pair


def correlation(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "b t"]:
    r"""Pearson correlation over space and channels together, at each step of each trajectory.

    :math:`r = \overline{P'Y'} / \sqrt{\overline{P'^2}\,\overline{Y'^2}}`, primes being deviations from the mean
    over space and channels. Computed in float64, returned in the dtype of the target.

    Where r is not defined, this holds: a field that is constant (all cells equal) has r = 1 with a field equal
    to it in every cell and r = 0 with any other; a prediction that is not finite has r = 0. So r is never NaN,
    except at a step without one cell inside the mask.

    Parameters
    ----------
    pred, target
        Trajectories "b t c \*n", any units.
    mask
        True where cells count; broadcasts to "b t c \*n".

    Returns
    -------
    Correlations "b t" within [-1, 1].

    Examples
    --------
    >>> target = torch.arange(8.0).reshape(1, 1, 1, 8)
    >>> correlation(-2 * target, target).tolist()
    [[-1.0]]
    """
    pair = check_pair(pred, target, mask).wide()
    axes = (2, *pair.space)
    a = pair.pred - pair.mean(pair.pred, axes)
    b = pair.target - pair.mean(pair.target, axes)
    spread = pair.mean(a**2, axes).sqrt() * pair.mean(b**2, axes).sqrt()
    r = (pair.mean(a * b, axes) / torch.where(spread == 0, 1, spread)).flatten(1)
    flat = _constant(pair, pair.pred, axes) | _constant(pair, pair.target, axes)
    equal = (pair.pred == pair.target).flatten(2).all(dim=2)
    r = torch.where(flat, equal.to(r.dtype), r).clamp(-1, 1)
    r = torch.where(torch.isfinite(pair.pred).flatten(2).all(dim=2), r, 0)
    seen = pair.valid.any(dim=2)
    return torch.where(seen, r, math.nan).to(device=target.device, dtype=target.dtype)


def _constant(pair: Pair, values: Tensor, axes: tuple[int, ...]) -> Bool[Tensor, "b t"]:
    # By extremes, not by variance: the variance of a constant is round-off, and its correlation would be noise.
    high, low = values, values
    if pair.mask is not None:
        high, low = (torch.where(pair.mask, values, fill) for fill in (-math.inf, math.inf))
    return high.amax(dim=axes) == low.amin(dim=axes)


def crossing_time(
    curve: Float[Tensor, "*lead t"], threshold: float = 0.8, dt: float = 1.0
) -> Float[Tensor, "*lead"]:
    """Return the last time before ``curve`` first falls below ``threshold``.

    Value i of the curve (from 0) stands at time (i + 1) dt, as in a rollout that leaves out its initial state.
    If value i is the first below the threshold (or NaN), the result is i dt: 0 when the first step is bad
    already, and the full horizon t dt when the curve never falls below. Unit of ``dt``.

    >>> crossing_time(torch.tensor([0.99, 0.9, 0.7, 0.9]), 0.8, dt=0.5).item()
    1.0
    """
    if not math.isfinite(threshold):
        raise InputError(f"threshold: expected a number such as 0.8, found {threshold}")
    if not (dt > 0 and math.isfinite(dt)):
        raise InputError(f"dt: expected a positive time step, found {dt}")
    if curve.ndim == 0 or curve.shape[-1] == 0:
        raise InputError(f"curve: expected values along a last, time axis, found shape {tuple(curve.shape)}")
    good = (curve >= threshold).to(curve.dtype)
    return good.cumprod(dim=-1).sum(dim=-1) * dt


def correlation_time(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    threshold: float = 0.8,
    dt: float = 1.0,
    *,
    mask: Bool[Tensor, "..."] | None = None,
    of_mean: bool = False,
) -> Tensor:
    """Return the time until the correlation first falls below ``threshold``.

    Two definitions are in use, and they differ: the time of each trajectory (``of_mean=False``; average it for
    a score), and the time at which the correlation averaged over trajectories falls (``of_mean=True``). See
    :func:`correlation` for constants and diverged predictions, :func:`crossing_time` for what counts as the
    time.

    Parameters
    ----------
    pred, target
        Trajectories "b t c \\*n" without the initial state: step i stands at (i + 1) dt.
    threshold
        Correlation below which the truth is lost.
    dt
        Time between steps.
    mask
        True where cells count.
    of_mean
        Average over trajectories before looking for the crossing.

    Returns
    -------
    Times "b", or a scalar with ``of_mean``, unit of ``dt``. Never lost: the full horizon t dt.

    References
    ----------
    Kochkov et al., PNAS 118 (2021), doi:10.1073/pnas.2101784118; Lippe et al., PDE-Refiner, arXiv:2308.05732.

    Examples
    --------
    >>> target = torch.sin(torch.arange(16.0)).expand(1, 4, 1, 16)
    >>> pred = target * torch.tensor([1.0, 1.0, -1.0, 1.0]).reshape(1, 4, 1, 1)
    >>> correlation_time(pred, target, dt=0.5).tolist()
    [1.0]
    """
    curve = correlation(pred, target, mask=mask)
    return crossing_time(curve.mean(dim=0) if of_mean else curve, threshold, dt)

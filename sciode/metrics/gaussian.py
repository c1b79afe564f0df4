"""What a Gaussian prediction is worth at every point: likelihood, CRPS, coverage; and where a front stands.

Predictions are mean and variance of one point each, ``"... n"``; joint likelihoods of conditioned predictions
do not exist, whose covariance is singular.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError


def gaussian_log_likelihood(
    mean: Float[Tensor, "... n"], variance: Float[Tensor, "... n"], target: Float[Tensor, "... n"]
) -> Float[Tensor, "..."]:
    """Return the log-density of each point under its own Gaussian, mean over points; larger is better.

    >>> round(gaussian_log_likelihood(torch.zeros(1), torch.ones(1), torch.zeros(1)).item(), 4)
    -0.9189
    """
    _check(mean, variance, target)
    return -0.5 * (torch.log(2 * math.pi * variance) + (target - mean).square() / variance).mean(-1)


def gaussian_crps(
    mean: Float[Tensor, "... n"], variance: Float[Tensor, "... n"], target: Float[Tensor, "... n"]
) -> Float[Tensor, "..."]:
    r"""Return the continuous ranked probability score of Gaussians, mean over points; unit of the field.

    References
    ----------
    Gneiting et al., *Calibrated probabilistic forecasting using ensemble model output statistics and minimum CRPS
    estimation*, Mon. Weather Rev. 133 (2005), 1098, equation (5).

    Examples
    --------
    >>> round(gaussian_crps(torch.zeros(1), torch.ones(1), torch.zeros(1)).item(), 4)
    0.2337
    """
    _check(mean, variance, target)
    size = variance.sqrt()
    z = (target - mean) / size
    below = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return (size * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))).mean(-1)


def coverage(
    mean: Float[Tensor, "... n"],
    variance: Float[Tensor, "... n"],
    target: Float[Tensor, "... n"],
    level: float = 0.9,
) -> Float[Tensor, "..."]:
    """Return the part of the points within the central interval of probability ``level``; calibrated if equal
    to it.

    >>> coverage(torch.zeros(2), torch.ones(2), torch.tensor([1.0, 2.0])).item()
    0.5
    """
    _check(mean, variance, target)
    if not 0 < level < 1:
        raise InputError(f"the level of an interval lies between 0 and 1, found {level!r}")
    reach = math.sqrt(2) * torch.erfinv(torch.tensor(level, dtype=torch.float64)).item()
    return ((target - mean).abs() <= reach * variance.sqrt()).double().mean(-1)


def front_position(
    u: Float[Tensor, "... n"], x: Float[Tensor, " n"], level: float | Tensor
) -> Float[Tensor, "..."]:
    """Return where ``u`` last falls through ``level`` along x, between nodes by the straight line; NaN where
    never.

    >>> front_position(torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.arange(4.0), 0.5).item()
    1.5
    """
    if x.dim() != 1 or u.shape[-1] != len(x):
        raise InputError(f"a front is looked for along {u.shape[-1]} nodes, x has shape {list(x.shape)}")
    height = torch.as_tensor(level, dtype=u.dtype, device=u.device)
    height = height[..., None] if height.dim() else height
    before, after = u[..., :-1], u[..., 1:]
    falls = (before >= height) & (after < height)
    numbers = torch.arange(1, len(x), device=u.device)
    last = (falls * numbers).amax(-1) - 1
    at = last.clamp_min(0)[..., None]
    high, low = before.gather(-1, at)[..., 0], after.gather(-1, at)[..., 0]
    nodes = x.to(u)
    part = (high - height.expand(*u.shape[:-1], 1)[..., 0]) / (high - low)
    where = nodes[at[..., 0]] + part * (nodes[at[..., 0] + 1] - nodes[at[..., 0]])
    return torch.where(last >= 0, where, torch.nan)


def _check(mean: Tensor, variance: Tensor, target: Tensor) -> None:
    if mean.shape[-1:] != target.shape[-1:] or mean.shape[-1:] != variance.shape[-1:]:
        raise InputError(
            f"mean, variance and truth are '... n', found {list(mean.shape)}, {list(variance.shape)} and "
            f"{list(target.shape)}"
        )
    if not bool((variance > 0).all()):
        raise InputError(f"variances are above zero, found {variance.min().item():g}")

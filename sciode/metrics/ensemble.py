"""What an ensemble of forecasts is worth: its error, its spread, whether the two agree, and when it warns.

Ensembles are ``"m b t c *n"``, m members of the same trajectories; truths ``"b t c *n"``.
"""

import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics.correlation import correlation, crossing_time


def ensemble_spread(ensemble: Float[Tensor, "m b t c *n"]) -> Float[Tensor, "b t"]:
    """Return the root mean square, over space and channels, of the members' standard deviation (of a sample).

    >>> members = torch.stack([torch.zeros(1, 1, 1, 4), 2 * torch.ones(1, 1, 1, 4)])
    >>> round(ensemble_spread(members).item(), 4)
    1.4142
    """
    _check(ensemble, None)
    return ensemble.var(dim=0).flatten(2).mean(2).sqrt()


def ensemble_error(
    ensemble: Float[Tensor, "m b t c *n"], target: Float[Tensor, "b t c *n"]
) -> Float[Tensor, "b t"]:
    """Return the root mean square error of the ensemble's mean, over space and channels.

    >>> members = torch.stack([torch.zeros(1, 1, 1, 4), 2 * torch.ones(1, 1, 1, 4)])
    >>> ensemble_error(members, torch.ones(1, 1, 1, 4)).item()
    0.0
    """
    _check(ensemble, target)
    return (ensemble.mean(dim=0) - target).square().flatten(2).mean(2).sqrt()


def spread_skill(ensemble: Float[Tensor, "m b t c *n"], target: Float[Tensor, "b t c *n"]) -> Float[Tensor, " t"]:
    r"""Return spread over error at each time, 1 for an ensemble that the truth could be a member of.

    :math:`\sqrt{(m + 1)/m}\ \sqrt{\overline{s^2}} / \sqrt{\overline{e^2}}`, s the spread, e the error of the mean,
    averages over trajectories. Below 1 the ensemble is too sure of itself.

    References
    ----------
    Fortin et al., *Why should ensemble spread match the RMSE of the ensemble mean?*, J. Hydrometeorol. 15
    (2014), 1708, equation (15).

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> every = torch.randn(9, 500, 1, 1, 32, generator=draw)
    >>> round(spread_skill(every[1:], every[0]).item(), 1)
    1.0
    """
    m = len(ensemble)
    spread = ensemble_spread(ensemble).square().mean(0)
    error = ensemble_error(ensemble, target).square().mean(0)
    return ((m + 1) / m * spread / error).sqrt()


def crps(ensemble: Float[Tensor, "m b t c *n"], target: Float[Tensor, "b t c *n"]) -> Float[Tensor, "b t"]:
    r"""Return the continuous ranked probability score, fair to finite ensembles, mean over space and channels.

    :math:`\overline{|x_i - y|} - \tfrac{1}{2 m (m-1)} \sum_{ij} |x_i - x_j|`;
    unit of the state, smaller is better.

    References
    ----------
    Ferro, *Fair scores for ensemble forecasts*, Q. J. R. Meteorol. Soc. 140 (2014), 1917.

    Examples
    --------
    >>> members = torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1, 1)
    >>> crps(members, torch.ones(1, 1, 1, 1)).item()
    0.0
    """
    _check(ensemble, target)
    m = len(ensemble)
    order = ensemble.sort(dim=0).values
    # Sorted, the sum over pairs is one weighted sum: member i lies above i others.
    weight = (2 * torch.arange(m, dtype=order.dtype, device=order.device) - (m - 1)).view(m, *(1,) * target.ndim)
    pairs = (weight * order).sum(0) / (m * (m - 1))
    return ((ensemble - target).abs().mean(0) - pairs).flatten(2).mean(2)


def rank_histogram(ensemble: Float[Tensor, "m b t c *n"], target: Float[Tensor, "b t c *n"]) -> Int[Tensor, "t r"]:
    """Return how often the truth has rank 0 .. m among the members, at each time, over all else; flat if reliable.

    >>> members = torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1, 1)
    >>> rank_histogram(members, torch.ones(1, 1, 1, 1)).tolist()
    [[0, 1, 0]]
    """
    _check(ensemble, target)
    ranks = (ensemble < target).sum(0).transpose(0, 1).flatten(1)
    bins = torch.arange(len(ensemble) + 1, device=ranks.device)
    return (ranks[..., None] == bins).sum(1)


def warning_time(
    ensemble: Float[Tensor, "m b t c *n"], threshold: float = 0.8, dt: float = 1.0
) -> Float[Tensor, " b"]:
    """Return the time until members agree less than ``threshold``: how long the forecast itself says it is right.

    The mean over pairs of members of their correlation, followed as :func:`sciode.metrics.crossing_time` does.

    References
    ----------
    Lippe et al., *PDE-Refiner* (arXiv:2308.05732), section 4.1.

    Examples
    --------
    >>> one = torch.sin(torch.arange(16.0)).expand(2, 1, 5, 1, 16)
    >>> warning_time(one, dt=0.5).tolist()
    [2.5]
    """
    _check(ensemble, None)
    pairs = list(itertools.combinations(range(len(ensemble)), 2))
    agreement = torch.stack([correlation(ensemble[i], ensemble[j]) for i, j in pairs]).mean(0)
    return crossing_time(agreement, threshold, dt)


def _check(ensemble: Tensor, target: Tensor | None) -> None:
    if ensemble.ndim < 5 or len(ensemble) < 2:
        raise InputError(f"an ensemble is 'm b t c *n' with two members or more, found {list(ensemble.shape)}")
    if target is not None and target.shape != ensemble.shape[1:]:
        raise InputError(
            f"the truth of an ensemble {list(ensemble.shape)} has shape {list(ensemble.shape[1:])}, found "
            f"{list(target.shape)}"
        )
    if math.prod(ensemble.shape) == 0:
        raise InputError(f"the ensemble is empty: {list(ensemble.shape)}")

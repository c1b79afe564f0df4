"""Whether a probabilistic forecast is as sure as it should be: likelihoods, scores, calibration, recalibration.

Forecasts are draws ``"s ..."``, or components of Gaussian mixtures ``"m ..."`` in equal parts; truths ``"..."``.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError


def mixture_nll(
    mean: Float[Tensor, "m ..."], variance: Float[Tensor, "m ..."], target: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    r"""Return minus the log-density of a mixture of Gaussians in equal parts: :math:`-\log \tfrac1m \sum_j
    N_j(y)`.

    >>> one = torch.zeros(1, 1)
    >>> round(mixture_nll(one, one + 1, torch.zeros(1)).item(), 4)
    0.9189
    """
    _check_mixture(mean, variance, target)
    each = -0.5 * (torch.log(2 * math.pi * variance) + (target - mean).square() / variance)
    return math.log(len(mean)) - torch.logsumexp(each, dim=0)


def gaussian_nll(
    mean: Float[Tensor, "m ..."], variance: Float[Tensor, "m ..."], target: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Return minus the log-density of the Gaussian that has the mixture's mean and variance.

    It is not the mixture's own: where components disagree it is wider than any of them.

    >>> two = torch.tensor([[-3.0], [3.0]])
    >>> tight = torch.full((2, 1), 0.01)
    >>> bool(mixture_nll(two, tight, torch.tensor([3.0])) < gaussian_nll(two, tight, torch.tensor([3.0])))
    True
    """
    _check_mixture(mean, variance, target)
    centre, spread = mean.mean(0), variance.mean(0) + mean.var(0, correction=0)
    return 0.5 * (torch.log(2 * math.pi * spread) + (target - centre).square() / spread)


def energy_score(draws: Float[Tensor, "s ... n"], target: Float[Tensor, "... n"]) -> Float[Tensor, "..."]:
    r"""Return :math:`\overline{\|x_i - y\|} - \tfrac{1}{2 s (s-1)} \sum_{ij} \|x_i - x_j\|`, vectors on the
    last axis.

    Fair to finite samples; smaller is better; the CRPS for vectors of one number.

    References
    ----------
    Gneiting and Raftery, *Strictly proper scoring rules, prediction, and estimation*, JASA 102 (2007),
    equation (22).

    Examples
    --------
    >>> energy_score(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0])).item()
    0.0
    """
    count = _check_draws(draws, target, 2)
    flat = draws.movedim(0, -2)
    pairs = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").sum((-2, -1))
    return (draws - target).norm(dim=-1).mean(0) - pairs / (2 * count * (count - 1))


def interval_score(
    low: Float[Tensor, "..."], high: Float[Tensor, "..."], target: Float[Tensor, "..."], level: float = 0.9
) -> Float[Tensor, "..."]:
    r"""Return the width of a central interval of probability ``level``, and 2/(1 - level) for each unit it
    misses by.

    References
    ----------
    Gneiting and Raftery (2007), equation (43).

    Examples
    --------
    >>> score = interval_score(torch.zeros(2), torch.ones(2), torch.tensor([0.5, 1.5]), 0.9)
    >>> [round(x, 4) for x in score.tolist()]
    [1.0, 11.0]
    """
    _check_level(level)
    if bool((high < low).any()):
        raise InputError("an interval's lower end is not above its upper end")
    missed = (low - target).clamp_min(0.0) + (target - high).clamp_min(0.0)
    return high - low + 2.0 / (1.0 - level) * missed


def pit(
    draws: Float[Tensor, "s ..."], target: Float[Tensor, "..."], generator: torch.Generator | None = None
) -> Float[Tensor, "..."]:
    """Return the truth's rank among the draws, in (0, 1), ties and the gap it falls in at random: uniform if
    calibrated.

    References
    ----------
    Czado, Gneiting and Held, *Predictive model assessment for count data*, Biometrics 65 (2009), 1254:
    randomised PIT.

    Examples
    --------
    >>> bool(0.5 < pit(torch.tensor([0.0, 1.0, 2.0]), torch.tensor(1.5)) < 0.75)
    True
    """
    count = _check_draws(draws, target, 1)
    below, equal = (draws < target).sum(0), (draws == target).sum(0)
    where = torch.rand(target.shape, generator=generator, dtype=torch.float64).to(target.device)
    return (below + where * (equal + 1)) / (count + 1)


def reliability(
    draws: Float[Tensor, "s ..."], target: Float[Tensor, "..."], levels: Float[Tensor, " k"]
) -> Float[Tensor, " k"]:
    """Return how often the truth lies in the central interval of each level: on the diagonal if calibrated.

    >>> draw = torch.Generator().manual_seed(0)
    >>> every = torch.randn(101, 4000, generator=draw)
    >>> [round(x, 1) for x in reliability(every[1:], every[0], torch.tensor([0.5, 0.9])).tolist()]
    [0.5, 0.9]
    """
    _check_draws(draws, target, 2)
    found = []
    for level in levels.tolist():
        low, high = central(draws, level)
        found.append(((target >= low) & (target <= high)).double().mean())
    return torch.stack(found)


def central(draws: Float[Tensor, "s ..."], level: float) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return the ends of the central interval of probability ``level``; a new draw lies in it with that
    probability.

    The i-th of s sorted draws is taken as the quantile i / (s + 1), which is unbiased for any distribution;
    levels that so few draws cannot tell are refused.

    >>> [x.item() for x in central(torch.arange(1.0, 20.0), 0.9)]
    [1.0, 19.0]
    """
    _check_level(level)
    count, tail = len(draws), (1.0 - level) / 2.0
    position = tail * (count + 1) - 1.0
    if position < -1e-9:
        raise InputError(
            f"{count} draws do not reach a level of {level:g}: take {math.ceil(2 / (1 - level) - 1e-9) - 1} or "
            f"more"
        )
    order = draws.sort(dim=0).values
    at = max(math.floor(position + 1e-9), 0)
    part = min(max(position - at, 0.0), 1.0)
    above = min(at + 1, count - 1)
    low = torch.lerp(order[at], order[above], part)
    high = torch.lerp(order[count - 1 - at], order[count - 1 - above], part)
    return low, high


def bootstrap(
    values: Float[Tensor, " g"], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return an interval for the mean of independent values, such as the coverage of each run, by resampling them.

    Resample runs and not windows: windows of one run are not independent.

    >>> low, high = bootstrap(torch.tensor([0.8, 0.9, 1.0, 0.9]))
    >>> 0.8 <= low < 0.9 < high <= 1.0
    True
    """
    _check_level(level)
    if values.dim() != 1 or len(values) < 2:
        raise InputError(f"a bootstrap takes two values or more, 'g', found {list(values.shape)}")
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(values), (resamples, len(values)), generator=draw)
    means = values.detach().cpu().double()[chosen].mean(1)
    low, high = torch.quantile(
        means, torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ).tolist()
    return low, high


def conformal_factor(
    mean: Float[Tensor, " k"], deviation: Float[Tensor, " k"], target: Float[Tensor, " k"], level: float = 0.9
) -> float:
    r"""Return how many deviations an interval needs on held-out cases so that it covers ``level`` of new ones.

    Split conformal prediction: the :math:`\lceil (k+1) \cdot level \rceil`-th smallest of |y - mean| /
    deviation. With exchangeable cases the coverage of new ones is at least ``level``, whatever the distribution.

    References
    ----------
    Lei et al., *Distribution-free predictive inference for regression*, JASA 113 (2018), 1094, theorem 2.

    Raises
    ------
    InputError
        For too few cases for the level.

    Examples
    --------
    >>> conformal_factor(torch.zeros(9), torch.ones(9), torch.arange(1.0, 10.0), 0.9)
    9.0
    """
    _check_level(level)
    if not mean.shape == deviation.shape == target.shape or mean.dim() != 1:
        raise InputError(f"cases are 'k' each: {list(mean.shape)}, {list(deviation.shape)}, {list(target.shape)}")
    if bool((deviation <= 0).any()):
        raise InputError("deviations are above zero")
    rank = math.ceil((len(mean) + 1) * level - 1e-9)
    if rank > len(mean):
        raise InputError(
            f"{len(mean)} cases cannot vouch for a level of {level:g}: hold out "
            f"{math.ceil(level / (1 - level) - 1e-9)} or more"
        )
    return float(((target - mean).abs() / deviation).sort().values[rank - 1])


def _check_mixture(mean: Tensor, variance: Tensor, target: Tensor) -> None:
    if mean.shape != variance.shape or mean.shape[1:] != target.shape or len(mean) < 1:
        raise InputError(
            f"components are 'm ...' of truths '...', found {list(mean.shape)}, {list(variance.shape)} and "
            f"{list(target.shape)}"
        )
    if not bool((variance > 0).all()):
        raise InputError(f"variances are above zero, found {variance.min().item():g}")


def _check_draws(draws: Tensor, target: Tensor, least: int) -> int:
    if draws.shape[1:] != target.shape or len(draws) < least:
        raise InputError(
            f"draws are 's ...' of truths '...', {least} or more, found {list(draws.shape)} and "
            f"{list(target.shape)}"
        )
    return len(draws)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"a level lies between 0 and 1, found {level!r}")

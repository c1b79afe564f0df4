"""PDEBench's metrics under three rules: corrected, as published with its faults, and over the whole data set."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.metrics.accumulator import PDEBenchMetrics, named
from sciode.metrics.layout import Pair, check_initial_step, check_lengths, check_pair
from sciode.metrics.published import CORRECTED, PUBLISHED, Rules, batch_metrics, to_published

Result = dict[str, float | tuple[float, ...]]
Batches = Iterator[dict[str, Tensor]]


@torch.no_grad()
def pdebench_metrics(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    mode: str = "pdebench",
    lengths: Sequence[float] | None = None,
    initial_step: int = 0,
    batch: int | None = None,
    *,
    mask: Bool[Tensor, "..."] | None = None,
    epsilon: float = 0.0,
) -> Result:
    r"""The metrics of PDEBench: RMSE, nRMSE, cRMSE, Max, bRMSE and fRMSE in three bands.

    Per batch, with e = P - Y: RMSE = mean over b, c, t of sqrt<e²>; nRMSE the same over sqrt<Y²>; cRMSE = mean
    over c, t of sqrt(mean_b (sum e)²)/N; Max = mean over c, t of the largest abs(e); bRMSE = RMSE over the
    boundary cells; fRMSE = mean over the shells of a band (k < 4, 4 <= k < 12, k >= 12) of sqrt(mean_b of the
    shell's squared error)/N times the lengths.

    ``mode`` says how batches become one number, and which faults stay:

    - ``"pdebench"``: those formulae, and the mean of the batches' values weighted by batch size (sum of size
      times value, over the number of trajectories). cRMSE, Max and fRMSE still depend on ``batch``. In 3D,
      bRMSE is taken per channel.
    - ``"pdebench-legacy"``: to the last bit what the published code returns. Values are summed over batches and
      divided by the index of the last one, so one batch gives infinity (0/0: NaN), two batches double; a short
      last batch weighs as much as a full one; 3D bRMSE is too large by the root of the number of channels;
      spectra are gathered in float32.
    - ``"sciode"``: the whole data set at once whatever ``batch`` (which then only bounds memory), float64 sums,
      masks, shells over all orthants, and "vrmse" in addition. See :class:`~sciode.metrics.PDEBenchMetrics`.

    Parameters
    ----------
    pred, target
        Trajectories "b t c \*n", same physical unit, 1 to 3 space axes.
    mode
        One of the above.
    lengths
        Domain length per space axis (Lx, Ly, Lz), default 1 each. In the first two modes a factor of fRMSE only.
    initial_step
        Number of steps dropped from the start of both (those the model was given).
    batch
        Trajectories per batch; default: all in one.
    mask
        True where cells count; broadcasts to "b t c \*n" (mode "sciode" only).
    epsilon
        Added to the denominator of nRMSE, unit of u. With 0, a target field of zeros gives infinity.

    Returns
    -------
    Python floats under "rmse", "nrmse", "crmse", "max", "brmse", "frmse_low", "frmse_mid", "frmse_high", and
    their triple "frmse". A band without shells is NaN: in the first two
    modes "high" takes 24 cells in 1D, and 26 along the shortest axis in 2D and 3D.

    Raises
    ------
    InputError
        Shapes differ, wrong rank, NaN in the target, unknown mode, lengths of wrong count, ``initial_step``
        beyond the last step, ``batch`` below 1, or a mask in a mode that has none.

    References
    ----------
    Takamoto et al., PDEBench, arXiv:2210.07182, appendix B; the code differs from it in detail, and is what is
    followed.

    Examples
    --------
    >>> target = torch.ones(4, 5, 1, 32)
    >>> scores = pdebench_metrics(target + 0.1, target)
    >>> round(scores["nrmse"], 5), round(scores["frmse_low"], 5)
    (0.1, 0.025)
    >>> round(pdebench_metrics(target + 0.1, target, "pdebench-legacy", batch=2)["nrmse"], 5)
    0.2
    """
    run = lookup(mode, _MODES, "metrics mode")
    if batch is not None and batch < 1:
        raise InputError(f"batch: expected at least 1 trajectory per batch, found {batch}")
    pair = check_pair(pred, target, mask)
    check_initial_step(initial_step, pair.target.shape[1])
    check_lengths(lengths, pair.points)
    return run(pair, lengths, initial_step, batch or len(target), epsilon)


def _corrected(
    pair: Pair, lengths: Sequence[float] | None, initial_step: int, batch: int, epsilon: float
) -> Result:
    sizes = [len(part) for part in pair.target.split(batch)]
    total: dict[str, Tensor] = {}
    values = _per_batch(pair, lengths, initial_step, batch, epsilon, CORRECTED)
    for size, scores in zip(sizes, values, strict=True):
        for name, value in scores.items():
            total[name] = total.get(name, torch.zeros((), dtype=torch.float64)) + value.cpu().double() * size
    return _floats({name: value / len(pair.target) for name, value in total.items()})


def _legacy(pair: Pair, lengths: Sequence[float] | None, initial_step: int, batch: int, epsilon: float) -> Result:
    batches = _per_batch(pair, lengths, initial_step, batch, epsilon, PUBLISHED)
    total, last = next(batches), 0
    for scores in batches:
        total = {name: value + scores[name] for name, value in total.items()}
        last += 1
    # Divided as a tensor: a single batch (last = 0) gives infinity or NaN, as published, and no Python error.
    return _floats({name: value.cpu() / last for name, value in total.items()})


def _dataset(pair: Pair, lengths: Sequence[float] | None, initial_step: int, batch: int, epsilon: float) -> Result:
    meter = PDEBenchMetrics(lengths, initial_step, epsilon)
    for start in range(0, len(pair.target), batch):
        part = slice(start, start + batch)
        meter.update(pair.pred[part], pair.target[part], None if pair.mask is None else pair.mask[part])
    return meter.compute()


_Run = Callable[[Pair, Sequence[float] | None, int, int, float], Result]
_MODES: dict[str, _Run] = {"pdebench": _corrected, "pdebench-legacy": _legacy, "sciode": _dataset}


def _per_batch(
    pair: Pair, lengths: Sequence[float] | None, initial_step: int, batch: int, epsilon: float, rules: Rules
) -> Batches:
    if pair.mask is not None:
        raise InputError('mask: the published formulae have none; use mode="sciode"')
    sides = check_lengths(lengths, pair.points)
    for pred, target in zip(pair.pred.split(batch), pair.target.split(batch), strict=True):
        p, y = to_published(pred, initial_step), to_published(target, initial_step)
        yield batch_metrics(p, y, sides, rules, epsilon)


def _floats(scores: Mapping[str, Tensor]) -> Result:
    scalars = {name: value.item() for name, value in scores.items() if name != "frmse"}
    return named(scalars, scores["frmse"].tolist())

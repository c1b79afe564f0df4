"""PDEBench's metrics over a data set that never has to be in memory: update by chunks, compute at the end.

Sums are kept in float64 and a chunk's size does not matter, so neither the order of the chunks nor their number
changes the result beyond the last bits of float64.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics.fields import field_nrmse, field_rmse, field_vrmse
from sciode.metrics.layout import Pair, check_initial_step, check_lengths, check_pair
from sciode.metrics.published import BANDS
from sciode.metrics.shells import shell_energy

_EDGES = ((0, 4), (4, 12), (12, None))
_ROWS = ("rmse", "nrmse", "vrmse", "brmse")


class PDEBenchMetrics:
    r"""Streaming accumulator behind ``pdebench_metrics(mode="sciode")``.

    Per field, then averaged over all fields seen: RMSE, nRMSE, VRMSE, bRMSE. Per channel and step over all
    trajectories seen, then averaged over channels and steps: cRMSE :math:`\sqrt{\mathrm{mean}_b \langle
    P-Y\rangle^2}`, Max, and fRMSE, the mean over the shells of a band of :math:`\sqrt{\mathrm{mean}_b
    E_j(P-Y)}\,L_x L_y L_z`. Shells are isotropic over all orthants (see :mod:`sciode.metrics.shells`). With a
    mask, means run over its cells, bRMSE over its boundary cells (fields without one do not count), and the
    error outside is zero in fRMSE.

    Parameters
    ----------
    lengths
        Domain length per space axis, default 1 each.
    initial_step
        Steps dropped at the start of every chunk.
    epsilon
        Added to the denominator of nRMSE, unit of u.

    Examples
    --------
    >>> meter = PDEBenchMetrics()
    >>> for size in (2, 3):
    ...     target = torch.ones(size, 4, 1, 32)
    ...     meter.update(target + 0.1, target)
    >>> round(meter.compute()["nrmse"], 6)
    0.1
    """

    def __init__(
        self, lengths: Sequence[float] | None = None, initial_step: int = 0, epsilon: float = 0.0
    ) -> None:
        self.lengths = None if lengths is None else tuple(float(length) for length in lengths)
        self.initial_step, self.epsilon = initial_step, epsilon
        self._shape: tuple[int, ...] | None = None
        self._sums: dict[str, Tensor] = {}
        self._max = torch.empty(0)

    @torch.no_grad()
    def update(
        self,
        pred: Float[Tensor, "b t c *n"],
        target: Float[Tensor, "b t c *n"],
        mask: Bool[Tensor, "..."] | None = None,
    ) -> None:
        """Add a chunk of any number of trajectories; all chunks share steps, channels and grid."""
        pair = _drop_steps(check_pair(pred, target, mask), self.initial_step).wide()
        sides = check_lengths(self.lengths, pair.points)
        shape = tuple(pair.target.shape[1:])
        if self._shape not in (None, shape):
            raise InputError(f"chunk: expected steps, channels and grid {self._shape} as before, found {shape}")
        sums, peak = _chunk_sums(pair, sides, self.epsilon), _peaks(pair)
        first = self._shape is None
        self._sums = sums if first else {key: self._sums[key] + value for key, value in sums.items()}
        self._max = peak if first else torch.maximum(self._max, peak)
        self._shape = shape

    def merge(self, other: "PDEBenchMetrics") -> None:
        """Add what ``other`` has seen, such as the share of another process."""
        mine = (self.lengths, self.initial_step, self.epsilon)
        theirs = (other.lengths, other.initial_step, other.epsilon)
        if mine != theirs or (self._shape and other._shape and self._shape != other._shape):
            raise InputError(
                f"cannot merge metrics of {theirs}, shape {other._shape} into {mine}, shape {self._shape}"
            )
        if other._shape is None:
            return
        if self._shape is None:
            self._sums, self._max, self._shape = dict(other._sums), other._max, other._shape
            return
        self._sums = {key: value + other._sums[key].to(value.device) for key, value in self._sums.items()}
        self._max = torch.maximum(self._max, other._max.to(self._max.device))

    def compute(self) -> dict[str, float | tuple[float, ...]]:
        """Return all metrics of what has been seen so far, as Python floats ("frmse": three of them)."""
        if self._shape is None:
            raise InputError("no data yet: call update(pred, target) before compute()")
        sums, seen = self._sums, self._sums["seen"] > 0
        count = sums["seen"].clamp(min=1)
        amplitude = (sums["shells"] / count[..., None]).sqrt() * math.prod(
            check_lengths(self.lengths, self._shape[2:])
        )
        bands = [amplitude[..., low:high].mean(dim=-1)[seen].mean().item() for low, high in _EDGES]
        result = {name: (sums[name] / sums[f"{name} fields"]).item() for name in _ROWS}
        result["crmse"] = (sums["bias"] / count).sqrt()[seen].mean().item()
        result["max"] = self._max[seen].mean().item()
        return named(result, bands)


def named(scalars: dict[str, float], bands: Sequence[float]) -> dict[str, float | tuple[float, ...]]:
    """Return the metrics in the order people know, with the bands apart and together."""
    order = [name for name in ("rmse", "nrmse", "vrmse", "crmse", "max", "brmse") if name in scalars]
    apart = {f"frmse_{band}": value for band, value in zip(BANDS, bands, strict=True)}
    return {**{name: scalars[name] for name in order}, **apart, "frmse": tuple(bands)}


def _drop_steps(pair: Pair, initial_step: int) -> Pair:
    check_initial_step(initial_step, pair.target.shape[1])
    mask = None if pair.mask is None else pair.mask[:, initial_step:]
    return Pair(pair.pred[:, initial_step:], pair.target[:, initial_step:], mask)


def _chunk_sums(pair: Pair, lengths: tuple[float, ...], epsilon: float) -> dict[str, Tensor]:
    valid = pair.valid
    edge, edge_valid = _field_boundary(pair)
    rows = {
        "rmse": (field_rmse(pair), valid),
        "nrmse": (field_nrmse(pair, epsilon), valid),
        "vrmse": (field_vrmse(pair), valid),
        "brmse": (edge, edge_valid),
    }
    sums = {name: torch.where(good, value, 0).sum() for name, (value, good) in rows.items()}
    counts = {f"{name} fields": good.sum().double() for name, (_, good) in rows.items()}
    error = pair.pred - pair.target
    return sums | counts | {
        "seen": valid.sum(dim=0).double(),
        "bias": (pair.mean(error).flatten(2) ** 2).sum(dim=0),
        "shells": shell_energy(error, lengths).sum(dim=0),
    }  # fmt: skip


def _peaks(pair: Pair) -> Float[Tensor, "t c"]:
    return (pair.pred - pair.target).abs().flatten(3).amax(dim=3).amax(dim=0)


def _field_boundary(pair: Pair) -> tuple[Float[Tensor, "b t c"], Bool[Tensor, "b t c"]]:
    """Root mean square over the cells of all faces (a cell on two faces counts twice), and where there are any."""
    square = (pair.pred - pair.target) ** 2
    mask = torch.ones_like(square, dtype=torch.bool) if pair.mask is None else pair.mask
    total = square.new_zeros(square.shape[:3])
    count = torch.zeros_like(total)
    for axis in pair.space:
        for end in (0, -1):
            total = total + square.select(axis, end).reshape(*total.shape, -1).sum(dim=3)
            count = count + mask.select(axis, end).reshape(*total.shape, -1).sum(dim=3)
    return (total / count.clamp(min=1)).sqrt(), count > 0

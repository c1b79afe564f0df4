"""The six metrics of PDEBench for one batch, as its published code computes them, faults apart.

The results must agree with the published code to the last bit, so three things here look odd and are on
purpose: fields are held in memory as "b *n t c" and seen through a permuted view (the order of a float32 sum
follows the memory), prediction and target are transformed and summed apart and subtracted afterwards, and modes
enter a shell in the order of the nested loops over their indices. Equality holds on one machine, device and
build of torch; on a GPU, to round-off only.

Symbols: ``P`` prediction, ``Y`` target, ``b c *n t`` axes within this module, ``N`` number of cells.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

BANDS = ("low", "mid", "high")
_EDGES = (0, 4, 12, None)


@dataclass(frozen=True)
class Rules:
    """Where the published code and its corrected form differ within a batch.

    ``pool_channels``: the 3D boundary error sums over channels without dividing by their number.
    ``buffer``: dtype in which spectra are gathered, whatever the data (None: that of the data).
    """

    pool_channels: bool
    buffer: torch.dtype | None


PUBLISHED = Rules(pool_channels=True, buffer=torch.float32)
CORRECTED = Rules(pool_channels=False, buffer=None)


def to_published(u: Float[Tensor, "b t c *n"], initial_step: int) -> Float[Tensor, "b c *n t"]:
    """Lay ``u`` out in memory as the published loaders do, drop the first steps, and return the permuted view."""
    space = range(3, u.ndim)
    stored = u.permute(0, *space, 1, 2).contiguous()[..., initial_step:, :]
    return stored.permute(0, u.ndim - 1, *range(1, u.ndim - 1))


def batch_metrics(
    pred: Float[Tensor, "b c *n t"],
    target: Float[Tensor, "b c *n t"],
    lengths: Sequence[float],
    rules: Rules,
    epsilon: float = 0.0,
) -> dict[str, Tensor]:
    """Return "rmse", "nrmse", "crmse", "max", "brmse" (scalars) and "frmse" ``[3]`` of one batch."""
    b, c, *_, t = target.shape
    p, y = pred.view(b, c, -1, t), target.view(b, c, -1, t)
    cells = y.shape[2]
    error = ((p - y) ** 2).mean(dim=2).sqrt()
    norm = (y**2).mean(dim=2).sqrt() + epsilon
    total = ((p.sum(dim=2) - y.sum(dim=2)) ** 2).mean(dim=0).sqrt() / cells
    return {
        "rmse": _over_channel_time(error.mean(dim=0)),
        "nrmse": _over_channel_time((error / norm).mean(dim=0)),
        "crmse": _over_channel_time(total),
        "max": _over_channel_time((p - y).abs().amax(dim=2).amax(dim=0)),
        "brmse": _over_channel_time(_boundary(pred, target, rules)),
        "frmse": _over_channel_time(_bands(_amplitudes(pred, target, lengths, rules), rules)),
    }


def _over_channel_time(x: Tensor) -> Tensor:
    return x.mean(dim=(0, -1))


def _boundary(pred: Tensor, target: Tensor, rules: Rules) -> Tensor:
    """sqrt of the mean square over all boundary cells, edges shared by two faces counted twice."""
    b, c, *n, t = target.shape
    pooled = rules.pool_channels and len(n) == 3
    faces: list[Tensor] = []
    for axis in range(2, 2 + len(n)):
        ends = [(pred.select(axis, end) - target.select(axis, end)) ** 2 for end in (0, -1)]
        face = ends[0] + ends[1]
        flat = face.contiguous().view(b, -1, t) if pooled else face.reshape(b, c, -1, t)
        faces.append(flat.sum(dim=-2))
    cells = math.prod(n)
    error = (sum(faces[1:], start=faces[0]) / sum(2 * (cells // m) for m in n)).sqrt()
    return error if pooled else error.mean(dim=0)


def _amplitudes(pred: Tensor, target: Tensor, lengths: Sequence[float], rules: Rules) -> Tensor:
    """Root mean square over the batch of each shell's error, "c shells t"."""
    n = target.shape[2:-1]
    axes = tuple(range(2, 2 + len(n)))
    transform = torch.fft.rfftn if len(n) == 1 else torch.fft.fftn
    power = (transform(pred, dim=axes) - transform(target, dim=axes)).abs() ** 2
    shells = power if len(n) == 1 else _shell_sums(power, rules)
    amplitude = shells.mean(dim=0).sqrt() / math.prod(n)
    for length in lengths:
        amplitude = amplitude * length
    return amplitude


def _shell_sums(power: Tensor, rules: Rules) -> Tensor:
    """Sum the all-positive orthant by floor|k|, shell after shell in the order of the mode indices."""
    b, c, *n, t = power.shape
    half = tuple(m // 2 for m in n)
    orthant = power[(slice(None), slice(None), *(slice(h) for h in half))].reshape(b, c, -1, t)
    padded = torch.cat([orthant, orthant.new_zeros(b, c, 1, t)], dim=2)
    sums = torch.zeros(b, c, min(half), t, dtype=rules.buffer or power.dtype, device=power.device)
    for rank in _members(half).to(power.device):
        sums += padded[:, :, rank]
    return sums


@lru_cache(maxsize=8)
def _members(half: tuple[int, ...]) -> Tensor:
    """Row r holds, for each shell, the flat index of its r-th mode, or that of a zero appended after the last."""
    shells: list[list[int]] = [[] for _ in range(min(half))]
    for flat, mode in enumerate(itertools.product(*(range(h) for h in half))):
        shell = math.isqrt(sum(i * i for i in mode))
        if shell < len(shells):
            shells[shell].append(flat)
    rows = itertools.zip_longest(*shells, fillvalue=math.prod(half))
    return torch.tensor(list(rows), dtype=torch.long)


def _bands(amplitude: Tensor, rules: Rules) -> Tensor:
    """Mean over the shells k < 4, 4 <= k < 12, k >= 12: "c 3 t". A band without shells is NaN."""
    means = [amplitude[:, low:high].mean(dim=1) for low, high in itertools.pairwise(_EDGES)]
    return torch.stack(means, dim=1).to(rules.buffer or amplitude.dtype)

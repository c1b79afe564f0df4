r"""Blocks of the second Swin transformer on 2D grids, channels last, with the lead time in every norm.

Attention is among the tokens of a window; every other block shifts the windows by half their size, so that
neighbours meet. Its logits are cosines, scaled by a learned number a head, plus a bias that a small network
reads from the distance of two tokens: weights do not depend on the size of the window.

References
----------
Liu et al., *Swin Transformer V2* (arXiv:2111.09883), section 3; Herde et al., *Poseidon* (arXiv:2405.19101),
appendix A.
"""

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError

_FARTHEST = 8.0  # distances are measured up to this, in logarithms
_SHARPEST = math.log(100.0)


class LeadTimeNorm(nn.Module):
    r"""Layer norm over the channels, with :math:`(a t + a_0)\,\hat x + (b t + b_0)` after it.

    Parameters
    ----------
    channels : int
        Length of the last axis.

    Examples
    --------
    >>> LeadTimeNorm(6)(torch.randn(2, 4, 4, 6), torch.ones(2)).shape
    torch.Size([2, 4, 4, 6])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.slope = nn.Parameter(torch.empty(2, channels))  # a, b
        self.offset = nn.Parameter(torch.zeros(2, channels))  # a_0, b_0
        nn.init.normal_(self.slope)

    def forward(self, x: Float[Tensor, "b *n c"], time: Float[Tensor, " b"]) -> Float[Tensor, "b *n c"]:
        """Return ``x`` normalised, scaled and shifted."""
        affine = torch.addcmul(self.offset, time.to(self.slope.dtype)[:, None, None], self.slope)
        scale, shift = affine.to(x.dtype).view(len(x), 2, *(1,) * (x.ndim - 2), self.channels).unbind(1)
        return torch.addcmul(shift, scale, F.layer_norm(x, (self.channels,)))


class WindowAttention(nn.Module):
    """Scaled cosine attention among the tokens of each window, with a continuous bias of relative position.

    Parameters
    ----------
    channels, heads : int
        The first is a multiple of the second.
    hidden : int
        Width of the network that gives the bias.

    Examples
    --------
    >>> attention = WindowAttention(8, heads=2)
    >>> attention(torch.zeros(3, 4, 16, 8), (4, 4)).shape  # three samples of four windows of 4 x 4 tokens
    torch.Size([3, 4, 16, 8])
    """

    def __init__(self, channels: int, heads: int, hidden: int = 512) -> None:
        super().__init__()
        if channels % heads:
            raise InputError(f"{channels} channels do not divide into {heads} attention heads")
        self.heads = heads
        self.read = nn.Linear(channels, 3 * channels, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(channels))
        self.value_bias = nn.Parameter(torch.zeros(channels))
        self.sharpness = nn.Parameter(torch.full((heads,), math.log(10.0)))
        self.position = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))
        self.write = nn.Linear(channels, channels)

    def forward(
        self, x: Float[Tensor, "b w n c"], window: tuple[int, int], mask: Tensor | None = None
    ) -> Float[Tensor, "b w n c"]:
        """Return what tokens read from each other; ``mask`` ``[w, n, n]``, True where two may not meet."""
        b, windows, n, c = x.shape
        bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
        qkv = F.linear(x, self.read.weight, bias.to(self.read.weight.dtype))
        # windows stand beside the heads, so that one bias serves all samples
        parts = qkv.view(b, windows, n, 3, self.heads, c // self.heads).permute(3, 0, 1, 4, 2, 5)
        q, k, v = parts.reshape(3, b, windows * self.heads, n, c // self.heads).unbind(0)
        scale = self.sharpness.clamp(max=_SHARPEST).exp().repeat(windows)[:, None, None]
        q = F.normalize(q, dim=-1) * scale.to(q.dtype)
        seen = F.scaled_dot_product_attention(
            q, F.normalize(k, dim=-1), v, attn_mask=self._bias(window, mask, windows).to(q.dtype), scale=1.0
        )
        return self.write(seen.view(b, windows, self.heads, n, -1).transpose(2, 3).reshape(b, windows, n, c))

    def _bias(self, window: tuple[int, int], mask: Tensor | None, windows: int) -> Tensor:
        """Return what is added to the logits, ``[1, windows * heads, n, n]``."""
        table, index = _kept(relative_positions)(window, self.sharpness.device)
        bias = 16.0 * torch.sigmoid(self.position(table.to(self.sharpness.dtype)))
        # heads first: what the gradient of this lookup writes then lies side by side
        bias = bias.t().gather(1, index.flatten().expand(self.heads, -1)).view(1, self.heads, *index.shape)
        bias = bias.expand(windows, -1, -1, -1)
        if mask is not None:
            bias = bias.masked_fill(mask[:, None], -torch.inf)
        return bias.reshape(1, windows * self.heads, *bias.shape[2:])


class SwinBlock(nn.Module):
    """Window attention, then a perceptron of each token; both branches are normalised before they are added.

    Parameters
    ----------
    channels, heads : int
        The first is a multiple of the second.
    window : int
        Tokens along the side of a window; an axis with fewer tokens is one window.
    shifted : bool
        Shift the windows by half their size, along axes that hold more than one.
    ratio : float
        Width of the perceptron, in channels.

    Examples
    --------
    >>> block = SwinBlock(8, heads=2, window=4, shifted=True)
    >>> block(torch.randn(2, 10, 6, 8), torch.ones(2)).shape
    torch.Size([2, 10, 6, 8])
    """

    def __init__(self, channels: int, heads: int, window: int, shifted: bool, ratio: float = 4.0) -> None:
        super().__init__()
        width = int(ratio * channels)
        self.window, self.shifted = window, shifted
        self.attention = WindowAttention(channels, heads)
        self.norm_attention = LeadTimeNorm(channels)
        self.mix = nn.Sequential(nn.Linear(channels, width), nn.GELU(), nn.Linear(width, channels))
        self.norm_mix = LeadTimeNorm(channels)

    def forward(self, x: Float[Tensor, "b h w c"], time: Float[Tensor, " b"]) -> Float[Tensor, "b h w c"]:
        """Return the block's output."""
        x = x + self.norm_attention(self._attend(x), time)
        return x + self.norm_mix(self.mix(x), time)

    def _attend(self, x: Tensor) -> Tensor:
        sizes = x.shape[1], x.shape[2]
        window = min(self.window, sizes[0]), min(self.window, sizes[1])
        # along an axis of one window nothing is gained by a shift
        shift = tuple(side // 2 if self.shifted and n > side else 0 for side, n in zip(window, sizes, strict=True))
        full = tuple(-(-n // side) * side for side, n in zip(window, sizes, strict=True))
        padded = F.pad(x, (0, 0, 0, full[1] - sizes[1], 0, full[0] - sizes[0])) if full != sizes else x
        if any(shift):
            padded = padded.roll((-shift[0], -shift[1]), (1, 2))
        mask = _kept(forbidden)(sizes, window, shift, x.device) if any(shift) or full != sizes else None
        seen = from_windows(self.attention(to_windows(padded, window), window, mask), full, window)
        if any(shift):
            seen = seen.roll(shift, (1, 2))
        return seen[:, : sizes[0], : sizes[1]]


def _kept(function: Any) -> Any:
    """Return a cached function, or what it caches under a compiler, which keeps constants itself."""
    return function.__wrapped__ if torch.compiler.is_compiling() else function


def to_windows(x: Float[Tensor, "b h w c"], window: tuple[int, int]) -> Float[Tensor, "b k n c"]:
    """Cut a grid into windows, row by row; their sides divide the grid's.

    >>> to_windows(torch.arange(4.0).view(1, 2, 2, 1), (1, 2)).flatten(2).tolist()
    [[[0.0, 1.0], [2.0, 3.0]]]
    """
    b, h, w, c = x.shape
    parts = x.view(b, h // window[0], window[0], w // window[1], window[1], c).transpose(2, 3)
    return parts.reshape(b, -1, window[0] * window[1], c)


def from_windows(
    x: Float[Tensor, "b k n c"], sizes: tuple[int, ...], window: tuple[int, int]
) -> Float[Tensor, "b h w c"]:
    """Undo :func:`to_windows`.

    >>> x = torch.randn(2, 4, 6, 3)
    >>> torch.equal(from_windows(to_windows(x, (2, 3)), (4, 6), (2, 3)), x)
    True
    """
    b, _, _, c = x.shape
    rows, columns = sizes[0] // window[0], sizes[1] // window[1]
    return x.view(b, rows, columns, *window, c).transpose(2, 3).reshape(b, *sizes, c)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept may serve a training later
def relative_positions(window: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the distances within a window, ``[k, 2]`` log-spaced, and which one two tokens have, ``[n, n]``.

    >>> table, index = relative_positions((2, 3), torch.device("cpu"))
    >>> table.shape, index.shape, table[index[0, 0]].tolist()
    (torch.Size([15, 2]), torch.Size([6, 6]), [0.0, 0.0])
    """
    steps = [torch.arange(1 - side, side, dtype=torch.float64) for side in window]
    scaled = [_FARTHEST * s / max(side - 1, 1) for s, side in zip(steps, window, strict=True)]
    table = torch.stack(torch.meshgrid(*scaled, indexing="ij"), -1).flatten(0, 1)
    table = table.sign() * torch.log2(1.0 + table.abs()) / math.log2(_FARTHEST)
    row, column = (torch.arange(side) for side in window)
    token = torch.stack(torch.meshgrid(row, column, indexing="ij"), -1).flatten(0, 1)
    apart = token[:, None] - token[None] + torch.tensor(window) - 1
    index = apart[..., 0] * (2 * window[1] - 1) + apart[..., 1]
    return table.float().to(device), index.to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def forbidden(
    sizes: tuple[int, int], window: tuple[int, int], shift: tuple[int, ...], device: torch.device
) -> Tensor:
    """Return which tokens of each window are no neighbours on the grid, ``[k, n, n]``.

    After the shift the last windows hold tokens from opposite edges; and the padding is of no grid.

    >>> forbidden((4, 4), (2, 2), (1, 1), torch.device("cpu"))[0].any(), forbidden(
    ...     (4, 4), (2, 2), (1, 1), torch.device("cpu"))[3].sum().item()
    (tensor(False), 12)
    """
    parts = []
    for n, side, move in zip(sizes, window, shift, strict=True):
        full = -(-n // side) * side
        place = torch.arange(full).roll(-move)
        wrapped = (torch.arange(full) >= full - move).long()
        parts.append(torch.where(place < n, wrapped, 2))
    region = (3 * parts[0][:, None] + parts[1][None]).view(1, len(parts[0]), len(parts[1]), 1)
    inside = to_windows(region, window)[0, :, :, 0]
    return (inside[:, :, None] != inside[:, None, :]).to(device)

"""A U-Net on periodic or bounded grids, conditioned on an embedding."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.nn.blocks import Downsample, ResidualBlock, SelfAttention, Upsample, convolution, group_norm


class UNetBody(nn.Module):
    """Encoder and decoder of residual blocks with skip connections; width doubles at each level, up to 4 times.

    One block a level on the way down, one at the bottom, one a level on the way up. Source: Ronneberger et
    al., arXiv:1505.04597; blocks of the kind that did best in Gupta and Brandstetter, arXiv:2209.15616.

    Parameters
    ----------
    dimensions : int
        Space dimensions, 1 to 3.
    channels : tuple of int
        Channels in and out.
    width, depth : int
        Channels of the finest level, and the number of halvings.
    embedding : int
        Length of the conditioning vector.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge.
    heads : int
        Attention heads at the bottom; 0 for no attention.
    norm : bool
        Group normalisation in the blocks and before the last convolution.

    Raises
    ------
    InputError
        On a grid whose sizes ``2**depth`` does not divide: padding it would break the periodicity.

    Examples
    --------
    >>> body = UNetBody(1, (2, 3), width=8, depth=2, embedding=4)
    >>> body(torch.zeros(5, 2, 16), torch.zeros(5, 4)).shape
    torch.Size([5, 3, 16])
    """

    def __init__(
        self,
        dimensions: int,
        channels: tuple[int, int],
        *,
        width: int,
        depth: int,
        embedding: int,
        padding: str = "circular",
        heads: int = 0,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.depth = depth
        widths = [width * min(2**level, 4) for level in range(depth + 1)]
        pairs = list(pairwise(widths))
        self.enter = convolution(dimensions, channels[0], width, padding=padding)
        rest = (embedding, padding, norm)
        self.down = nn.ModuleList(ResidualBlock(dimensions, a, a, *rest) for a, _ in pairs)
        self.coarsen = nn.ModuleList(Downsample(dimensions, a, b, padding) for a, b in pairs)
        self.bottom = ResidualBlock(dimensions, widths[-1], widths[-1], *rest)
        self.attention = SelfAttention(widths[-1], heads) if heads else nn.Identity()
        self.refine = nn.ModuleList(Upsample(dimensions, b, a, padding) for a, b in pairs)
        self.up = nn.ModuleList(ResidualBlock(dimensions, 2 * a, a, *rest) for a, _ in pairs)
        self.norm = group_norm(width, norm)
        self.leave = convolution(dimensions, width, channels[1], padding=padding)

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b d *n"]:
        """Return the output field, on the grid of ``x``."""
        self._check(x.shape[2:])
        x = self.enter(x)
        kept = []
        for block, coarsen in zip(self.down, self.coarsen, strict=True):
            x = block(x, embedding)
            kept.append(x)
            x = coarsen(x)
        x = self.attention(self.bottom(x, embedding))
        for level in reversed(range(self.depth)):
            x = torch.cat([kept[level], self.refine[level](x)], dim=1)
            x = self.up[level](x, embedding)
        return self.leave(F.silu(self.norm(x)))

    def _check(self, sizes: torch.Size) -> None:
        cell = 2**self.depth
        if any(size % cell for size in sizes):
            raise InputError(
                f"a U-Net of depth {self.depth} needs grid sizes divisible by {cell}, got {tuple(sizes)}; "
                f"choose a smaller depth or resample the data"
            )

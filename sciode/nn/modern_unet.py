"""The U-Net of the PDEArena, conditioned on an embedding."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.nn.blocks import Downsample, convolution, group_norm


class ModernBlock(nn.Module):
    """Pre-activation residual block that adds the embedding between its convolutions; it begins as its shortcut.

    The second convolution starts at zero.

    >>> ModernBlock(1, 4, 6, embedding=8)(torch.zeros(2, 4, 16), torch.zeros(2, 8)).shape
    torch.Size([2, 6, 16])
    """

    def __init__(
        self, dimensions: int, inputs: int, outputs: int, embedding: int, padding: str = "circular"
    ) -> None:
        super().__init__()
        self.norm_in, self.norm_out = group_norm(inputs, groups=1), group_norm(outputs, groups=1)
        self.conv_in = convolution(dimensions, inputs, outputs, padding=padding)
        self.conv_out = _zeroed(convolution(dimensions, outputs, outputs, padding=padding))
        self.shift = nn.Linear(embedding, outputs)
        same = inputs == outputs
        self.carry = nn.Identity() if same else convolution(dimensions, inputs, outputs, 1, padding="zeros")

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b d *n"]:
        """Return the block's output, on the same grid."""
        y = self.conv_in(F.gelu(self.norm_in(x)))
        y = y + self.shift(F.gelu(embedding)).unflatten(1, (-1, *(1,) * (x.ndim - 2)))
        return self.carry(x) + self.conv_out(F.gelu(self.norm_out(y)))


class TransposedUpsample(nn.Module):
    """Double every axis by a transposed convolution of width 4.

    On a periodic domain the input is wrapped first and the surplus cut off, so that nothing beyond the edge is
    taken for zero and the block commutes with translations.

    >>> TransposedUpsample(2, 4)(torch.zeros(1, 4, 8, 6)).shape
    torch.Size([1, 4, 16, 12])
    """

    def __init__(self, dimensions: int, channels: int, padding: str = "circular") -> None:
        super().__init__()
        kinds = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
        self.conv: nn.Module = kinds[dimensions](channels, channels, 4, stride=2, padding=3)
        self.mode = "constant" if padding == "zeros" else padding
        self.around = (1, 1) * dimensions

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *m"]:
        """Return ``x`` at twice the resolution."""
        return self.conv(F.pad(x, self.around, mode=self.mode))


class ModernUNetBody(nn.Module):
    """Encoder and decoder of many residual blocks, every one of whose outputs is a skip connection.

    ``blocks`` blocks a level on the way down, two at the bottom, ``blocks + 1`` a level on the way up; group
    normalisation of one group, GELU; the last convolution and those that end a block start at zero.
    Source: Gupta and Brandstetter, arXiv:2209.15616, in the size of Lippe et al., arXiv:2308.05732.

    Parameters
    ----------
    dimensions : int
        Space dimensions, 1 to 3.
    channels : tuple of int
        Channels in and out.
    width : int
        Channels of the first convolution.
    multiples : sequence of int
        By how much each level multiplies the channels of the one above: as published 64 x (1, 2, 2, 4), which is
        64, 128, 256 and 1024 channels.
    blocks : int
        Residual blocks of each level on the way down.
    embedding : int
        Length of the conditioning vector.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge.

    Raises
    ------
    InputError
        On a grid that the halvings, one less than the levels, do not divide.

    Examples
    --------
    >>> body = ModernUNetBody(1, (2, 3), width=8, multiples=(1, 2), blocks=1, embedding=4)
    >>> body(torch.zeros(5, 2, 16), torch.zeros(5, 4)).shape
    torch.Size([5, 3, 16])
    """

    def __init__(
        self,
        dimensions: int,
        channels: tuple[int, int],
        *,
        width: int,
        multiples: Sequence[int],
        blocks: int,
        embedding: int,
        padding: str = "circular",
    ) -> None:
        super().__init__()
        widths = [width * m for m in accumulate(multiples, lambda a, b: a * b)]
        levels = list(pairwise([width, *widths]))
        rest = (embedding, padding)
        self.blocks, self.halvings = blocks, len(levels) - 1
        self.enter = convolution(dimensions, channels[0], width, padding=padding)
        self.down = nn.ModuleList(
            ModernBlock(dimensions, a if first else b, b, *rest)
            for a, b in levels
            for first in [True] + [False] * (blocks - 1)
        )
        self.coarsen = nn.ModuleList(Downsample(dimensions, w, w, padding) for w in widths[:-1])
        bottom = widths[-1]
        self.bottom = nn.ModuleList(ModernBlock(dimensions, bottom, bottom, *rest) for _ in range(2))
        self.up = nn.ModuleList(
            block
            for a, b in reversed(levels)
            for block in [ModernBlock(dimensions, 2 * b, b, *rest) for _ in range(blocks)]
            + [ModernBlock(dimensions, a + b, a, *rest)]
        )
        self.refine = nn.ModuleList(TransposedUpsample(dimensions, w, padding) for w in reversed(widths[:-1]))
        self.norm = group_norm(width, groups=1)
        self.leave = _zeroed(convolution(dimensions, width, channels[1], padding=padding))

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b d *n"]:
        """Return the output field, on the grid of ``x``."""
        self._check(x.shape[2:])
        x = self.enter(x)
        kept = [x]
        for index, block in enumerate(self.down):
            x = block(x, embedding)
            kept.append(x)
            level, inside = divmod(index, self.blocks)
            if inside == self.blocks - 1 and level < self.halvings:
                x = self.coarsen[level](x)
                kept.append(x)
        for block in self.bottom:
            x = block(x, embedding)
        for index, block in enumerate(self.up):
            x = block(torch.cat([x, kept.pop()], dim=1), embedding)
            level, inside = divmod(index, self.blocks + 1)
            if inside == self.blocks and level < self.halvings:
                x = self.refine[level](x)
        out: Tensor = self.leave(F.gelu(self.norm(x)))
        return out

    def _check(self, sizes: torch.Size) -> None:
        cell = 2**self.halvings
        if any(size % cell for size in sizes):
            raise InputError(
                f"a U-Net of {self.halvings} halvings needs grid sizes divisible by {cell}, got {tuple(sizes)}; "
                f"give fewer multiples or resample the data"
            )


def _zeroed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer

"""Residual blocks and changes of resolution on 1D, 2D and 3D grids.

Every block commutes with translations of a periodic grid when its padding is ``"circular"``: convolutions
do, group statistics are sums over the grid, and attention carries no positions.
"""

import math
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.nn.conditioning import FiLM

Padding = Literal["circular", "replicate", "zeros"]
PADDINGS: dict[str, Padding] = {"circular": "circular", "replicate": "replicate", "zeros": "zeros"}
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def convolution(
    dimensions: int,
    inputs: int,
    outputs: int,
    size: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "circular",
) -> nn.Module:
    """Return a convolution on a grid of ``dimensions`` axes that keeps its points, divided by ``stride``.

    Parameters
    ----------
    size : int
        Odd width of the kernel.
    dilation : int
        Points between the taps of the kernel.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge of the grid; "circular" is a periodic domain.

    Raises
    ------
    InputError
        For dimensions other than 1, 2, 3. UnknownName for an unknown padding.

    Examples
    --------
    >>> import torch
    >>> convolution(2, 3, 8)(torch.zeros(1, 3, 16, 12)).shape
    torch.Size([1, 8, 16, 12])
    """
    if dimensions not in _CONVOLUTIONS:
        raise InputError(f"networks on grids have 1, 2 or 3 space dimensions, got {dimensions}")
    mode = lookup(padding, PADDINGS, "padding")
    # The class is chosen at run time, and the three constructors are the same.
    reach = dilation * (size // 2)
    kind = _CONVOLUTIONS[dimensions]
    return kind(inputs, outputs, size, stride=stride, padding=reach, dilation=dilation, padding_mode=mode)


def group_norm(channels: int, used: bool = True, groups: int = 8) -> nn.Module:
    """Return a group normalisation with as many groups as divide ``channels``, at most ``groups``; or nothing.

    >>> group_norm(12).num_groups, group_norm(12, used=False)
    (4, Identity())
    """
    return nn.GroupNorm(math.gcd(groups, channels), channels) if used else nn.Identity()


class ResidualBlock(nn.Module):
    """Pre-activation residual block with FiLM between its two convolutions.

    ``x + conv(act(norm(film(conv(act(norm(x)))))))``; a 1x1 convolution carries ``x`` where channels change.
    Without ``norm`` the norms are left out.
    Source: He et al., arXiv:1603.05027; conditioning as in Dhariwal and Nichol, arXiv:2105.05233.

    Examples
    --------
    >>> import torch
    >>> ResidualBlock(1, 4, 6, embedding=8)(torch.zeros(2, 4, 16), torch.zeros(2, 8)).shape
    torch.Size([2, 6, 16])
    """

    def __init__(
        self,
        dimensions: int,
        inputs: int,
        outputs: int,
        embedding: int,
        padding: str = "circular",
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.norm_in, self.norm_out = group_norm(inputs, norm), group_norm(outputs, norm)
        self.conv_in = convolution(dimensions, inputs, outputs, padding=padding)
        self.conv_out = convolution(dimensions, outputs, outputs, padding=padding)
        self.film = FiLM(embedding, outputs)
        same = inputs == outputs
        self.carry = nn.Identity() if same else convolution(dimensions, inputs, outputs, 1, padding="zeros")

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b d *n"]:
        """Return the block's output, on the same grid."""
        y = self.conv_in(F.silu(self.norm_in(x)))
        y = self.conv_out(F.silu(self.film(self.norm_out(y), embedding)))
        return self.carry(x) + y


class Downsample(nn.Module):
    """Halve every axis by a strided convolution.

    >>> import torch
    >>> Downsample(2, 4, 8)(torch.zeros(1, 4, 16, 12)).shape
    torch.Size([1, 8, 8, 6])
    """

    def __init__(self, dimensions: int, inputs: int, outputs: int, padding: str = "circular") -> None:
        super().__init__()
        self.conv = convolution(dimensions, inputs, outputs, stride=2, padding=padding)

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b d *m"]:
        """Return ``x`` at half the resolution."""
        return self.conv(x)


class Upsample(nn.Module):
    """Double every axis: nearest neighbours, then a convolution (no checkerboard, Odena et al. 2016).

    >>> import torch
    >>> Upsample(2, 8, 4)(torch.zeros(1, 8, 8, 6)).shape
    torch.Size([1, 4, 16, 12])
    """

    def __init__(self, dimensions: int, inputs: int, outputs: int, padding: str = "circular") -> None:
        super().__init__()
        self.conv = convolution(dimensions, inputs, outputs, padding=padding)

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b d *m"]:
        """Return ``x`` at twice the resolution."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class SelfAttention(nn.Module):
    """Residual self-attention among all grid points, without positions.

    Cost is quadratic in the number of points: for the coarsest level only.

    >>> import torch
    >>> SelfAttention(8, heads=2)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise InputError(f"{channels} channels do not divide into {heads} attention heads")
        self.heads = heads
        self.norm = group_norm(channels)
        self.read = nn.Linear(channels, 3 * channels)
        self.write = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:
        """Return ``x`` plus what its points read from each other."""
        points = self.norm(x).flatten(2).transpose(1, 2)
        parts = self.read(points).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts.unbind(0))
        mixed = self.write(seen.transpose(1, 2).flatten(2))
        return x + mixed.transpose(1, 2).reshape(x.shape)

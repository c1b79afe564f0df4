"""Between fields and tokens, and between levels of tokens: what surrounds Swin blocks in a U-shape."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sciode.nn.swin import LeadTimeNorm


class PatchEmbedding(nn.Module):
    """Make a token of every square of ``patch`` points; a rest at the far edges is filled with zeros.

    >>> import torch
    >>> PatchEmbedding(3, 8, patch=4)(torch.zeros(2, 3, 16, 10), torch.ones(2)).shape
    torch.Size([2, 4, 3, 8])
    """

    def __init__(self, fields: int, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Conv2d(fields, channels, patch, stride=patch)
        self.norm = LeadTimeNorm(channels)

    def forward(self, u: Float[Tensor, "b f x y"], time: Float[Tensor, " b"]) -> Float[Tensor, "b h w c"]:
        """Return tokens."""
        rest = [-n % self.patch for n in u.shape[2:]]
        u = F.pad(u, (0, rest[1], 0, rest[0])) if any(rest) else u
        return self.norm(self.project(u).permute(0, 2, 3, 1), time)


class PatchRecovery(nn.Module):
    """Make fields of tokens: a transposed convolution, then one of five points a side that joins the squares.

    >>> import torch
    >>> PatchRecovery(3, 8, patch=4)(torch.zeros(2, 4, 3, 8), (16, 10)).shape
    torch.Size([2, 3, 16, 10])
    """

    def __init__(self, fields: int, channels: int, patch: int) -> None:
        super().__init__()
        self.project = nn.ConvTranspose2d(channels, fields, patch, stride=patch)
        self.join = nn.Conv2d(fields, fields, 5, padding=2, bias=False)

    def forward(self, x: Float[Tensor, "b h w c"], sizes: tuple[int, int]) -> Float[Tensor, "b f x y"]:
        """Return fields of ``sizes``."""
        return self.join(self.project(x.permute(0, 3, 1, 2))[:, :, : sizes[0], : sizes[1]])


class PatchMerging(nn.Module):
    """Make one token, of twice the channels, of four; an odd axis is filled with zeros.

    >>> import torch
    >>> PatchMerging(8)(torch.zeros(2, 6, 5, 8), torch.ones(2)).shape
    torch.Size([2, 3, 3, 16])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = LeadTimeNorm(2 * channels)

    def forward(self, x: Float[Tensor, "b h w c"], time: Float[Tensor, " b"]) -> Float[Tensor, "b i j d"]:
        """Return the coarser tokens."""
        h, w = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2)) if h % 2 or w % 2 else x
        # within a square the order is down, then across: (0, 0), (1, 0), (0, 1), (1, 1)
        squares = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2, 5)
        return self.norm(self.reduce(squares.flatten(3)), time)


class PatchUnmerging(nn.Module):
    """Make four tokens, of half the channels, of one.

    >>> import torch
    >>> PatchUnmerging(16)(torch.zeros(2, 3, 3, 16), torch.ones(2), (6, 5)).shape
    torch.Size([2, 6, 5, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, 2 * channels, bias=False)
        self.norm = LeadTimeNorm(channels // 2)
        self.mix = nn.Linear(channels // 2, channels // 2, bias=False)

    def forward(
        self, x: Float[Tensor, "b h w c"], time: Float[Tensor, " b"], sizes: tuple[int, int]
    ) -> Float[Tensor, "b i j d"]:
        """Return ``sizes`` finer tokens."""
        b, h, w, c = x.shape
        squares = self.expand(x).view(b, h, w, 2, 2, c // 2).transpose(2, 3)
        fine = squares.reshape(b, 2 * h, 2 * w, c // 2)[:, : sizes[0], : sizes[1]]
        return self.mix(self.norm(fine, time))


class ConvNeXtBlock(nn.Module):
    """Residual block of a wide convolution by channel and a perceptron, scaled down at the start.

    Source: Liu et al., A ConvNet for the 2020s, arXiv:2201.03545; with the lead time in its norm.

    >>> import torch
    >>> ConvNeXtBlock(8)(torch.zeros(2, 6, 6, 8), torch.ones(2)).shape
    torch.Size([2, 6, 6, 8])
    """

    def __init__(self, channels: int, scale: float = 1e-6) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = LeadTimeNorm(channels)
        self.mix = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(self.norm.offset.new_full((channels,), scale))

    def forward(self, x: Float[Tensor, "b h w c"], time: Float[Tensor, " b"]) -> Float[Tensor, "b h w c"]:
        """Return the block's output."""
        seen = self.convolve(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.scale * self.mix(self.norm(seen, time))

"""Residual blocks of dilated convolutions: wide reach at full resolution."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sciode.nn.blocks import convolution
from sciode.nn.conditioning import FiLM

DILATIONS = (1, 2, 4, 8, 4, 2, 1)


class DilatedBlock(nn.Module):
    """Seven convolutions, taps 1, 2, 4, 8, 4, 2, 1 points apart, around which ``x`` is carried.

    The embedding scales and shifts what the first one returns. Reach: 22 points to either side.
    Source: Stachenfeld et al., arXiv:2112.15275, section 3.3.

    Examples
    --------
    >>> import torch
    >>> DilatedBlock(1, 4, embedding=8)(torch.zeros(2, 4, 32), torch.zeros(2, 8)).shape
    torch.Size([2, 4, 32])
    """

    def __init__(self, dimensions: int, width: int, embedding: int, padding: str = "circular") -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            convolution(dimensions, width, width, padding=padding, dilation=dilation) for dilation in DILATIONS
        )
        self.film = FiLM(embedding, width)

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b c *n"]:
        """Return the block's output, on the same grid."""
        y = x
        for index, layer in enumerate(self.layers):
            y = layer(y)
            y = F.relu(y if index else self.film(y, embedding))
        return x + y

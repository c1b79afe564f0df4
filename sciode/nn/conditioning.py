"""Conditioning of a network on a scalar per sample, such as the lead time."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class TimeFeatures(nn.Module):
    """Sines and cosines of a scalar at log-spaced frequencies, mixed by a small perceptron.

    The scalar is compressed by ``log2(1 + |tau|)`` first, so that leads from a fraction of a step to thousands
    of steps stay within the reach of the frequencies.

    Parameters
    ----------
    width : int
        Length of the embedding.
    frequencies : int
        Number of frequencies, from a quarter turn to ``2**(frequencies - 3)`` turns per unit.

    Examples
    --------
    >>> TimeFeatures(8)(torch.tensor([0.0, 1.0])).shape
    torch.Size([2, 8])
    """

    turns: Tensor

    def __init__(self, width: int, frequencies: int = 6) -> None:
        super().__init__()
        turns = 2.0 ** (torch.arange(frequencies) - 2)
        self.register_buffer("turns", 2 * math.pi * turns, persistent=False)
        self.mix = nn.Sequential(nn.Linear(2 * frequencies + 1, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tau: Float[Tensor, " b"]) -> Float[Tensor, "b width"]:
        """Embed ``tau``, a dimensionless time."""
        level = torch.log2(1 + tau.abs())[:, None]
        angle = level * self.turns
        return self.mix(torch.cat([level, angle.sin(), angle.cos()], dim=1))


class FiLM(nn.Module):
    """Scale and shift every channel by amounts read from an embedding: ``(1 + gamma) x + beta``.

    Source: Perez et al., FiLM, arXiv:1709.07871.

    Examples
    --------
    >>> FiLM(embedding=8, channels=4)(torch.zeros(2, 4, 16), torch.zeros(2, 8)).shape
    torch.Size([2, 4, 16])
    """

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(embedding, 2 * channels)

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b c *n"]:
        """Return ``x`` scaled and shifted."""
        gamma, beta = self.affine(embedding).unflatten(1, (2, -1)).unbind(1)
        shape = gamma.shape + (1,) * (x.ndim - 2)
        return x * (1 + gamma.view(shape)) + beta.view(shape)

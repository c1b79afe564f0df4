"""A network of dilated convolutions that steps a state by any lead time."""

from typing import Any, Self

from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.nn import DilatedBlock, TimeFeatures, convolution
from sciode.nn.dilated import DILATIONS
from sciode.surrogate.emulator import Emulator, Sized, sizes_of


class DilatedResNet(Emulator):
    """Residual blocks of dilated convolutions at full resolution; see :class:`sciode.nn.DilatedBlock`.

    It commutes with every translation of a periodic grid, and takes any grid of at least 8 points along an axis.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions (1 to 3).
    width, blocks : int
        Channels inside, and number of blocks: as published 48 and 4.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge; "circular" for a periodic domain.
    residual : bool
        Predict the change instead of the state.

    References
    ----------
    Stachenfeld et al., *Learned coarse models for efficient turbulence simulation* (arXiv:2112.15275).

    Examples
    --------
    >>> import torch
    >>> model = DilatedResNet(channels=2, dimensions=1, width=8, blocks=1)
    >>> model(torch.zeros(3, 2, 17), torch.ones(3)).shape
    torch.Size([3, 2, 17])
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        width: int = 48,
        blocks: int = 4,
        padding: str = "circular",
        residual: bool = True,
    ) -> None:
        super().__init__(
            {
                "channels": channels,
                "dimensions": dimensions,
                "width": width,
                "blocks": blocks,
                "padding": padding,
                "residual": residual,
            }
        )
        embedding = 4 * width
        self.time = TimeFeatures(embedding)
        self.network = DilatedBody(dimensions, channels, width, blocks, embedding, padding)

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return f for the normalised state ``v``."""
        return self.network(v, self.time(tau))

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the shape of ``data``."""
        return cls(**{**sizes_of(data), **config})


class DilatedBody(nn.Module):
    """Convolution, blocks, convolution.

    Raises
    ------
    InputError
        On a grid with fewer points along an axis than the widest dilation.
    """

    def __init__(
        self, dimensions: int, channels: int, width: int, blocks: int, embedding: int, padding: str
    ) -> None:
        super().__init__()
        self.enter = convolution(dimensions, channels, width, padding=padding)
        self.blocks = nn.ModuleList(DilatedBlock(dimensions, width, embedding, padding) for _ in range(blocks))
        self.leave = convolution(dimensions, width, channels, padding=padding)

    def forward(self, x: Float[Tensor, "b c *n"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b c *n"]:
        """Return the output field, on the grid of ``x``."""
        if min(x.shape[2:]) < max(DILATIONS):
            raise InputError(f"dilated convolutions need {max(DILATIONS)} points, got a grid {tuple(x.shape[2:])}")
        x = self.enter(x)
        for block in self.blocks:
            x = block(x, embedding)
        out: Tensor = self.leave(x)
        return out

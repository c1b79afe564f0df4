"""A U-Net that steps a state by any lead time."""

from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from sciode.nn import TimeFeatures, UNetBody
from sciode.surrogate.emulator import Emulator, Sized, sizes_of


class UNet(Emulator):
    """Residual U-Net with the lead time in every block (FiLM); see :class:`sciode.nn.UNetBody`.

    With circular padding it commutes with translations by multiples of ``2**depth`` points.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions (1 to 3).
    width, depth : int
        Channels of the finest level, and number of halvings: every grid size must be divisible by ``2**depth``.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge; "circular" for a periodic domain.
    heads : int
        Heads of self-attention on the coarsest level; 0 for none.
    norm : bool
        Group normalisation. Off by default: it divides the amplitude of a sample out of the features, and the
        amplitude is physics. On shifted sines of mixed amplitude it makes the one-step error 80 times larger.
    residual : bool
        Predict the change instead of the state.

    Examples
    --------
    >>> import torch
    >>> model = UNet(channels=2, dimensions=2, width=8, depth=2)
    >>> model(torch.zeros(3, 2, 16, 8), torch.ones(3)).shape
    torch.Size([3, 2, 16, 8])
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        width: int = 32,
        depth: int = 3,
        padding: str = "circular",
        heads: int = 0,
        norm: bool = False,
        residual: bool = True,
    ) -> None:
        super().__init__(
            {
                "channels": channels,
                "dimensions": dimensions,
                "width": width,
                "depth": depth,
                "padding": padding,
                "heads": heads,
                "norm": norm,
                "residual": residual,
            }
        )
        embedding = 4 * width
        self.time = TimeFeatures(embedding)
        self.network = UNetBody(
            dimensions,
            (channels, channels),
            width=width,
            depth=depth,
            embedding=embedding,
            padding=padding,
            heads=heads,
            norm=norm,
        )

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return f for the normalised state ``v``."""
        return self.network(v, self.time(tau))

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the shape of ``data``: as deep as the grid divides, at most 3."""
        depth = 3
        while depth > 1 and any(n % 2**depth or n < 2 ** (depth + 1) for n in data.shape[3:]):
            depth -= 1
        return cls(**{**sizes_of(data), "depth": depth, **config})

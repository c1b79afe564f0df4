"""The U-Net of the PDEArena as a surrogate."""

from collections.abc import Sequence
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.nn import ModernUNetBody, TimeFeatures
from sciode.surrogate.emulator import Emulator, Sized, sizes_of


class ModernUNet(Emulator):
    """Modern U-Net with the published settings by default; see :class:`sciode.nn.ModernUNetBody`.

    It normalises by groups, which divides the amplitude of a sample out of the features: for data whose samples
    are of like amplitude, such as turbulence on its attractor.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions (1 to 3).
    width : int
        Channels of the first convolution.
    multiples : sequence of int
        By how much each level multiplies the channels of the one above; between levels every axis is halved.
    blocks : int
        Residual blocks of each level on the way down, one more on the way up.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge; "circular" for a periodic domain.
    residual : bool
        Predict the change instead of the state.

    Examples
    --------
    >>> import torch
    >>> model = ModernUNet(channels=2, dimensions=2, width=8, multiples=(1, 2))
    >>> model(torch.zeros(3, 2, 16, 8), torch.ones(3)).shape
    torch.Size([3, 2, 16, 8])
    >>> sum(p.numel() for p in ModernUNet(1, 1).parameters()) // 100_000  # 53.7 million
    537
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        width: int = 64,
        multiples: Sequence[int] = (1, 2, 2, 4),
        blocks: int = 2,
        padding: str = "circular",
        residual: bool = True,
    ) -> None:
        super().__init__(
            {
                "channels": channels,
                "dimensions": dimensions,
                "width": width,
                "multiples": list(multiples),
                "blocks": blocks,
                "padding": padding,
                "residual": residual,
            }
        )
        if not multiples or any(type(factor) is not int or factor < 1 for factor in multiples):
            raise InputError(f"multiples are whole numbers from 1 up, one a level, got {list(multiples)}")
        embedding = 4 * width
        self.time = TimeFeatures(embedding)
        self.network = ModernUNetBody(
            dimensions,
            (channels, channels),
            width=width,
            multiples=multiples,
            blocks=blocks,
            embedding=embedding,
            padding=padding,
        )

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return f for the normalised state ``v``."""
        return self.network(v, self.time(tau))

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the shape of ``data``: with as many of the published levels as the grid divides."""
        multiples = [1, 2, 2, 4]
        while len(multiples) > 1 and any(n % 2 ** (len(multiples) - 1) for n in data.shape[3:]):
            multiples.pop()
        return cls(**{**sizes_of(data), "multiples": multiples, **config})

"""A diffusion model of single states, in physical units outside and unit spread inside."""

from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.data import Channelwise, Trajectories
from sciode.generative import EDM, Denoiser, Prediction, Schedule
from sciode.nn import TimeFeatures, UNetBody


class FieldModel(nn.Module):
    """A U-Net that denoises states, with the preconditioning of EDM (arXiv:2206.00364, table 1).

    Parameters
    ----------
    channels, dimensions : int
        Channels of a state, and space dimensions (1 to 3).
    width, depth : int
        Channels of the finest level, and number of halvings: ``2**depth`` divides every grid size.
    padding : {"circular", "replicate", "zeros"}
        What lies beyond the edge; "circular" for a periodic domain.
    heads : int
        Heads of self-attention on the coarsest level; 0 for none.

    Attributes
    ----------
    denoiser : Denoiser
        Of normalised states; what a sampler takes.
    normaliser : Channelwise
        Mean and spread of each channel.

    Examples
    --------
    >>> model = FieldModel(channels=1, dimensions=1, width=8, depth=2)
    >>> model.denoiser(torch.zeros(3, 1, 16), torch.tensor(0.5)).shape
    torch.Size([3, 1, 16])
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        width: int = 32,
        depth: int = 3,
        padding: str = "circular",
        heads: int = 4,
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("width", width), ("depth", depth)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        self.config: dict[str, Any] = {
            "channels": channels,
            "dimensions": dimensions,
            "width": width,
            "depth": depth,
            "padding": padding,
            "heads": heads,
        }
        self.normaliser = Channelwise(channels)
        self.level = TimeFeatures(4 * width)
        self.body = UNetBody(
            dimensions,
            (channels, channels),
            width=width,
            depth=depth,
            embedding=4 * width,
            padding=padding,
            heads=heads,
        )
        self.denoiser = Denoiser(self._network, EDM(), Prediction.EDM, label=_label, sigma_data=1.0)

    @classmethod
    def for_data(cls, data: Trajectories, **config: Any) -> Self:
        """Build a model for the shape of ``data``: as deep as the grid divides, at most 3."""
        depth = 3
        while depth > 1 and any(n % 2**depth or n < 2 ** (depth + 1) for n in data.shape[3:]):
            depth -= 1
        return cls(**{"channels": data.shape[2], "dimensions": len(data.shape) - 3, "depth": depth, **config})

    def _network(self, x: Float[Tensor, "b c *n"], label: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        return self.body(x, self.level(label))


def _label(schedule: Schedule, t: Tensor) -> Tensor:
    # TimeFeatures takes log2(1 + label): the root spreads 0.002..80 over a range its waves resolve.
    return torch.exp(-0.25 * schedule.lam(t))

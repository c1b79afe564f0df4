"""The Fourier neural operator, from neuraloperator."""

from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.surrogate.emulator import Emulator, Sized, sizes_of


class FNO(Emulator):
    """Fourier neural operator on a regular grid of any resolution.

    On a periodic domain there is no positional embedding, so the model commutes with translations. The lead
    time enters as one more constant channel. Sources: Li et al., arXiv:2010.08895; network from neuraloperator
    (Kossaifi et al., arXiv:2412.10354).

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions (1 to 3).
    modes : int
        Highest wavenumber kept along each axis; a grid of fewer than ``2 modes`` points keeps what it has.
    width, layers : int
        Hidden channels and Fourier layers.
    periodic : bool
        False adds the grid coordinates to the input and pads the domain by a tenth.
    residual : bool
        Predict the change instead of the state.

    Examples
    --------
    >>> model = FNO(channels=1, dimensions=1, modes=4, width=8, layers=2)
    >>> model(torch.zeros(3, 1, 32), torch.ones(3)).shape
    torch.Size([3, 1, 32])
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        modes: int = 16,
        width: int = 32,
        layers: int = 4,
        periodic: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__(
            {
                "channels": channels,
                "dimensions": dimensions,
                "modes": modes,
                "width": width,
                "layers": layers,
                "periodic": periodic,
                "residual": residual,
            }
        )
        self.network = _network(channels, dimensions, modes, width, layers, periodic)
        # The network puts its constructor arguments into state_dict(), where torch expects tensors only.
        self.register_state_dict_post_hook(_drop_metadata)

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return f for the normalised state ``v``."""
        level = torch.log2(1 + tau).view(-1, *(1,) * (v.ndim - 1)).expand(-1, 1, *v.shape[2:])
        return self.network(torch.cat([v, level], dim=1))

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the shape of ``data``; modes stay below half the points of the shortest axis."""
        shortest, dimensions = min(data.shape[3:]), len(data.shape) - 3
        modes = max(1, min({1: 16, 2: 12, 3: 8}[dimensions], shortest // 2 - 1))
        return cls(**{**sizes_of(data), "modes": modes, **config})


def _network(channels: int, dimensions: int, modes: int, width: int, layers: int, periodic: bool) -> nn.Module:
    from neuralop.models import FNO as Network

    from sciode.surrogate.spectral_conv import SingleSpectralConv

    # neuraloperator counts negative wavenumbers as well; an odd count keeps -modes..modes and no half pair.
    return Network(
        n_modes=(2 * modes + 1,) * dimensions,
        in_channels=channels + 1,
        out_channels=channels,
        hidden_channels=width,
        n_layers=layers,
        positional_embedding=None if periodic else "grid",
        domain_padding=None if periodic else 0.1,
        conv_module=SingleSpectralConv,
    )


def _drop_metadata(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    state.pop("_metadata", None)

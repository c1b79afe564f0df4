"""Networks that see a field beside the state, and a level beside the lead time: the inside of a refiner."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sciode.core.names import lookup
from sciode.nn import TimeFeatures
from sciode.surrogate.dilated import DilatedResNet
from sciode.surrogate.emulator import Sized
from sciode.surrogate.fno import FNO
from sciode.surrogate.modern_unet import ModernUNet
from sciode.surrogate.poseidon import Poseidon
from sciode.surrogate.unet import UNet


class Body(nn.Module):
    """A surrogate's network, given two fields ``"b 2c *n"``, the lead time and a level, ``[b]`` each."""

    kind: ClassVar[Any]

    def __init__(self, channels: int, dimensions: int, **config: Any) -> None:
        super().__init__()
        self.channels = channels
        # The level is one more field, constant; what comes out of the other channels is not used.
        self.inner: Any = self.kind(channels=2 * channels + 1, dimensions=dimensions, **config)

    def forward(self, x: Tensor, tau: Tensor, level: Tensor) -> Tensor:
        """Return ``"b c *n"``."""
        constant = level.view(-1, *(1,) * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])
        out: Tensor = self.inner.tendency(torch.cat([x, constant], dim=1), tau)
        return out[:, : self.channels]


class FNOBody(Body):
    """The Fourier neural operator."""

    kind = FNO


class PoseidonBody(Body):
    """The operator transformer."""

    kind = Poseidon


class UNetWithLevel(Body):
    """The U-Net, with the level among what conditions every block."""

    kind: ClassVar[Any] = UNet

    def __init__(self, channels: int, dimensions: int, **config: Any) -> None:
        super().__init__(channels, dimensions, **config)
        self.level = TimeFeatures(4 * self.inner.config["width"])

    def forward(self, x: Tensor, tau: Tensor, level: Tensor) -> Tensor:
        """Return ``"b c *n"``."""
        constant = level.view(-1, *(1,) * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])
        seen = self.inner.time(tau) + self.level(level)
        out: Tensor = self.inner.network(torch.cat([x, constant], dim=1), seen)
        return out[:, : self.channels]


class ModernUNetWithLevel(UNetWithLevel):
    """The U-Net of the PDEArena, as published for refining."""

    kind: ClassVar[Any] = ModernUNet


class DilatedWithLevel(UNetWithLevel):
    """Dilated convolutions, with the level among what conditions every block."""

    kind: ClassVar[Any] = DilatedResNet


def network_for(data: Sized, body: str, network: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network of a body's kind, sized for ``data``; ``network`` overrides any.

    Raises :class:`UnknownName` for a body that is not in :data:`BODIES`.
    """
    shape = data.shape
    inner = SimpleNamespace(shape=(*shape[:2], 2 * shape[2] + 1, *shape[3:]))
    own = lookup(body, BODIES, "body").kind.for_data(inner, **network).config
    return {key: value for key, value in own.items() if key not in ("channels", "dimensions")}


BODIES: dict[str, type[Body]] = {
    "dilated": DilatedWithLevel,
    "fno": FNOBody,
    "modern-unet": ModernUNetWithLevel,
    "poseidon": PoseidonBody,
    "unet": UNetWithLevel,
}
"""By name of the surrogate."""

"""A surrogate that sees the state before the present one too."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.names import lookup
from sciode.surrogate.conditional import BODIES, network_for
from sciode.surrogate.emulator import Emulator, Sized, sizes_of

_COLD = 0.1  # part of the training samples that begin without a past, as a forecast does


class History(Emulator):
    """A network that sees the present state and the change that led to it, one lead time earlier.

    A forecast begins without a past: the network is told so, and a tenth of its training is like that.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions.
    body : str
        The network inside, by the name of its surrogate, such as "unet" or "fno".
    network : mapping
        Its arguments.

    References
    ----------
    Lippe et al., *PDE-Refiner* (arXiv:2308.05732), section 4.1: the baseline with history.

    Examples
    --------
    >>> model = History(1, 1, network={"width": 4, "depth": 1}).eval()
    >>> u, dt = torch.zeros(2, 1, 8), torch.ones(2)
    >>> model(u, dt).shape, model(u, dt, past=u - 1.0).shape
    (torch.Size([2, 1, 8]), torch.Size([2, 1, 8]))
    """

    context: ClassVar[int] = 1
    """States before the present one that training shows."""

    def __init__(
        self, channels: int, dimensions: int, body: str = "unet", network: Mapping[str, Any] | None = None
    ) -> None:
        inner = dict(network or {})
        kept = {"channels": channels, "dimensions": dimensions, "body": body, "network": inner}
        super().__init__({**kept, "residual": True})
        del self.config["residual"]
        self.body: nn.Module = lookup(body, BODIES, "body")(channels, dimensions, **inner)

    def forward(
        self, u: Float[Tensor, "b c *n"], dt: Float[Tensor, " b"], past: Float[Tensor, "b c *n"] | None = None
    ) -> Float[Tensor, "b c *n"]:
        """Return the state ``dt`` after ``u``; ``past`` is the state ``dt`` before it, where there is one."""
        known = torch.full_like(dt, 0.0 if past is None else 1.0)
        if past is not None and self.training:
            known = (torch.rand_like(dt) >= _COLD).to(dt)
        before = u if past is None else past

        def tendency(v: Tensor, tau: Tensor) -> Tensor:
            flag = known.to(v)
            column = flag.view(-1, *(1,) * (v.dim() - 1))
            size = self._per_channel(self.increment)
            change = column * (v - self.normalised(before)) / torch.where(size == 0, 1.0, size)
            out: Tensor = self.body(torch.cat([change, v], dim=1), tau, flag)
            return out

        return self._step(u, dt, tendency)

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return f for the normalised state ``v`` without a past."""
        out: Tensor = self.body(torch.cat([torch.zeros_like(v), v], dim=1), tau, torch.zeros_like(tau))
        return out

    def after(self, past: Float[Tensor, "b 1 c *n"] | None) -> "Following":
        """Return the model at the start of one forecast, which remembers from then on what it is given."""
        return Following(self, None if past is None else past[:, -1])

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the shape of ``data``, and the network inside too."""
        network = network_for(data, config.get("body", "unet"), config.get("network", {}))
        return cls(**{**sizes_of(data), **config, "network": network})


class Following:
    """A model with memory along one forecast of equal steps.

    >>> model = History(1, 1, network={"width": 4, "depth": 1}).eval()
    >>> u, dt = torch.rand(2, 1, 8), torch.ones(2)
    >>> forecast = model.after(None)
    >>> first = forecast(u, dt)
    >>> bool((forecast(first, dt) == model(first, dt, past=u)).all())
    True
    """

    def __init__(self, model: History, past: Tensor | None) -> None:
        self.model, self.past = model, past

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the state ``dt`` after ``u``."""
        later: Tensor = self.model(u, dt, self.past)
        self.past = u
        return later

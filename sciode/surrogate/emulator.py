r"""The physical frame around a network: units, lead time, and the step from one state to the next.

Symbols: tau is the lead time over the reference lead, f the network's output, sigma the spread of each channel
and d the typical size of its change over the reference lead, in units of sigma.

.. math:: u(t + \Delta t) = u(t) + \tau\, d\, \sigma\, f\big((u - \mu)/\sigma, \tau\big)

With tau = 0 this is the identity whatever the weights are, and with f of size one the step has the size of
the data's own steps before training begins.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.data import Channelwise


class Sized(Protocol):
    """What a model has to know of a data set to fit it: its shape ``(b, t, c, *n)``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Trajectories, times, channels, and points along each axis."""
        ...


class Emulator(nn.Module, ABC):
    """A network in physical units; a subclass says what the network is, in :meth:`tendency`.

    Attributes
    ----------
    normaliser : Channelwise
        Mean and spread of each channel, saved with the weights.
    reference_dt : Tensor
        Lead time that counts as one, 0-dim, in the unit of the data.
    longest_lead : Tensor
        Longest lead time of the training, 0-dim; 0 where that is not known.
    increment : Tensor
        ``[c]``, typical change over ``reference_dt`` in units of the spread; 0 for a channel that never changes,
        such as a parameter of the equation, which every step then carries exactly.
    lowest, highest : Tensor
        ``[c]``, bounds in the training data of the channels that never change; infinite for the others.
    points : Tensor
        ``[dimensions]``, int64, points along each axis of the training data; 0 where that is not known.
    config : dict
        The constructor's arguments; ``type(model)(**model.config)`` builds its twin.
    """

    younger: ClassVar[tuple[str, ...]] = ("highest", "lowest", "points")
    """Buffers that weights of earlier versions lack, see :func:`sciode.nn.load_tensors`."""

    reference_dt: Tensor
    longest_lead: Tensor
    increment: Tensor
    lowest: Tensor
    highest: Tensor
    points: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)
        self.channels: int = config["channels"]
        self.dimensions: int = config["dimensions"]
        self.residual: bool = config["residual"]
        _check_counts(config)
        self.normaliser = Channelwise(self.channels)
        self.register_buffer("reference_dt", torch.tensor(1.0))
        self.register_buffer("longest_lead", torch.tensor(0.0))
        self.register_buffer("increment", torch.ones(self.channels))
        self.register_buffer("lowest", torch.full((self.channels,), -torch.inf))
        self.register_buffer("highest", torch.full((self.channels,), torch.inf))
        self.register_buffer("points", torch.zeros(self.dimensions, dtype=torch.int64))

    @abstractmethod
    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return f for the normalised state ``v``."""

    @classmethod
    @abstractmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model whose size fits ``data``; ``config`` overrides any argument."""

    def forward(self, u: Float[Tensor, "b c *n"], dt: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return the state ``dt`` after ``u``, in physical units and in the dtype of ``u``."""
        return self._step(u, dt, self.tendency)

    def _step(self, u: Tensor, dt: Tensor, tendency: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        self._check(u, dt)
        tau = self.leads(dt)
        return self.advanced(u, tau, tendency(self.normalised(u), tau))

    def leads(self, dt: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Return tau of lead times, in the dtype of the units."""
        return (dt / self.reference_dt).to(self.normaliser.std.dtype)

    def normalised(self, u: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:
        """Return ``u`` as the network sees it."""
        spread, mean = self._per_channel(self.normaliser.std), self._per_channel(self.normaliser.mean)
        normal: Tensor = (u.to(spread.dtype) - mean) / spread
        return normal

    def advanced(
        self, u: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"], f: Float[Tensor, "b c *n"]
    ) -> Float[Tensor, "b c *n"]:
        """Return the state that the network's output ``f`` stands for, in the dtype of ``u``."""
        spread = self._per_channel(self.normaliser.std)
        f = f.to(spread.dtype)
        if not self.residual:
            later = (self._per_channel(self.normaliser.mean) + spread * f).to(u.dtype)
            return torch.where(self._per_channel(self.increment) == 0, u, later)
        size = tau.view(-1, *(1,) * (self.dimensions + 1)) * self._per_channel(self.increment)
        return u + (size * spread * f).to(u.dtype)

    def moving(self) -> Float[Tensor, "c ..."]:
        """Return 1 for channels that change and 0 for those that a step carries, in the dtype of the units."""
        return self._per_channel((self.increment != 0).to(self.normaliser.std.dtype))

    def _per_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, *(1,) * self.dimensions)

    def _check(self, u: Tensor, dt: Tensor) -> None:
        if u.ndim != self.dimensions + 2 or u.shape[1] != self.channels:
            axes = " ".join("xyz"[: self.dimensions])
            raise InputError(
                f"{type(self).__name__} takes states 'b {self.channels} {axes}', got shape {tuple(u.shape)}"
            )
        if dt.shape != u.shape[:1]:
            raise InputError(f"dt takes one lead time a sample, [{u.shape[0]}], got {list(dt.shape)}")


def _check_counts(config: Mapping[str, Any]) -> None:
    for name, value in config.items():
        least = 0 if name == "heads" else 1
        if type(value) is int and value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    if config["dimensions"] > 3:
        raise InputError(f"dimensions must be 1, 2 or 3, got {config['dimensions']}")


def sizes_of(data: Sized) -> dict[str, int]:
    """Return the constructor arguments that the shape of ``data`` fixes.

    >>> from types import SimpleNamespace
    >>> sizes_of(SimpleNamespace(shape=(10, 21, 2, 64, 64)))
    {'channels': 2, 'dimensions': 2}
    """
    return {"channels": data.shape[2], "dimensions": len(data.shape) - 3}

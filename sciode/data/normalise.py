"""Normalisation per channel, fitted in one pass over data of any size.

Symbols: ``n`` count, ``m`` mean, ``s`` sum of squared deviations (Chan, Golub and LeVeque 1983, eq. 2.1).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.data.trajectories import Trajectories

_CONSTANT = 1e-6


class Channelwise(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel.

    A channel that does not vary has deviation 1, so that it becomes zero and comes back as it was.

    Parameters
    ----------
    channels
        Number of channels. Before :meth:`fit` the normaliser is the identity.

    Examples
    --------
    >>> u = torch.tensor([[[[1.0, 3.0]]], [[[9.0, 9.0]]]])
    >>> normaliser = Channelwise(1).fit(u, [0])
    >>> float(normaliser.mean), float(normaliser.std)
    (2.0, 1.0)
    >>> normaliser.restore(normaliser.normalise(u), axis=2).equal(u)
    True
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise InputError(f"channels must be positive, found {channels}")
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def fit(self, data: Trajectories | Tensor, ids: Sequence[int] | NDArray[np.int64]) -> Self:
        """Learn mean and deviation from trajectories ``ids`` of ``data`` ("b t c *n") alone, streaming."""
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size == 0:
            raise InputError("fit needs at least one trajectory")
        channels = data.shape[2]
        if channels != len(self.mean):
            raise InputError(f"expected {len(self.mean)} channels, found {channels}")
        n, m, s = 0, torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
        for block in _stream(data, ids):
            axes = [axis for axis in range(block.dim()) if axis != 2]
            variance, mean = torch.var_mean(block.detach().cpu().double(), dim=axes, correction=0)
            count = block.numel() // channels
            shift = mean - m
            m += shift * (count / (n + count))
            s += variance * count + shift.square() * (n * count / (n + count))
            n += count
        std = (s / n).sqrt()
        varies = std > _CONSTANT * m.abs() + torch.finfo(self.std.dtype).tiny
        self.mean.copy_(m)
        self.std.copy_(torch.where(varies, std, torch.ones_like(std)))
        return self

    def normalise(self, u: Tensor, axis: int = 1) -> Tensor:
        """Return (u - mean) / std. ``axis`` holds the channels: 1 in "b c *n", 2 in "b t c *n"."""
        mean, std = self._shaped(u, axis)
        return (u - mean) / std

    def restore(self, u: Tensor, axis: int = 1) -> Tensor:
        """Return u * std + mean: the inverse of :meth:`normalise`."""
        mean, std = self._shaped(u, axis)
        return u * std + mean

    def forward(self, u: Tensor) -> Tensor:
        """Normalise "b c *n"."""
        return self.normalise(u)

    def _shaped(self, u: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        if not -u.dim() <= axis < u.dim() or u.shape[axis] != len(self.mean):
            raise InputError(f"expected {len(self.mean)} channels on axis {axis}, found shape {list(u.shape)}")
        shape = [1] * u.dim()
        shape[axis] = -1
        return self.mean.reshape(shape), self.std.reshape(shape)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able contents."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` returned."""
        made = cls(len(values["mean"]))
        made.mean.copy_(torch.tensor(values["mean"]))
        made.std.copy_(torch.tensor(values["std"]))
        return made

    def extra_repr(self) -> str:
        """Show the number of channels."""
        return f"channels={len(self.mean)}"


def _stream(data: Trajectories | Tensor, ids: NDArray[np.int64]) -> Iterator[Tensor]:
    if isinstance(data, Tensor):
        yield from (data[int(i) : int(i) + 1] for i in ids)
    else:
        yield from (block for _, _, block in data.blocks(ids))

"""Learning to denoise single states: the training of diffusion and flow models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sciode.generative import Denoiser, Times, denoising


class Denoises(Protocol):
    """What :class:`DenoisingTask` needs of a model, besides a ``config``."""

    denoiser: Denoiser
    """Of normalised states."""

    normaliser: Any


@dataclass(frozen=True)
class DenoisingTask:
    """Make the loss of :func:`sciode.generative.denoising` small, of normalised states one by one.

    The kind of prediction decides what that is: for ``Prediction.EDM`` the loss of EDM, for ``Prediction.FLOW`` on
    a :class:`sciode.generative.LinearPath` flow matching.

    Parameters
    ----------
    times
        Law of the times; see :func:`sciode.generative.denoising`.
    noise
        Standard normal noise ``"b ..."`` -> the noise to add; None: as it is.

    Examples
    --------
    >>> from sciode.generative import LogNormalTimes
    >>> DenoisingTask(times=LogNormalTimes(std=1.0)).states
    1
    """

    times: Times | None = None
    noise: Callable[[Tensor], Tensor] | None = None

    @property
    def states(self) -> int:
        """One: a window is a state."""
        return 1

    def losses(self, model: Denoises, u: Tensor, dt: Tensor) -> Tensor:
        """Return the loss of every state, ``[b]``."""
        x0 = model.normaliser.normalise(u[:, 0])
        noise = None if self.noise is None else self.noise(torch.randn_like(x0))
        return denoising(model.denoiser, x0, times=self.times, noise=noise)

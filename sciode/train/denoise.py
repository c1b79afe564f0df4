"""Learning to denoise single states: the training of diffusion and flow models."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sciode.generative import Denoiser, Times, denoising, heavy_tailed


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
    extra
        D of PFGM++: the noise is :func:`sciode.generative.heavy_tailed`; infinite: Gaussian.

    Examples
    --------
    >>> from sciode.generative import LogNormalTimes
    >>> DenoisingTask(times=LogNormalTimes(std=1.0)).states
    1
    """

    times: Times | None = None
    extra: float = math.inf

    @property
    def states(self) -> int:
        """One: a window is a state."""
        return 1

    def losses(self, model: Denoises, u: Tensor, dt: Tensor) -> Tensor:
        """Return the loss of every state, ``[b]``."""
        x0 = model.normaliser.normalise(u[:, 0])
        seed = 0 if math.isinf(self.extra) else int(torch.randint(2**62, ()))
        noise = heavy_tailed(torch.randn_like(x0), self.extra, seed)
        return denoising(model.denoiser, x0, times=self.times, noise=noise)

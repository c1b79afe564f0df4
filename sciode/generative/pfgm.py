r"""PFGM++: noise with heavy tails in place of Gaussian noise; the sampler is EDM's.

Data of N elements are joined by D extra dimensions of norm r. The kernel :math:`p_r(x\mid y) \propto
(\lVert x - y\rVert^2 + r^2)^{-(N+D)/2}` with :math:`r = \sigma\sqrt{D}` is Student's distribution with D degrees
of freedom and scale sigma, and :math:`\mathrm{d}x/\mathrm{d}r = (x - D(x, r))/r` is the equation of EDM. So only
the numbers that are called noise differ, in training and at the start of sampling: D = 1 is the Poisson flow,
and D to infinity the diffusion.

Symbols: ``N`` elements of a sample, ``D`` extra dimensions, ``y`` data, ``r`` = sigma sqrt(D).

References
----------
Xu et al., *PFGM++: unlocking the potential of physics-inspired generative models* (arXiv:2302.04265), equations
(4), (8) and (9).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.generative.noise_source import sample_seeds
from sciode.generative.schedule import Schedule


def heavy_tailed(noise: Tensor, extra: float, seed: int | Sequence[int] = 0) -> Tensor:
    r"""Return Student's noise of ``extra`` degrees of freedom, made of standard normal ``noise``, ``"b ..."``.

    :math:`z / \sqrt{\chi^2_D / D}`, one :math:`\chi^2` per sample. Its norm is that of the published draw,
    :math:`\sqrt{D\,B/(1-B)}` with B from Beta(N/2, D/2), without the published clipping of B.

    Parameters
    ----------
    noise
        Standard normal; gives shape, dtype and device.
    extra
        D > 0; ``math.inf`` returns ``noise``.
    seed
        A number, or one per sample.

    Examples
    --------
    >>> noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(heavy_tailed(noise, math.inf), noise)
    True
    >>> bool(heavy_tailed(noise, 1.0).abs().max() > noise.abs().max())
    True
    """
    if not extra > 0.0:
        raise InputError(f"PFGM++ takes extra dimensions D > 0, found {extra}")
    if math.isinf(extra):
        return noise
    seeds = sample_seeds(seed, len(noise)) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(noise):
        raise InputError(f"{len(seeds)} seeds for a batch of {len(noise)} samples: give one number, or [b]")
    drawn = [np.random.default_rng(derive_seed(s, "chi-square")).chisquare(extra) for s in seeds]
    scale = torch.tensor([math.sqrt(extra / c) for c in drawn], dtype=torch.float64)
    return noise * scale.to(noise).reshape(-1, *[1] * (noise.dim() - 1))


@dataclass(frozen=True, eq=False)
class Points:
    r"""The exact denoiser of finitely many data points under PFGM++'s noise: what training would have to find.

    The mean of the points y, weighed by :math:`(1 + \lVert x - \alpha y\rVert^2 / (\sigma^2 D))^{-(N+D)/2}`.

    Parameters
    ----------
    points
        ``[m, n]``.
    schedule
        With alpha = 1, as ``EDM``, in PFGM++; any other works alike.
    extra
        D; ``math.inf`` is Gaussian noise.

    Examples
    --------
    >>> from sciode.generative import EDM
    >>> denoise = Points(torch.tensor([[-1.0], [1.0]]), EDM(), extra=64)
    >>> denoise(torch.zeros(1, 1), EDM().at(1.0))
    tensor([[0.]])
    """

    points: Tensor
    schedule: Schedule
    extra: float = math.inf

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return x0."""
        alpha, sigma = (v.to(x).reshape(-1, 1) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        points = self.points.to(x)
        square = ((x[:, None] - alpha[..., None] * points) ** 2).sum(-1) / sigma**2
        if math.isinf(self.extra):
            weight = -0.5 * square
        else:
            weight = -0.5 * (x.shape[1] + self.extra) * torch.log1p(square / self.extra)
        return torch.softmax(weight, dim=1) @ points

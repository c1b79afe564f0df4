"""Denoising MCMC, as a preset."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.generative.grid import check_lam
from sciode.generative.mcmc import DenoisingMCMC
from sciode.generative.noise_level import NoiseLevel


def denoising_mcmc(
    level: NoiseLevel,
    steps: int = 10,
    *,
    skip: int = 20,
    warmup: int = 100,
    size: float | Callable[[Tensor], Tensor] = 0.2,
    draw: str = "posterior",
    keep: str = "last",
) -> DenoisingMCMC:
    r"""Denoising Langevin-Gibbs: a chain over states and noise levels; what it visits is denoised.

    One more sample of a chain costs skip + 2 steps - 1 evaluations. The chain reaches what its levels join: they
    should begin where the modes of the data have merged, and end where little is left to denoise.

    Parameters
    ----------
    level
        The noise levels, and a network that knows p(level | x); trained by
        :func:`sciode.generative.level_matching`.
    steps
        Heun steps of the denoising on EDM's grid from the level reached, the last one to zero noise.
    skip, warmup
        Steps of the chain for each sample, and before the first.
    size
        eta of the Langevin step :math:`x + \frac\eta2 s(x) + \sqrt\eta\,z`: a number in units of sigma^2, so that
        it is stable at every level; or a function sigma -> eta, ``[b] -> [b]``. Published is a constant eta.
    draw
        "posterior": the level is drawn from p(level | x), which leaves the joint law as it is. "argmax": the
        likeliest one, as published code has it.
    keep
        "last": the last of ``skip`` visits, a fair draw. "least": the least noisy one, as published. Such visits
        do not have the law of their level: states that seldom get less noisy come too often among them, so that
        samples spread too far and modes are not met in proportion. The bias falls as ``skip`` grows.

    Raises
    ------
    InputError
        For numbers of steps below one, and a size that is not positive.

    References
    ----------
    Kim and Ye, *Denoising MCMC for accelerating diffusion-based generative models* (arXiv:2209.14593), algorithm
    1.

    Examples
    --------
    Data at the origin, whose score and levels are known:

    >>> from sciode.generative import VE
    >>> schedule = VE(0.01, 10.0)
    >>> def logits(x):
    ...     s = schedule.sigma(level.times).to(x)
    ...     return -0.5 * x.square().sum(1, keepdim=True) / s**2 - x.shape[1] * s.log()
    >>> level = NoiseLevel(logits, schedule, count=50)
    >>> sampler = denoising_mcmc(level, steps=5)
    >>> x0 = sampler.sample(lambda x, t: 0 * x, torch.randn(4, 2))
    >>> bool(x0.abs().max() < 1e-6), sampler.evaluations
    (True, 29)
    """
    if not isinstance(level, NoiseLevel):
        raise InputError(f"denoising_mcmc takes a NoiseLevel, found {type(level).__name__}")
    for name, value, least in (("steps", steps, 1), ("skip", skip, 1), ("warmup", warmup, 0)):
        if type(value) is not int or value < least:
            raise InputError(f"{name} takes a whole number >= {least}, found {value!r}")
    check_lam(level.levels.lam[[0, -1]], "a noise level")
    posterior = lookup(draw, {"posterior": True, "argmax": False}, "draw of the level")
    least = lookup(keep, {"least": True, "last": False}, "visit to keep")
    if not callable(size):
        size = _in_units(float(size))
    return DenoisingMCMC(level, steps, skip, warmup, size, posterior, least)


def _in_units(factor: float) -> Callable[[Tensor], Tensor]:
    if not 0.0 < factor < math.inf:
        raise InputError(f"size takes a number > 0, or a function of sigma; found {factor:g}")
    return lambda sigma: factor * torch.square(sigma)

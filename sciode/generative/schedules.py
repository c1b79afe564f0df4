r"""Schedules whose alpha falls to zero as that of a damped process, each with its exact inverse.

Symbols: as in :mod:`sciode.generative.schedule`; ``B`` the integral of beta from 0 to tau.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.schedule import Schedule


def log_sigma_preserving(log_alpha: Tensor) -> Tensor:
    """Return log sqrt(1 - alpha^2) without cancellation."""
    return 0.5 * torch.log(-torch.expm1(2.0 * log_alpha))


def log_alpha_preserving(lam: Tensor) -> Tensor:
    """Return log alpha at lam where alpha^2 + sigma^2 = 1."""
    return -0.5 * torch.nn.functional.softplus(-2.0 * lam, threshold=1e9)


class Preserving(Schedule):
    """Data of unit variance keep it on the way to noise."""

    def prior_std(self, t: float | Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(self.tau(t))


@dataclass(frozen=True)
class VP(Preserving):
    r"""Variance preserving, linear beta: :math:`\log\alpha = -B/2`, :math:`\sigma^2 = 1 - e^{-B}`.

    Parameters
    ----------
    beta_min, beta_max
        beta(tau) = beta_min + tau (beta_max - beta_min), tau in [0, 1].
    final
        Diffusion time where sampling ends by default.

    References
    ----------
    Song et al., *Score-based generative modeling through SDEs* (arXiv:2011.13456), equation (11).

    Examples
    --------
    >>> schedule = VP()
    >>> t = torch.linspace(0, 1, 5, dtype=torch.float64)
    >>> bool((schedule.time(schedule.lam(t)) - t).abs().max() < 1e-12)
    True
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    final: float = 1e-3

    begin = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.beta_min <= self.beta_max:
            raise InputError(f"VP needs 0 < beta_min <= beta_max, found {self.beta_min:g}, {self.beta_max:g}")

    @property
    def end(self) -> float:
        """``final``."""
        return self.final

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return -B/2."""
        return -0.5 * tau * (self.beta_min + 0.5 * tau * (self.beta_max - self.beta_min))

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sqrt(1 - e^{-B})."""
        return log_sigma_preserving(self.log_alpha_at(tau))

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Solve the quadratic B(tau) = -2 log alpha, in the form without cancellation."""
        total = -2.0 * log_alpha_preserving(lam)
        slope = self.beta_max - self.beta_min
        return 2.0 * total / (self.beta_min + torch.sqrt(self.beta_min**2 + 2.0 * slope * total))


@dataclass(frozen=True)
class SubVP(Preserving):
    r"""Sub-variance preserving: alpha as :class:`VP`, :math:`\sigma = 1 - \alpha^2`.

    References
    ----------
    arXiv:2011.13456, equation (29): the kernel's standard deviation is 1 - alpha^2 (its variance the square).

    Examples
    --------
    >>> schedule = SubVP()
    >>> round((schedule.alpha(0.5) ** 2 + schedule.sigma(0.5)).item(), 12)
    1.0
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    final: float = 1e-3

    begin = 1.0

    def __post_init__(self) -> None:
        VP(self.beta_min, self.beta_max)

    @property
    def end(self) -> float:
        """``final``."""
        return self.final

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return -B/2."""
        return VP(self.beta_min, self.beta_max).log_alpha_at(tau)

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log(1 - alpha^2)."""
        return torch.log(-torch.expm1(2.0 * self.log_alpha_at(tau)))

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Solve alpha / (1 - alpha^2) = e^lam for alpha, then B for tau."""
        # alpha = (-1 + sqrt(1 + 4 r^2)) / (2 r) with r = e^lam; its logarithm is asinh-like and stable so.
        log_alpha = -torch.asinh(0.5 * torch.exp(-lam))
        total = -2.0 * log_alpha
        slope = self.beta_max - self.beta_min
        return 2.0 * total / (self.beta_min + torch.sqrt(self.beta_min**2 + 2.0 * slope * total))


@dataclass(frozen=True)
class Cosine(Preserving):
    r"""Variance preserving, :math:`\alpha = \cos(\pi(\tau + s)/(2 + 2s)) / \cos(\pi s/(2 + 2s))`.

    Parameters
    ----------
    offset
        s.
    start
        Diffusion time where sampling begins by default, below 1, where alpha would be zero: 0.9946 is
        lam = -5.1 of the discrete schedule.
    final
        Diffusion time where sampling ends by default.

    References
    ----------
    Nichol and Dhariwal (arXiv:2102.09672), equation (17).

    Examples
    --------
    >>> round(Cosine().lam(Cosine().at(0.5)).item(), 4)
    -0.0123
    """

    offset: float = 0.008
    start: float = 0.9946
    final: float = 1e-3

    horizon = 1.0

    def __post_init__(self) -> None:
        if not (self.offset > 0.0 and 0.0 < self.start < 1.0):
            raise InputError(f"Cosine needs offset > 0 and 0 < start < 1, found {self.offset:g}, {self.start:g}")

    @property
    def begin(self) -> float:
        """``start``."""
        return self.start

    @property
    def end(self) -> float:
        """``final``."""
        return self.final

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return log alpha, to full relative accuracy near tau = 0, where it vanishes."""
        a = 0.5 * math.pi * self.offset / (1.0 + self.offset)
        u = 0.5 * math.pi * tau / (1.0 + self.offset)
        # cos(a + u) / cos(a) = 1 - (2 sin^2(u/2) + tan(a) sin(u))
        return torch.log1p(-(2.0 * torch.sin(0.5 * u) ** 2 + math.tan(a) * torch.sin(u)))

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sqrt(1 - alpha^2)."""
        return log_sigma_preserving(self.log_alpha_at(tau))

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Invert the cosine; near tau = 0 through the half angles, which do not cancel."""
        a = 0.5 * math.pi * self.offset / (1.0 + self.offset)
        # c = 1 - alpha = 2 sin^2(u/2) + tan(a) sin(u); with w = tan(u/2): c (1 + w^2) = 2 w^2 + 2 tan(a) w.
        c = -torch.expm1(log_alpha_preserving(lam))
        slope = math.tan(a)
        w = c / (slope + torch.sqrt(slope**2 + c * (2.0 - c)))
        return torch.atan(w) * 2.0 * (1.0 + self.offset) / (0.5 * math.pi)

r"""Schedules of growing noise, and the straight path, each with its exact inverse.

Symbols: as in :mod:`sciode.generative.schedule`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.schedule import Schedule


@dataclass(frozen=True)
class VE(Schedule):
    r"""Variance exploding: alpha = 1, :math:`\sigma = \sigma_{min} (\sigma_{max}/\sigma_{min})^\tau`.

    Its sigma does not go below sigma_min: ``end="zero"`` adds the step from there to zero noise.

    References
    ----------
    arXiv:2011.13456, equation (9).

    Examples
    --------
    >>> round(VE(0.01, 50.0).sigma(1.0).item(), 9)
    0.01
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    begin, end = 1.0, 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma_min < self.sigma_max:
            raise InputError(f"VE needs 0 < sigma_min < sigma_max, found {self.sigma_min:g}, {self.sigma_max:g}")

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(tau)

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sigma."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return low + tau * (high - low)

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Return the place of -lam between the logarithms."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return (-lam - low) / (high - low)


@dataclass(frozen=True)
class EDM(Schedule):
    """alpha = 1, sigma = tau: the diffusion time is the noise level itself.

    Parameters
    ----------
    sigma_min, sigma_max
        Where sampling ends and begins by default.

    References
    ----------
    Karras et al., *Elucidating the design space of diffusion-based generative models* (arXiv:2206.00364).

    Examples
    --------
    >>> round(EDM().sigma(EDM().at(2.0)).item(), 9)
    2.0
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma_min < self.sigma_max:
            raise InputError(f"EDM needs 0 < sigma_min < sigma_max, found {self.sigma_min:g}, {self.sigma_max:g}")

    @property
    def begin(self) -> float:
        """sigma_max."""
        return self.sigma_max

    @property
    def end(self) -> float:
        """sigma_min."""
        return self.sigma_min

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(tau)

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log tau."""
        return torch.log(tau)

    @property
    def spacing(self) -> str:
        """That of the paper."""
        return "karras"

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Return e^{-lam}."""
        return torch.exp(-lam)


@dataclass(frozen=True)
class LinearPath(Schedule):
    """Rectified flow and linear interpolants: alpha = t, sigma = 1 - t; no singularity but at the very noise.

    Parameters
    ----------
    start
        Diffusion time where sampling begins by default; 1 is pure noise, where lam = -inf: solvers in lam need
        less than 1, those in t do not.
    final
        Diffusion time where sampling ends by default.

    References
    ----------
    Liu, Gong and Liu (arXiv:2209.03003); Lipman et al. (arXiv:2210.02747).

    Examples
    --------
    >>> LinearPath().lam(0.5).item()
    0.0
    """

    start: float = 1.0
    final: float = 0.0

    horizon = 1.0

    @property
    def begin(self) -> float:
        """``start``."""
        return self.start

    @property
    def end(self) -> float:
        """``final``."""
        return self.final

    @property
    def spacing(self) -> str:
        """Even in time: lam begins at -inf."""
        return "time"

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return log(1 - tau)."""
        return torch.log1p(-tau)

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log tau."""
        return torch.log(tau)

    def velocity(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (a, b) of dx/dt = x0 - eps = (x0 - x)/(1 - t), regular at pure noise."""
        rate = 1.0 / self.tau(t)
        return -rate, rate

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Return 1 / (1 + e^lam)."""
        return torch.sigmoid(-lam)

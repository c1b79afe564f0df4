"""Schedules that hold data: tables of discrete diffusion models, and noise around a given state."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.schedule import Schedule
from sciode.generative.schedules import VP, Preserving, log_alpha_preserving, log_sigma_preserving


@dataclass(frozen=True, eq=False)
class Tabulated(Preserving):
    r"""The schedule of a discrete diffusion model, made continuous: log alpha is linear between its N entries.

    Parameters
    ----------
    alphas_cumprod
        :math:`\bar\alpha_i = \alpha_i^2`, ``[N]``, decreasing within (0, 1); entry i lies at tau = (i + 1) / N.
    final
        Diffusion time where sampling ends by default; None: 1 / N, the first entry.

    Raises
    ------
    InputError
        For a table that does not decrease strictly within (0, 1).

    Examples
    --------
    >>> betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    >>> schedule = Tabulated(torch.cumprod(1 - betas, 0))
    >>> t = torch.linspace(0, 0.999, 7, dtype=torch.float64)
    >>> bool((schedule.time(schedule.lam(t)) - t).abs().max() < 1e-12)
    True
    """

    alphas_cumprod: Tensor
    final: float | None = None
    _tau: Tensor = field(init=False, repr=False)
    _log_alpha: Tensor = field(init=False, repr=False)

    begin = 1.0

    def __post_init__(self) -> None:
        table = torch.as_tensor(self.alphas_cumprod, dtype=torch.float64).detach().cpu().flatten()
        good = (
            table.numel() > 0 and bool((table > 0).all() and (table < 1).all()) and bool((table.diff() < 0).all())
        )
        if not good:
            raise InputError("alphas_cumprod takes numbers that decrease strictly within (0, 1)")
        zero = torch.zeros(1, dtype=torch.float64)
        count = len(table)
        object.__setattr__(self, "_tau", torch.arange(count + 1, dtype=torch.float64) / count)
        object.__setattr__(self, "_log_alpha", torch.cat([zero, 0.5 * table.log()]))

    @property
    def end(self) -> float:
        """``final``, or the first entry."""
        return 1.0 / (len(self._tau) - 1) if self.final is None else self.final

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return log alpha, linear between entries."""
        return _line(tau, self._tau.to(tau.device), self._log_alpha.to(tau.device))

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sqrt(1 - alpha^2)."""
        return log_sigma_preserving(self.log_alpha_at(tau))

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Invert the line between the entries."""
        values = -self._log_alpha.to(lam.device)
        return _line(-log_alpha_preserving(lam), values, self._tau.to(lam.device))


@dataclass(frozen=True)
class Refinement(Preserving):
    r"""Noise in a few levels that grow by a constant factor, from a smallest one to all noise.

    As published its K + 1 levels follow from :math:`\beta_j = \sigma_{\min}^{2(1 - j/K)}` of a discrete
    diffusion, :math:`\sigma_j^2 = 1 - \prod_{i \le j} (1 - \beta_i)`; level j lies at tau = j / K, and log sigma
    is linear between levels. At tau = 1 nothing of the data is left.

    Parameters
    ----------
    steps
        K, at least 1: refinements after the first prediction.
    sigma_min
        Standard deviation of the noise at tau = 0, within (0, 1). The authors' ``min_noise_std`` is its square.

    Raises
    ------
    InputError
        For fewer than one step, and a level that is not within (0, 1).

    References
    ----------
    Lippe et al., *PDE-Refiner* (arXiv:2308.05732), section 3.1, and the authors' code.

    Examples
    --------
    >>> [float(f"{sigma:.3g}") for sigma in Refinement(3, 4e-7**0.5).levels]
    [0.000632, 0.0074, 0.0862, 1.0]
    """

    steps: int
    sigma_min: float

    begin = 1.0
    end = 0.0

    def __post_init__(self) -> None:
        if type(self.steps) is not int or self.steps < 1:
            raise InputError(f"a refinement takes a whole number of steps from 1 up, found {self.steps!r}")
        if not 0.0 < self.sigma_min < 1.0:
            raise InputError(f"sigma_min lies between 0 and 1, found {self.sigma_min:g}")

    @property
    def levels(self) -> list[float]:
        """Standard deviations of the noise, smallest first, ``K + 1`` of them."""
        return self._log_levels().exp().tolist()

    def _log_levels(self) -> Tensor:
        place = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        betas = torch.exp(2.0 * (1.0 - place) * math.log(self.sigma_min))
        return 0.5 * torch.log(-torch.expm1(torch.log1p(-betas).cumsum(0)))

    def _places(self, like: Tensor) -> Tensor:
        return torch.linspace(0.0, 1.0, self.steps + 1, dtype=torch.float64, device=like.device)

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return log sqrt(1 - sigma^2)."""
        return log_sigma_preserving(self.log_sigma_at(tau))

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sigma, linear between levels."""
        return _line(tau, self._places(tau), self._log_levels().to(tau.device))

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Return tau where log sigma is -log(1 + e^(2 lam)) / 2."""
        log_sigma = -0.5 * torch.nn.functional.softplus(2.0 * lam, threshold=1e9)
        return _line(log_sigma, self._log_levels().to(lam.device), self._places(lam))


def _line(x: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """Interpolate linearly, and beyond the ends with the slope of the last piece."""
    at = torch.searchsorted(nodes, x.contiguous()).clamp(1, len(nodes) - 1)
    low, high = nodes[at - 1], nodes[at]
    return values[at - 1] + (x - low) / (high - low) * (values[at] - values[at - 1])


@dataclass(frozen=True, eq=False)
class MeanReverting(Schedule):
    r"""Noise around a given state: :math:`x_t = \mu + \alpha (x_0 - \mu) + \sigma\varepsilon`.

    The forward equation is :math:`\mathrm{d}x = \theta (\mu - x)\,\mathrm{d}\tau + g\,\mathrm{d}W` with
    :math:`g^2 = 2\theta\sigma_\infty^2`, so :math:`\alpha = e^{-\int\theta}`, :math:`\sigma =
    \sigma_\infty \sqrt{1 - \alpha^2}`. Every sampler works in x - mu, where this is an ordinary schedule.

    Parameters
    ----------
    mu
        The state that noise gathers around (a degraded image, a forecast), broadcastable to ``"b ..."``.
    theta_min, theta_max
        theta(tau) rises linearly between them.
    sigma_inf
        The standard deviation that is reached in the end.
    final
        Diffusion time where sampling ends by default.

    References
    ----------
    Luo et al., *Image restoration with mean-reverting SDEs* (arXiv:2301.11699), equations (3)--(6).

    Examples
    --------
    >>> schedule = MeanReverting(torch.tensor(2.0), sigma_inf=0.5)
    >>> round(schedule.sigma(0.0).item(), 3)
    0.5
    """

    mu: Tensor
    theta_min: float = 0.05
    theta_max: float = 10.0
    sigma_inf: float = 1.0
    final: float = 1e-3

    begin = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.mu, Tensor):
            object.__setattr__(self, "mu", torch.as_tensor(self.mu, dtype=torch.float64))
        if not bool(torch.isfinite(self.mu).all()):
            raise InputError("mu holds NaN or infinity")
        if not self.sigma_inf > 0.0:
            raise InputError(f"sigma_inf must be positive, found {self.sigma_inf:g}")
        self._inner()

    def prior_std(self, t: float | Tensor) -> Tensor:
        """Return sigma_inf."""
        return torch.full_like(self.tau(t), self.sigma_inf)

    def _inner(self) -> VP:
        return VP(2.0 * self.theta_min, 2.0 * self.theta_max)

    @property
    def centre(self) -> Tensor:
        """mu."""
        return self.mu

    @property
    def end(self) -> float:
        """``final``."""
        return self.final

    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return minus the integral of theta."""
        return self._inner().log_alpha_at(tau)

    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sigma."""
        return self._inner().log_sigma_at(tau) + math.log(self.sigma_inf)

    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Return tau: that of the ordinary schedule at lam + log sigma_inf."""
        return self._inner().diffusion_time(lam + math.log(self.sigma_inf))

r"""Noise schedules: :math:`x_t = \alpha_t x_0 + \sigma_t \varepsilon`.

One convention inside: t runs from 0 (noise) to 1 (data). The field mostly counts the other way, and not always
from 0 to 1; its time is called the diffusion time here, tau, and each schedule says how the two are related.

Symbols: ``t`` time, ``tau`` diffusion time, ``lam`` = log(alpha/sigma), half the logarithm of the signal-to-noise
ratio, ``rho`` = sigma/alpha.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sciode.core.errors import InputError


class Schedule(ABC):
    """What every schedule offers. A new one defines the four abstract methods, in diffusion time."""

    @property
    @abstractmethod
    def begin(self) -> float:
        """The diffusion time of pure noise, where sampling begins unless told otherwise."""

    @property
    @abstractmethod
    def end(self) -> float:
        """The diffusion time where sampling ends unless told otherwise."""

    @abstractmethod
    def log_alpha_at(self, tau: Tensor) -> Tensor:
        """Return log alpha at diffusion times, float64."""

    @abstractmethod
    def log_sigma_at(self, tau: Tensor) -> Tensor:
        """Return log sigma at diffusion times, float64; -inf at zero noise."""

    @abstractmethod
    def diffusion_time(self, lam: Tensor) -> Tensor:
        """Return the diffusion time at ``lam``: the inverse of lam, exact; lam = inf included."""

    @property
    def horizon(self) -> float:
        """The diffusion time at t = 0: t = 1 - tau / horizon."""
        return self.begin

    @property
    def centre(self) -> Tensor | None:
        """What the noise is centred on; None: zero. ``x - centre`` obeys the equations."""
        return None

    def at(self, tau: float | Tensor) -> Tensor:
        """Return the library's time t of a diffusion time."""
        return 1.0 - _wide(tau) / self.horizon

    def tau(self, t: float | Tensor) -> Tensor:
        """Return the diffusion time of the library's time: the inverse of :meth:`at`."""
        return (1.0 - _wide(t)) * self.horizon

    def log_alpha(self, t: float | Tensor) -> Tensor:
        """Return log alpha at the library's times, float64."""
        return self.log_alpha_at(self.tau(t))

    def log_sigma(self, t: float | Tensor) -> Tensor:
        """Return log sigma at the library's times, float64."""
        return self.log_sigma_at(self.tau(t))

    def alpha(self, t: float | Tensor) -> Tensor:
        """Return the factor of the data, float64, shaped like ``t``."""
        return self.log_alpha(t).exp()

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return the standard deviation of the noise, float64, shaped like ``t``."""
        return self.log_sigma(t).exp()

    def lam(self, t: float | Tensor) -> Tensor:
        """Return log(alpha / sigma), float64; it increases with t."""
        tau = self.tau(t)
        return self.log_alpha_at(tau) - self.log_sigma_at(tau)

    def time(self, lam: float | Tensor) -> Tensor:
        """Return the library's time at ``lam``: the inverse of :meth:`lam`."""
        return self.at(self.diffusion_time(_wide(lam)))

    def velocity(self, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return (a, b) of dx/dt = a x + b x0, probability flow in t: (log sigma)' and alpha lam'."""
        growth, rise = self.rates(t)
        return growth - rise, self.alpha(t.detach()) * rise

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log alpha)' and lam', by the library's time."""
        with torch.enable_grad():
            at = _wide(t).detach().clone().requires_grad_()
            (falling,) = torch.autograd.grad(self.log_sigma(at).sum(), at)
            log_alpha = self.log_alpha(at)
            # (log alpha)' vanishes where alpha is constant, and autograd then knows no path to it
            growth = torch.zeros_like(at)
            if log_alpha.requires_grad:
                (growth,) = torch.autograd.grad(log_alpha.sum(), at)
        return growth, growth - falling

    @property
    def spacing(self) -> str:
        """Where samplers look unless told otherwise: a name of :data:`SPACINGS`."""
        return "lam"

    def prior_std(self, t: float | Tensor) -> Tensor:
        """Return the standard deviation of the state where sampling begins; the noise's, unless data add to it."""
        return self.sigma(t)

    def prior(self, noise: Tensor, t: float | Tensor) -> Tensor:
        """Return the state where sampling begins, at ``t`` ``[]``, of standard normal ``noise``."""
        spread = self.prior_std(t).item()
        start = noise if spread == 1.0 else noise * spread
        return start if self.centre is None else start + self.centre.to(start)

    def standard(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return the noise that a state came from: the inverse of :meth:`prior`."""
        return (x if self.centre is None else x - self.centre.to(x)) / self.prior_std(t).item()

    def marginal(self, x0: Tensor, noise: Tensor, t: float | Tensor) -> Tensor:
        """Return x_t = alpha x0 + sigma noise, ``"b ..."``; ``t`` ``[]`` or ``[b]``."""
        alpha, sigma = (
            value.to(x0).reshape(-1, *[1] * (x0.dim() - 1)) if value.dim() else value.to(x0)
            for value in (self.alpha(t), self.sigma(t))
        )
        if self.centre is None:
            return alpha * x0 + sigma * noise
        mu = self.centre.to(x0)
        return mu + alpha * (x0 - mu) + sigma * noise

    def agrees(self, other: "Schedule") -> bool:
        """Say whether the other schedule is the same function of the library's time."""
        t = torch.linspace(0.02, 0.98, 9, dtype=torch.float64)
        return self is other or bool(
            torch.allclose(self.log_alpha(t), other.log_alpha(t), rtol=1e-9, atol=1e-12)
            and torch.allclose(self.log_sigma(t), other.log_sigma(t), rtol=1e-9, atol=1e-12)
        )

    def check_span(self, begin: float, end: float) -> None:
        """Raise :class:`InputError` unless ``end < begin`` lie within the schedule."""
        if not 0.0 <= end < begin:
            raise InputError(
                f"sampling goes from begin down to end in diffusion time, 0 <= end < begin; found begin = "
                f"{begin:g}, end = {end:g}"
            )
        if begin > self.horizon * (1 + 1e-12):
            raise InputError(f"begin = {begin:g} lies beyond the schedule, which starts at {self.horizon:g}")


def digest(numbers: Iterable[float]) -> str:
    """Return a fingerprint of numbers, to eight digits, the same on every machine."""
    return hashlib.blake2b("/".join(f"{v:.8g}" for v in numbers).encode(), digest_size=12).hexdigest()


def _wide(value: float | Tensor | Sequence[float]) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)

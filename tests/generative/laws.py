"""Laws of data whose denoisers are known: Gaussians and their mixtures."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciode.generative import Schedule


@dataclass(frozen=True)
class Mixture:
    """Equally weighted isotropic Gaussians around ``centres`` ``[m, d]``, variance ``variance``."""

    schedule: Schedule
    centres: Tensor
    variance: float

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[x0 | x]."""
        alpha, sigma = (v.to(x) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        if alpha.dim():
            alpha, sigma = alpha[:, None], sigma[:, None]
        centres = self.centres.to(x)
        total = alpha**2 * self.variance + sigma**2
        away = x[:, None] - alpha[..., None] * centres if alpha.dim() else x[:, None] - alpha * centres
        scale = total[..., None] if total.dim() else total
        logits = -0.5 * (away**2).sum(-1) / (scale.squeeze(-1) if total.dim() else scale)
        gain = alpha * self.variance / total
        means = centres + (gain[..., None] if gain.dim() else gain) * away
        return (torch.softmax(logits, -1)[..., None] * means).sum(1)

    def log_prob(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return log p_t(x)."""
        alpha, sigma = self.schedule.alpha(t).to(x), self.schedule.sigma(t).to(x)
        total = alpha**2 * self.variance + sigma**2
        away = ((x[:, None] - alpha * self.centres.to(x)) ** 2).sum(-1)
        d, m = x.shape[1], len(self.centres)
        return torch.logsumexp(-0.5 * away / total, 1) - math.log(m) - 0.5 * d * torch.log(2 * math.pi * total)

    def flow(self, x: Tensor, begin: float, end: float) -> Tensor:
        """Return the flow of the probability-flow equation between library times, by scipy's DOP853."""
        schedule = self.schedule
        span = [schedule.lam(torch.tensor(t, dtype=torch.float64)).item() for t in (begin, end)]

        def slope(lam: float, y: np.ndarray) -> np.ndarray:
            t = schedule.time(torch.tensor(lam, dtype=torch.float64))
            alpha = schedule.alpha(t)
            state = torch.from_numpy(y.reshape(x.shape)) * alpha
            return (-torch.from_numpy(y.reshape(x.shape)) + self(state, t)).numpy().ravel()

        start = x.double() / schedule.alpha(torch.tensor(begin, dtype=torch.float64))
        made = solve_ivp(slope, span, start.numpy().ravel(), method="DOP853", rtol=1e-13, atol=1e-13)
        last = schedule.alpha(torch.tensor(end, dtype=torch.float64))
        return torch.from_numpy(made.y[:, -1].reshape(x.shape)) * last


def mixture(schedule: Schedule, dimension: int = 8, modes: int = 5, variance: float = 0.05) -> Mixture:
    """Return the mixture that the tests share."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(modes, dimension, generator=generator, dtype=torch.float64)
    return Mixture(schedule, centres, variance)


def gaussian(schedule: Schedule, mean: Tensor, variance: float) -> Mixture:
    """Return a single Gaussian."""
    return Mixture(schedule, mean.reshape(1, -1), variance)


def gaussian_flow(law: Mixture, x: Tensor, begin: float, end: float) -> Tensor:
    """Return the closed form: (x - alpha m) / sqrt(alpha^2 c + sigma^2) is constant."""
    schedule = law.schedule
    (a0, a1) = (schedule.alpha(t) for t in (begin, end))
    (s0, s1) = (schedule.sigma(t) for t in (begin, end))
    ratio = torch.sqrt((a1**2 * law.variance + s1**2) / (a0**2 * law.variance + s0**2))
    return a1 * law.centres + ratio * (x - a0 * law.centres)

r"""Empirical model statistics: the linear part that suits a model, and the drift of what it leaves
(DPM-Solver-v3).

With y = x / alpha the probability flow is :math:`\mathrm{d}y/\mathrm{d}\lambda = -l\,y - N`, N = (sigma eps - l
x)/alpha, for any l. The best l is the mean diagonal of the Jacobian of sigma eps; what is then left is modelled
along the flow by :math:`N' = s\,N + b`, by least squares. l = 0 is noise prediction and l = 1 data prediction:
here every element of a sample has its own, at every lam.

Symbols: ``l``, ``s``, ``b`` elementwise; ``F`` the denoised state; ``v`` Rademacher vectors.

References
----------
Zheng et al., *DPM-Solver-v3: improved diffusion ODE solver with empirical model statistics* (arXiv:2310.13268),
equations (5), (9) and (11).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from sciode.core.checkpoint import load_checkpoint, save_checkpoint
from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.core.random import generator
from sciode.generative.denoiser import Denoise
from sciode.generative.grid import check_lam
from sciode.generative.schedule import Schedule, digest

EXACT_UP_TO = 16
_KIND = "statistics"


@dataclass(frozen=True, eq=False)
class Statistics:
    """Elementwise numbers at increasing ``lam`` ``[k]``; ``l``, ``s``, ``b`` are ``[k, ...]``, float64 on the
    host.

    They belong to a model, its guidance, and a schedule: ``model`` is the name you gave, ``schedule`` a
    fingerprint.
    """

    lam: Tensor
    l: Tensor  # noqa: E741 - the letter of the paper
    s: Tensor
    b: Tensor
    schedule: str
    model: str = ""

    def save(self, path: str | Path) -> None:
        """Write as safetensors, atomically."""
        tensors = {"lam": self.lam, "l": self.l, "s": self.s, "b": self.b}
        save_checkpoint(path, tensors, {"kind": _KIND, "schedule": self.schedule, "model": self.model})

    @staticmethod
    def load(path: str | Path) -> "Statistics":
        """Read back.

        Raises
        ------
        InputError
            For a file that is damaged or holds something else.
        """
        tensors, card = load_checkpoint(path)
        if card.get("kind") != _KIND or set(tensors) != {"lam", "l", "s", "b"}:
            raise InputError(f"{path} holds no statistics of a model, but {sorted(tensors)}")
        return Statistics(**tensors, schedule=str(card["schedule"]), model=str(card["model"]))

    def check(self, schedule: Schedule, lam: Tensor) -> None:
        """Raise :class:`InputError` unless they are of this schedule and span ``lam``."""
        if self.schedule != schedule_key(schedule):
            raise InputError(f"the statistics were fitted for another schedule than {schedule}: fit them anew")
        low, high = self.lam[0].item() - 1e-9, self.lam[-1].item() + 1e-9
        if not bool(((lam >= low) & (lam <= high)).all()):
            raise InputError(
                f"the statistics span lam = {low:.4g} to {high:.4g}, the grid {lam[0]:.4g} to {lam[-1]:.4g}: fit "
                "them over the span that is sampled"
            )


def schedule_key(schedule: Schedule) -> str:
    """Return a fingerprint of a schedule, the same on every machine."""
    t = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    return digest([*schedule.log_alpha(t).tolist(), *schedule.log_sigma(t).tolist()])


def fit_statistics(
    denoise: Denoise,
    data: Tensor,
    schedule: Schedule,
    *,
    begin: float | None = None,
    end: float | None = None,
    points: int = 120,
    probes: int = 4,
    ridge: float = 1e-6,
    model: str = "",
    seed: int = 0,
    quiet: bool = False,
) -> Statistics:
    """Fit the statistics of a model on samples of data.

    Costs, at each of ``points`` levels and for every sample of ``data``, 2 probes + 3 evaluations; derivatives
    are central differences, so any network will do.

    Parameters
    ----------
    denoise
        (x, t) -> x0, with its guidance.
    data
        ``"n ..."``: a thousand samples are plenty; their mean and variance per element are what is wanted.
    begin, end
        Diffusion times to span, end > 0.
    points
        Levels, even in lam.
    probes
        Rademacher vectors a sample for the diagonal of the Jacobian; with 16 elements or fewer it is exact.
    ridge
        Share of the mean squares of N and x0 added to the variance of N: where it does not vary, s is 0.

    Raises
    ------
    InputError
        For fewer than two samples or four points, and data that are not finite.
    """
    if data.dim() < 2 or len(data) < 2 or not bool(torch.isfinite(data).all()):
        raise InputError(f"data takes finite samples 'n ...' with n >= 2, found {list(data.shape)}")
    if points < 4 or probes < 1:
        raise InputError(f"points >= 4 and probes >= 1 must hold, found {points} and {probes}")
    first = schedule.begin if begin is None else begin
    last = schedule.end if end is None else end
    schedule.check_span(first, last)
    ends = schedule.lam(schedule.at(torch.tensor([first, last], dtype=torch.float64)))
    check_lam(ends, "a fit of statistics")
    lam = torch.linspace(ends[0].item(), ends[1].item(), points, dtype=torch.float64)
    level = _Level(denoise, data, schedule, seed)
    with torch.no_grad():
        l = _over(lam, lambda k: level.linear(lam[k], k, probes), "linear part", quiet)  # noqa: E741
        slope = torch.from_numpy(CubicSpline(lam.numpy(), l.numpy())(lam.numpy(), 1))
        pairs = _over(lam, lambda k: torch.stack(level.drift(lam[k], k, l[k], slope[k], ridge)), "drift", quiet)
    return Statistics(lam, l, pairs[:, 0].contiguous(), pairs[:, 1].contiguous(), schedule_key(schedule), model)


def _over(lam: Tensor, each: Callable[[int], Tensor], label: str, quiet: bool) -> Tensor:
    rows = []
    with progress(f"fitting the {label}", len(lam), quiet=quiet) as bar:
        for k in range(len(lam)):
            rows.append(each(k).to("cpu", torch.float64))
            bar.advance()
    return torch.stack(rows)


@dataclass(frozen=True, eq=False)
class _Level:
    """Means over the data at one level of noise."""

    denoise: Denoise
    data: Tensor
    schedule: Schedule
    seed: int

    def state(self, lam: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return t, alpha, and the data with noise, the same at every call."""
        t = self.schedule.time(lam)
        stream = generator(self.seed, "level", k, device=self.data.device)
        noise = torch.empty_like(self.data).normal_(generator=stream)
        return t, self.schedule.alpha(t).to(self.data), self.schedule.marginal(self.data, noise, t)

    def linear(self, lam: Tensor, k: int, probes: int) -> Tensor:
        """Return the mean of the diagonal of d(sigma eps)/dx = 1 - alpha dF/dx."""
        t, alpha, x = self.state(lam, k)
        size = _small(x) * x.std()
        stream = generator(self.seed, "probe", k, device=x.device)
        count = x[0].numel()
        total = torch.zeros_like(x[0])
        exact = count <= EXACT_UP_TO
        for probe in range(count if exact else probes):
            v = torch.zeros_like(x)
            if exact:
                v.flatten(1)[:, probe] = 1.0
            else:
                v = torch.randint(0, 2, x.shape, generator=stream, device=x.device).to(x) * 2.0 - 1.0
            turned = (self.denoise(x + size * v, t) - self.denoise(x - size * v, t)) / (2.0 * size)
            total = total + (v * turned).mean(0)
        return 1.0 - alpha * total / (1 if exact else probes)

    def drift(self, lam: Tensor, k: int, l: Tensor, slope: Tensor, ridge: float) -> tuple[Tensor, Tensor]:  # noqa: E741
        """Return s and b of the regression of N' on N."""
        t, alpha, x = self.state(lam, k)
        centre = 0.0 if self.schedule.centre is None else self.schedule.centre.to(x)
        l, slope = l.to(x), slope.to(x)  # noqa: E741
        x0 = self.denoise(x, t) - centre
        y = (x - centre) / alpha
        h = _small(x)
        moved = []
        for sign in (1.0, -1.0):
            # along the flow: dy/dlam = x0 - y
            then = self.schedule.time(lam + sign * h)
            ahead = y + sign * h * (x0 - y)
            moved.append(self.denoise(ahead * self.schedule.alpha(then).to(x) + centre, then) - centre)
        change = (moved[0] - moved[1]) / (2.0 * h)
        n = (1.0 - l) * y - x0
        rate = -slope * y + (1.0 - l) * (x0 - y) - change
        mean, away = n.mean(0), n - n.mean(0)
        # beside the size of x0 too: N itself may vanish
        size = n.square().mean(0) + x0.square().mean(0) + torch.finfo(x.dtype).tiny
        variance = away.square().mean(0) + ridge * size
        s = (away * (rate - rate.mean(0))).mean(0) / variance
        return s, rate.mean(0) - s * mean


def _small(x: Tensor) -> float:
    """Return the step of a central difference: the cube root of the precision balances its two errors."""
    return float(torch.finfo(x.dtype).eps) ** (1.0 / 3.0)

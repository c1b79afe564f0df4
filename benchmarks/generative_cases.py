"""What samplers are compared on: laws whose denoiser is known, and a trained model of fields."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from sciode.data import open_trajectories, split
from sciode.generative import EDM, VP, Denoise, Schedule, presets
from sciode.surrogate import load_surrogate
from sciode.synthesis import FieldModel

DIMENSION = 8


@dataclass(frozen=True)
class Law:
    """Equally weighted Gaussians with centres ``[m, d]`` and variances ``[d]``; called as a denoiser."""

    schedule: Schedule
    centres: Tensor
    variances: Tensor

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[x0 | x], t being ``[]`` or ``[b]``."""
        alpha, sigma = (v.reshape(-1, 1, 1) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        total = alpha**2 * self.variances + sigma**2
        away = x[:, None] - alpha * self.centres
        weights = torch.softmax(-0.5 * (away**2 / total).sum(-1), -1)
        return (weights[..., None] * (self.centres + alpha * self.variances / total * away)).sum(1)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Return log p_t(x) up to a constant that does not depend on t."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        total = alpha**2 * self.variances + sigma**2
        away = x[:, None] - alpha * self.centres
        return torch.logsumexp(-0.5 * (away**2 / total).sum(-1), 1) - 0.5 * total.log().sum()

    def draw(self, count: int, t: Tensor, generator: Generator) -> Tensor:
        """Return exact samples of the law at time t, ``[count, d]``."""
        mode = torch.randint(len(self.centres), (count,), generator=generator)
        z = torch.randn(2, count, self.centres.shape[1], generator=generator, dtype=torch.float64)
        x0 = self.centres[mode] + self.variances.sqrt() * z[0]
        return self.schedule.marginal(x0, z[1], t)


def mixture(schedule: Schedule) -> Law:
    """Return five modes."""
    generator = Generator().manual_seed(5)
    centres = torch.randn(5, DIMENSION, generator=generator, dtype=torch.float64)
    return Law(schedule, centres, torch.full((DIMENSION,), 0.05, dtype=torch.float64))


def gaussian(schedule: Schedule) -> Law:
    """Return a Gaussian with standard deviations from 0.03 to 1, as fields with a spectrum have."""
    spread = torch.logspace(-1.5, 0.0, DIMENSION, dtype=torch.float64)
    return Law(schedule, torch.full((1, DIMENSION), 0.3, dtype=torch.float64), spread**2)


@dataclass(frozen=True, eq=False)
class Case:
    """A denoiser, and where samplers look.

    Attributes
    ----------
    noise
        Standard normal, of the samples to compare.
    data
        Clean samples, for methods that are fitted.
    fine
        Steps of the coarser of the two references; the finer has twice as many.
    points
        Levels at which statistics are fitted.
    """

    denoise: Denoise
    schedule: Schedule
    spacing: str
    begin: float | None
    end: float
    noise: Tensor
    data: Tensor
    fine: int = 1000
    points: int = 200

    @property
    def where(self) -> dict[str, Any]:
        """The grid, as keywords of a preset."""
        return {"spacing": self.spacing, "begin": self.begin, "end": self.end}


def analytic(make: Callable[[Schedule], Law], schedule: Schedule, spacing: str, end: float) -> Case:
    """Return a case whose denoiser is exact."""
    law = make(schedule)
    noise = torch.randn(256, DIMENSION, dtype=torch.float64, generator=Generator().manual_seed(1))
    data = law.draw(1000, schedule.at(0.0), Generator().manual_seed(2))
    return Case(law, schedule, spacing, None, end, noise, data)


def trained(directory: Path, file: Path) -> Case:
    """Return the model that ``sciode generate`` trained, in float64, sampled as that command does."""
    path = directory / "checkpoints" / "best.safetensors"
    model = load_surrogate(path, {"fieldmodel": FieldModel}).double()
    assert isinstance(model, FieldModel)
    data = open_trajectories(file)
    ids = split(data, seed=0).train
    states = model.normaliser.normalise(data[ids].flatten(0, 1)[::40].double())
    noise = torch.randn(64, *states.shape[1:], dtype=torch.float64, generator=Generator().manual_seed(1))
    schedule = model.denoiser.schedule
    return Case(model.denoiser, schedule, "karras", 20.0, 0.01, noise, states[:64], fine=80, points=60)


def analytic_cases() -> dict[str, Case]:
    """Return the cases that need no training."""
    return {
        "mixture, VP, lam": analytic(mixture, VP(), "lam", 1e-3),
        "mixture, VP, time": analytic(mixture, VP(), "time", 1e-2),
        "mixture, EDM, karras": analytic(mixture, EDM(), "karras", 2e-3),
        "Gaussian, VP, lam": analytic(gaussian, VP(), "lam", 1e-3),
    }


def reference(case: Case) -> Tensor:
    """Return the exact flow; two resolutions must agree."""
    ends = []
    for steps in (case.fine, 2 * case.fine):
        fine = presets.deis(case.schedule, 4, steps, "lam", case.begin, case.end, variant="rhoRK")
        ends.append(fine.sample(case.denoise, case.noise))
    difference = relative(ends[0], ends[1])
    if difference > 1e-6:
        raise RuntimeError(f"the reference is not exact: two resolutions differ by {difference:.1e}")
    return ends[1]


def relative(x: Tensor, want: Tensor) -> float:
    """Return the median distance over samples, over the root mean square of ``want``."""
    x, want = x.flatten(1), want.flatten(1)
    return ((x - want).norm(dim=1).median() / want.square().sum(1).mean().sqrt()).item()

"""Error over evaluations of every deterministic sampler, on laws whose denoiser is known.

    OMP_NUM_THREADS=1 python -m benchmarks.generative

Within a case all methods have the same grid rule, begin and end: the last time is above zero noise, so the error
is that of the method alone, and the reference is the exact flow to that time. Methods are to be compared within a
case only: between cases the grid differs, and matters more. The error is the distance of a sample's final state
from the reference over the root mean square of all; the median over samples, as near a ridge of a mixture the
least error decides to which mode a sample goes. float64. Draws ``docs/images/generative.png``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.harness import machine, write
from sciode.core.errors import InputError
from sciode.generative import EDM, VP, Sampler, Schedule, presets

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EVALUATIONS = (5, 6, 8, 10, 12, 15, 20, 30, 40)
SAMPLES, DIMENSION = 256, 8

Make = Callable[..., Sampler]


@dataclass(frozen=True)
class Law:
    """Equally weighted Gaussians with centres ``[m, d]`` and variances ``[d]``; called as a denoiser."""

    schedule: Schedule
    centres: Tensor
    variances: Tensor

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[x0 | x]."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        total = alpha**2 * self.variances + sigma**2
        away = x[:, None] - alpha * self.centres
        weights = torch.softmax(-0.5 * (away**2 / total).sum(-1), -1)
        return (weights[..., None] * (self.centres + alpha * self.variances / total * away)).sum(1)


def mixture(schedule: Schedule) -> Law:
    """Return five modes."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(5, DIMENSION, generator=generator, dtype=torch.float64)
    return Law(schedule, centres, torch.full((DIMENSION,), 0.05, dtype=torch.float64))


def gaussian(schedule: Schedule) -> Law:
    """Return a Gaussian with standard deviations from 0.03 to 1, as fields with a spectrum have."""
    spread = torch.logspace(-1.5, 0.0, DIMENSION, dtype=torch.float64)
    return Law(schedule, torch.full((1, DIMENSION), 0.3, dtype=torch.float64), spread**2)


class Case(NamedTuple):
    """A law, and where samplers look."""

    law: Law
    spacing: str
    end: float


CASES: dict[str, Case] = {
    "mixture, VP, lam": Case(mixture(VP()), "lam", 1e-3),
    "mixture, VP, time": Case(mixture(VP()), "time", 1e-2),
    "mixture, EDM, karras": Case(mixture(EDM()), "karras", 2e-3),
    "Gaussian, VP, lam": Case(gaussian(VP()), "lam", 1e-3),
}


def each(make: Make, stages: int = 1, **fixed: Any) -> Make:
    """Return a function of evaluations, of which a step takes ``stages``."""
    return lambda schedule, count, **where: make(schedule, steps=count // stages, **fixed, **where)


SAMPLERS: dict[str, Make] = {
    "DDIM": each(presets.ddim),
    "Euler": each(presets.euler),
    "DPM-Solver++(2M)": each(presets.dpm_solver_pp, order=2),
    "DPM-Solver++(3M)": each(presets.dpm_solver_pp, order=3),
    "DPM-Solver++(3M), published": each(presets.dpm_solver_pp, order=3, form="published"),
    "DPM-Solver++(2S)": each(presets.dpm_solver_pp, order=2, multistep=False),
    "DPM-Solver++(3S)": each(presets.dpm_solver_pp, order=3, multistep=False),
    "DPM-Solver-2": each(presets.dpm_solver, order=2),
    "DPM-Solver-3": each(presets.dpm_solver, order=3),
    "UniPC-2": each(presets.unipc, order=2),
    "UniPC-3": each(presets.unipc, order=3),
    "UniPC-3, noise": each(presets.unipc, order=3, prediction="noise"),
    "tAB-DEIS-3": each(presets.deis, order=3),
    "rhoAB-DEIS-3": each(presets.deis, order=3, variant="rhoAB"),
    "rhoRK-DEIS-4": each(presets.deis, stages=4, order=4, variant="rhoRK"),
    "PNDM (PLMS)": each(presets.pndm, variant="PLMS"),
    "Heun": each(presets.heun, stages=2),
    "RF-Solver": each(presets.rf_solver, stages=2),
}


def sampler(name: str, case: Case, count: int) -> Sampler | None:
    """Return the sampler of so many evaluations, or None where the method has none."""
    if name.startswith("PNDM") and case.spacing != "time":
        return None  # its numbers are those of steps equal in time
    made = SAMPLERS[name](case.law.schedule, count, spacing=case.spacing, end=case.end)
    return made if made.evaluations == count else None


def reference(case: Case, noise: Tensor) -> Tensor:
    """Return the exact flow; checked by half as many steps."""
    ends = []
    for steps in (1000, 2000):
        fine = presets.deis(case.law.schedule, 4, steps, "lam", end=case.end, variant="rhoRK")
        ends.append(fine.sample(case.law, noise))
    difference = relative(ends[0], ends[1])
    if difference > 1e-8:
        raise InputError(f"the reference is not exact: two resolutions differ by {difference:.1e}")
    return ends[1]


def relative(x: Tensor, want: Tensor) -> float:
    """Return the median distance over samples, over the root mean square of ``want``."""
    return ((x - want).norm(dim=1).median() / want.square().sum(1).mean().sqrt()).item()


def errors(case: Case) -> dict[str, dict[int, float]]:
    """Return the error of every sampler for every number of evaluations."""
    noise = torch.randn(SAMPLES, DIMENSION, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    want = reference(case, noise)
    found: dict[str, dict[int, float]] = {}
    for name in SAMPLERS:
        made = {count: sampler(name, case, count) for count in EVALUATIONS}
        found[name] = {n: relative(s.sample(case.law, noise), want) for n, s in made.items() if s is not None}
    return {name: line for name, line in found.items() if line}


def draw(found: dict[str, dict[str, dict[int, float]]]) -> None:
    """Draw a panel a case."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 9), sharex=True)
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    marks = "osv^D<>PX*"
    handles: dict[str, Any] = {}
    for axis, (title, lines) in zip(axes.flat, found.items(), strict=True):
        for number, name in enumerate(SAMPLERS):
            if name not in lines:
                continue
            x, y = zip(*lines[name].items(), strict=True)
            style = {"color": colours[number % 20], "marker": marks[number % len(marks)], "markersize": 4}
            (handles[name],) = axis.loglog(x, y, linewidth=1.2, **style)
        axis.set_title(title)
        axis.set_ylim(top=2.0)
        axis.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("evaluations of the network")
    for axis in axes[:, 0]:
        axis.set_ylabel("relative error of the final states, median")
    ordered = [name for name in SAMPLERS if name in handles]
    figure.legend([handles[name] for name in ordered], ordered, loc="center left", bbox_to_anchor=(0.92, 0.5))
    figure.subplots_adjust(right=0.91, hspace=0.12, wspace=0.15)
    figure.savefig(IMAGES / "generative.png", dpi=100, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Measure, draw, and keep the table."""
    found = {title: errors(case) for title, case in CASES.items()}
    draw(found)
    rows = [
        {"case": title, "sampler": name, **{str(n): f"{line[n]:.1e}" if n in line else "" for n in EVALUATIONS}}
        for title, lines in found.items()
        for name, line in sorted(lines.items(), key=lambda item: item[1].get(20, math.inf))
    ]
    notes = (
        f"Relative error of the final states over evaluations, median of {SAMPLES} samples in {DIMENSION} "
        "dimensions; float64, sorted by the error at 20 evaluations. Within a case all methods have the same grid "
        "rule, begin and end, which lies above zero noise (diffusion time "
        + ", ".join(f"{case.end:g} in '{title}'" for title, case in CASES.items())
        + "). Compare methods within a case only. No entry: the method has no such number of evaluations. A "
        "singlestep method with steps left over fills in lower orders."
    )
    write("generative", "Samplers: error over evaluations", notes, machine("cpu", []), rows)


if __name__ == "__main__":
    main()

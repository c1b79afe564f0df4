"""How far the law of the samples is from that of the data, over evaluations: samplers that draw noise.

    OMP_NUM_THREADS=1 python -m benchmarks.generative_noise

A path has no reference here, so laws are compared: the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| of
4096 samples from as many exact ones at the same noise level, in units of the distance of two exact sets of that
size (the row "exact samples"; below about 1 nothing is left to see). The median of three seeds is shown, and the
table holds all three. All methods have the same grid rule, begin and end; three deterministic ones stand beside
them. Denoising MCMC has levels between the same ends, and its count is that of one more sample of a chain that has
run for 200 steps, which are not counted. Draws ``docs/images/generative-noise.png``.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Generator, Tensor

from benchmarks.generative_cases import DIMENSION, Law, gaussian, mixture
from benchmarks.harness import machine, write
from sciode.generative import VP, NoiseLevel, Sampler, presets
from sciode.generative.mcmc import DenoisingMCMC

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EVALUATIONS = (6, 10, 20, 40, 80, 160)
SAMPLES, SEEDS, END = 4096, (0, 1, 2), 1e-3

Make: TypeAlias = Callable[[Law, int], Sampler | DenoisingMCMC]


def each(make: Callable[..., Sampler], stages: int = 1, **fixed: Any) -> Make:
    """Return a function of evaluations, of which a step takes ``stages``."""
    return lambda law, count: make(law.schedule, steps=count // stages, spacing="lam", end=END, **fixed)


def chain(law: Law, count: int, keep: str = "last") -> DenoisingMCMC:
    """Return denoising MCMC: half the evaluations for the chain."""

    def logits(x: Tensor) -> Tensor:
        return torch.stack([law.log_prob(x, t) for t in level.times], 1)

    level = NoiseLevel(logits, law.schedule, 60, 0.99, END)
    steps = max(1, count // 4)
    return presets.denoising_mcmc(level, steps, skip=count - 2 * steps + 1, warmup=200, keep=keep)


SAMPLERS: dict[str, Make] = {
    "DDIM, eta 1 (ancestral)": each(presets.ddim, eta=1.0),
    "SDE-DPM-Solver++(2M)": each(presets.dpm_solver_pp, order=2, eta=1.0),
    "DPM-Solver++(2M), eta 0.3": each(presets.dpm_solver_pp, order=2, eta=0.3),
    "SEEDS-1": each(presets.seeds, order=1),
    "SEEDS-2": each(presets.seeds, order=2),
    "SEEDS-3": each(presets.seeds, order=3),
    "SEEDS-3, noise prediction": each(presets.seeds, order=3, prediction="noise"),
    "Heun, churn 0.2 a step": lambda law, n: each(presets.heun, stages=2, churn=0.1 * n)(law, n),
    "PC: reverse diffusion": each(presets.predictor_corrector, corrector="none"),
    "PC: reverse diffusion, Langevin": each(presets.predictor_corrector, stages=2, snr=0.1),
    "PC: ancestral": each(presets.predictor_corrector, predictor="ancestral", corrector="none"),
    "interpolant SDE, epsilon = sigma^2": each(presets.interpolant_sde, order=2, epsilon=VP().sigma),
    "denoising MCMC": chain,
    "denoising MCMC, least noisy visit": lambda law, n: chain(law, n, "least"),
    "DDIM": each(presets.ddim),
    "UniPC-2": each(presets.unipc, order=2),
    "Heun": each(presets.heun, stages=2),
}


def energy(x: Tensor, y: Tensor) -> float:
    """Return the energy distance of two sets, without bias: it may be a little below zero."""
    n, m = len(x), len(y)
    within = torch.cdist(x, x).sum() / (n * (n - 1)) + torch.cdist(y, y).sum() / (m * (m - 1))
    return (2.0 * torch.cdist(x, y).mean() - within).item()


def measured(law: Law) -> list[dict[str, Any]]:
    """Return a row for every sampler, number of evaluations and seed."""
    end = law.schedule.at(END)
    exact = {seed: law.draw(SAMPLES, end, Generator().manual_seed(100 + seed)) for seed in SEEDS}
    pairs = [(a, b) for a in SEEDS for b in SEEDS if a < b]
    floor = max(abs(energy(exact[a], exact[b])) for a, b in pairs)
    rows = [
        {"sampler": "exact samples", "evaluations": 0, "seed": a, "distance": energy(exact[a], exact[b]) / floor}
        for a, b in pairs
    ]
    for name, make in SAMPLERS.items():
        for count in EVALUATIONS:
            sampler = make(law, count)
            if sampler.evaluations != count:
                continue
            for seed in SEEDS:
                generator = Generator().manual_seed(seed)
                noise = torch.randn(SAMPLES, DIMENSION, generator=generator, dtype=torch.float64)
                distance = energy(sampler.sample(law, noise, seed=seed), exact[seed]) / floor
                rows.append({"sampler": name, "evaluations": count, "seed": seed, "distance": distance})
        print(name, [round(row["distance"], 1) for row in rows if row["sampler"] == name], flush=True)
    return rows


def medians(rows: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Return the median over seeds, by sampler and evaluations."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        found.setdefault(row["sampler"], {}).setdefault(row["evaluations"], []).append(row["distance"])
    return {name: {n: sorted(v)[len(v) // 2] for n, v in line.items()} for name, line in found.items()}


def draw(cases: dict[str, list[dict[str, Any]]]) -> None:
    """Draw a panel a law."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 5), sharey=True)
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for axis, (title, rows) in zip(axes, cases.items(), strict=True):
        lines = medians(rows)
        for number, name in enumerate(SAMPLERS):
            x, y = zip(*lines[name].items(), strict=True)
            style = "--" if name in ("DDIM", "UniPC-2", "Heun") else "-"
            axis.loglog(x, [max(v, 0.3) for v in y], style, color=colours[number], marker="os^Dv"[number % 5],
                        markersize=4, linewidth=1.2, label=name)  # fmt: skip
        axis.axhspan(0.3, 1.0, color="0.9")
        axis.set_title(title)
        axis.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.set_xlabel("evaluations of the network")
    axes[0].set_ylabel("energy distance / that of exact samples")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(0.92, 0.5), fontsize=9)
    figure.subplots_adjust(right=0.91, wspace=0.06)
    figure.savefig(IMAGES / "generative-noise.png", dpi=90, bbox_inches="tight")
    plt.close(figure)


@torch.no_grad()
def main() -> None:
    """Measure, draw, and keep the table."""
    laws = {"mixture, VP, lam": mixture(VP()), "Gaussian, VP, lam": gaussian(VP())}
    cases = {}
    for title, law in laws.items():
        print(title, flush=True)
        cases[title] = measured(law)
    draw(cases)
    rows = []
    for title, found in cases.items():
        lines = medians(found)
        for name in ("exact samples", *sorted(SAMPLERS, key=lambda name: lines[name].get(20, math.inf))):
            cells = {}
            for count in EVALUATIONS:
                seeds = [r["distance"] for r in found if r["sampler"] == name and r["evaluations"] in (0, count)]
                cells[str(count)] = ", ".join(f"{v:.1f}" for v in seeds)
            rows.append({"case": title, "sampler": name, **cells})
    notes = (
        f"Energy distance of {SAMPLES} samples from as many exact ones over evaluations, in units of the "
        f"largest distance of two exact sets; seeds {', '.join(map(str, SEEDS))}, sorted by the median at 20 "
        "evaluations. Values within 1 of zero are chance. All methods on the same grid, even in lam from pure "
        f"noise to diffusion time {END:g}. Denoising MCMC: evaluations of one more sample of a chain that has "
        "run for 200 steps."
    )
    write("generative-noise", "Samplers with noise: law over evaluations", notes, machine("cpu", []), rows)


if __name__ == "__main__":
    main()

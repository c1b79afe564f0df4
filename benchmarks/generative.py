"""Error over evaluations of every deterministic sampler, at a fixed grid: laws that are known, and a trained
model.

    sciode data generate kuramoto_sivashinsky --size smoke
    sciode generate data/kuramoto_sivashinsky-smoke.hdf5 --directory runs/ks
    OMP_NUM_THREADS=1 python -m benchmarks.generative

Within a case all methods have the same grid rule, begin and end: the last time is above zero noise, so the error
is that of the method alone, and the reference is the exact flow to that time. Methods are to be compared within a
case only: between cases the grid differs, and matters more. The error is the distance of a sample's final state
from the reference over the root mean square of all; the median over samples, as near a ridge of a mixture the
least error decides to which mode a sample goes. float64. Draws ``docs/images/generative.png``.

DPM-Solver-v3 and DC-Solver are fitted to the model before, on other samples, which is not counted. Samplers under
step control choose their grid themselves and are not here; ``pfgmpp`` is Heun, ``mr_sampler`` DPM-Solver++, and
``usf`` any of these.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from benchmarks.generative_cases import Case, analytic_cases, reference, relative, trained
from benchmarks.harness import machine, write
from sciode.generative import ReversibleSampler, Sampler, fit_statistics, presets

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EVALUATIONS = (5, 6, 8, 10, 12, 15, 20, 30, 40)

Make: TypeAlias = Callable[[Case, int], Sampler | ReversibleSampler]


def each(make: Callable[..., Sampler | ReversibleSampler], stages: int = 1, **fixed: Any) -> Make:
    """Return a function of evaluations, of which a step takes ``stages``."""
    return lambda case, count: make(case.schedule, steps=max(1, count // stages), **fixed, **case.where)


def fitted_statistics(case: Case, count: int) -> Sampler:
    """Return DPM-Solver-v3, its statistics fitted once a case."""
    if case not in _FITTED:
        span = {"begin": case.begin, "end": case.end}
        _FITTED[case] = fit_statistics(
            case.denoise, case.data, case.schedule, points=case.points, quiet=True, **span
        )
    return presets.dpm_solver_v3(case.schedule, _FITTED[case], 3, count, **case.where)


_FITTED: dict[Case, Any] = {}


def compensated(case: Case, count: int) -> Sampler:
    """Return DC-Solver, its ratios searched on 16 other samples."""
    plain = presets.dc_solver(case.schedule, None, 2, count, **case.where)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(16, *case.noise.shape[1:], dtype=torch.float64, generator=generator)
    ratios = presets.fit_compensation(case.denoise, noise, plain, quiet=True)
    return presets.dc_solver(case.schedule, ratios, 2, count, **case.where)


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
    "DPM-Solver-v3": fitted_statistics,
    "UniPC-2": each(presets.unipc, order=2),
    "UniPC-2, bh1": each(presets.unipc, order=2, variant="bh1"),
    "UniPC-3": each(presets.unipc, order=3),
    "UniPC-3, noise": each(presets.unipc, order=3, prediction="noise"),
    "DC-Solver (UniPC-2)": compensated,
    "tAB-DEIS-3": each(presets.deis, order=3),
    "rhoAB-DEIS-3": each(presets.deis, order=3, variant="rhoAB"),
    "rhoRK-DEIS-4": each(presets.deis, stages=4, order=4, variant="rhoRK"),
    "PNDM (PLMS)": each(presets.pndm, variant="PLMS"),
    "PNDM (S)": lambda case, count: each(presets.pndm, variant="S")(case, count - 1),
    "PNDM (F)": lambda case, count: each(presets.pndm, variant="F")(case, count - 9),
    "Heun": each(presets.heun, stages=2),
    "RF-Solver": each(presets.rf_solver, stages=2),
    "reversible-2": each(presets.reversible, stages=4, order=2),
}


def sampler(name: str, case: Case, count: int) -> Sampler | ReversibleSampler | None:
    """Return the sampler of so many evaluations, or None where the method has none."""
    if name.startswith("PNDM") and (case.spacing != "time" or (name.endswith("(F)") and count < 13)):
        return None  # its numbers are those of steps equal in time
    made = SAMPLERS[name](case, count)
    return made if made.evaluations == count else None


@torch.no_grad()
def errors(case: Case) -> dict[str, dict[int, float]]:
    """Return the error of every sampler for every number of evaluations."""
    want = reference(case)
    found: dict[str, dict[int, float]] = {}
    for name in SAMPLERS:
        made = {count: sampler(name, case, count) for count in EVALUATIONS}
        found[name] = {
            n: relative(s.sample(case.denoise, case.noise), want) for n, s in made.items() if s is not None
        }
        print(name, found[name], flush=True)
    return {name: line for name, line in found.items() if line}


def draw(found: dict[str, dict[str, dict[int, float]]]) -> None:
    """Draw a panel a case, and the names in the last one."""
    figure, axes = plt.subplots(3, 2, figsize=(12, 13), sharex=True)
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    marks = "osv^D<>PX*h"
    handles: dict[str, Any] = {}
    for axis, (title, lines) in zip(axes.flat, found.items(), strict=False):
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
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("evaluations of the network")
        axis.set_ylabel("relative error, median")
    for axis in axes.flat[len(found) :]:
        axis.axis("off")
    names = [name for name in SAMPLERS if name in handles]
    axes.flat[-1].legend([handles[name] for name in names], names, loc="center", ncols=2)
    figure.tight_layout()
    figure.savefig(IMAGES / "generative.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Measure, draw, and keep the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, default=Path("runs/ks"))
    parser.add_argument("--file", type=Path, default=Path("data/kuramoto_sivashinsky-smoke.hdf5"))
    options = parser.parse_args()
    cases = analytic_cases()
    cases["trained model of KS fields, EDM, karras"] = trained(options.directory, options.file)
    found = {}
    for title, case in cases.items():
        print(title, flush=True)
        found[title] = errors(case)
    draw(found)
    rows = [
        {"case": title, "sampler": name, **{str(n): f"{line[n]:.1e}" if n in line else "" for n in EVALUATIONS}}
        for title, lines in found.items()
        for name, line in sorted(lines.items(), key=lambda item: item[1].get(20, math.inf))
    ]
    ends = ", ".join(f"{case.end:g} in '{title}'" for title, case in cases.items())
    notes = (
        "Relative error of the final states over evaluations, median of 256 samples (64 of the trained model); "
        "float64, sorted by the error at 20 evaluations. Within a case all methods have the same grid rule, begin "
        f"and end, which lies above zero noise (diffusion time {ends}). Compare methods within a case only. No "
        "entry: the method has no such number of evaluations. A singlestep method with steps left over fills in "
        "lower orders. DPM-Solver-v3 and DC-Solver were fitted to the model before, on other samples: not counted."
    )
    write("generative", "Samplers: error over evaluations", notes, machine("cpu", []), rows)


if __name__ == "__main__":
    main()

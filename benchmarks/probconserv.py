"""ProbConserv on the generalised porous medium family: neural processes, plain and constrained, seed by seed.

python benchmarks/probconserv.py runs/probconserv --jobs 2           # five seeds on a CPU, about an hour
python benchmarks/probconserv.py runs/probconserv --full --device cuda   # as published

Trainings are resumed where they stopped. Table, figure and every seed's numbers are written at the end.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from harness import machine, table, write
from probconserv_figure import draw
from torch import Tensor

from sciode.constraints import LinearConstraint, integral
from sciode.core.random import generator
from sciode.data import open_trajectories
from sciode.generate import generate
from sciode.metrics import coverage, front_position, gaussian_crps, gaussian_log_likelihood
from sciode.pde import CLOSED, Closed
from sciode.processes import AttentiveProcess, FieldPoints, GaussianProcess, Mixture, load_process, together
from sciode.train import fit

POINTS, FUNCTIONS, DRAWS = 201, 50, 100


@dataclass(frozen=True)
class Case:
    """A family, what is asked of it and when; ``level`` of the front, as part of the parameter where told."""

    family: str
    values: tuple[float, ...]
    duration: float
    level: Callable[[float], float] | None = None

    @property
    def problem(self) -> Closed:
        """The closed form."""
        return CLOSED[self.family]

    @property
    def time(self) -> float:
        """When predictions are looked at: halfway."""
        return self.duration / 2


CASES = [
    Case("heat", (1.0, 5.0), 1.0),
    Case("porous_medium", (1.0, 3.0, 6.0), 1.0),
    Case("stefan", (0.5, 0.6), 0.1, lambda threshold: threshold / 2),
]
TINY = {
    "model": {"width": 64, "decoder": 192, "dropout": 0.0},
    "fit": {"steps": 700, "batch": 24, "learning_rate": 1e-3},
}
FULL = {"model": {}, "fit": {"steps": 20000, "batch": 250, "learning_rate": 1e-4}}


def trained(job: tuple[str, bool, int], out: Path, full: bool, device: str) -> Path:
    """Train one process, or go on with it, and return its checkpoint."""
    family, soft, seed = job
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    case = next(case for case in CASES if case.family == family)
    settings: dict[str, Any] = FULL if full else TINY
    size = "pdebench" if full else "small"
    data = open_trajectories(generate(family, size, out / f"{family}-{size}.hdf5", quiet=True))
    task = FieldPoints(
        data.shape[1], equation=family if soft else None, length=case.problem.length, duration=case.duration
    )
    torch.manual_seed(seed)
    model = AttentiveProcess(channels=2, **settings["model"])
    folder = out / f"{family}-{'soft' if soft else 'plain'}-{seed}{'-full' if full else ''}"
    fit(
        model,
        data,
        task=task,
        directory=folder,
        seed=seed,
        device=device,
        quiet=True,
        memory=4096.0,
        **settings["fit"],
    )
    return folder / "checkpoints" / "best.safetensors"


class Asked:
    """Test functions of one value of the parameter: contexts, truth at one time, and the law there."""

    def __init__(self, case: Case, value: float, time: float | None = None, functions: int = FUNCTIONS) -> None:
        self.case, self.value = case, torch.tensor([value], dtype=torch.float64)
        self.time = torch.tensor([case.time if time is None else time], dtype=torch.float64)
        length, draw = case.problem.length, generator(17, "contexts", int(1000 * value))
        # Ten times, one in each tenth, by ten places, not on any grid.
        when = (torch.arange(10) + torch.rand(functions, 10, generator=draw, dtype=torch.float64)) / 10
        where = torch.rand(functions, 10, generator=draw, dtype=torch.float64)
        y = torch.stack(
            [
                case.problem.states(length * x, case.duration * t, self.value)[0]
                for t, x in zip(when, where, strict=True)
            ]
        )
        grid = torch.broadcast_tensors(when[:, :, None], where[:, None, :])
        self.at, self.y = torch.stack(grid, dim=-1).flatten(1, 2), y.flatten(1)[..., None]
        self.x = torch.linspace(0.0, length, POINTS, dtype=torch.float64)
        self.truth = case.problem.states(self.x, self.time, self.value)[0, 0]
        self.law = LinearConstraint(integral([self.x]), case.problem.total(self.time, self.value)[0])

    def ask(self, model: AttentiveProcess, draws: int = DRAWS) -> Mixture:
        """Return the prediction ``"s b n"`` in the model's dtype."""
        dtype = next(model.parameters()).dtype
        place = self.x / self.case.problem.length
        to = torch.stack(torch.broadcast_tensors(self.time / self.case.duration, place), dim=-1)
        return model.predict(
            self.at.to(dtype), self.y.to(dtype), to.expand(len(self.at), -1, -1).to(dtype), samples=draws
        )


def scores(asked: Asked, predicted: Mixture, draws: Tensor | None = None) -> dict[str, float]:
    """Return what a prediction is worth, means over the test functions."""
    mean, variance = predicted.moments()
    variance = variance.clamp_min(1e-8)
    missed = asked.law.residual(mean)[:, 0]
    found = {
        "CE": float(missed.mean()),
        "|CE|": float(missed.abs().mean()),
        "largest |CE|": float(missed.abs().max()),
        "MSE": float((mean - asked.truth).square().mean()),
        "LL": float(gaussian_log_likelihood(mean, variance, asked.truth).mean()),
        "CRPS": float(gaussian_crps(mean, variance, asked.truth).mean()),
        "coverage 90 %": float(coverage(mean, variance, asked.truth).mean()),
    }
    if asked.case.level is not None:
        level = asked.case.level(float(asked.value))
        true = asked.case.problem.front(asked.time, asked.value) if asked.case.problem.front else None
        assert true is not None
        found["shock error"] = float((front_position(mean, asked.x, level) - true).abs().mean())
        near = (asked.x - true).abs() < 0.05
        found["variance at the front"] = float(variance[:, near].mean() / variance[:, ~near].mean())
        if draws is not None:
            where = front_position(draws.flatten(0, 1), asked.x, level)
            found["shock error of draws"] = float((where - true).abs().mean())
    return found


def drawn(asked: Asked, plain: Mixture) -> tuple[Mixture, Tensor, float]:
    """Return the constrained prediction, draws from it, and the largest that any draw misses the law by."""
    after, covariance = plain.given(asked.law)
    draws = after.mean + covariance.sample(tuple(after.mean.shape[:-1]), generator(3, "draws"))
    return after, draws, float(asked.law.residual(draws).abs().max())


def compared(
    case: Case, value: float, plain: list[AttentiveProcess], soft: list[AttentiveProcess]
) -> list[dict[str, Any]]:
    """Return the scores of every method, seed by seed; the deep ensemble of all seeds has one."""
    asked, rows = Asked(case, value), []

    def put(method: str, seed: int | str, found: dict[str, float]) -> None:
        rows.append({"family": case.family, "value": value, "method": method, "seed": seed, **found})

    kept = []
    for seed, model in enumerate(plain):
        base = asked.ask(model)
        kept.append(base)
        put("ANP", seed, scores(asked, base))
        put("HardC-ANP", seed, scores(asked, base.projected(asked.law)))
        after, draws, worst = drawn(asked, base)
        put("ProbConserv-ANP", seed, scores(asked, after, draws) | {"largest |CE| of draws": worst})
        single = Mixture(base.mean.float(), base.variance.float()).given(asked.law)[0]
        size = max(float(asked.law.value.abs().max()), float(asked.truth.abs().mean() * asked.x[-1]))
        missed = asked.law.residual(single.mean).abs().max()
        rows[-1]["float32 |CE|, relative"] = float(missed) / size
    for seed, model in enumerate(soft):
        put("SoftC-ANP", seed, scores(asked, asked.ask(model)))
    whole = together(*[Mixture(one.mean[:20], one.variance[:20]) for one in kept])
    put("deep ensemble", "all", scores(asked, whole))
    after, draws, worst = drawn(asked, whole)
    put("ProbConserv-ensemble", "all", scores(asked, after, draws) | {"largest |CE| of draws": worst})
    if find_spec("gpytorch"):
        few = Asked(case, value, functions=10)
        base, after = gaussian(few)
        put("Gaussian process", "-", scores(few, base))
        put("ProbConserv-GP", "-", scores(few, after))
    own = {"CE": float(asked.law.residual(asked.truth)), "|CE|": float(asked.law.residual(asked.truth).abs())}
    put("the truth, by trapezoids", "-", own)
    put("the truth, cell averages", "-", {"CE": (cells := _cells(asked)), "|CE|": abs(cells)})
    return rows


def gaussian(asked: Asked) -> tuple[Mixture, Mixture]:
    """Return what Gaussian processes say of each function from its context, plain and given the law."""
    place = asked.x / asked.case.problem.length
    to = torch.stack(torch.broadcast_tensors(asked.time / asked.case.duration, place), dim=-1)
    moments = []
    for at, y in zip(asked.at, asked.y, strict=True):
        mean, covariance = GaussianProcess().fit(at, y[:, 0]).predict(to)
        after, posterior = asked.law.condition(mean, covariance)
        moments.append((mean, covariance.diagonal(), after, posterior.diagonal()))
    mean, variance, after, left = (torch.stack(part)[None] for part in zip(*moments, strict=True))
    return Mixture(mean, variance), Mixture(after, left)


def _cells(asked: Asked) -> float:
    """Return what the cell averages of the truth miss the law by."""
    problem = asked.case.problem
    edges = torch.linspace(0.0, problem.length, POINTS, dtype=torch.float64)
    rows = integral([(edges[1:] + edges[:-1]) / 2], "cells", bounds=[(0.0, problem.length)])
    law = LinearConstraint(rows, problem.total(asked.time, asked.value)[0])
    return float(law.residual(problem.averages_over(edges, asked.time, asked.value)[0, 0]))


COLUMNS = ("CE", "|CE|", "MSE", "LL", "CRPS", "coverage 90 %", "shock error", "largest |CE| of draws")


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over seeds, a row for each case and method."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["value"], row["method"]), []).append(row)
    out = []
    for (family, value, method), group in groups.items():
        cells = {}
        for name in COLUMNS:
            numbers = [row[name] for row in group if name in row]
            spread = f" ± {stdev(numbers):.1g}" if len(numbers) > 1 else ""
            cells[name] = f"{fmean(numbers):.3g}{spread}" if numbers else "-"
        out.append({"family": family, "value": value, "method": method, **cells})
    return out


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Return how many seeds show what is claimed, case by case."""
    lines = []
    for family, value in dict.fromkeys((row["family"], row["value"]) for row in rows):
        by = {
            name: {
                row["seed"]: row
                for row in rows
                if (row["family"], row["value"], row["method"]) == (family, value, name)
            }
            for name in ("ANP", "HardC-ANP", "ProbConserv-ANP")
        }
        seeds = list(by["ANP"])

        def count(holds: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], bool]) -> str:
            met = sum(holds(*(by[name][seed] for name in by)) for seed in seeds)  # noqa: B023
            return f"{met} of {len(seeds)}"  # noqa: B023

        said = [
            f"MSE at most 1.02 times the base's {count(lambda a, h, p: p['MSE'] <= 1.02 * a['MSE'])}",
            f"below HardC's {count(lambda a, h, p: p['MSE'] < h['MSE'])}",
            f"LL at least the base's - 0.1 {count(lambda a, h, p: p['LL'] >= a['LL'] - 0.1)}",
            f"|CE| below 1e-12 "
            f"{count(lambda a, h, p: max(p['largest |CE|'], p['largest |CE| of draws']) < 1e-12)}",
            f"below 1e-6 in float32 {count(lambda a, h, p: p['float32 |CE|, relative'] < 1e-6)}",
        ]
        if "shock error" in by["ANP"][seeds[0]]:
            said.append(
                f"shock error below the base's {count(lambda a, h, p: p['shock error'] < a['shock error'])}"
            )
        lines.append(f"- {family} {value:g}, seeds of which: " + "; ".join(said))
    return lines


def main() -> None:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="the published sizes and 20 000 steps")
    parser.add_argument("--device", default="cpu")
    parsed = parser.parse_args()
    jobs = [(case.family, soft, seed) for soft in (False, True) for seed in range(parsed.seeds) for case in CASES]
    for case in CASES:  # one process makes the data before many read it
        size = "pdebench" if parsed.full else "small"
        generate(case.family, size, parsed.out / f"{case.family}-{size}.hdf5", quiet=True)
    make = partial(trained, out=parsed.out, full=parsed.full, device=parsed.device)
    with ProcessPoolExecutor(parsed.jobs, mp_context=get_context("spawn")) as pool:
        paths = dict(zip(jobs, pool.map(make, jobs), strict=True))
    rows = []
    for case in CASES:
        plain, soft = (
            [load_process(paths[case.family, kind, seed]).double() for seed in range(parsed.seeds)]
            for kind in (False, True)
        )
        for value in case.values:
            rows += compared(case, value, plain, soft)
    first = {
        name: load_process(paths[family, kind, 0]).double()
        for name, family, kind in (
            ("stefan", "stefan", False), ("porous", "porous_medium", False), ("porous, soft", "porous_medium",
            True)
        )
    }  # fmt: skip
    draw(Asked, drawn, CASES[2], CASES[1], first)
    short, said = summary(rows), verdicts(rows)
    heads = list(dict.fromkeys(key for row in rows for key in row))
    rows = [{key: row.get(key, "-") for key in heads} for row in rows]
    name = f"probconserv{'-full' if parsed.full else ''}-{parsed.device}"
    lines = [
        f"`python benchmarks/probconserv.py`: seeds {list(range(parsed.seeds))}, {FUNCTIONS} test functions, "
        f"{DRAWS} draws "
        f"of the latent variable, {POINTS} points, at half the time of the training. Mean ± standard deviation "
        f"over seeds.",
        "",
        table(short),
        "",
        *said,
        "",
        "Every seed:",
    ]
    write(
        name,
        "ProbConserv: conservation laws on neural processes",
        "\n".join(lines),
        machine(parsed.device, []),
        rows,
    )


if __name__ == "__main__":
    main()

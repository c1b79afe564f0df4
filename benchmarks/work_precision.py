"""Work-precision diagrams: error over drift calls and over CPU time, for our solvers and torchdiffeq's.

    OMP_NUM_THREADS=1 python benchmarks/work_precision.py [--problems lotka burgers kuramoto] [--repeats 3]

Draws ``docs/images/work-precision-NAME.png`` and writes ``results/work-precision-cpu.md``. Lines with circles are
solvers under step control at tolerances 1e-3 to 1e-9, lines with dots have given steps. torchdiffeq's are dashed.
The error is the largest over the batch, relative, at the end, against a run far more exact. On the last problem
the explicit solvers integrate the same equation in Fourier space with the linear part in the drift.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from harness import interleave, machine, write
from ode_problems import burgers_lines, lotka_volterra
from torch import Tensor

from sciode.pde import kuramoto_sivashinsky
from sciode.solve import Ladder, Pid, RungeKutta, Term, TorchDiffEq, solve, tableaus

IMAGES = Path(__file__).parents[1] / "docs" / "images"
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


class Entry(NamedTuple):
    """One line of a diagram: ``run(setting)`` returns the state at the end and the drift calls."""

    name: str
    run: Callable[[float], tuple[Tensor, int]]
    settings: Sequence[float]
    style: str


class Case(NamedTuple):
    """A problem and the solvers to compare on it."""

    title: str
    entries: list[Entry]
    want: Tensor


def _solved(term: Term, x0: Tensor, end: float, **arguments: Any) -> tuple[Tensor, int]:
    solution = solve(term, x0, [0.0, end], **arguments)
    return solution.y[:, 1], solution.stats.evaluations


def controlled(term: Term, x0: Tensor, end: float, names: Sequence[str]) -> list[Entry]:
    """Return entries under step control."""

    def run(name: str, tol: float) -> tuple[Tensor, int]:
        control = Pid(rtol=tol, atol=0.1 * tol)
        return _solved(term, x0, end, solver=RungeKutta(tableaus.TABLEAUS[name]), controller=control)

    least = {"heun": 4, "bosh3": 5}  # low orders would take a million steps
    return [Entry(name, partial(run, name), TOLERANCES[: least.get(name, 7)], "o-") for name in names]


def given(term: Term, x0: Tensor, end: float, names: Sequence[str], steps: Sequence[int]) -> list[Entry]:
    """Return entries with given steps."""

    def run(name: str, count: float) -> tuple[Tensor, int]:
        return _solved(term, x0, end, solver=RungeKutta(tableaus.TABLEAUS[name]), dt=end / count)

    return [Entry(f"{name}, fixed", partial(run, name), steps, ".-") for name in names]


def theirs(term: Term, x0: Tensor, end: float, names: Sequence[str]) -> list[Entry]:
    """Return torchdiffeq's solvers under step control."""

    def run(name: str, tol: float) -> tuple[Tensor, int]:
        return _solved(term, x0, end, solver=TorchDiffEq(name, rtol=tol, atol=0.1 * tol))

    return [
        Entry(f"torchdiffeq {name}", partial(run, name), TOLERANCES[: 5 if name == "bosh3" else 7], "o--")
        for name in names
    ]


PAIRS = ("heun", "bosh3", "dopri5", "tsit5", "dopri8")
FIXED = ("euler", "midpoint", "heun3", "ssprk3", "rk4")
PEERS = ("bosh3", "dopri5", "dopri8")


def lotka() -> Case:
    """Smooth and not stiff."""
    problem = lotka_volterra(16)
    term, x0, end = Term(problem.f), problem.x0, problem.end
    entries = controlled(term, x0, end, PAIRS) + given(term, x0, end, FIXED, [2**k for k in range(6, 13)])
    return Case("Lotka-Volterra, 16 samples", entries + theirs(term, x0, end, PEERS), problem.reference())


def burgers() -> Case:
    """Mildly stiff: the step is bounded by stability."""
    problem = burgers_lines(batch=8)
    term, x0, end = Term(problem.f), problem.x0, problem.end
    entries = controlled(term, x0, end, PAIRS) + given(term, x0, end, FIXED, [2**k for k in range(5, 12)])
    return Case("Burgers, method of lines, n = 256", entries + theirs(term, x0, end, PEERS), problem.reference())


def kuramoto() -> Case:
    """Stiff, with a diagonal linear part: what exponential methods are for."""
    points, end = 64, 2.0
    term = kuramoto_sivashinsky(points, 22.0)
    x = torch.arange(points, dtype=torch.float64) / points
    waves = [torch.cos(2 * torch.pi * x) + 0.3 * torch.sin(4 * torch.pi * x + k) for k in range(4)]
    start = solve(term, torch.stack(waves)[:, None], [0.0, 50.0], dt=0.02).y[:, 1]
    want = solve(term, start, [0.0, end], dt=end / 8192).y[:, 1]
    names = ("etd1", "etd2", "dpm2", "ho3", "krogstad4", "coxmatthews4")
    entries = given(term, start, end, names, [2**k for k in range(4, 12)])

    def ladder(tol: float) -> tuple[Tensor, int]:
        control = Ladder(rtol=tol, atol=0.1 * tol)  # few step sizes: the weights of all waves are kept
        return _solved(term, start, end, solver=RungeKutta(tableaus.KROGSTAD43), controller=control)

    entries.append(Entry("krogstad43, ladder", ladder, TOLERANCES[:5], "o-"))
    peers = theirs(term, start, end, ("dopri5",))
    return Case("Kuramoto-Sivashinsky, n = 64", entries + [e._replace(settings=(1e-3, 1e-6)) for e in peers], want)


CASES = {"lotka": lotka, "burgers": burgers, "kuramoto": kuramoto}


def measure(case: Case, repeats: int) -> list[dict[str, Any]]:
    """Return one record per entry and setting."""
    calls = {(e.name, setting): partial(e.run, setting) for e in case.entries for setting in e.settings}
    with torch.no_grad():
        taken = interleave(calls, repeats)
    rows = []
    for (name, setting), (seconds, (y, evaluations)) in taken.items():
        gap = (y - case.want).flatten(1).norm(dim=1) / case.want.flatten(1).norm(dim=1)
        size = float(gap.max()) if bool(gap.isfinite().all()) else "diverges"
        row = {"problem": case.title, "solver": name, "setting": setting, "drift calls": evaluations}
        rows.append({**row, "ms": 1e3 * seconds, "error": size})
    return rows


def draw(name: str, case: Case, rows: list[dict[str, Any]]) -> None:
    """Draw the diagram of one problem."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), sharey=True)
    colours = plt.get_cmap("tab20").colors
    for index, entry in enumerate(case.entries):
        points = [r for r in rows if r["solver"] == entry.name and r["error"] != "diverges" and r["error"] < 1.0]
        for axis, key in zip(axes, ("drift calls", "ms"), strict=True):
            x, y = [r[key] for r in points], [max(r["error"], 1e-15) for r in points]
            axis.loglog(
                x, y, entry.style, label=entry.name, color=colours[index % 20], markersize=4, linewidth=1.2
            )
    axes[0].set_xlabel("drift calls")
    axes[1].set_xlabel("CPU time, ms")
    axes[0].set_ylabel("largest relative error at the end")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.suptitle(case.title)
    figure.savefig(IMAGES / f"work-precision-{name}.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for name in arguments.problems:
        case = CASES[name]()
        rows = measure(case, arguments.repeats)
        draw(name, case, rows)
        found += rows
    notes = __doc__.split("\n\n", 2)[2].strip()
    write("work-precision-cpu", "Work and precision", notes, machine("cpu", ["torchdiffeq", "numpy"]), found)


if __name__ == "__main__":
    main()

"""Adaptive ODE solvers beside torchdiffeq and torchode: time at equal error, with and without gradients.

    OMP_NUM_THREADS=1 python benchmarks/ode.py [--rows 1 2 3 3b 6 7 saves counts] [--repeats 5]

Every library integrates the same function from the same states. An entry is run at tolerances 1e-3 to 1e-9 (atol
a tenth of rtol; float32: to 1e-6); entries take turns and are timed in process CPU time, medians. The error is the
largest over the batch of |y - v|_2 / |v|_2 at the end, v from an eighth-order run at 1e-13. The time at a given
error is read off the curve of log time over log error; a ratio is the geometric mean over errors between 1e-3 and
1e-7 that both curves reach. Row 6 gives every sample its own steps, as torchode does. Row 7 goes forward
and backward through the recorded operations at rtol 1e-6; on Burgers' equation both are held inside the stability
region, without which no gradient is right.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import interleave, machine, write
from ode_problems import Problem, burgers_lines, lotka_volterra, neural
from torch import Tensor

from sciode.solve import Pid, RungeKutta, Tableau, Term, solve, tableaus

TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
TARGETS = np.logspace(-3, -7, 9)
Run = Callable[[float], tuple[Tensor, int]]
"""tolerance -> (state at the end, drift calls)."""


def ours(problem: Problem, table: Tableau = tableaus.DOPRI5, per_sample: bool = False) -> Run:
    """Solve by sciode."""
    term = Term(problem.f)

    def run(tolerance: float) -> tuple[Tensor, int]:
        controller = Pid(rtol=tolerance, atol=0.1 * tolerance, per_sample=per_sample)
        solution = solve(term, problem.x0, [0.0, problem.end], solver=RungeKutta(table), controller=controller)
        return solution.y[:, 1], solution.stats.evaluations

    return run


def torchdiffeq_dopri5(problem: Problem) -> Run:
    """Solve by torchdiffeq."""
    from torchdiffeq import odeint

    t = torch.tensor([0.0, problem.end], dtype=torch.float64, device=problem.x0.device)

    def run(tolerance: float) -> tuple[Tensor, int]:
        f, calls = counting(problem.f)
        y = odeint(f, problem.x0, t.to(problem.x0.dtype), rtol=tolerance, atol=0.1 * tolerance, method="dopri5")
        return y[1], calls[0]

    return run


def torchode_dopri5(problem: Problem) -> Run:
    """Solve by torchode, each sample with its own steps."""
    import torchode

    def run(tolerance: float) -> tuple[Tensor, int]:
        f, calls = counting(problem.f)
        term = torchode.ODETerm(f)
        control = torchode.IntegralController(atol=0.1 * tolerance, rtol=tolerance, term=term)
        adjoint = torchode.AutoDiffAdjoint(torchode.Dopri5(term=term), control)
        times = torch.tensor([[0.0, problem.end]], dtype=problem.x0.dtype).expand(len(problem.x0), 2)
        y = adjoint.solve(torchode.InitialValueProblem(y0=problem.x0, t_eval=times.contiguous())).ys
        return y[:, 1], calls[0]

    return run


def counting(f: Callable[[Tensor, Tensor], Tensor]) -> tuple[Callable[[Tensor, Tensor], Tensor], list[int]]:
    """Return the same function, counting its calls; an addition of integers costs nothing beside them."""
    calls = [0]

    def counted(t: Tensor, y: Tensor) -> Tensor:
        calls[0] += 1
        return f(t, y)

    return counted, calls


def error(found: Tensor, want: Tensor) -> float:
    """Return the largest relative error over the batch."""
    gap = torch.linalg.vector_norm(found.double() - want, dim=1) / torch.linalg.vector_norm(want, dim=1)
    return float(gap.max())


def curves(
    problem: Problem, entries: dict[str, Run], tolerances: Sequence[float], repeats: int
) -> dict[str, list[tuple[float, float, int]]]:
    """Return for each entry its list of (error, seconds, drift calls), one per tolerance."""
    want = problem.reference()
    calls = {(name, tol): partial(run, tol) for name, run in entries.items() for tol in tolerances}
    with torch.no_grad():
        taken = interleave(calls, repeats)
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in entries}
    for (name, _), (seconds, (y, evaluations)) in taken.items():
        found[name].append((error(y, want), seconds, evaluations))
    return found


def ratio(ours: list[tuple[float, float, int]], theirs: list[tuple[float, float, int]]) -> tuple[float, str]:
    """Return how many times longer they take at equal error: the geometric mean, and the range of errors."""
    mine, other = (_falling(curve) for curve in (ours, theirs))
    low = max(min(mine[0]), min(other[0]))
    high = min(max(mine[0]), max(other[0]))
    targets = [e for e in np.log(TARGETS) if low <= e <= high]
    if not targets:
        return math.nan, "none in common"
    times = [np.interp(targets, *curve) for curve in (mine, other)]
    return float(np.exp(np.mean(times[1] - times[0]))), f"{np.exp(targets[-1]):.0e} .. {np.exp(targets[0]):.0e}"


def _falling(curve: list[tuple[float, float, int]]) -> tuple[list[float], list[float]]:
    """Return log error, rising, and log time, without points that a cheaper one already beats."""
    kept: list[tuple[float, float]] = []
    for e, seconds, _ in curve:
        if math.isfinite(e) and (not kept or e < kept[-1][0]):
            kept.append((e, seconds))
    return [math.log(e) for e, _ in kept[::-1]], [math.log(t) for _, t in kept[::-1]]


def at_equal_error(
    row: str, problem: Problem, entries: dict[str, Run], peer: str, must: float, repeats: int
) -> list[dict[str, Any]]:
    """Make the lines of the table for one problem."""
    tolerances = TOLERANCES if problem.x0.dtype is torch.float64 else TOLERANCES[:4]
    found = curves(problem, entries, tolerances, repeats)
    lines = []
    for name, curve in found.items():
        e, seconds, calls = curve[min(3, len(curve) - 1)]
        faster, over = ratio(curve, found[peer])
        lines.append(
            {
                "row": row,
                "problem": problem.name,
                "solver": name,
                "ms at 1e-6": 1e3 * seconds,
                "error": e,
                "drift calls": calls,
                f"times faster than {peer.split()[0]}": faster,
                "errors compared": over,
                "must": must if name.startswith("sciode dopri5") else "",
            }
        )
    return [_common(line) for line in lines]


def _common(line: dict[str, Any]) -> dict[str, Any]:
    """Rows of one table share their keys."""
    (key,) = [k for k in line if k.startswith("times faster")]
    return {("times faster, equal error" if k == key else k): v for k, v in line.items()}


def overhead(problem: Problem, repeats: int) -> list[dict[str, Any]]:
    """Row 3b: time of a solve over the time of its drift calls alone."""
    lines = []
    s = torch.zeros((), dtype=torch.float64)
    for name, run in {"sciode dopri5": ours(problem), "torchdiffeq dopri5": torchdiffeq_dopri5(problem)}.items():
        with torch.no_grad():
            calls = run(1e-5)[1]

            def bare(calls: int = calls) -> None:
                for _ in range(calls):
                    problem.f(s, problem.x0)

            taken = interleave({"solve": lambda run=run: run(1e-5), "bare": bare}, 3 * repeats)
        share = taken["solve"][0] / taken["bare"][0]
        line = {"row": "3b", "problem": problem.name, "solver": name, "drift calls": calls}
        must = 1.15 if name.startswith("sciode") else ""
        lines.append({**line, "total / (calls x bare drift)": share, "must": must})
    return lines


def saves(problem: Problem, repeats: int) -> list[dict[str, Any]]:
    """What a thousand asked times cost beside two."""
    from torchdiffeq import odeint

    term, solver = Term(problem.f), RungeKutta(tableaus.DOPRI5)
    few, many = (torch.linspace(0.0, problem.end, k, dtype=torch.float64) for k in (2, 1001))
    control = Pid(rtol=1e-6, atol=1e-7)
    calls = {
        ("sciode dopri5", "2"): lambda: solve(term, problem.x0, few, solver=solver, controller=control).y,
        ("sciode dopri5", "1001"): lambda: solve(term, problem.x0, many, solver=solver, controller=control).y,
        ("torchdiffeq dopri5", "2"): lambda: odeint(problem.f, problem.x0, few, rtol=1e-6, atol=1e-7),
        ("torchdiffeq dopri5", "1001"): lambda: odeint(problem.f, problem.x0, many, rtol=1e-6, atol=1e-7),
    }
    with torch.no_grad():
        taken = interleave(calls, repeats)
    return [
        {"problem": problem.name, "solver": name, "ms, 2 times": 1e3 * taken[name, "2"][0],
         "ms, 1001 times": 1e3 * taken[name, "1001"][0],
         "ms for 999 more": 1e3 * (taken[name, "1001"][0] - taken[name, "2"][0])}
        for name in ("sciode dopri5", "torchdiffeq dopri5")
    ]  # fmt: skip


def training(problem: Problem, must: float, repeats: int) -> list[dict[str, Any]]:
    """Row 7: forward and backward through the recorded operations."""
    from torchdiffeq import odeint

    term, solver = Term(problem.f, parameters=problem.weights), RungeKutta(tableaus.DOPRI5)
    options = {} if problem.radius is None else {"max_step": 3.3 / problem.radius}
    t = torch.tensor([0.0, problem.end], dtype=problem.x0.dtype)

    def gradient(run: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        x0 = problem.x0.clone().requires_grad_()
        for w in problem.weights:
            w.requires_grad_()
        found = torch.autograd.grad((run(x0) ** 2).mean(), (x0, *problem.weights))
        for w in problem.weights:
            w.requires_grad_(False)
        return found

    def by_sciode(tol: float) -> Callable[[], tuple[Tensor, ...]]:
        control = Pid(rtol=tol, atol=0.1 * tol)
        return lambda: gradient(
            lambda x0: solve(term, x0, [0.0, problem.end], solver=solver, controller=control).y[:, 1]
        )

    def by_torchdiffeq(tol: float) -> Callable[[], tuple[Tensor, ...]]:
        return lambda: gradient(
            lambda x0: odeint(problem.f, x0, t, rtol=tol, atol=0.1 * tol, method="dopri5", options=options)[1]
        )

    tight = 1e-10 if problem.x0.dtype is torch.float64 else 1e-6
    want = by_torchdiffeq(tight)()
    tol = 1e-6 if problem.x0.dtype is torch.float64 else 1e-5
    taken = interleave({"sciode dopri5": by_sciode(tol), "torchdiffeq dopri5": by_torchdiffeq(tol)}, repeats)
    base = taken["torchdiffeq dopri5"][0]
    lines = []
    for name, (seconds, found) in taken.items():
        pairs = zip(found, want, strict=True)
        wrong = max(float(torch.linalg.vector_norm(g - w) / torch.linalg.vector_norm(w)) for g, w in pairs)
        line = {"row": "7", "problem": problem.name, "solver": name, "ms forward and backward": 1e3 * seconds}
        line |= {"relative error of the gradient": wrong, "times faster": base / seconds}
        lines.append({**line, "must": must if name.startswith("sciode") else ""})
    return lines


def counts() -> list[dict[str, Any]]:
    """Kernels and waits for the device per step, beyond the drift, counted in the dispatcher."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from dataclasses import replace

    from tests.solve.counting import Counting, per_step

    makers: dict[str, Callable[[Problem], Run]] = {
        "sciode dopri5, shared step": ours,
        "torchdiffeq dopri5": torchdiffeq_dopri5,
        "sciode dopri5, step per sample": lambda problem: ours(problem, per_sample=True),
        "torchode dopri5": torchode_dopri5,
    }
    lines = []
    for name, make in makers.items():
        problem = lotka_volterra(32)

        def run(counter: Counting, size: int, make: Any = make, problem: Problem = problem) -> int:
            longer = replace(problem, f=counter.without(problem.f), end=2.0 * size)
            with torch.no_grad():
                return make(longer)(1e-6)[1] // 6

        kernels, waits, _ = per_step(run, (2, 8))
        lines.append({"solver": name, "kernels per step beyond f": kernels, "host waits per step": waits})
    return lines


def main() -> None:
    """Run the rows asked for, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["1", "2", "3", "3b", "6", "7", "saves", "counts"])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, repeats = set(arguments.rows), arguments.repeats
    where = machine("cpu", ["torchdiffeq", "torchode", "numpy"])

    lines: list[dict[str, Any]] = []
    shared = {
        "1": [(lotka_volterra(b), 3.0) for b in (1, 256, 4096)],
        "2": [(burgers_lines(), 4.0)],
        "3": [(neural(), 1.3)],
    }
    for row, problems in shared.items():
        for problem, must in problems if row in rows else []:
            entries = {
                "torchdiffeq dopri5": torchdiffeq_dopri5(problem),
                "sciode dopri5": ours(problem),
                "sciode tsit5": ours(problem, tableaus.TSIT5),
            }
            lines += at_equal_error(row, problem, entries, "torchdiffeq dopri5", must, repeats)
    for problem in (lotka_volterra(256), burgers_lines()) if "6" in rows else ():
        entries = {
            "torchode dopri5": torchode_dopri5(problem),
            "sciode dopri5 per sample": ours(problem, per_sample=True),
            "sciode tsit5 per sample": ours(problem, tableaus.TSIT5, per_sample=True),
        }
        lines += at_equal_error("6", problem, entries, "torchode dopri5", 1.7, repeats)
    if lines:
        notes = __doc__.split("\n\n", 2)[2].strip()
        write("ode-cpu", "Adaptive ODE solvers at equal error", notes, where, lines)
    if "3b" in rows:
        title = "What a solve costs beside its drift calls"
        write("ode-overhead-cpu", title, "Row 3b; rtol 1e-5.", where, overhead(neural(), repeats))
    if "saves" in rows:
        write("ode-saves-cpu", "A thousand asked times", "rtol 1e-6.", where, saves(lotka_volterra(256), repeats))
    if "7" in rows:
        problems = ((lotka_volterra(256), 1.4), (burgers_lines(), 2.0), (neural(), 1.0))
        lines = [line for problem, must in problems for line in training(problem, must, repeats)]
        notes = "Row 7; rtol 1e-6 (float32: 1e-5). Gradient errors against torchdiffeq at 1e-10 (float32: 1e-6)."
        write("ode-training-cpu", "Gradients through the recorded operations", notes, where, lines)
    if "counts" in rows:
        notes = "Counted in the dispatcher; views and allocations run no kernel."
        write("ode-counts", "Operations per step", notes, where, counts())


if __name__ == "__main__":
    main()

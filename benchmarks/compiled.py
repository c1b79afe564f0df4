"""Compiled steps beside eager ones and beside torchdiffeq: rows 4, 5 and 7b, and given steps.

    OMP_NUM_THREADS=1 python benchmarks/compiled.py [--rows fixed 4 5 7b] [--repeats 5]

"fixed" runs 256 given steps of RK4 eagerly and in compiled chunks of eight. Row 4 steps adaptively at the same
tolerance as torchdiffeq (rtol 1e-6; float32: 1e-5) with the attempt compiled, row 5 with the whole loop compiled;
row 7b goes forward and backward.
Compiling, which takes seconds to minutes once, is not in the times. Process CPU time, medians, taking turns.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from harness import interleave, machine, write
from ode_problems import Problem, burgers_lines, lotka_volterra, neural
from torch import Tensor
from torchdiffeq import odeint

from sciode.solve import Compiled, CompiledLoop, Pid, RungeKutta, Term, solve, tableaus

DOPRI5 = RungeKutta(tableaus.DOPRI5)


def tolerance(problem: Problem) -> float:
    """Return what the state's precision can resolve."""
    return 1e-6 if problem.x0.dtype is torch.float64 else 1e-5


def by_torchdiffeq(problem: Problem) -> Callable[[Tensor], Tensor]:
    """Return x0 -> y(end) by torchdiffeq's dopri5."""
    tol, t = tolerance(problem), torch.tensor([0.0, problem.end], dtype=problem.x0.dtype)
    return lambda x0: odeint(problem.f, x0, t, rtol=tol, atol=0.1 * tol, method="dopri5")[1]


def by_sciode(problem: Problem, capture: Compiled | CompiledLoop | None) -> Callable[[Tensor], Tensor]:
    """Return x0 -> y(end) by ours."""
    tol = tolerance(problem)
    term, control = Term(problem.f, parameters=problem.weights), Pid(rtol=tol, atol=0.1 * tol)
    times = [0.0, problem.end]
    return lambda x0: solve(term, x0, times, solver=DOPRI5, controller=control, capture=capture).y[:, 1]


def given_steps(problem: Problem, repeats: int) -> list[dict[str, Any]]:
    """Compare chunks of given steps, eager and compiled."""
    term, solver, times = Term(problem.f), RungeKutta(tableaus.RK4), [0.0, problem.end]
    t = torch.tensor(times, dtype=problem.x0.dtype)
    dt, chunks = problem.end / 256, Compiled(steps=8)
    ours = {"solver": solver, "dt": dt}
    calls: dict[str, Callable[[], Tensor]] = {
        "torchdiffeq rk4": lambda: odeint(problem.f, problem.x0, t, method="rk4", options={"step_size": dt})[1],
        "sciode rk4": lambda: solve(term, problem.x0, times, **ours).y[:, 1],
        "sciode rk4 compiled": lambda: solve(term, problem.x0, times, solver=solver, dt=dt, capture=chunks).y[
            :, 1
        ],
    }
    with torch.no_grad():
        taken = interleave(calls, repeats)
    return lines("fixed", problem, taken, "torchdiffeq rk4", {})


def adaptive(problem: Problem, must: float, repeats: int, whole: bool) -> list[dict[str, Any]]:
    """Row 4 or, with the ``whole`` loop compiled, row 5: the same tolerance."""
    entries = {
        "torchdiffeq dopri5": by_torchdiffeq(problem),
        "sciode dopri5": by_sciode(problem, None),
        "sciode dopri5 compiled": by_sciode(problem, CompiledLoop() if whole else Compiled(steps=4)),
    }
    with torch.no_grad():
        taken = interleave({name: lambda run=run: run(problem.x0) for name, run in entries.items()}, repeats)
    return lines("5" if whole else "4", problem, taken, "torchdiffeq dopri5", {"sciode dopri5 compiled": must})


def training(problem: Problem, must: float, repeats: int) -> list[dict[str, Any]]:
    """Row 7b: forward and backward."""

    def gradient(run: Callable[[Tensor], Tensor]) -> Tensor:
        x0 = problem.x0.clone().requires_grad_()
        (found,) = torch.autograd.grad((run(x0) ** 2).mean(), x0)
        return found

    entries = {
        "torchdiffeq dopri5": by_torchdiffeq(problem),
        "sciode dopri5": by_sciode(problem, None),
        "sciode dopri5 compiled": by_sciode(problem, Compiled(steps=4)),
    }
    taken = interleave({name: lambda run=run: gradient(run) for name, run in entries.items()}, repeats)
    return lines("7b", problem, taken, "torchdiffeq dopri5", {"sciode dopri5 compiled": must})


def lines(
    row: str, problem: Problem, taken: dict[str, Any], peer: str, musts: dict[str, float]
) -> list[dict[str, Any]]:
    """Lay the timings out."""
    want = taken["sciode rk4" if row == "fixed" else "sciode dopri5"][1]
    return [
        {
            "row": row,
            "problem": problem.name,
            "solver": name,
            "ms": 1e3 * seconds,
            "times faster than torchdiffeq": taken[peer][0] / seconds,
            "difference from eager": float((value - want).abs().max()),
            "must": musts.get(name, ""),
        }
        for name, (seconds, value) in taken.items()
    ]


def main() -> None:
    """Run the rows asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["fixed", "4", "5", "7b"])
    parser.add_argument("--problems", nargs="+", default=["Lotka", "Burgers", "neural"], help="parts of names")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    problems = [*(lotka_volterra(batch) for batch in (1, 256, 4096)), burgers_lines(), neural()]
    fives = (15.0, 12.0, 7.0, None, None)
    fours, sevens = (6.0, 6.0, 6.0, 6.0, 1.2), (4.0, 4.0, 4.0, 4.0, 1.0)
    found: list[dict[str, Any]] = []
    notes = __doc__.split("\n\n", 2)[2].strip()
    for problem, four, five, seven in zip(problems, fours, fives, sevens, strict=True):
        if not any(part in problem.name for part in arguments.problems):
            continue
        if "fixed" in arguments.rows:
            found += given_steps(problem, arguments.repeats)
        if "4" in arguments.rows:
            found += adaptive(problem, four, arguments.repeats, whole=False)
        if "5" in arguments.rows and five:
            found += adaptive(problem, five, arguments.repeats, whole=True)
        if "7b" in arguments.rows:
            found += training(problem, seven, arguments.repeats)
        # Problem by problem: an interrupted run keeps what it has.
        write("compiled-cpu", "Compiled steps", notes, machine("cpu", ["torchdiffeq", "numpy"]), found)


if __name__ == "__main__":
    main()

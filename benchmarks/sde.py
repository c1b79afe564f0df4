"""Stochastic steppers against torchsde, diagonal noise, same problem and steps, CPU seconds per step.

``python benchmarks/sde.py``. torchsde gets its ``dt`` hint (a Brownian interval made for the step), without
which its noise is up to a hundred times slower; ``--bare`` times that case, too.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torchsde
from harness import machine, seconds, table, write
from torch import Tensor

from sciode.solve import EulerMaruyama, Noise, Save, Solver, StochasticRungeKutta, Term, solve

STEPS = 100
SIZES = ((256, 16), (4096, 64))


class Problem(torch.nn.Module):
    """dy = -y ds + 0.1 y dW: cheap, so that the solver is what is timed."""

    noise_type, sde_type = "diagonal", "ito"

    def f(self, t: Any, y: Tensor) -> Tensor:
        return -y

    def g(self, t: Any, y: Tensor) -> Tensor:
        return 0.1 * y


def ours(solver: Solver, y0: Tensor) -> Callable[[], Tensor]:
    problem = Problem()
    term = Term(problem.f, noise=Noise(problem.g, "diagonal", seed=1))

    def run() -> Tensor:
        with torch.no_grad():
            y = solve(term, y0, [0.0, 1.0], solver=solver, dt=1.0 / STEPS, save=Save.END).y
        assert isinstance(y, Tensor)
        return y

    return run


def theirs(method: str, y0: Tensor, hint: bool) -> Callable[[], Tensor]:
    problem, times = Problem(), torch.tensor([0.0, 1.0])
    area = "space-time" if method == "srk" else "none"

    def run() -> Tensor:
        brownian = None
        if hint:
            brownian = torchsde.BrownianInterval(
                0.0, 1.0, size=tuple(y0.shape), dt=1.0 / STEPS, levy_area_approximation=area
            )
        with torch.no_grad():
            return torchsde.sdeint(problem, y0, times, bm=brownian, method=method, dt=1.0 / STEPS)[-1]

    return run


def floor(y0: Tensor) -> Callable[[], Tensor]:
    """Drift, amplitude, update and fresh normal numbers: what no Euler step can go below."""
    problem, h = Problem(), 1.0 / STEPS

    def run() -> Tensor:
        y = y0
        with torch.no_grad():
            for _ in range(STEPS):
                W = torch.empty_like(y).normal_(0.0, h**0.5)
                y = y.add(problem.f(0.0, y), alpha=h).addcmul_(problem.g(0.0, y), W)
        return y

    return run


def compare(name: str, calls: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, Any]:
    """Time the calls in turn, ``repeats`` rounds; medians per step and the ratio of each to ours."""
    taken: dict[str, list[float]] = {key: [] for key in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for key, call in calls.items():
            taken[key].append(seconds(call, 1, "cpu", warm=False)[0])
    median = {key: sorted(values)[len(values) // 2] / STEPS * 1e6 for key, values in taken.items()}
    return {
        "case": name,
        "sciode us/step": median["ours"],
        "torchsde, dt hint": median["hint"],
        "ratio": median["hint"] / median["ours"],
        "torchsde, no hint": "-",
        "ratio without": "-",
        "floor (Euler)": median["floor"],
    }


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--bare", action="store_true", help="time torchsde without its hint, too (slow)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for method, solver, cases in (("euler", EulerMaruyama(), SIZES), ("srk", StochasticRungeKutta(), SIZES)):
        for shape in cases:
            y0 = torch.ones(*shape)
            calls = {"ours": ours(solver, y0), "hint": theirs(method, y0, True), "floor": floor(y0)}
            rounds = options.repeats if shape == SIZES[0] or method == "euler" else max(3, options.repeats // 4)
            row = compare(f"{method} {shape}", calls, rounds)
            if options.bare and method == "euler":
                bare = seconds(theirs(method, y0, False), 3, "cpu")[0] / STEPS * 1e6
                row |= {"torchsde, no hint": bare, "ratio without": bare / row["sciode us/step"]}
            rows.append(row)
            print(table(rows[-1:]))
    notes = (
        f"dy = -y ds + 0.1 y dW on [0, 1], {STEPS} steps, float32, state [batch, size], no gradient. Microseconds "
        "of process CPU time per step, medians of interleaved runs. `srk` is the strong order 1.5 method of "
        "either library (SRI1 here). Must: Euler 3x and 1.8x, srk 2.5x at (256, 16). "
    )
    write("sde-cpu", "Stochastic steppers against torchsde", notes, machine("cpu", ["torchsde"]), rows)


if __name__ == "__main__":
    main()

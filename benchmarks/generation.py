"""Trajectories per second when a dataset is made: sciode beside torchdiffeq and exponax, with the error of each.

    python benchmarks/generation.py [--device cuda] [--batches 8 64] [--repeats 3]

Every solver gets the same equation on the same grid, the same float64 initial states and the same saved times.
torchdiffeq integrates the same dealiased right-hand side in Fourier space, with its adaptive default (dopri5,
rtol 1e-5, atol 1e-7) and with the one fixed step that is stable (rk4). exponax is given its own fourth-order
ETDRK stepper at our step, compiled, its state kept in Fourier space between saves. The error is the
largest over the batch of |u - v|_2 / |v|_2 at the last time, v being a run of ours with an eighth of the step;
the row "torchdiffeq dopri5, rtol 1e-9" shows that an independent code agrees with v. torchdiffeq, which takes
minutes, runs at the smallest batch only.
"""

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from harness import machine, seconds, write
from torch import Tensor

from sciode.core.random import generator
from sciode.pde import burgers, initial, kuramoto_sivashinsky
from sciode.solve import Term, solve
from sciode.spectral import Grid


@dataclass(frozen=True)
class Problem:
    """One dataset to make."""

    name: str
    term: Term
    points: int
    length: float
    times: Tensor
    dt: float
    stable: float  # a step at which classical rk4 is stable
    family: Callable[..., Tensor]
    burn_in: float
    peer: Callable[[float], object]  # builds exponax's stepper for a step

    def start(self, batch: int, device: str) -> Tensor:
        """Draw the initial states, float64 "b 1 n"."""
        grid = Grid((self.points,), (self.length,))
        state = torch.stack([self.family(grid, generator(0, i)) for i in range(batch)]).to(device)
        if self.burn_in:
            state = solve(self.term, state, [0.0, self.burn_in], dt=self.dt).y[:, -1]
        return state


def problems() -> list[Problem]:
    """1D Burgers as PDEBench has it, and Kuramoto--Sivashinsky on its attractor."""
    nu = 0.01 / math.pi

    def burgers_peer(dt: float) -> object:
        import exponax

        return exponax.stepper.Burgers(1, 1.0, 1024, dt, diffusivity=nu, convection_scale=1.0, order=4)

    def ks_peer(dt: float) -> object:
        import exponax

        return exponax.stepper.KuramotoSivashinskyConservative(1, 64.0, 256, dt, order=4)

    highest = (math.pi * 1024) ** 2 * nu
    ks_rate = (math.pi * 256 / 64) ** 4
    return [
        Problem("Burgers 1024 x 201, t = 2", burgers(1024, viscosity=nu), 1024, 1.0, _times(2.0), 1e-3,
                2.5 / highest, initial.sine_sum, 0.0, burgers_peer),
        Problem("KS 256 x 201, t = 10", kuramoto_sivashinsky(256, 64.0), 256, 64.0, _times(10.0), 0.05,
                2.5 / ks_rate, initial.wave_packet, 100.0, ks_peer),
    ]  # fmt: skip


def _times(end: float) -> Tensor:
    return torch.linspace(0, end, 201, dtype=torch.float64)


def torchdiffeq_run(problem: Problem, u0: Tensor, **options: object) -> Tensor:
    """Integrate the whole right-hand side L y + N(y) by torchdiffeq and return the last state."""
    from torchdiffeq import odeint

    rate = problem.term.linear.rate.to(u0.device)

    def right(t: Tensor, y: Tensor) -> Tensor:
        return rate * y + problem.term.drift(t, y)

    y = odeint(right, problem.term.chart.enter(u0), problem.times.to(u0.device), **options)
    return problem.term.chart.leave(y.transpose(0, 1))


def exponax_run(problem: Problem, u0: Tensor, dt: float) -> Callable[[], Tensor]:
    """Return a compiled run of exponax's stepper over the same saved times."""
    import exponax
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    gap = (problem.times[1] - problem.times[0]).item()
    inner = exponax.RepeatedStepper(problem.peer(dt), round(gap / dt))
    roll = jax.jit(jax.vmap(exponax.rollout(inner, len(problem.times) - 1, include_init=True)))
    start = jax.numpy.asarray(u0.cpu().numpy())
    return lambda: torch.from_numpy(np.array(roll(start).block_until_ready()))


def measure(problem: Problem, batch: int, repeats: int, device: str, slow: bool) -> list[dict]:
    """Time every solver on one problem."""
    u0 = problem.start(batch, device)

    def ours(dt: float, dtype: torch.dtype = torch.float64) -> Tensor:
        with torch.inference_mode():
            return solve(problem.term, u0.to(dtype), problem.times, dt=dt).y

    runs: dict[str, Callable[[], Tensor]] = {
        f"sciode ETDRK4, dt {problem.dt:g}": lambda: ours(problem.dt),
        f"sciode ETDRK4, dt {problem.dt:g}, float32": lambda: ours(problem.dt, torch.float32),
    }
    try:
        runs[f"exponax ETDRK4, dt {problem.dt:g}"] = exponax_run(problem, u0, problem.dt)
    except ImportError:
        print("exponax is not installed: pip install 'sciode[bench]'")
    peers = {
        "torchdiffeq dopri5, rtol 1e-5": lambda: torchdiffeq_run(problem, u0, rtol=1e-5, atol=1e-7),
        "torchdiffeq dopri5, rtol 1e-9": lambda: torchdiffeq_run(problem, u0, rtol=1e-9, atol=1e-11),
        f"torchdiffeq rk4, dt {problem.stable:.2g}": lambda: torchdiffeq_run(
            problem, u0, method="rk4", options={"step_size": problem.stable}
        ),
    }
    runs |= peers if slow else {}
    want = ours(problem.dt / 8)[:, -1]
    rows = []
    for name, run in runs.items():
        with torch.no_grad():
            peer = "torchdiffeq" in name
            taken, y = seconds(run, 1 if peer else repeats, device, warm=not peer)
            end = y[:, -1].to(want)
        error = ((end - want).norm(dim=-1) / want.norm(dim=-1)).max().item()
        row = {"problem": problem.name, "batch": batch, "solver": name}
        rows.append(row | {"trajectories / s": batch / taken, "error": error})
        print(rows[-1], flush=True)
    for row in rows:
        row["sciode is faster by"] = rows[0]["trajectories / s"] / row["trajectories / s"]
    return rows


def main() -> None:
    """Run both problems and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    rows = []
    for problem in problems():
        for batch in chosen.batches:
            slow = batch == min(chosen.batches)
            rows += measure(problem, batch, chosen.repeats, chosen.device, slow)
    clock = "wall" if chosen.device == "cuda" else "CPU"
    notes = (
        f"`python benchmarks/generation.py --device {chosen.device}`: float64 unless stated, seed 0, one thread, "
        f"{clock} time, median of {chosen.repeats} (torchdiffeq: 1); compilation not counted."
    )
    where = machine(chosen.device, ["torchdiffeq", "exponax", "jax", "numpy"])
    write(f"generation-{chosen.device}", "Making data: trajectories per second", notes, where, rows)


if __name__ == "__main__":
    main()

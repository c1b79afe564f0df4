"""Time of a step of ETDRK4 on two equations: sciode beside exponax, and beside its own Fourier transforms alone.

    python benchmarks/etd.py [--repeats 9] [--torchdiffeq]

Both keep the state in Fourier space and save the end only. exponax runs its fourth-order stepper in one
compiled scan, compilation not counted. Runs are interleaved, so that the load of the machine meets all alike.
"floor" is the time of the transforms of a step alone (Kuramoto--Sivashinsky: four pairs; vorticity: for each
of four stages the inverse transform of two fields and two forward ones).

With ``--torchdiffeq``, dopri5 integrates Kuramoto--Sivashinsky to T = 5, batch 8, float64; ours takes steps that
make its relative error at most 3e-6 against an eighth of the step.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from harness import machine, seconds, write
from torch import Tensor

from sciode.pde import kuramoto_sivashinsky, navier_stokes
from sciode.solve import FixedLoop, RungeKutta, Term, solve, tableaus
from sciode.solve.steps import even

LENGTH = 64.0


@dataclass(frozen=True)
class Case:
    """One row: an equation, a batch and a precision."""

    name: str
    term: Term
    points: tuple[int, ...]
    batch: int
    dtype: torch.dtype
    dt: float
    steps: int
    peer: Callable[[], object]  # builds exponax's stepper

    def start(self) -> Tensor:
        """Return the initial states, smooth, in Fourier space."""
        u = torch.randn(
            self.batch, 1, *self.points, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        y = self.term.chart.enter(u, None)
        decay = torch.exp(0.5 * (self.term.linear.rate / self.term.linear.rate.abs().max()) * 400)
        return (y * decay * 0.5).to(torch.complex64 if self.dtype == torch.float32 else torch.complex128)


def cases() -> list[Case]:
    """Kuramoto--Sivashinsky on 256 points, and vorticity on 64^2 and 128^2."""
    import exponax

    build = exponax.stepper.KuramotoSivashinskyConservative
    ks, rows = kuramoto_sivashinsky(256, LENGTH), []
    for batch in (8, 64):
        for dtype in (torch.float32, torch.float64):
            rows.append(Case("KS 256", ks, (256,), batch, dtype, 0.05, 200,
                             lambda: build(1, LENGTH, 256, 0.05, order=4)))  # fmt: skip
    for n, steps in ((64, 30), (128, 8)):
        term = navier_stokes(n, viscosity=1e-3)
        rows.append(Case(f"vorticity {n}^2", term, (n, n), 8, torch.float32, 0.005, steps,
                         lambda n=n: exponax.stepper.NavierStokesVorticity(
                             2, 2 * torch.pi, n, 0.005, diffusivity=1e-3, order=4,
                             # its velocity has the opposite sign: with +1 it is another equation
                             vorticity_convection_scale=-1.0)))  # fmt: skip
    return rows


def ours(case: Case, y: Tensor) -> Callable[[], Tensor]:
    """Return a run of our loop, state in Fourier space."""
    loop = FixedLoop(RungeKutta(tableaus.KROGSTAD4), case.term, even([0.0, case.dt * case.steps], case.dt))

    def run() -> Tensor:
        with torch.inference_mode():
            return loop.advance(y, loop.start(y), 0, case.steps)[0]

    return run


def transforms(case: Case, y: Tensor) -> Callable[[], None]:
    """Return a run of the transforms alone."""
    dims = tuple(range(-len(case.points), 0))
    fields = y if len(dims) == 1 else torch.cat([y, y], dim=1)
    u = torch.fft.irfftn(y, s=case.points, dim=dims)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(4 * case.steps):
                torch.fft.irfftn(fields, s=case.points, dim=dims)
                for _ in range(fields.shape[1]):
                    torch.fft.rfftn(u, dim=dims)

    return run


def theirs(case: Case, y: Tensor) -> Callable[[], object]:
    """Return exponax's compiled run, state in Fourier space."""
    import jax

    jax.config.update("jax_enable_x64", case.dtype == torch.float64)
    step = jax.vmap(case.peer().step_fourier)
    roll = jax.jit(lambda z: jax.lax.scan(lambda c, _: (step(c), None), z, None, length=case.steps)[0])
    z = jax.numpy.asarray(y.numpy())
    return lambda: roll(z).block_until_ready()


def interleaved(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median CPU seconds of each run, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(case: Case, repeats: int) -> dict:
    """Time one case."""
    y = case.start()
    mine, peer = ours(case, y), theirs(case, y)
    a, b = mine(), torch.from_numpy(np.array(peer()))
    took = interleaved({"sciode": mine, "exponax": peer, "floor": transforms(case, y)}, repeats)
    micro = {name: 1e6 * value / case.steps for name, value in took.items()}
    row = {"problem": case.name, "batch": case.batch, "dtype": str(case.dtype).removeprefix("torch.")}
    row |= {"sciode us": micro["sciode"], "exponax us": micro["exponax"], "floor us": micro["floor"]}
    row |= {"/ exponax": micro["sciode"] / micro["exponax"], "/ floor": micro["sciode"] / micro["floor"]}
    row["difference"] = ((a - b).abs().norm() / b.abs().norm()).item()
    print(row, flush=True)
    return row


def beside_torchdiffeq() -> dict:
    """Compare at equal error with an adaptive explicit solver."""
    from torchdiffeq import odeint

    term = kuramoto_sivashinsky(256, LENGTH)
    u0 = torch.randn(8, 1, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u0 = solve(term, u0, [0.0, 100.0], dt=0.05).y[:, -1]
    rate = term.linear.rate

    def adaptive() -> Tensor:
        times = torch.tensor([0.0, 5.0], dtype=torch.float64)
        y = odeint(lambda t, y: rate * y + term.drift(t, y), term.chart.enter(u0), times, rtol=1e-3, atol=1e-5)
        return term.chart.leave(y[-1], None)

    with torch.inference_mode():
        dt, error = 0.25, 1.0
        want = solve(term, u0, [0.0, 5.0], dt=1 / 512).y[:, -1]
        while error > 3e-6:
            dt /= 2
            error = ((solve(term, u0, [0.0, 5.0], dt=dt).y[:, -1] - want).norm() / want.norm()).item()
        mine, _ = seconds(lambda: solve(term, u0, [0.0, 5.0], dt=dt).y, 9, "cpu")
        slow, y = seconds(adaptive, 1, "cpu", warm=False)
    row = {"dt": dt, "our error": error, "our ms": 1e3 * mine, "dopri5 ms": 1e3 * slow}
    row |= {"dopri5 error": ((y - want).norm() / want.norm()).item(), "faster by": slow / mine}
    print(row, flush=True)
    return row


def main() -> None:
    """Run all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--torchdiffeq", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    # glibc gives freed memory back to the system until it has seen one large block come and go, and every step
    # then pays for the pages anew. A program that has freed a trajectory has done this; so do we, for all alike.
    block = torch.empty(31 * 2**20, dtype=torch.uint8)
    del block
    rows = [measure(case, chosen.repeats) for case in cases()]
    notes = (
        "`python benchmarks/etd.py`: ETDRK4 (Krogstad's; exponax: Cox and Matthews'), CPU microseconds per "
        f'step, one thread, state in Fourier space, interleaved, median of {chosen.repeats}. "/ exponax" and '
        '"/ floor": our time over theirs; below 1 we are faster. "difference": relative, between the end states '
        "(the methods and, for modes above 2/3, the dealiasing are not the same)."
    )
    if chosen.torchdiffeq:
        found = beside_torchdiffeq()
        notes += "\n\nKS to T = 5, batch 8, float64, beside torchdiffeq dopri5 (rtol 1e-3): " + ", ".join(
            f"{name} {value:.3g}" for name, value in found.items()
        )
    write("etd-cpu", "A step of ETDRK4", notes, machine("cpu", ["exponax", "jax", "torchdiffeq", "numpy"]), rows)


if __name__ == "__main__":
    main()

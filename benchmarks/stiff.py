"""Stiff problems: error over CPU time and drift calls, for ours, scipy's Radau and BDF, and diffrax's Kvaerno5.

    OMP_NUM_THREADS=1 python benchmarks/stiff.py [--repeats 3]

Robertson to t = 1e5, one sample and 64 of nearby initial states, and van der Pol with mu = 1000 to t = 2000, one
sample; float64. scipy gets NumPy drifts and solves sample by sample; diffrax's time is that of the compiled solve,
vmapped over the batch. The error is the largest over the components of the first sample at the end, relative to
scipy's Radau at rtol 1e-11. The last column interpolates the CPU time to an error of 1e-6, against sciode's.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import machine, seconds, write
from scipy.integrate import solve_ivp
from torch import Tensor

from sciode.solve import KVAERNO5, Implicit, Pid, Term, solve

Run = Callable[[float], tuple[np.ndarray, Any]]
ENDS = {"robertson": 1e5, "van der Pol": 2000.0}
STARTS = {"robertson": [1.0, 0.0, 0.0], "van der Pol": [2.0, 0.0]}
MU = 1000.0
CASES = (("robertson", 1), ("van der Pol", 1), ("robertson", 64))
TARGET = 1e-6


def drift(name: str, stack: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return f(s, y), with the components on the last axis, for any array library."""

    def robertson(s: Any, y: Any) -> Any:
        p, q, r = y[..., 0], y[..., 1], y[..., 2]
        slow, fast, back = 0.04 * p, 3e7 * q * q, 1e4 * q * r
        return stack([back - slow, slow - back - fast, fast])

    def van_der_pol(s: Any, y: Any) -> Any:
        p, q = y[..., 0], y[..., 1]
        return stack([q, MU * (1 - p * p) * q - p])

    return robertson if name == "robertson" else van_der_pol


def starts(name: str, batch: int) -> np.ndarray:
    """Return initial states ``[b, n]``, the first the classical one."""
    y0 = np.tile(np.array(STARTS[name]), (batch, 1))
    y0[:, 0] *= 1 + 0.1 * np.arange(batch) / batch
    return y0


def ours(name: str, batch: int, own: bool) -> Run:
    term = Term(drift(name, partial(torch.stack, dim=-1)))
    x0 = torch.from_numpy(starts(name, batch))

    def run(rtol: float) -> tuple[np.ndarray, int]:
        with torch.no_grad():
            found = solve(
                term,
                x0,
                [0.0, ENDS[name]],
                solver=Implicit(KVAERNO5),
                controller=Pid(rtol=rtol, atol=1e-4 * rtol, per_sample=own),
            )
        assert isinstance(found.y, Tensor) and found.message == ""
        return found.y[:, -1].numpy(), found.stats.evaluations

    return run


def scipys(name: str, batch: int, method: str) -> Run:
    field = drift(name, np.array)

    def run(rtol: float) -> tuple[np.ndarray, int]:
        found = [
            solve_ivp(field, (0.0, ENDS[name]), y, method, rtol=rtol, atol=1e-4 * rtol)
            for y in starts(name, batch)
        ]
        return np.stack([f.y[:, -1] for f in found]), found[0].nfev

    return run


def diffraxes(name: str, batch: int) -> Run | None:
    try:
        import diffrax
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    field, y0 = drift(name, jax.numpy.stack), jax.numpy.asarray(starts(name, batch))

    @jax.jit
    def compiled(rtol: Any) -> Any:
        def one(y: Any) -> Any:
            return diffrax.diffeqsolve(
                diffrax.ODETerm(lambda s, y, _: field(s, y)),
                diffrax.Kvaerno5(),
                0.0,
                ENDS[name],
                None,
                y,
                stepsize_controller=diffrax.PIDController(rtol=rtol, atol=1e-4 * rtol),
                max_steps=100_000,
            ).ys[-1]

        return jax.vmap(one)(y0)

    return lambda rtol: (np.asarray(compiled(rtol)), "-")


def rows_of(name: str, batch: int, repeats: int) -> list[dict[str, Any]]:
    """Measure all entries on one problem."""
    want = solve_ivp(drift(name, np.array), (0.0, ENDS[name]), STARTS[name], "Radau", rtol=1e-11, atol=1e-15).y[
        :, -1
    ]
    entries: dict[str, Run | None] = {
        "sciode Kvaerno5": ours(name, batch, own=False),
        "scipy Radau": scipys(name, batch, "Radau"),
        "scipy BDF": scipys(name, batch, "BDF"),
        "diffrax Kvaerno5": diffraxes(name, batch),
    }
    if batch > 1:
        entries["sciode Kvaerno5, own steps"] = ours(name, batch, own=True)
    rows = []
    for rtol in (1e-3, 1e-5, 1e-7):
        for entry, run in entries.items():
            if run is None:
                continue
            taken, (value, calls) = seconds(partial(run, rtol), repeats, "cpu")
            error = float(np.abs((value[0] - want) / want).max())
            rows.append(
                {
                    "problem": name,
                    "batch": batch,
                    "solver": entry,
                    "rtol": f"{rtol:.0e}",
                    "error": error,
                    "drift calls": calls,
                    "CPU s": taken,
                }
            )
            print(rows[-1], flush=True)
    return [{**row, "CPU at error 1e-6 / sciode": ratio(rows, row["solver"])} for row in rows]


def ratio(rows: list[dict[str, Any]], solver: str) -> Any:
    """Return the CPU time at the common error over that of sciode with shared steps, or "-" outside the range."""
    times = []
    for name in (solver, "sciode Kvaerno5"):
        errors, taken = zip(*sorted((r["error"], r["CPU s"]) for r in rows if r["solver"] == name), strict=True)
        if not errors[0] <= TARGET <= errors[-1]:
            return "-"
        times.append(np.exp(np.interp(np.log(TARGET), np.log(errors), np.log(taken))))
    return float(times[0] / times[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name, batch in CASES for row in rows_of(name, batch, asked.repeats)]
    notes = (
        f"Process CPU time, one thread, median of {asked.repeats} after a warm-up. "
        "Drift calls: batched ones for sciode (products with the Jacobian "
        "included), those of the first sample for scipy. atol is 1e-4 rtol."
    )
    write("stiff-cpu", "Stiff problems", notes, machine("cpu", ["scipy", "diffrax", "jax"]), rows)


if __name__ == "__main__":
    main()

"""Cell updates per second of the two-dimensional Euler equations, beside pyro.

    OMP_NUM_THREADS=1 python -m benchmarks.finite_volume [--device cuda] [--batch 1 16]

A density wave rides on a uniform flow through a periodic box, which has a closed form; so a row tells the error
too. Both take the same fixed steps of SSP-RK3 with HLLC fluxes and a second-order limited reconstruction: van
Leer's here, monotonised central differences there (its second-order choice), with its flattening and artificial
viscosity off. A cell update is one cell through one whole step. ``pyro`` runs on a CPU, in float64, box by box.
"""

import argparse
import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import machine, seconds, write
from sciode.pde.euler import euler, to_conserved
from sciode.solve import Compiled, RungeKutta, Term, solve, tableaus

STEPS, COURANT = 20, 0.2
SPEED, PRESSURE = 1.0, 1.0


def density(x: Any, y: Any, t: float, sine: Callable[[Any], Any]) -> Any:
    """Return the wave at time t."""
    return 1.0 + 0.2 * sine(2 * math.pi * (x + y - 2 * SPEED * t))


def step_of(points: int) -> float:
    """Return the time step: a fifth of a cell for the fastest wave along either axis."""
    return COURANT / points / (SPEED + math.sqrt(1.4 * PRESSURE / 0.8))


def ours(points: int, batch: int, scheme: str, dtype: torch.dtype, device: str, compiled: bool) -> Any:
    """Return the call, and what takes its value to the mean error of the density."""
    axis = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    wave = density(x, y, 0.0, torch.sin)
    gas = torch.stack([wave, *[torch.full_like(wave, value) for value in (SPEED, SPEED, PRESSURE)]])
    start = to_conserved(gas[None]).repeat(batch, 1, 1, 1).to(device, dtype)
    term: Term = euler((points, points), 1.0, reconstruction=scheme)
    solver = RungeKutta(tableaus.SSPRK3)
    end = STEPS * step_of(points)
    capture = Compiled(steps=1) if compiled else None
    true = density(x, y, end, torch.sin)

    def run() -> Tensor:
        with torch.no_grad():
            return solve(
                term, start, [0.0, end], solver=solver, dt=step_of(points) * (1 + 1e-9), capture=capture
            ).y

    return run, lambda value: (value[0, -1, 0].double().cpu() - true).abs().mean().item()


def theirs(points: int) -> Any:
    """Return the same of pyro."""
    from pyro import Pyro

    def begin(my_data: Any, rp: Any) -> None:
        grid = my_data.grid
        rho = density(grid.x2d, grid.y2d, 0.0, np.sin)
        my_data.get_var("density")[:, :] = rho
        my_data.get_var("x-momentum")[:, :] = rho * SPEED
        my_data.get_var("y-momentum")[:, :] = rho * SPEED
        my_data.get_var("energy")[:, :] = PRESSURE / 0.4 + rho * SPEED**2

    inputs = {
        "mesh.nx": points, "mesh.ny": points, "compressible.limiter": 1, "compressible.riemann": "HLLC",
        "compressible.temporal_method": "TVD3", "compressible.use_flattening": 0, "compressible.cvisc": 0.0,
        "driver.fix_dt": step_of(points), "driver.verbose": 0, "driver.max_steps": 10**6, "driver.tmax": 1e6,
        "vis.dovis": 0, "io.do_io": 0,
        **{f"mesh.{side}boundary": "periodic" for side in ("xl", "xr", "yl", "yr")},
    }  # fmt: skip
    box = Pyro("compressible_rk")
    box.add_problem("wave", begin)

    def run() -> Any:
        box.initialize_problem("wave", inputs_dict=inputs)
        for _ in range(STEPS):
            box.single_step()
        return box.get_var("density")

    axis = (np.arange(points) + 0.5) / points
    true = density(axis[:, None], axis[None], STEPS * step_of(points), np.sin)
    return run, lambda value: float(np.abs(np.asarray(value.v()) - true).mean())


def cases(points: int, batches: list[int], device: str) -> Iterator[tuple[dict[str, Any], int, Any]]:
    """Yield a row's name, how many boxes it has, and the pair of calls."""
    if device == "cpu" and importlib.util.find_spec("pyro"):
        yield {"code": "pyro", "scheme": "limited, order 2", "dtype": "float64"}, 1, theirs(points)
    for scheme in ("muscl", "weno5"):
        for dtype in (torch.float64, torch.float32):
            for batch in batches:
                for compiled in (False, True):
                    name = {
                        "code": "sciode, compiled" if compiled else "sciode",
                        "scheme": scheme,
                        "dtype": str(dtype).removeprefix("torch."),
                    }
                    yield name, batch, ours(points, batch, scheme, dtype, device, compiled)


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--points", type=int, nargs="+", default=[128])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for points in options.points:
        reference = None
        for name, batch, (run, error) in cases(points, options.batch, options.device):
            taken, value = seconds(run, 3, options.device)
            rate = batch * points**2 * STEPS / taken / 1e6
            reference = rate if name["code"] == "pyro" else reference
            row = {**name, "cells": f"{batch} x {points} x {points}", "million cell updates / s": rate}
            row |= {"/ pyro": rate / reference if reference else float("nan"), "mean error": error(value)}
            rows.append(row)
            print(row, flush=True)
    notes = f"2D Euler, {STEPS} steps of SSP-RK3 with HLLC, periodic box; one thread on a CPU."
    write(
        f"finite-volume-{options.device}", "Finite volumes", notes, machine(options.device, ["pyro-hydro"]), rows
    )


if __name__ == "__main__":
    main()

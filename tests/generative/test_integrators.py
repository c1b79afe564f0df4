"""Samplers as time integrators: the same methods on equations that are no diffusions."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sciode.generative import VP, Sampler, presets
from sciode.pde import kuramoto_sivashinsky
from sciode.solve import Diagonal, Solver, Term, solve

SAMPLERS: dict[str, tuple[Sampler, float]] = {
    "ddim": (presets.ddim(VP()), 1),
    "dpm++2M": (presets.dpm_solver_pp(VP(), 2), 2),
    "dpm++3M": (presets.dpm_solver_pp(VP(), 3), 3),
    "dpm-2": (presets.dpm_solver(VP(), 2), 2),
    "dpm-3": (presets.dpm_solver(VP(), 3), 3),
    "unipc-2": (presets.unipc(VP(), 2), 3),
    "unipc-3": (presets.unipc(VP(), 3), 4),
    "tAB2": (presets.deis(VP(), 2), 3),
    "rhoAB2": (presets.deis(VP(), 2, variant="rhoAB"), 3),
    "rhoRK3": (presets.deis(VP(), 3, variant="rhoRK"), 3),
    "heun": (presets.heun(VP()), 2),
    "rf_solver": (presets.rf_solver(VP()), 2),
}


def order(term: Term, x0: Tensor, end: float, steps: tuple[int, ...], solver: Solver) -> float:
    """Return the slope of the differences between successive halvings of the step."""
    ends = [solve(term, x0, [0.0, end], solver=solver, dt=end / n).y[:, -1] for n in steps]  # type: ignore[call-overload]
    gaps = [(a - b).abs().max().item() for a, b in pairwise(ends)]
    return math.log2(gaps[-2] / gaps[-1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_forced_stiff_equation(name: str) -> None:
    sampler, wanted = SAMPLERS[name]
    assert sampler.solver is not None
    rates = torch.tensor([-2.0, 0.0, -1.0], dtype=torch.float64)
    term = Term(lambda s, y: torch.sin(2 * s) * y.roll(1, -1) + torch.cos(y), Diagonal(rates))
    x0 = torch.tensor([[1.0, -0.5, 0.3]], dtype=torch.float64)
    found = order(term, x0, 1.0, (40, 80, 160), sampler.solver)
    assert wanted - 0.25 < found < wanted + 0.6


@pytest.mark.parametrize("name", ["dpm++2M", "dpm-3", "unipc-2"])
def test_kuramoto_sivashinsky(name: str) -> None:
    sampler, wanted = SAMPLERS[name]
    assert sampler.solver is not None
    place = torch.arange(64, dtype=torch.float64) / 64
    u0 = (torch.cos(2 * math.pi * place) + 0.3 * torch.sin(4 * math.pi * place)).reshape(1, 1, 64)
    found = order(kuramoto_sivashinsky(points=64, length=22.0), u0, 2.0, (80, 160, 320), sampler.solver)
    assert wanted - 0.4 < found < wanted + 0.8

"""Stochastic equations whose solution on a given path is known, and strong errors against it."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sciode.solve import Noise, Solver, Term, solve
from sciode.solve.steps import even


class Problem(NamedTuple):
    """dy = f ds + G dW on [0, 1], and y(1) as a function of W(1)."""

    drift: Callable[[Tensor, Tensor], Tensor]
    amplitude: Callable[[Tensor, Tensor], Tensor]
    start: float
    exact: Callable[[Tensor], Tensor]
    calculus: str


MU, SIGMA, A = 0.4, 0.7, 0.6

GEOMETRIC = Problem(
    lambda s, y: MU * y, lambda s, y: SIGMA * y, 1.0, lambda W: torch.exp(MU - SIGMA**2 / 2 + SIGMA * W), "ito"
)
GEOMETRIC_STRATONOVICH = GEOMETRIC._replace(exact=lambda W: torch.exp(MU + SIGMA * W), calculus="stratonovich")
# Kloeden and Platen (1992), equation (4.4.46) and its Stratonovich form.
TANH = Problem(
    lambda s, y: -A * A * y * (1 - y * y),
    lambda s, y: A * (1 - y * y),
    0.2,
    lambda W: torch.tanh(A * W + math.atanh(0.2)),
    "ito",
)
TANH_STRATONOVICH = TANH._replace(drift=lambda s, y: 0.0 * y, calculus="stratonovich")


def noise_of(problem: Problem, kind: str, seed: int = 3) -> Noise:
    return Noise(problem.amplitude, kind, seed, problem.calculus)


def strong_errors(
    problem: Problem, solver: Solver, kind: str, steps: int = 16, halvings: int = 3, batch: int = 1000
) -> list[float]:
    """Return root-mean-square errors at time 1 for nested grids that see one path."""
    noise, fine = noise_of(problem, kind), steps * 2**halvings
    start = torch.full((batch, 1), problem.start, dtype=torch.float64)
    W = noise.coarsen(fine).source(start, even([0.0, 1.0], 1.0))(0).W.reshape(-1, 1)
    errors = []
    for halving in range(halvings + 1):
        count = steps * 2**halving
        term = Term(problem.drift, noise=noise.coarsen(fine // count))
        y = solve(term, start, [0.0, 1.0], solver=solver, dt=1.0 / count).y[:, -1]
        errors.append((y - problem.exact(W)).square().mean().sqrt().item())
    return errors

r"""DPM-Solver-v3: exponential steps in the linear part that suits the model, elementwise.

With g = e^{-S} N - B, S and B the integrals of s and e^{-S} b, the model's own drift is taken out of N, and a
polynomial through g is exact for more. All weights come from Gauss--Legendre quadrature in float64 over cubic
splines of the statistics, at the times of the grid themselves.

Symbols: ``L``, ``S``, ``B`` integrals of the statistics, ``X_j`` states, ``F_j`` denoised; as in
:mod:`sciode.generative.statistics`.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from sciode.generative.coordinates import DATA
from sciode.generative.grid import End, Grid, Spacing, check_lam
from sciode.generative.plan import Plan, Writer, lowered
from sciode.generative.presets.common import check_order, grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.generative.statistics import Statistics

_POINTS = 32

Step: TypeAlias = tuple[np.ndarray, list[tuple[int, np.ndarray]], np.ndarray]
"""carry of y, (evaluation, weight of its N), constant: y_t = carry y_s - sum w N - constant."""


def dpm_solver_v3(
    schedule: Schedule,
    statistics: Statistics,
    order: int = 3,
    steps: int = 10,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    corrector: bool = True,
    final: str = "auto",
) -> Sampler:
    """DPM-Solver-v3, multistep: ``steps`` evaluations.

    Parameters
    ----------
    statistics
        Of this model and schedule, from :func:`sciode.generative.fit_statistics`.
    order
        1, 2 or 3.
    corrector
        Correct each step by the slope at its end, at no evaluation.

    Raises
    ------
    InputError
        For statistics of another schedule or a narrower span.

    References
    ----------
    Zheng et al. (arXiv:2310.13268), algorithm 1 and appendix B.
    """
    check_order(order, (1, 2, 3), "dpm_solver_v3")
    where = grid_for(schedule, steps, spacing, begin, end)
    statistics.check(schedule, where.lam[torch.isfinite(where.lam)])
    check_lam(where.lam[0], "the start of DPM-Solver-v3")
    plan = _Writer(where, statistics).plan(lowered(order, where, final), corrector)
    return Sampler(f"DPM-Solver-v3({order})", plan)


class _Writer:
    """Writes the rows; a row is a combination of states and denoised states with elementwise weights."""

    def __init__(self, grid: Grid, statistics: Statistics) -> None:
        lam = statistics.lam.numpy()
        self.grid, self.lam = grid, grid.lam.tolist()
        self.alpha = grid.alpha.tolist()
        self.l = CubicSpline(lam, statistics.l.numpy())
        self.L = self.l.antiderivative()
        self.S = CubicSpline(lam, statistics.s.numpy()).antiderivative()
        self.B = CubicSpline(lam, np.exp(-self.S(lam)) * statistics.b.numpy()).antiderivative()

    def plan(self, counts: Sequence[int], corrector: bool) -> Plan:
        """Return the plan of a predictor that takes ``counts`` slopes."""
        writer = Writer(self.grid, DATA, states=True)
        for index, count in enumerate(counts):
            if writer.limit(index) is not None:
                continue
            step = self.step(index, list(range(index, index - count, -1)))
            carry, slopes, constant = step
            if corrector and index:
                used = list(range(index - 1, index - 1 - counts[index - 1], -1))
                _, old, fixed = self.step(index - 1, used)
                _, new, better = self.step(index - 1, [index, *used])
                change = _minus(new, old)
                # the state goes on from its corrected value; N at the predicted one is kept
                slopes = _minus([(j, w) for j, w in slopes], [(j, -carry * w) for j, w in change])
                constant = constant + carry * (better - fixed)
            self._row(writer, index, count, (carry, slopes, constant))
        return writer.plan()

    def _row(self, writer: Writer, index: int, order: int, step: Step) -> None:
        carry, slopes, constant = step
        size = self.alpha[index + 1]
        states = [(j, -size * w * (1.0 - self.l(self.lam[j])) / self.alpha[j]) for j, w in slopes]
        own = size / self.alpha[index] * carry + sum(w for j, w in states if j == index)
        writer.row(
            self.grid.t[index],
            self.grid.t[index + 1],
            torch.from_numpy(np.asarray(own)),
            [(torch.from_numpy(np.asarray(size * w)), j) for j, w in slopes],
            order,
            states=[(torch.from_numpy(np.asarray(w)), j) for j, w in states if j != index],
            shift=torch.from_numpy(np.asarray(-size * constant)),
        )

    def step(self, index: int, used: Sequence[int]) -> Step:
        """Return step ``index`` with the polynomial through the evaluations ``used``."""
        first, last = self.lam[index], self.lam[index + 1]
        points, weights = np.polynomial.legendre.leggauss(_POINTS)
        lam = first + (last - first) * 0.5 * (points + 1.0)
        basis = _lagrange(lam, [self.lam[j] for j in used])
        kernel = np.exp(self.L(lam) - self.L(last))
        shape = (-1, *[1] * (kernel.ndim - 1))
        kernel = kernel * (0.5 * (last - first) * weights).reshape(shape)
        S = self.S(lam)
        made = [
            (j, (kernel * basis[i].reshape(shape) * np.exp(S - self.S(self.lam[j]))).sum(0))
            for i, j in enumerate(used)
        ]
        # what the polynomial misses of B: its values at the nodes are in g already
        away = self.B(lam) - sum(basis[i].reshape(shape) * self.B(self.lam[j]) for i, j in enumerate(used))
        return np.exp(self.L(first) - self.L(last)), made, (kernel * np.exp(S) * away).sum(0)


def _lagrange(lam: np.ndarray, nodes: Sequence[float]) -> list[np.ndarray]:
    return [
        np.prod([(lam - b) / (a - b) for b in nodes if b != a], axis=0) if len(nodes) > 1 else np.ones_like(lam)
        for a in nodes
    ]


def _minus(
    a: Sequence[tuple[int, np.ndarray]], b: Sequence[tuple[int, np.ndarray]]
) -> list[tuple[int, np.ndarray]]:
    total = dict(a)
    for j, w in b:
        total[j] = total[j] - w if j in total else -w
    return sorted(total.items(), reverse=True)

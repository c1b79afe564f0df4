r"""A moment rule for linear parts that vary, and for polynomials in another clock.

Symbols: ``s`` time, ``h`` step, ``u`` place within it, ``tau`` clock of the polynomials, ``m`` quadrature points.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, each
from sciode.solve.moments import EXACT, Rate, Span, Value


@dataclass(frozen=True)
class Quadrature:
    r"""Weights by Gauss--Legendre quadrature in float64, once per grid.

    .. math::
        b_j = \int_s^{s+h} \exp\Big(\int_{s'}^{s+h} L(\sigma)\,\mathrm{d}\sigma\Big)\,
              \ell_j(\tau(s'))\, \mathrm{d}s'

    Parameters
    ----------
    rate
        What is added to the linear part of the term, 1/time: ``[m] -> [m, ...]``, float64 or complex128, smooth
        within a step; the trailing axes broadcast to one sample's state. None: nothing.
    clock
        tau(s), strictly monotone, ``[m] -> [m]``, in which the interpolating polynomials are polynomials; for a
        diffusion term ``chart.time`` gives DEIS's tAB. None: s itself.
    points
        m. Enough while \|h L\| is well below it; compare with twice as many when in doubt.

    Raises
    ------
    InputError
        For fewer than one point; in a solve, for a step of infinite length with a rate that varies.

    References
    ----------
    Zhang and Chen, *Fast sampling of diffusion models with exponential integrator* (DEIS, arXiv:2204.13902),
    equation (15); Zheng et al., *DPM-Solver-v3* (arXiv:2310.13268), for a rate that varies.

    Examples
    --------
    >>> from sciode.solve import Adams, Term, solve
    >>> falling = Adams(2, rule=Quadrature(rate=lambda s: -2 * s), orders=(1, 2))  # y' = -2 s y
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> round(solve(Term(lambda s, y: 0 * y), x0, [0.0, 1.0], solver=falling, dt=0.5).y[0, 1].item(), 9)
    0.367879441
    """

    rate: Callable[[Tensor], Tensor] | None = None
    clock: Callable[[Tensor], Tensor] | None = None
    points: int = 24

    def __post_init__(self) -> None:
        if not isinstance(self.points, int) or self.points < 1:
            raise InputError(f"Quadrature(points=) takes a number >= 1, found {self.points!r}")

    @property
    def timed(self) -> bool:
        """Weights depend on the time of the step."""
        return True

    def carry(self, rate: Rate, span: Span) -> Rate:
        """Return the exponential of the integral of L over the step."""
        if self.rate is None:
            return EXACT.carry(rate, span)
        self._check(span)
        return _plain(self._decay(rate, span, torch.zeros(1, dtype=torch.float64))[0])

    def weights(self, rate: Rate, span: Span) -> list[Value]:
        """Return the weights."""
        if self.rate is None and math.isinf(span.h):
            return EXACT.weights(rate, span)
        self._check(span)
        assert span.start is not None
        u, w = _gauss(self.points)
        decay = self._decay(rate, span, u)
        basis = self._basis(span, u)
        found = torch.einsum("mn,m...->n...", (basis * (span.h * w)[:, None]).to(decay.dtype), decay)
        return [_plain(b) for b in found]

    def whole(self, drift: Callable[[Time, State], State]) -> Callable[[Time, State], State]:
        """Return N(s, y) + rate(s) y."""
        rate = self.rate
        if rate is None:
            return drift

        def both(s: Time, y: State) -> State:
            factor = rate(s.reshape(1))[0]
            return each(lambda k, part: k + factor.to(device=part.device, dtype=part.dtype) * part, drift(s, y), y)

        return both

    def _check(self, span: Span) -> None:
        if math.isinf(span.h):
            raise InputError("a rate that varies has no integral over an infinite step: end at a finite time")

    def _decay(self, rate: Rate, span: Span, u: Tensor) -> Tensor:
        """Return exp(integral of L from s + u h to s + h), ``[m, ...]``."""
        left = span.h * (1.0 - u)
        total: Tensor | None = None
        if rate is not None:
            constant = rate.to("cpu") if isinstance(rate, Tensor) else torch.tensor(rate, dtype=_wide(rate))
            total = left.reshape(-1, *[1] * constant.dim()) * constant
        if self.rate is not None:
            assert span.start is not None
            inner, w = _gauss(self.points)
            times = span.start + span.h * u[:, None] + left[:, None] * inner  # [m, points]
            values = self.rate(times.reshape(-1))
            values = values.reshape(*times.shape, *values.shape[1:])
            varying = torch.einsum("mi,mi...->m...", (left[:, None] * w).to(values.dtype), values)
            total = varying if total is None else _added(total, varying)
        return torch.ones_like(u) if total is None else torch.exp(total)

    def _basis(self, span: Span, u: Tensor) -> Tensor:
        """Return the Lagrange polynomials of the clock at the points, ``[m, n]``."""
        assert span.start is not None
        nodes = torch.tensor(span.nodes, dtype=torch.float64)
        if self.clock is not None:
            u, nodes = (self.clock(span.start + span.h * v) for v in (u, nodes))
        columns = []
        for j in range(len(nodes)):
            others = torch.cat([nodes[:j], nodes[j + 1 :]])
            columns.append(((u[:, None] - others) / (nodes[j] - others)).prod(1))
        return torch.stack(columns, dim=1)


@cache
def _gauss(points: int) -> tuple[Tensor, Tensor]:
    x, w = np.polynomial.legendre.leggauss(points)
    return torch.from_numpy((x + 1.0) / 2.0), torch.from_numpy(w / 2.0)


def _added(a: Tensor, b: Tensor) -> Tensor:
    """Add ``[m, ...]`` tensors whose trailing axes broadcast from the right."""
    rank = max(a.dim(), b.dim())
    return sum(t.reshape(t.shape[0], *[1] * (rank - t.dim()), *t.shape[1:]) for t in (a, b))  # type: ignore[return-value]


def _plain(value: Tensor) -> Value:
    """Return a number for a weight without axes and without a gradient: a step is cheaper with it."""
    return value if value.dim() or value.requires_grad else value.item()


def _wide(rate: float | complex) -> torch.dtype:
    return torch.complex128 if isinstance(rate, complex) else torch.float64

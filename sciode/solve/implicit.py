r"""Implicit Runge--Kutta methods, for stiff equations.

Symbols: ``s`` times of the stages, ``h`` step, ``y`` packed state ``[b, n]``, ``z`` slopes times the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, leaves, like
from sciode.solve.chart import IDENTITY
from sciode.solve.control import Controller
from sciode.solve.implicit_tableaus import KVAERNO5, ImplicitTableau, predictor
from sciode.solve.jacobian import Shifted, check_differentiable
from sciode.solve.linear import Damp, Inverse
from sciode.solve.newton import Newton, Stage, differentiable
from sciode.solve.packing import Packing
from sciode.solve.step import At, Trial
from sciode.solve.term import Diagonal, Term

_DEGREE = 2  # of the polynomial that predicts a stage
_RESOLVED = 500.0  # units of round-off: no relative tolerance of Newton's method below this can be met


class _Stages(NamedTuple):
    """What the stages of a step leave."""

    z: list[Tensor]
    y: Tensor
    good: Tensor  # [b]: every stage was solved


@dataclass(frozen=True)
class Implicit:
    r"""ESDIRK method, its stages solved by Newton's method, for stiff equations.

    The whole right side, L y + N, is treated implicitly. Works on real and complex states and tuples, with one
    step for the batch or one per sample. Gradients come from the implicit function theorem: the iterations leave
    no record; ``Newton(derivatives=2)`` allows second derivatives. A sample in which Newton's method fails has
    its step refused; with given steps it becomes NaN, which ``Solution.status`` reports.

    Parameters
    ----------
    tableau
        ``KVAERNO5``, ``KVAERNO3``, ``TR_BDF2``, ``IMPLICIT_EULER``, or your own.
    newton
        How the stages are solved: tolerance, linear solver.

    References
    ----------
    Kvaerno, BIT 44 (2004); Hairer and Wanner, *Solving Ordinary Differential Equations II*, section IV.8.

    Examples
    --------
    A fast relaxation onto cos t, in steps far beyond any explicit method:

    >>> from sciode.solve import Term, solve
    >>> term = Term(lambda s, y: -1e6 * (y - torch.cos(s)) - torch.sin(s))
    >>> x0 = torch.zeros(1, 1, dtype=torch.float64)
    >>> y = solve(term, x0, [0.0, 1.0], solver=Implicit(), dt=0.1).y[0, 1, 0]
    >>> bool((y - torch.cos(torch.tensor(1.0))).abs() < 1e-5)
    True
    """

    tableau: ImplicitTableau = KVAERNO5
    newton: Newton = field(default_factory=Newton)

    @property
    def order(self) -> int:
        """Order of convergence."""
        return self.tableau.order

    @property
    def nodes(self) -> tuple[float, ...]:
        """Times of the stages within a step, in units of h."""
        return self.tableau.nodes

    @property
    def history(self) -> int:
        """0: a one-step method."""
        return 0

    @property
    def error_order(self) -> int:
        """Order of the embedded method."""
        return self.tableau.embedded_order

    def tuned(self, controller: Controller) -> "Implicit":
        """Return the method with the controller's tolerances where Newton's method has none of its own."""
        if self.tableau.embedded is None:
            raise InputError("this method has no error estimate: use KVAERNO3 or KVAERNO5, or dt= alone")
        rtol = controller.rtol if self.newton.rtol is None else self.newton.rtol
        atol = controller.atol if self.newton.atol is None else self.newton.atol
        return replace(self, newton=replace(self.newton, rtol=rtol, atol=atol))

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> float:
        """Return the step."""
        if h in (float("inf"), -float("inf")):
            raise InputError("an implicit method takes finite steps: give a finite dt and finite times")
        return h

    def start(self, term: Term, at: At, y: State) -> Tensor:
        """Return the first slope, packed; raises for terms that no implicit method can take."""
        if term.noise is not None:
            raise InputError("an implicit method takes no noise: use a stochastic method, or Term(noise=None)")
        step = _Step(self, term, y)
        s = at.times[0]
        slope = step.field(s, step.y)
        check_differentiable(step.field, s, step.y, slope)
        return slope

    def step(self, term: Term, at: At, y: State, memory: Tensor, plan: float) -> tuple[State, Tensor]:
        """Advance ``y`` by ``plan``. The slope in ``memory`` is not used: hooks may have changed the state."""
        step = _Step(self, term, y)
        stages = step.stages(at.times, plan, step.field(at.times[0], step.y), insist=True)
        value = torch.where(stages.good[:, None], stages.y, torch.nan)
        return step.packing.unpack(value), memory

    def attempt(self, term: Term, at: At, h: Any, y: State, memory: Tensor) -> Trial:
        """Try a step of ``h``, a host float or ``[b]``."""
        assert self.tableau.embedded is not None
        step = _Step(self, term, y)
        size = h[:, None] if isinstance(h, Tensor) else h
        stages = step.stages(at.times, size, memory)
        with torch.no_grad():
            error = torch.zeros_like(step.y)
            for b, companion, z in zip(self.tableau.matrix[-1], self.tableau.embedded, stages.z, strict=True):
                error.add_(z, alpha=b - companion)
            error = torch.where(stages.good[:, None], error, torch.inf)
        # The slope as the stage equation has it: evaluating the drift would multiply Newton's error by |J|.
        divisor = torch.where(size == 0, 1.0, size) if isinstance(size, Tensor) else size
        state, estimate = step.packing.unpack(stages.y), step.packing.unpack(error)
        return Trial(state, estimate, stages.z[-1] / divisor)


class _Step:
    """One step: the packed drift, the tolerance, the linear part."""

    def __init__(self, method: Implicit, term: Term, y: State) -> None:
        self.method, self.term, self.pattern = method, term, y
        self.packing = Packing(y)
        self.y = self.packing.pack(y)
        self.linear = method.newton.linear_for(self.packing.width)
        self.rates = None if term.linear is None else _rates(term.linear, y)

    def field(self, s: Time, flat: Tensor) -> Tensor:
        """Return L y + N(s, y), packed."""
        state = self.packing.unpack(flat)
        slope = self.term.drift(s, state)
        if self.rates is not None:
            parts = zip(leaves(slope), self.rates, leaves(state), strict=True)
            slope = like(self.pattern, tuple(k + rate * p for k, rate, p in parts))
        return self.packing.pack(slope)

    def damp(self, v: Tensor, transposed: bool, h: Any) -> Tensor:
        """Return (I - h gamma L)^{-1} v; transposed, as a real matrix, with the conjugate of L."""
        if self.rates is None:
            return v
        parts = []
        for part, rate in zip(leaves(self.packing.unpack(v)), self.rates, strict=True):
            value = rate.detach().conj() if transposed else rate.detach()
            g = h.reshape(-1, *[1] * (part.dim() - 1)) if isinstance(h, Tensor) else h
            parts.append(part / (1.0 - (g * self.method.tableau.gamma) * value))
        return self.packing.pack(like(self.pattern, tuple(parts)))

    def visible(self, flat: Tensor, s: Time) -> Tensor:
        """Return ``flat`` in the user's variables, where tolerances live."""
        if self.term.chart is IDENTITY:
            return flat
        state = self.term.chart.leave(self.packing.unpack(flat), s)
        return Packing(state).pack(state)

    def scale(self, s: Time) -> Tensor:
        """Return the tolerance of each component, not below what the number format resolves."""
        newton = self.method.newton
        size = self.visible(self.y.detach(), s).abs()
        rtol = max(1e-8 if newton.rtol is None else newton.rtol, _RESOLVED * torch.finfo(size.dtype).eps)
        atol = torch.as_tensor(1e-10 if newton.atol is None else newton.atol, dtype=size.dtype, device=size.device)
        if atol.dim() > 0:
            atol = atol.expand(self.packing.shapes[0][1:]).reshape(1, -1)
        return torch.add(atol, size, alpha=rtol).clamp_(min=torch.finfo(size.dtype).tiny ** 0.5)

    def stages(self, times: Sequence[Time], h: Any, slope: Tensor, insist: bool = False) -> _Stages:
        """Solve all stages, one after the other; ``h`` is a host float or ``[b, 1]``.

        ``insist``: where the Jacobian of the step's beginning does not serve, try again with that of each iterate.
        """
        table, newton = self.method.tableau, self.method.newton
        with torch.no_grad():
            scale = self.scale(times[0])
            weights = scale if scale.shape == self.y.shape else torch.ones_like(self.y)
            start = Shifted(self.field, times[0], self.y.detach(), h * table.gamma)
            damp = partial(self.damp, h=h)
            inverse = self.linear.prepare(start, weights, damp)
        z = [slope * h]
        good = torch.ones(len(self.y), dtype=torch.bool, device=self.y.device)
        y = self.y
        for i, guesses in enumerate(predictor(table, _DEGREE)[1:], start=1):
            base = _combine(self.y, table.matrix[i][:-1], z)
            with torch.no_grad():
                guess = _combine(torch.zeros_like(self.y), guesses, z)
            stage = Stage(
                self.field, times[i], base.detach(), table.gamma, h, partial(self._norm, s=times[i], scale=scale)
            )
            found, fits, recorded = newton.solve(stage, guess, inverse)
            if insist and not bool(fits.all()):
                again, late, _ = newton.solve(stage, guess, self._anew(weights, damp), patient=True)
                found, fits = torch.where(fits[:, None], found, again), fits | late
            good = good & fits
            found = torch.where(fits[:, None], found, 0.0)
            if torch.is_grad_enabled() and (recorded or base.requires_grad):
                found = differentiable(stage, base, found, self.linear, damp, newton.derivatives)
            z.append(found)
            y = torch.add(base, found, alpha=table.gamma)
        return _Stages(z, y, good)

    def _anew(self, weights: Tensor, damp: Damp) -> Inverse:
        return lambda present, right: self.linear.prepare(present, weights, damp)(present, right)

    def _norm(self, change: Tensor, s: Time, scale: Tensor) -> Tensor:
        value = self.visible(change, s) / scale
        return torch.linalg.vector_norm(value, dim=1) * (1.0 / max(value.shape[1], 1) ** 0.5)


def _rates(linear: Diagonal, y: State) -> tuple[Tensor, ...]:
    parts = leaves(y)
    rates = []
    for rate, part in zip(linear.rates(len(parts)), parts, strict=True):
        if rate.is_complex() and not part.is_complex():
            raise InputError("a complex linear part needs a complex state: solve in a chart, or pass complex x0")
        rates.append(rate.to(device=part.device, dtype=part.dtype if rate.is_complex() else part.real.dtype))
    return tuple(rates)


def _combine(base: Tensor, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """Return base + sum of weight * slope. In place only on what was made here, which autograd allows."""
    fresh = False
    for weight, slope in zip(weights, slopes, strict=False):
        if weight:
            base = base.add_(slope, alpha=weight) if fresh else base.add(slope, alpha=weight)
            fresh = True
    return base

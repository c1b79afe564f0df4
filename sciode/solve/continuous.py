r"""Gradients from the adjoint equation, integrated backward: optimise first, discretise second.

The gradient is that of the exact flow, approximated to the order of the solver; it is not the derivative of the
computed states. It needs no record of the forward solve, only its states at the asked times.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.adjoint import Direct
from sciode.solve.adjoint_term import Dual
from sciode.solve.gradients import apart, check_listed, check_undoing, learned, only_once
from sciode.solve.method import FixedRun, Method
from sciode.solve.noise import Noise
from sciode.solve.solution import Report, Rows
from sciode.solve.step import Solver
from sciode.solve.term import Term
from sciode.solve.way_back import WayBack


@dataclass(frozen=True)
class Continuous:
    """Solve the adjoint equation backward, by the solver of the forward equation, on its steps.

    Parameters
    ----------
    resolve
        Where the states come from that the adjoint equation needs. ``"stored"``: each stretch between asked times
        is solved again from its first state, forward, with steps that end on every time the backward solve looks
        at; memory of one stretch. ``"backsolve"``: the state is integrated backward with its cotangent, from the
        asked state at the end of each stretch; memory of one state, for equations that do not damp.
    solver
        Another solver for the way back.
    dt
        Other steps for the way back: at most ``dt`` long, > 0.

    Notes
    -----
    Needs ``Term(parameters=...)``; list the tensor that the drift uses, not one it was made from. Differentiable
    once. Under step control the accepted steps are taken again, so that parameters never enter an error norm.
    A nonlinear drift that damps strongly cannot be integrated backward either, which no rate of a linear part
    tells: ``"backsolve"`` compares the states it arrives at with the asked ones, and warns. An equation with noise
    goes back along the same path by Heun's method, in the Stratonovich calculus.

    Raises
    ------
    InputError
        For a linear part that damps too much to go backward, hooks, multiplicative Ito noise, infinite times, and
        a drift that depends on a tensor with a gradient which ``parameters`` do not hold.

    References
    ----------
    Pontryagin et al. (1962); Chen, Rubanova, Bettencourt and Duvenaud, Neural Ordinary Differential Equations,
    arXiv:1806.07366; with noise: Li, Wong, Chen and Duvenaud,
    arXiv:2001.01328; in diffusion coordinates: Pan et al., AdjointDPM, arXiv:2307.10711.

    Examples
    --------
    >>> from sciode.solve import Term, solve
    >>> x0 = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    >>> y = solve(Term(lambda s, y: -y), x0, [0.0, 1.0], dt=0.1, adjoint=Continuous()).y
    >>> y[:, 1].sum().backward()
    >>> round(x0.grad[0, 0].item(), 5)  # 1/e
    0.36788
    """

    resolve: Literal["stored", "backsolve"] = "stored"
    solver: Solver | None = None
    dt: float | None = None

    def __post_init__(self) -> None:
        if self.resolve not in ("stored", "backsolve"):
            raise InputError(f"Continuous(resolve=) takes 'stored' or 'backsolve', found {self.resolve!r}")
        if self.dt is not None and not self.dt > 0.0:
            raise InputError(f"Continuous(dt=) takes a step > 0 or None, found {self.dt}")

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"Continuous(resolve={self.resolve!r})"

    def run(self, method: Method, term: Term, y: State, times: Sequence[float]) -> tuple[Rows, Report]:
        """Integrate without a record."""
        self._check(method, term, y, times)
        run = method.replayed(term, y, times) if torch.is_grad_enabled() else None
        if run is None or not len(run.loop.steps.sizes):
            return Direct().run(method, term, y, times)
        check_listed(term, run.loop.at(0, y).times[0], y, self.name)
        parameters, rates = learned(term, y)
        parts, rebuild = apart(y)
        flat = _Integral.apply(self, run, rebuild, len(parts), *parts, *parameters, *rates)
        rows = [y, *(rebuild(flat[i : i + len(parts)]) for i in range(0, len(flat), len(parts)))]
        return rows, run.report(rows)

    def _check(self, method: Method, term: Term, y: State, times: Sequence[float]) -> None:
        if self.resolve == "backsolve":
            check_undoing(method, term, y, times, self.name)
        if method.hooks:
            raise InputError(f"{self.name} knows nothing of hooks: use Direct or Checkpointed")
        if any(math.isinf(after - before) for before, after in pairwise(times)):
            raise InputError(f"{self.name} needs finite times, found {list(times)}: use Direct or Checkpointed")
        if term.noise is not None:
            self._check_noise(term.noise)

    def _check_noise(self, noise: Noise) -> None:
        if noise.kind == "fractional":
            raise InputError(
                f"{self.name} takes no fractional noise: use Direct, Checkpointed or ReversibleAdjoint"
            )
        if noise.calculus == "ito" and noise.kind != "additive":
            raise InputError(
                f"{self.name} runs along the path backward, which the Ito calculus of multiplicative noise does "
                "not allow: use the Stratonovich calculus (Noise(calculus='stratonovich')), Direct or Checkpointed"
            )
        if self.solver is not None or self.dt is not None:
            raise InputError(
                f"{self.name} goes back by Heun's method on the forward steps: leave out solver and dt"
            )

    def backward(
        self, run: FixedRun, rows: Sequence[State], cotangents: Sequence[Sequence[Tensor | None]]
    ) -> list[Tensor]:
        """Return the gradients of the first state, the parameters and the rates."""
        dual = Dual(run.loop.term, rows[0], learned(run.loop.term, rows[0])[0])
        way = WayBack(run, dual, self.solver, self.dt)
        a, g = [torch.zeros_like(part) for part in leaves(rows[0])], dual.zeros()
        for gap in reversed(range(len(rows) - 1)):
            a = [part if jump is None else part + jump for part, jump in zip(a, cotangents[gap], strict=True)]
            if self.resolve == "stored":
                end = way.stored(gap, rows[gap], a, g)
            else:
                found = way.together(gap, rows[gap + 1], a, g)
                self._compare(found[: dual.width], rows[gap], run.times[gap])
                end = found[dual.width :]
            a, g = list(end[: dual.width]), list(end[dual.width :])
        return [*a, *g]

    def _compare(self, found: Sequence[Tensor], kept: State, s: float) -> None:
        """Warn if the state that the way back arrived at is not the one it should be."""
        for part, want in zip(found, leaves(kept), strict=True):
            miss, size = torch.stack([(part - want).abs().max(), want.abs().max()]).tolist()
            if not miss <= _LOST * max(size, torch.finfo(want.dtype).tiny):
                warnings.warn(
                    f"{self.name} came back to s = {s:g} with a state off by {miss:.2g}, of size {size:.2g}: "
                    "this gradient cannot be trusted; take smaller steps or Continuous(resolve='stored')",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return


_LOST = 1e-2


class _Integral(torch.autograd.Function):
    """A whole solve as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, adjoint: Continuous, run: FixedRun, rebuild: Any, width: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        rows = [leaves(row) for row in run.states(rebuild(tensors[:width]))]
        flat = tuple(part for row in rows for part in row)
        ctx.save_for_backward(*tensors, *flat)
        ctx.set_materialize_grads(False)
        ctx.adjoint, ctx.run, ctx.rebuild, ctx.width, ctx.inputs = adjoint, run, rebuild, width, len(tensors)
        return flat

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        saved, width = ctx.saved_tensors, ctx.width
        inputs, flat = saved[: ctx.inputs], saved[ctx.inputs :]
        starts = range(0, len(flat), width)
        rows = [ctx.rebuild(part) for part in (inputs[:width], *(flat[i : i + width] for i in starts))]
        with torch.no_grad():
            grads = ctx.adjoint.backward(ctx.run, rows, [cotangents[i : i + width] for i in starts])
        return (None, None, None, None, *only_once(grads, ctx.adjoint.name, [*inputs, *cotangents]))

"""The one entry point."""

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, each, leaves
from sciode.solve import tableaus
from sciode.solve.adjoint import Adjoint, Direct
from sciode.solve.backends import Backend, TorchDiffEq, TorchSDE, refuse
from sciode.solve.capture import Capture, Hook
from sciode.solve.compiled_run import CompiledLoop
from sciode.solve.control import Controller
from sciode.solve.events import Event
from sciode.solve.implicit import Implicit
from sciode.solve.method import Method, check_kind
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.solution import Charted, Rows, Solution, finite, plainly_finite
from sciode.solve.step import Solver
from sciode.solve.term import Term

_DIRECT = Direct()


class Save(Enum):
    """What a solution keeps: the states at all asked times, ``"b k ..."``, or the last alone, ``"b ..."``."""

    AT = "at"
    END = "end"


def solve(
    term: Term,
    x0: State,
    t: Tensor | Sequence[float],
    *,
    solver: Solver | Backend | None = None,
    dt: float | None = None,
    controller: Controller | None = None,
    adjoint: Adjoint = _DIRECT,
    hooks: Sequence[Hook] = (),
    capture: Capture | CompiledLoop | None = None,
    save: Save = Save.AT,
    dense: bool = False,
    events: Sequence[Event] = (),
) -> Solution:
    r"""Integrate :math:`\mathrm{d}y = (L y + N(s, y))\,\mathrm{d}s` from ``x0`` and return it at the times ``t``.

    Parameters
    ----------
    term
        The equation, with its chart.
    x0
        ``"b ..."``, in the user's variables (physical space for a PDE); real or complex, or a tuple.
    t
        ``[k]``, strictly increasing or strictly decreasing, in the equation's time unit; ``t[0]`` is the
        time of ``x0``. With ``Pid(per_sample=True)`` also ``[b, k]``: each sample its own span.
    solver
        A method. The default with ``dt`` is ETDRK4 in Krogstad's form, which is the classical Runge--Kutta
        method for an equation without a linear part; with a controller it is Tsitouras 5(4), and Krogstad
        4(3) beside a linear part. :class:`TorchDiffEq` and :class:`TorchSDE` hand the call to these libraries.
    dt
        Largest step, > 0, same unit. Each gap between asked times is cut into equal steps of at most
        ``dt``, so no asked time is interpolated; ``math.inf`` makes every gap one step.
    controller
        :class:`Pid` or :class:`Ladder`: steps as the error allows. ``dt``, if given, is then the first step.
    adjoint
        How gradients are computed; :class:`Direct` by default.
    hooks
        Maps ``(s, y) -> y`` applied after every step, in the chart's coordinates.
    capture
        :class:`Compiled` or :class:`CudaGraph`: run chunks of steps as one unit. Keep the object between solves.
    save
        ``Save.END`` keeps the last state only.
    dense
        Keep what is needed to ask the solution for any time within the span afterwards (with a controller).
    events
        :class:`Event` objects to look for (with a controller; every sample then has its own steps).

    Returns
    -------
    Solution
        ``y`` is ``"b k ..."`` with ``y[:, 0] == x0``. Differentiable in x0, in all that the drift closes
        over, and in the rates of the linear part.

    Raises
    ------
    InputError
        For times that do not run one way, a dt that is not positive, an ``x0`` that does not fit the chart
        or is not finite, and a drift that returns another shape or dtype.

    Examples
    --------
    >>> from sciode.solve import Term, RungeKutta, solve, tableaus
    >>> import math
    >>> circle = Term(lambda s, y: torch.stack([y[:, 1], -y[:, 0]], dim=1))
    >>> x0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    >>> solution = solve(circle, x0, [0.0, math.pi], solver=RungeKutta(tableaus.DOPRI5), dt=0.1)
    >>> solution.y.shape, bool((solution.y[:, 1] + x0).abs().max() < 1e-6)
    (torch.Size([1, 2, 2]), True)
    """
    clock = _times(t)
    _check_state(x0)
    if isinstance(solver, TorchDiffEq | TorchSDE):
        other = adjoint != _DIRECT
        ours = {"controller": controller, "adjoint": other, "hooks": hooks, "capture": capture, "events": events}
        refuse(solver, {**ours, "dense": dense})
    elif solver is not None:
        check_kind(solver)
    _check_asked(clock, x0, controller, events, dense)
    moments = term.chart.clock(clock)
    asked = moments if moments.dim() > 1 else moments.tolist()
    start = term.chart.enter(x0, moments[..., 0])
    if isinstance(solver, TorchDiffEq | TorchSDE):
        rows: Rows
        rows, report = solver.integrate(term, start, moments.tolist(), None if dt is None else _step(dt, 2))
    else:
        step = _step(dt, clock.shape[-1]) if controller is None or dt is not None else None
        chosen = _chosen(solver, term, controller)
        if capture is not None and isinstance(chosen, Implicit):
            raise InputError("capture= takes explicit methods: Newton's iterations look at their residual")
        last = save is Save.END and isinstance(adjoint, Direct)  # the others may need what lies between
        method = Method(chosen, step, tuple(hooks), controller, dense, capture, tuple(events), last)
        rows, report = adjoint.run(method, term, start, asked)
    y = _saved(term, x0, rows, moments, save)
    reached = term.chart.time(report.reached)
    inside = None if report.interpolant is None else Charted(term.chart, report.interpolant)
    return Solution(clock, y, report.status, report.stats, reached, inside, report.events)


def _saved(term: Term, x0: State, rows: Rows, moments: Tensor, save: Save) -> State:
    if isinstance(rows, Tensor):
        return rows[:, -1] if save is Save.END else rows
    # The first row is x0 itself: a chart's round trip would change its last digits.
    if save is Save.END:
        return x0 if len(rows) == 1 else term.chart.leave(rows[-1], moments[..., -1])
    left = [term.chart.leave(row, moments[..., j]) for j, row in enumerate(rows[1:], start=1)]
    return each(lambda *parts: torch.stack(parts, dim=1), x0, *left)


def _chosen(solver: Solver | None, term: Term, controller: Controller | None) -> Solver:
    if solver is not None:
        return solver
    if controller is None:
        return RungeKutta(tableaus.KROGSTAD4)
    return RungeKutta(tableaus.TSIT5 if term.linear is None else tableaus.KROGSTAD43)


def _times(t: Tensor | Sequence[float]) -> Tensor:
    if isinstance(t, Tensor) and not t.is_floating_point():
        raise InputError(f"t takes floating-point times, found {t.dtype}")
    clock = torch.as_tensor(t, dtype=torch.float64).detach().cpu()
    if clock.dim() not in (1, 2) or clock.shape[-1] < 1:
        raise InputError(f"t takes times [k], or [b, k] under per-sample steps; found shape {list(clock.shape)}")
    if not bool(torch.isfinite(clock).all()):
        raise InputError("t holds NaN or infinity")
    gaps = clock.diff()
    wrong = torch.where(gaps[..., :1] > 0, gaps <= 0, gaps >= 0)
    if bool(wrong.any()):
        *row, at = wrong.nonzero()[0].tolist()
        here = clock[row[0]] if row else clock
        name = f"t[{row[0]}, " if row else "t["
        raise InputError(
            f"t must run one way, without repeats: {name}{at}] = {here[at]:g}, {name}{at + 1}] = {here[at + 1]:g}"
        )
    return clock


def _check_asked(
    clock: Tensor, x0: State, controller: Controller | None, events: Sequence[Event], dense: bool
) -> None:
    batch = leaves(x0)[0].shape[0]
    if clock.dim() == 2 and (controller is None or not controller.per_sample):
        raise InputError(
            f"times [b, k], one row per sample, need a controller with per_sample=True; found {list(clock.shape)}"
        )
    if clock.dim() == 2 and clock.shape[0] != batch:
        raise InputError(f"t has rows for {clock.shape[0]} samples, x0 has {batch}")
    if controller is None and (events or dense):
        raise InputError("events and dense output need a controller, such as Pid(rtol=1e-6, atol=1e-8)")


def _step(dt: float | None, count: int) -> float:
    if dt is None:
        if count == 1:
            return 1.0
        raise InputError("a fixed-step method needs dt=, the largest step to take")
    dt = float(dt)
    if not dt > 0.0:
        raise InputError(f"dt must be positive (infinite: one step per gap), found {dt}; direction comes from t")
    return dt


def _check_state(x0: State) -> None:
    for part in leaves(x0):
        if not isinstance(part, Tensor) or not (part.is_floating_point() or part.is_complex()):
            kind = part.dtype if isinstance(part, Tensor) else type(part).__name__
            raise InputError(f"x0 takes floating-point or complex tensors 'b ...', found {kind}")
        if part.dim() < 1:
            raise InputError("x0 has no batch axis; expected 'b ...', found a number")
        if part.shape[0] == 0:
            raise InputError(f"x0 holds no samples: {list(part.shape)}")
    places = {str(part.device) for part in leaves(x0)}
    if len(places) > 1:
        raise InputError(f"the tensors of x0 lie on several devices: {', '.join(sorted(places))}")
    if plainly_finite(x0):
        return
    good = finite(x0)
    if not bool(good.all()):
        raise InputError(f"x0 holds NaN or infinity, first in sample {int((~good).nonzero()[0])}")

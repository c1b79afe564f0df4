"""The same call answered by another library, to cross-check a result or to move over a piece at a time.

Both take a :class:`Term` as it is: its chart, its linear part (added to the drift, L y + N: neither library knows
exponential methods) and its noise. They return the same :class:`Solution`. What the libraries cannot do
(controllers, events, dense output, hooks, capture, other adjoints) is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError, MissingExtra
from sciode.core.names import lookup, unknown
from sciode.core.random import derive_seed
from sciode.core.typing import State, Time, each, leaves, like
from sciode.solve.brownian import BrownianTree
from sciode.solve.driver import Generator
from sciode.solve.loop import counted
from sciode.solve.noise import Noise
from sciode.solve.packing import Packing
from sciode.solve.solution import Report, Stats, Status, finite
from sciode.solve.steps import even
from sciode.solve.term import Term

_ENDINGS = {
    "underflow in dt": Status.MIN_STEP,
    "max_num_steps": Status.MAX_STEPS,
    "non-finite values": Status.NON_FINITE,
}
_STRATONOVICH = ("euler_heun", "heun", "log_ode_midpoint", "midpoint", "reversible_heun")
_ITO = ("euler", "milstein", "srk")


@dataclass(frozen=True)
class TorchDiffEq:
    """Solve by ``torchdiffeq.odeint``.

    Parameters
    ----------
    method
        A name of torchdiffeq's: ``"dopri5"``, ``"dopri8"``, ``"bosh3"``, ``"rk4"``, ``"explicit_adams"``, ...
    rtol, atol
        Tolerances of its adaptive methods: of one norm over the whole batch, in the chart's coordinates.
    options
        Its ``options=``. A method with fixed steps takes ``dt=`` of :func:`solve`, and the same steps as ours.

    Raises
    ------
    MissingExtra, UnknownName, InputError
        When solving: without the library, for a method it does not have, and for what it cannot do.

    Examples
    --------
    >>> from sciode.solve import Term, solve
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> solution = solve(Term(lambda s, y: -y), x0, [0.0, 1.0], solver=TorchDiffEq("dopri5"))
    >>> round(solution.y[0, 1].item(), 6)
    0.367879
    """

    method: str = "dopri5"
    rtol: float = 1e-7
    atol: float = 1e-9
    options: Mapping[str, Any] = field(default_factory=dict)

    def integrate(
        self, term: Term, y: State, times: Sequence[float], dt: float | None
    ) -> tuple[list[State], Report]:
        """Integrate in the chart's coordinates; return the states at all asked times and how it went."""
        library = _library("torchdiffeq")
        kind = lookup(self.method, import_module("torchdiffeq._impl.odeint").SOLVERS, "method of torchdiffeq")
        if term.noise is not None:
            raise InputError("TorchDiffEq solves equations without noise: use TorchSDE, or leave noise out")
        if not np.isfinite(times).all():
            raise InputError("TorchDiffEq cannot take a step of infinite length")
        if len(times) == 1:
            return [y], _report([y], times, Stats(0, 0))
        packing = Packing(y)
        term, calls = counted(term)
        right = _Field(term.checked(), packing, y)
        if "callback_step" not in kind.valid_callbacks():
            del right.callback_step
        options = dict(self.options)
        if "callback_accept_step" not in kind.valid_callbacks() and self.method != "scipy_solver":
            options = {"grid_constructor": _grid(dt, times), **options}
        elif dt is not None and self.method != "scipy_solver":
            options = {"first_step": dt, **options}
        t = torch.tensor(times, dtype=torch.float64, device=leaves(y)[0].device)
        try:
            flat = library.odeint(
                right, packing.pack(y), t, rtol=self.rtol, atol=self.atol, method=self.method, options=options
            )
        except AssertionError as error:
            return _ended(y, times, Stats(right.steps[0], calls[0]), error)
        rows = [y, *(packing.unpack(row) for row in flat[1:].unbind())]
        return rows, _report(rows, times, Stats(right.steps[0], calls[0]))


class _Field:
    """L y + N on packed states, as torchdiffeq calls it; it also tells the field about every step."""

    def __init__(self, term: Term, packing: Packing, y: State) -> None:
        self.packing, self.steps = packing, [0]
        self.right = _right(term, y)
        self.callback_step: Callable[..., None] = self._stepped

    def _stepped(self, *_: Any) -> None:
        self.steps[0] += 1

    def __call__(self, s: Time, flat: Tensor) -> Tensor:
        return self.packing.pack(self.right(s, self.packing.unpack(flat)))


def _right(term: Term, y: State) -> Callable[[Time, State], State]:
    if term.linear is None:
        return term.drift
    parts = leaves(y)
    rates = like(y, tuple(_cast(r, part) for r, part in zip(term.linear.rates(len(parts)), parts, strict=True)))
    return lambda s, state: each(lambda k, r, part: k + r * part, term.drift(s, state), rates, state)


def _cast(rate: Tensor, part: Tensor) -> Tensor:
    if rate.is_complex() and not part.is_complex():
        raise InputError("a complex linear part needs a complex state: use a Fourier chart, or complex x0")
    real = part.real.dtype if part.is_complex() else part.dtype
    return rate.to(device=part.device, dtype=part.dtype if rate.is_complex() else real)


def _grid(dt: float | None, times: Sequence[float]) -> Callable[..., Tensor]:
    """Return what makes torchdiffeq take our steps, which meet every asked time."""
    if dt is None:
        raise InputError("this method of torchdiffeq takes fixed steps: give dt=, the largest step to take")
    starts = torch.from_numpy(even(times, dt).starts)

    def grid(_func: Any, y: Tensor, t: Tensor) -> Tensor:
        return torch.cat([starts.to(t), t[-1:]])

    return grid


@dataclass(frozen=True)
class TorchSDE:
    """Solve by ``torchsde.sdeint``, with a Brownian path named by the noise's seed and given the ``dt`` hint.

    The path is torchsde's own: the law is that of our solvers, the numbers are not.

    Parameters
    ----------
    method
        A name of torchsde's: ``"euler"``, ``"milstein"``, ``"srk"`` (Ito); ``"midpoint"``, ``"heun"``,
        ``"euler_heun"``, ``"reversible_heun"``, ``"log_ode_midpoint"``, ``"milstein"`` (Stratonovich).
    dt
        Step, > 0; or pass ``dt=`` to :func:`solve`.
    adaptive, rtol, atol, dt_min
        Its step control, shared by the batch.
    options
        Its ``options=``.

    Raises
    ------
    MissingExtra, UnknownName, InputError
        When solving: without the library, for a method it does not have, and for what it cannot do.

    Examples
    --------
    >>> from sciode.solve import Noise, Term, solve
    >>> term = Term(lambda s, y: -y, noise=Noise(lambda s, y: 0.1 * torch.ones_like(y), kind="additive"))
    >>> solve(term, torch.ones(3, 2), [0.0, 1.0], solver=TorchSDE("srk", dt=0.1)).y.shape
    torch.Size([3, 2, 2])
    """

    method: str
    dt: float | None = None
    adaptive: bool = False
    rtol: float = 1e-5
    atol: float = 1e-4
    dt_min: float = 1e-5
    options: Mapping[str, Any] = field(default_factory=dict)

    def integrate(
        self, term: Term, y: State, times: Sequence[float], dt: float | None
    ) -> tuple[list[State], Report]:
        """Integrate in the chart's coordinates; return the states at all asked times and how it went."""
        library = _library("torchsde")
        if self.method not in (*_ITO, *_STRATONOVICH):
            raise unknown(self.method, (*_ITO, *_STRATONOVICH), "method of torchsde")
        noise, step = self._checked(term, y, times, dt)
        if len(times) == 1:
            return [y], _report([y], times, Stats(0, 0))
        packing = Packing(y)
        term, calls = counted(term)
        right = _right(term.checked(), y)
        # Additive noise is the same in both calculi: take the one the method is made for.
        calculus = noise.calculus if noise.kind != "additive" else "ito" if self.method in _ITO else "stratonovich"
        system = _System(noise, packing, right, calculus)
        flat = packing.pack(y)
        size = (packing.batch, system.width(noise, times[0], y))
        area = {"srk": "space-time", "log_ode_midpoint": "foster"}.get(self.method, "none")
        path = library.BrownianInterval(
            t0=times[0],
            t1=times[-1],
            size=size,
            dtype=flat.dtype,
            device=flat.device,
            entropy=derive_seed(noise.seed, "torchsde"),
            dt=step,
            levy_area_approximation=area,
        )
        ts = torch.tensor(times, dtype=torch.float64, device=flat.device)
        tolerances = {"rtol": self.rtol, "atol": self.atol, "dt_min": self.dt_min}
        try:
            states = library.sdeint(
                system, flat, ts, bm=path, method=self.method, dt=step, adaptive=self.adaptive, **tolerances,
                options=dict(self.options),
            )  # fmt: skip
        except ValueError as error:
            raise InputError(f"torchsde refuses: {error}") from error
        rows = [y, *(packing.unpack(row) for row in states[1:].unbind())]
        steps = -1 if self.adaptive else len(even(times, step).sizes)
        return rows, _report(rows, times, Stats(steps, calls[0]))

    def _checked(self, term: Term, y: State, times: Sequence[float], dt: float | None) -> tuple[Noise, float]:
        noise = term.noise
        if noise is None:
            raise InputError("TorchSDE solves equations with noise: use TorchDiffEq, or give the term noise=")
        if noise.kind not in ("additive", "diagonal", "scalar", "general"):
            raise InputError(f"TorchSDE takes additive, diagonal, scalar or general noise, found {noise.kind!r}")
        if not isinstance(noise.driver, Generator | BrownianTree):
            raise InputError(f"TorchSDE draws a path of its own: leave driver={noise.driver!r} out")
        if any(part.is_complex() for part in leaves(y)):
            raise InputError("TorchSDE takes real states, found a complex one (a Fourier chart makes one)")
        if times[-1] < times[0] or not np.isfinite(times).all():
            raise InputError("TorchSDE integrates forwards in time, over finite times")
        if self.dt is not None and dt is not None:
            raise InputError(f"dt is given twice: TorchSDE(dt={self.dt:g}) and solve(dt={dt:g})")
        step = self.dt if dt is None else dt
        if step is None or not step > 0.0:
            raise InputError(f"TorchSDE needs dt > 0, its step; found {step}")
        return noise, step


class _System:
    """Drift and amplitude on packed states, under the names that torchsde looks for."""

    def __init__(
        self, noise: Noise, packing: Packing, right: Callable[[Time, State], State], calculus: str
    ) -> None:
        self.noise_type, self.sde_type = noise.kind, calculus
        self._noise, self._packing, self._right = noise, packing, right

    def width(self, noise: Noise, start: float, y: State) -> int:
        """Return the number of Wiener processes of a sample."""
        if noise.kind in ("additive", "diagonal"):
            return self._packing.width
        if noise.kind == "scalar":
            return 1
        first = leaves(y)[0]
        with torch.no_grad():
            value = noise.amplitude(torch.tensor(start, dtype=torch.float64, device=first.device), y)
        return leaves(value)[0].shape[-1]

    def f(self, s: Time, flat: Tensor) -> Tensor:
        """Return the drift ``[b, d]``."""
        return self._packing.pack(self._right(s, self._packing.unpack(flat)))

    def g(self, s: Time, flat: Tensor) -> Tensor:
        """Return the amplitude: ``[b, d]`` for diagonal noise, else ``[b, d, m]``."""
        value = self._noise.amplitude(s, self._packing.unpack(flat))
        if self.noise_type == "general":
            parts = [part.reshape(part.shape[0], -1, part.shape[-1]) for part in leaves(value)]
            return torch.cat(parts, dim=1)
        each_own = self._packing.pack(value)
        if self.noise_type == "additive":
            return torch.diag_embed(each_own)
        return each_own if self.noise_type == "diagonal" else each_own[..., None]


Backend: TypeAlias = TorchDiffEq | TorchSDE


def refuse(solver: Backend, wanted: Mapping[str, Any]) -> None:
    """Raise :class:`InputError` for the first of our own features that is asked of another library."""
    for name, value in wanted.items():
        if value:
            raise InputError(f"{type(solver).__name__} cannot do {name}=: leave it out, or use a solver of sciode")


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(f"{name} is needed here and is not installed: pip install {name}") from error


def _report(rows: list[State], times: Sequence[float], stats: Stats) -> Report:
    good = torch.stack([finite(row) for row in rows]).cpu()
    last = good.to(torch.int8).cumprod(0).sum(0) - 1
    reached = torch.tensor(times, dtype=torch.float64)[last]
    status = torch.where(good.all(0), int(Status.OK), int(Status.NON_FINITE)).to(torch.int32)
    return Report(status.to(leaves(rows[0])[0].device), stats, reached)


def _ended(y: State, times: Sequence[float], stats: Stats, error: AssertionError) -> tuple[list[State], Report]:
    """Turn the assertion with which torchdiffeq gives the whole batch up into a status."""
    for words, status in _ENDINGS.items():
        if words in str(error):
            lost: State = each(lambda part: torch.full_like(part, torch.nan), y)
            first = leaves(y)[0]
            codes = torch.full((first.shape[0],), int(status), dtype=torch.int32, device=first.device)
            reached = torch.full((first.shape[0],), times[0], dtype=torch.float64)
            return [y, *[lost] * (len(times) - 1)], Report(codes, stats, reached)
    raise error

r"""The coordinates in which the probability-flow equation of a diffusion is semilinear, with a number L.

Dividing by a scale m(s) and choosing a clock s makes the linear part a constant, and which one is a choice:

==========  =======  =======  ===  =====================
name        clock    scale    L    N
==========  =======  =======  ===  =====================
``data``    lam      alpha    -1   x0
``noise``   lam      sigma    +1   -eps
``rho``     -rho     alpha    0    -eps
``time``    t        1        0    velocity
==========  =======  =======  ===  =====================

Samplers differ by what they freeze within a step: x0 is flat near the data, eps is flat near the noise.

Symbols: ``lam`` = log(alpha/sigma), ``rho`` = sigma/alpha, ``y`` = x / m.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from sciode.core.typing import State
from sciode.generative.denoiser import Denoise, affine, tabled_as, to_noise
from sciode.generative.grid import Grid
from sciode.generative.schedule import Schedule
from sciode.solve import Diagonal, Term

Field: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(x, t) -> N."""


@dataclass(frozen=True)
class Coordinates:
    """A clock, a scale, the linear part that is left, and what N is made of; see the table of the module.

    Attributes
    ----------
    name
        For tables and errors.
    rate
        L; None for zero.
    clock
        s of a grid, ``[k]``.
    log_scale
        log m of a grid, ``[k]``.
    field
        Makes N(x, t) of a denoiser, in the user's variables.
    """

    name: str
    rate: float | None
    clock: Callable[[Grid], Tensor]
    log_scale: Callable[[Grid], Tensor]
    field: Callable[[Denoise, Schedule], Field]
    time: Callable[[Schedule, Tensor], Tensor]  # the library's time of s


def _data(denoise: Denoise, schedule: Schedule) -> Field:
    if schedule.centre is None:
        return denoise
    centre = schedule.centre
    return lambda x, t: denoise(x, t) - centre.to(x)


def _minus_noise(denoise: Denoise, schedule: Schedule) -> Field:
    noise = to_noise(denoise, schedule)
    return lambda x, t: -noise(x, t)


def _velocity(denoise: Denoise, schedule: Schedule) -> Field:
    def coefficients(t: Tensor) -> tuple[Tensor, Tensor]:
        # dx/dt = (log sigma)' x + alpha lam' x0
        with torch.enable_grad():
            at = t.detach().clone().requires_grad_()
            log_sigma, lam = schedule.log_sigma(at), schedule.lam(at)
            (slope,) = torch.autograd.grad(log_sigma.sum(), at, retain_graph=True)
            (rise,) = torch.autograd.grad(lam.sum(), at)
        return slope, schedule.alpha(t) * rise

    tables = {}

    def field(x: Tensor, t: Tensor) -> Tensor:
        if x.dtype not in tables:
            tables[x.dtype] = tabled_as(x.dtype, coefficients)
        x0 = denoise(x, t)
        if schedule.centre is not None:
            x, x0 = x - schedule.centre.to(x), x0 - schedule.centre.to(x)
        return affine(tables[x.dtype](t), x, x0)

    return field


DATA = Coordinates("data", -1.0, lambda g: g.lam, lambda g: g.alpha.log(), _data, lambda sch, s: sch.time(s))
NOISE = Coordinates("noise", 1.0, lambda g: g.lam, lambda g: g.sigma.log(), _minus_noise, lambda sch, s: sch.time(s))
RHO = Coordinates(
    "rho", None, lambda g: -g.rho, lambda g: g.alpha.log(), _minus_noise, lambda sch, s: sch.time(-torch.log(-s))
)
TIME = Coordinates(
    "time", None, lambda g: g.t, lambda g: torch.zeros_like(g.t), _velocity, lambda sch, s: s
)


@dataclass(frozen=True, eq=False)
class DiffusionChart:
    """The chart of these coordinates, for the shared solvers: the user's time is the library's t.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> chart = DiffusionChart(VP(), DATA)
    >>> t = torch.tensor(0.3, dtype=torch.float64)
    >>> bool((chart.time(chart.clock(t)) - t).abs() < 1e-12)
    True
    """

    schedule: Schedule
    coordinates: Coordinates

    def clock(self, t: Tensor) -> Tensor:
        """Return s."""
        return self.coordinates.clock(_Moment(self.schedule, t))  # type: ignore[arg-type]

    def time(self, s: Tensor) -> Tensor:
        """Return t."""
        return self.coordinates.time(self.schedule, s)

    def enter(self, x: State, s: Tensor) -> State:
        """Return (x - centre) / m."""
        assert isinstance(x, Tensor)
        if self.schedule.centre is not None:
            x = x - self.schedule.centre.to(x)
        return x / self._scale(s, x)

    def leave(self, y: State, s: Tensor) -> State:
        """Return m y + centre."""
        assert isinstance(y, Tensor)
        x = y * self._scale(s, y)
        return x if self.schedule.centre is None else x + self.schedule.centre.to(x)

    def _scale(self, s: Tensor, x: Tensor) -> Tensor:
        moment = _Moment(self.schedule, self.time(s))
        value = self.coordinates.log_scale(moment).exp().to(x)  # type: ignore[arg-type]
        return value.reshape(-1, *[1] * (x.dim() - 1)) if value.dim() else value


class _Moment:
    """One or more times, with the attributes of a grid."""

    def __init__(self, schedule: Schedule, t: Tensor) -> None:
        self.t, self.lam = t, schedule.lam(t)
        self.alpha, self.sigma = schedule.alpha(t), schedule.sigma(t)
        self.rho = torch.exp(-self.lam)


def term(denoise: Denoise, schedule: Schedule, coordinates: Coordinates) -> Term:
    """Return the probability-flow equation as a term of the shared solvers."""
    chart = DiffusionChart(schedule, coordinates)
    field = coordinates.field(denoise, schedule)

    def drift(s: Tensor, y: State) -> State:
        x = chart.leave(y, s)
        assert isinstance(x, Tensor)
        return field(x, chart.time(s))

    linear = None if coordinates.rate is None else Diagonal(coordinates.rate)
    parameters = tuple(denoise.parameters()) if isinstance(denoise, torch.nn.Module) else ()
    return Term(drift, linear, chart=chart, parameters=parameters)

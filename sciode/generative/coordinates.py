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
from sciode.generative.tabled import Tabled
from sciode.solve import Diagonal, Term

Field: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(x, t) -> N."""


class Moment:
    """One or more times, with the attributes of a grid."""

    def __init__(self, schedule: Schedule, t: Tensor) -> None:
        self.schedule, self.t, self.lam = schedule, t, schedule.lam(t)
        self.alpha, self.sigma = schedule.alpha(t), schedule.sigma(t)
        self.rho = torch.exp(-self.lam)


At: TypeAlias = Grid | Moment


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
    time
        The library's time at s.
    data
        (a, b) with x0 = a x + b N.
    opposite
        Makes -N(x, t), where that is what networks predict; else None.
    """

    name: str
    rate: float | None
    clock: Callable[[At], Tensor]
    log_scale: Callable[[At], Tensor]
    field: Callable[[Denoise, Schedule], Field]
    time: Callable[[Schedule, Tensor], Tensor]
    data: Callable[[At], tuple[Tensor, Tensor]]
    opposite: Callable[[Denoise, Schedule], Field] | None = None


def _data(denoise: Denoise, schedule: Schedule) -> Field:
    if schedule.centre is None:
        return denoise
    centre = schedule.centre
    return lambda x, t: denoise(x, t) - centre.to(x)


def _minus_noise(denoise: Denoise, schedule: Schedule) -> Field:
    noise = to_noise(denoise, schedule)
    return lambda x, t: -noise(x, t)


def _velocity(denoise: Denoise, schedule: Schedule) -> Field:
    tables: dict[torch.dtype, Tabled] = {}

    def field(x: Tensor, t: Tensor) -> Tensor:
        if x.dtype not in tables:
            tables[x.dtype] = tabled_as(x.dtype, schedule.velocity)
        x0 = denoise(x, t)
        if schedule.centre is not None:
            x, x0 = x - schedule.centre.to(x), x0 - schedule.centre.to(x)
        return affine(tables[x.dtype](t), x, x0)

    return field


def _of_noise(at: At) -> tuple[Tensor, Tensor]:
    return 1.0 / at.alpha, at.sigma / at.alpha


def _of_velocity(at: At) -> tuple[Tensor, Tensor]:
    a, b = at.schedule.velocity(at.t)
    return -a / b, 1.0 / b


DATA = Coordinates(
    name="data",
    rate=-1.0,
    clock=lambda at: at.lam,
    log_scale=lambda at: at.alpha.log(),
    field=_data,
    time=lambda schedule, s: schedule.time(s),
    data=lambda at: (torch.zeros_like(at.alpha), torch.ones_like(at.alpha)),
)
NOISE = Coordinates(
    name="noise",
    rate=1.0,
    clock=lambda at: at.lam,
    log_scale=lambda at: at.sigma.log(),
    field=_minus_noise,
    time=lambda schedule, s: schedule.time(s),
    data=_of_noise,
    opposite=to_noise,
)
RHO = Coordinates(
    name="rho",
    rate=None,
    clock=lambda at: -at.rho,
    log_scale=lambda at: at.alpha.log(),
    field=_minus_noise,
    time=lambda schedule, s: schedule.time(-torch.log(-s)),
    data=_of_noise,
    opposite=to_noise,
)
TIME = Coordinates(
    name="time",
    rate=None,
    clock=lambda at: at.t,
    log_scale=lambda at: torch.zeros_like(at.t),
    field=_velocity,
    time=lambda schedule, s: s,
    data=_of_velocity,
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
        return self.coordinates.clock(Moment(self.schedule, t))

    def time(self, s: Tensor) -> Tensor:
        """Return t."""
        return self.coordinates.time(self.schedule, s)

    def enter(self, x: State, s: Tensor) -> State:
        """Return x / m, of a centred state."""
        assert isinstance(x, Tensor)
        return x / self._scale(s, x)

    def leave(self, y: State, s: Tensor) -> State:
        """Return m y, a centred state."""
        assert isinstance(y, Tensor)
        return y * self._scale(s, y)

    def _scale(self, s: Tensor, x: Tensor) -> Tensor:
        moment = Moment(self.schedule, self.time(s))
        value = self.coordinates.log_scale(moment).exp().to(x)
        return value.reshape(-1, *[1] * (x.dim() - 1)) if value.dim() else value


def term(denoise: Denoise, schedule: Schedule, coordinates: Coordinates) -> Term:
    """Return the probability-flow equation as a term of the shared solvers, for states minus the centre."""
    chart = DiffusionChart(schedule, coordinates)
    field = coordinates.field(denoise, schedule)

    def drift(s: Tensor, y: State) -> State:
        x = chart.leave(y, s)
        assert isinstance(x, Tensor)
        if schedule.centre is not None:
            x = x + schedule.centre.to(x)
        return field(x, chart.time(s))

    linear = None if coordinates.rate is None else Diagonal(coordinates.rate)
    parameters = tuple(denoise.parameters()) if isinstance(denoise, torch.nn.Module) else ()
    return Term(drift, linear, chart=chart, parameters=parameters)

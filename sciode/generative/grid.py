r"""Where a sampler looks: grids of times from noise to data.

At a fixed number of evaluations the grid matters more than the solver, so it is an argument of every preset.

Symbols: ``tau`` diffusion time, ``lam`` = log(alpha/sigma), ``rho`` = sigma/alpha, ``u`` place in the grid.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from scipy import stats
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.generative.schedule import Schedule

Spacing: TypeAlias = str | Sequence[float] | Tensor
"""A name of :data:`SPACINGS`, or the diffusion times themselves, decreasing."""

End: TypeAlias = float | str | None
"""A diffusion time; "zero": one last step from the schedule's end (or the last time given) to zero noise; None:
the schedule's end."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Times from noise to data, float64 on the host, ``[n + 1]`` each.

    Attributes
    ----------
    schedule
        The schedule.
    t, lam, alpha, sigma
        Library's time, log(alpha/sigma) and the two coefficients. ``lam`` may end in infinity, at zero noise.
    """

    schedule: Schedule
    t: Tensor
    zero: bool = False  # the last entry stands for zero noise, whatever the schedule says of its time
    lam: Tensor = field(init=False)
    alpha: Tensor = field(init=False)
    sigma: Tensor = field(init=False)

    def __post_init__(self) -> None:
        log_alpha, log_sigma = self.schedule.log_alpha(self.t), self.schedule.log_sigma(self.t)
        if self.zero:
            log_alpha[-1], log_sigma[-1] = 0.0, -math.inf
        for name, value in {
            "lam": log_alpha - log_sigma,
            "alpha": log_alpha.exp(),
            "sigma": log_sigma.exp(),
        }.items():
            object.__setattr__(self, name, value)
        steps = self.lam.diff()
        if bool(torch.isnan(self.lam).any()) or not bool(((steps > 0) | (steps < 0)).all()):
            raise InputError(f"the grid's times coincide to round-off: lam = {self.lam.tolist()}")

    @property
    def ends_at_zero(self) -> bool:
        """Whether the last time is that of no noise."""
        return math.isinf(self.lam[-1]) and self.lam[-1].item() > 0.0

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.t) - 1

    @property
    def rho(self) -> Tensor:
        """sigma / alpha."""
        return torch.exp(-self.lam)

    def subset(self, picked: Sequence[int]) -> "Grid":
        """Return the grid of some of the times, the last among them."""
        return Grid(self.schedule, self.t[list(picked)], self.zero)

    def reversed(self) -> "Grid":
        """Return the way back, from data to noise."""
        if self.zero or not math.isfinite(self.lam[-1]):
            raise InputError("the way to noise cannot start at zero noise, where lam is infinite: give end > 0")
        return Grid(self.schedule, self.t.flip(0))


def grid(schedule: Schedule, steps: int, spacing: Spacing, begin: float | None = None, end: End = None) -> Grid:
    """Make the grid of ``steps`` steps.

    Raises
    ------
    InputError
        For fewer than one step, ``end >= begin``, times beyond the schedule, given times that do not decrease.
    UnknownName
        For an unknown spacing.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> made = grid(VP(), 4, "lam", end=1e-3)
    >>> made.lam.diff().round(decimals=6).tolist()
    [2.395673, 2.395673, 2.395673, 2.395673]
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps takes a whole number >= 1, found {steps!r}")
    if not isinstance(spacing, str):
        return _given(schedule, steps, spacing, end == "zero")
    if isinstance(end, str) and end != "zero":
        raise InputError(f'end takes a diffusion time or "zero", found {end!r}')
    begin = schedule.begin if begin is None else float(begin)
    last = schedule.end if end is None or isinstance(end, str) else float(end)
    schedule.check_span(begin, last)
    rule, reaches_zero = lookup(spacing, SPACINGS, "spacing")
    endless = not math.isfinite(schedule.lam(schedule.at(last)).item())
    zero = end == "zero" or (endless and not reaches_zero)
    if zero and endless:
        last = _before_zero(schedule, begin, steps)
    count = steps - 1 if zero else steps
    inner = _spaced(schedule, rule, begin, last, count) if count else schedule.at(begin).reshape(1)
    if not zero:
        return Grid(schedule, inner)
    return Grid(schedule, torch.cat([inner, schedule.at(0.0).reshape(1)]), zero=True)


def check_lam(lam: Tensor, what: str) -> None:
    """Raise :class:`InputError` unless ``lam`` is finite: neither pure noise nor no noise."""
    if not bool(torch.isfinite(lam).all()):
        found = ", ".join(f"{value:g}" for value in lam.flatten().tolist())
        raise InputError(
            f"{what} needs a finite lam, found {found}: give end > 0, and begin where there is some signal"
        )


def _before_zero(schedule: Schedule, begin: float, steps: int) -> float:
    """Return where the last step to zero noise starts, if nobody said: the default end, or a thousandth."""
    if schedule.end > 0.0:
        return min(schedule.end, begin / 2)
    return 1e-3 * begin


def _spaced(schedule: Schedule, rule: "Rule", begin: float, end: float, count: int) -> Tensor:
    u = torch.linspace(0.0, 1.0, count + 1, dtype=torch.float64)
    ends = torch.tensor([begin, end], dtype=torch.float64)
    times = rule(schedule, ends, u)
    times[0], times[-1] = schedule.at(begin), schedule.at(end)
    return times


def _given(schedule: Schedule, steps: int, spacing: Sequence[float] | Tensor, zero: bool) -> Grid:
    tau = torch.as_tensor(spacing, dtype=torch.float64).detach().cpu()
    count = steps if zero else steps + 1
    if tau.dim() != 1 or len(tau) != count:
        last = ", the last of them to zero noise," if zero else ""
        raise InputError(f"{steps} steps{last} take {count} diffusion times, found {list(tau.shape)}")
    wrong = (~(tau.diff() < 0)).nonzero().flatten().tolist()
    if wrong:
        at = wrong[0]
        raise InputError(
            f"diffusion times must decrease: spacing[{at}] = {tau[at]:g}, spacing[{at + 1}] = {tau[at + 1]:g}"
        )
    if len(tau) > 1:
        schedule.check_span(tau[0].item(), tau[-1].item())
    if not zero:
        return Grid(schedule, schedule.at(tau))
    return Grid(schedule, torch.cat([schedule.at(tau), schedule.at(0.0).reshape(1)]), zero=True)


Rule: TypeAlias = Callable[[Schedule, Tensor, Tensor], Tensor]
"""(schedule, diffusion times of the two ends, u) -> library's times."""


def _lam(schedule: Schedule, ends: Tensor, u: Tensor) -> Tensor:
    first, last = schedule.lam(schedule.at(ends))
    if not math.isfinite(first):
        raise InputError(
            f"at begin = {ends[0]:g} there is no signal, lam = -inf, and no spacing in lam: begin a little later, "
            f"for example at {0.999 * ends[0]:g}, or use spacing='time'"
        )
    return schedule.time(first + u * (last - first))


def _power(exponent: float) -> Rule:
    def rule(schedule: Schedule, ends: Tensor, u: Tensor) -> Tensor:
        first, last = ends ** (1.0 / exponent)
        return schedule.at((first + u * (last - first)) ** exponent)

    return rule


def _karras(schedule: Schedule, ends: Tensor, u: Tensor) -> Tensor:
    lam = schedule.lam(schedule.at(ends))
    if not bool(torch.isfinite(lam[0])):
        return _lam(schedule, ends, u)  # raises
    first, last = torch.exp(-lam)
    return schedule.time(-torch.log(karras(first, last, u)))


def karras(first: Tensor, last: Tensor, u: Tensor) -> Tensor:
    """Return the levels sigma/alpha of EDM at places u from 0 to 1 (arXiv:2206.00364, equation 5, exponent 7)."""
    ends = first ** (1.0 / 7.0), last ** (1.0 / 7.0)
    return (ends[0] + u * (ends[1] - ends[0])) ** 7.0


def _polyexponential(schedule: Schedule, ends: Tensor, u: Tensor) -> Tensor:
    return _lam(schedule, ends, 1.0 - (1.0 - u) ** _BEND)


def _beta(schedule: Schedule, ends: Tensor, u: Tensor) -> Tensor:
    place = torch.from_numpy(stats.beta.ppf(u.numpy(), 0.6, 0.6))
    return schedule.at(ends[0] + place * (ends[1] - ends[0]))


_BEND = 0.7

SPACINGS: dict[str, tuple[Rule, bool]] = {
    "lam": (_lam, False),
    "time": (_power(1.0), True),
    "quadratic": (_power(2.0), True),
    "karras": (_karras, False),
    "exponential": (_lam, False),
    "polyexponential": (_polyexponential, False),
    "beta": (_beta, True),
}
"""Rule, and whether it can reach zero noise itself. "exponential" (log-linear in sigma/alpha) is "lam".
"karras": :func:`karras`. "beta": quantiles of
Beta(0.6, 0.6) in time."""

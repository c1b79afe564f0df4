r"""What a one-step model sees: the last values of the target, the sensors when last heard, and what is planned.

For the value at tick t, k ticks after the last one that was measured (the origin, t - 1 - k), the inputs are the
target at t - 1, ..., t - L, of which the first k are the forecast's own; the other sensors at the origin and
``looks`` ticks before, with masks and ages; k; and the plan at t and before. So a model is trained for each k on
what it will be given, and a sensor that is not heard is a mask and not a number.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciode.core.errors import InputError
from sciode.forecast.frame import Channels, Frame


@dataclass(frozen=True)
class Design:
    """Which ticks a model looks at.

    Parameters
    ----------
    horizon : int
        Ticks ahead that it is trained for.
    lags : int
        L, of the target.
    looks : tuple of int
        Ticks before the origin at which the other sensors are read; 0 is the origin.
    plans : tuple of int
        Ticks before the forecast one at which planned signals are read; 0 is the forecast one.
    masks : bool
        Tell the model which values are missing; without, a missing value is its mean and nothing says so.
    log : tuple of str
        Channels that are modelled in the logarithm, such as amplitudes.
    deaf : tuple of str
        Channels whose measurements are never looked at, as if their sensors were not there.

    Examples
    --------
    >>> Design(lags=4, looks=(0, 5), plans=(0,)).history
    6
    """

    horizon: int = 50
    lags: int = 10
    looks: tuple[int, ...] = (0, 3, 10)
    plans: tuple[int, ...] = (0, 3, 10, 25)
    masks: bool = True
    log: tuple[str, ...] = ()
    deaf: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.lags < 1 or not self.looks or not self.plans:
            raise InputError("a design has a horizon and lags from 1 up, and looks and plans")
        if min(*self.looks, *self.plans, 0) < 0:
            raise InputError(f"looks and plans are ticks back, from 0 up; found {self.looks}, {self.plans}")

    @property
    def history(self) -> int:
        """Ticks that must be there at the origin, itself included."""
        return max(self.lags, max(self.looks) + 1, max(self.plans))

    def size(self, channels: Channels) -> int:
        """Return the number of inputs."""
        return len(self.names(channels))

    def names(self, channels: Channels) -> list[tuple[str, str, int]]:
        """Return what each input is: channel (or "lead"), kind ("value", "mask", "age") and ticks back."""
        lags = [(channels.target, "value", lag) for lag in range(1, self.lags + 1)]
        found = lags + [(channels.target, "mask", lag) for _, _, lag in lags]
        for kind in ("value", "mask"):
            found += [(name, kind, look) for look in self.looks for name in channels.past]
        found += [(name, "age", 0) for name in channels.past] + [("lead", "value", 0)]
        for kind in ("value", "mask"):
            found += [(name, kind, plan) for plan in self.plans for name in channels.known]
        return found

    def known(
        self,
        frame: Frame,
        series: Int[Tensor, " b"],
        origin: Int[Tensor, " b"],
        ahead: Int[Tensor, " b"],
        heard: Float[Tensor, "b c"] | None = None,
    ) -> Float[Tensor, "b j"]:
        """Return the inputs that are not the target's: sensors at the origin, lead, plan.

        ``heard`` is 0 for sensors that are to count as missing.
        """  # fmt: skip
        back = origin[:, None] - torch.tensor(self.looks, device=origin.device)
        rows = series[:, None]
        good, age = frame.past_good[rows, back], frame.past_age[series, origin]
        value = frame.past[rows, back]
        if heard is not None:
            good, age, value = good * heard[:, None], torch.where(heard > 0, age, 1.0), value * heard[:, None]
        at = (origin + 1 + ahead)[:, None] - torch.tensor(self.plans, device=origin.device)
        plan, planned = frame.known[rows, at], frame.known_good[rows, at]
        lead = (ahead.to(value) / self.horizon)[:, None]
        if not self.masks:
            good, planned, age = torch.ones_like(good), torch.ones_like(planned), torch.zeros_like(age)
        parts = [value.flatten(1), good.flatten(1), age, lead, plan.flatten(1), planned.flatten(1)]
        return torch.cat(parts, dim=1)

    def lagged(
        self, frame: Frame, series: Int[Tensor, " b"], tick: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b l"], Float[Tensor, "b l"]]:
        """Return the target at tick - 1, ..., tick - L, and its mask."""
        back = tick[:, None] - 1 - torch.arange(self.lags, device=tick.device)
        return frame.target[series[:, None], back], frame.target_heard[series[:, None], back]

    def joined(
        self, lags: Float[Tensor, "b l"], good: Float[Tensor, "b l"], rest: Float[Tensor, "b j"]
    ) -> Float[Tensor, "b i"]:
        """Return all inputs of a model, in the order of :meth:`names`."""
        return torch.cat([lags * good, good if self.masks else torch.ones_like(good), rest], dim=1)


def windows(frame: Frame, design: Design) -> tuple[Int[Tensor, " w"], Int[Tensor, " w"]]:
    """Return (series, tick) of every tick that can be learned from: good, with its history in the same series.

    Raises :class:`InputError` where there is none.
    """
    usable = frame.target_good.bool().clone()
    usable[:, : design.history] = False
    # A series that was filled up ends where its plan and target do; a gap of the plan is a mask.
    series, tick = usable.nonzero(as_tuple=True)
    if not len(series):
        raise InputError(
            f"no window: a model looks {design.history} ticks back, the series are {frame.target.shape[1]} ticks "
            f"long with {int(frame.target_good.sum())} good targets; take longer runs or fewer lags"
        )
    return series, tick

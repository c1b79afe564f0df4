"""Events of a signal, alarms for them, and whether the alarms came in time."""

from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciode.core.errors import InputError


def hysteresis(signal: Float[Tensor, "... t"], on: float, off: float) -> Bool[Tensor, "... t"]:
    """Return where a signal is "on": from its rise to ``on`` until it falls below ``off``; at first it is off.

    NaN changes nothing.

    >>> hysteresis(torch.tensor([0.0, 2.0, 1.5, 0.5, 1.5]), on=2.0, off=1.0).tolist()
    [False, True, True, False, False]
    """
    if not off <= on:
        raise InputError(f"a signal goes off no higher than it goes on, found on = {on!r}, off = {off!r}")
    number = torch.arange(1, signal.shape[-1] + 1, device=signal.device)
    rises, falls = (torch.where(hit, number, 0).cummax(-1).values for hit in (signal >= on, signal < off))
    return rises > falls


class Onset(NamedTuple):
    """A true event: when it began, and how long before that the alarm was given; None where it was not."""

    time: float
    lead: float | None


@dataclass(frozen=True)
class EventScores:
    """What alarms were worth, over runs.

    >>> truth, alarm = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 1, 1, 1])
    >>> event_scores([truth], [alarm], dt=0.1, horizon=0.5).lead_time
    0.2
    """

    onsets: tuple[tuple[Onset, ...], ...]
    false_alarms: tuple[int, ...]

    @property
    def detection_rate(self) -> float:
        """Part of the true events with an alarm before or at their onset; NaN without events."""
        leads = self._leads
        return sum(lead is not None for lead in leads) / len(leads) if leads else float("nan")

    @property
    def ahead_rate(self) -> float:
        """Part of the true events with an alarm *before* their onset; NaN without events."""
        leads = self._leads
        return sum(lead is not None and lead > 0 for lead in leads) / len(leads) if leads else float("nan")

    @property
    def lead_time(self) -> float:
        """Mean time from alarm to onset, of the events with one; NaN without."""
        found = [lead for lead in self._leads if lead is not None]
        return fmean(found) if found else float("nan")

    @property
    def false_alarms_per_run(self) -> float:
        """Alarms that no event followed, mean over runs."""
        return fmean(self.false_alarms)

    @property
    def _leads(self) -> list[float | None]:
        return [onset.lead for run in self.onsets for onset in run]


def event_scores(
    truth: list[Bool[Tensor, " t"]], alarm: list[Bool[Tensor, " t"]], *, dt: float, horizon: float
) -> EventScores:
    """Compare alarms with true events, run by run.

    An alarm counts for an event that begins at most ``horizon`` after the alarm is on. It is false if it is
    raised while no event is on, and none begins within the horizon or before the alarm is over.

    Parameters
    ----------
    truth, alarm : list of Tensor
        Of each run: whether the event is on, and whether the alarm is, ``"t"`` with steps of ``dt`` seconds; see
        :func:`hysteresis`.
    dt, horizon : float
        Seconds.

    Raises
    ------
    InputError
        For runs that do not match, no runs at all, and steps not above zero.
    """
    if not truth or len(truth) != len(alarm):
        raise InputError(f"a run has its truth and its alarm, found {len(truth)} and {len(alarm)}")
    if not (dt > 0 and horizon >= dt):
        raise InputError(f"a horizon is a step or more, found dt = {dt!r}, horizon = {horizon!r}")
    reach = round(horizon / dt)
    onsets, wrong = [], []
    for number, (event, told) in enumerate(zip(truth, alarm, strict=True)):
        if event.dim() != 1 or event.shape != told.shape:
            raise InputError(
                f"run {number}: truth and alarm are 't', found {list(event.shape)}, {list(told.shape)}"
            )
        event, told = event.bool().cpu(), told.bool().cpu()
        onsets.append(tuple(_onset(told, start, reach, dt) for start in _starts(event)))
        wrong.append(sum(_is_false(event, told, start, reach) for start in _starts(told)))
    return EventScores(tuple(onsets), tuple(wrong))


def _starts(state: Tensor) -> list[int]:
    before = torch.cat([state.new_zeros(1), state[:-1]])
    return [int(i) for i in (state & ~before).nonzero().flatten()]


def _onset(alarm: Tensor, start: int, reach: int, dt: float) -> Onset:
    """Return the onset at a step; its lead is that of the alarm on at the onset, or else of the last before it."""
    first = max(start - reach, 0)
    window = alarm[first : start + 1]
    if not bool(window.any()):
        return Onset(start * dt, None)
    last = int(window.nonzero()[-1])
    begin = last
    while begin > 0 and bool(window[begin - 1]):
        begin -= 1
    return Onset(start * dt, round((start - first - begin) * dt, 12))


def _is_false(event: Tensor, alarm: Tensor, start: int, reach: int) -> bool:
    if bool(event[start]):
        return False
    over = (~alarm[start:]).nonzero()
    end = start + int(over[0]) if len(over) else len(alarm)
    return not bool(event[start : max(end, start + reach + 1)].any())

r"""Events: moments at which a function of the state changes sign, found on the dense output.

Symbols: ``g`` event function ``[b]``, ``theta`` place within a step, in [0, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, each, leaves, like
from sciode.solve.masked import Carry, Record, Stepper
from sciode.solve.pairs import PackedPair, Pair
from sciode.solve.solution import Status
from sciode.solve.term import Term

_HALVINGS = 120


@dataclass(frozen=True)
class Event:
    r"""The zeros of :math:`g(s, y(s))`, sample by sample.

    Parameters
    ----------
    function
        g(s, y) -> ``[b]``; ``s`` is ``[b]``.
    terminal
        Whether a sample ends at its first such event; its status is then ``Status.EVENT``.
    direction
        +1 counts only changes from negative to positive along the solve, -1 only the reverse, 0 both.

    Examples
    --------
    A ball dropped from 1 m meets the ground after sqrt(2 / 9.81) s:

    >>> from sciode.solve import Pid, Term, solve
    >>> fall = Term(lambda s, y: torch.stack([y[:, 1], torch.full_like(s, -9.81)], dim=1))
    >>> ball = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    >>> ground = Event(lambda s, y: y[:, 0], direction=-1)
    >>> found = solve(fall, ball, [0.0, 2.0], controller=Pid(), events=[ground]).events[0]
    >>> round(found.t[0, 0].item(), 6), found.counts.tolist()
    (0.451524, [1])
    """

    function: Callable[[Time, State], Tensor]
    terminal: bool = True
    direction: int = 0

    def __post_init__(self) -> None:
        if self.direction not in (-1, 0, 1):
            raise InputError(f"direction must be -1, 0 or 1, found {self.direction}")


class Found(NamedTuple):
    """What one event found: times ``[b, m]`` and states ``"b m ..."``, NaN-padded, and how many per sample.

    Differentiable, times included: an event's time moves with the parameters as :math:`g = 0` demands.
    """

    t: Tensor
    y: State
    counts: Tensor


class Watch:
    """Looks for events step by step."""

    def __init__(self, events: Sequence[Event], term: Term, pair: Pair, s: Tensor, y: Any) -> None:
        if not isinstance(pair, PackedPair):
            raise InputError("events need a method with dense output: an explicit pair without a linear part")
        self.events, self.term, self.pair = events, term, pair
        with torch.no_grad():
            self.values = [self._value(event, s, y) for event in events]
        for value in self.values:
            if value.shape != s.shape:
                raise InputError(
                    f"an event function returns one number per sample, {list(s.shape)}; found {list(value.shape)}"
                )
        self.found: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in events]
        self.example = y

    def _value(self, event: Event, s: Tensor, y: Tensor) -> Tensor:
        return event.function(s, self.pair.state(y))

    def look(self, carry: Carry, record: Record, stepper: Stepper) -> tuple[Carry, Record]:
        """Find the events of a step; end the samples that meet a terminal one."""
        moved = record.size != 0.0
        crossings, ends = [], torch.full_like(carry.s, torch.inf)
        for index, event in enumerate(self.events):
            with torch.no_grad():
                new = self._value(event, carry.s, carry.y)
                old = self.values[index]
                rising, falling = (old < 0) & (new >= 0), (old > 0) & (new <= 0)
                crossed = moved & ((rising & (event.direction >= 0)) | (falling & (event.direction <= 0)))
                self.values[index] = torch.where(moved, new, old)
            crossings.append((index, event, crossed))
        if not bool(torch.stack([crossed for _, _, crossed in crossings]).any()):
            return carry, record
        places = [(i, e, crossed, self._locate(e, record, crossed)) for i, e, crossed in crossings]
        for _, event, crossed, theta in places:
            if event.terminal:
                ends = torch.where(crossed, torch.minimum(ends, theta), ends)
        for index, event, crossed, theta in places:
            kept = crossed & (theta <= ends)
            if bool(kept.any()):
                s, y = self._differentiable(event, record, theta)
                sample = kept.nonzero()[:, 0]
                self.found[index].append((sample, s[sample], y[sample]))
                if event.terminal:
                    carry, record = self._end(carry, record, kept & (theta == ends), s, y)
        return carry, record

    def _end(self, carry: Carry, record: Record, which: Tensor, s: Tensor, y: Tensor) -> tuple[Carry, Record]:
        status = torch.where(which, int(Status.EVENT), carry.status)
        until = torch.where(which, s.detach() - record.start, record.until)
        new = carry._replace(
            s=torch.where(which, s.detach(), carry.s), y=torch.where(which[:, None], y, carry.y), status=status
        )
        return new, record._replace(until=until)

    def _at(self, record: Record, theta: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.pair.weights_at(theta)
        y = record.before + torch.einsum("bs,sbn->bn", weights, self.pair.stacked(record.slopes))
        return record.start + theta * record.size, y

    def _locate(self, event: Event, record: Record, crossed: Tensor) -> Tensor:
        """Return theta ``[b]`` of the sign change, by bisection and secants in turn."""
        with torch.no_grad():
            low, high = torch.zeros_like(record.start), torch.ones_like(record.start)
            left = self._value(event, *self._at(record, low))
            right = self._value(event, *self._at(record, high))
            for turn in range(_HALVINGS):
                secant = low - left * (high - low) / (right - left)
                inside = (secant > low) & (secant < high) & torch.tensor(turn % 2 == 1, device=low.device)
                theta = torch.where(inside, secant, 0.5 * (low + high))
                value = self._value(event, *self._at(record, theta))
                before = (value < 0) == (left < 0)
                low, left = torch.where(before, theta, low), torch.where(before, value, left)
                high, right = torch.where(before, high, theta), torch.where(before, right, value)
                exact = value == 0
                low, high = torch.where(exact, theta, low), torch.where(exact, theta, high)
                if not bool(((high - low > 4e-16) & crossed).any()):
                    break
            return high

    def _differentiable(self, event: Event, record: Record, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the event's time and state with the gradients of the implicit function theorem."""
        s, y = self._at(record, theta)
        if not (torch.is_grad_enabled() and y.requires_grad):
            return s, y
        slope = self.pair.slope(s, y)
        with torch.enable_grad():
            moment, place = s.detach().requires_grad_(), y.detach().requires_grad_()
            value = self._value(event, moment, place)
            ds, dy = torch.autograd.grad(value.sum(), (moment, place), allow_unused=True)
        rate = torch.zeros_like(s) if ds is None else ds
        if dy is not None:
            rate = rate + (dy * slope.detach()).sum(1).to(rate.dtype)
        value = self._value(event, s, y)
        # One Newton step whose value is nil and whose gradient is that of the event's time.
        shift = -(value - value.detach()) / rate
        return s + shift, y + slope * shift[:, None].to(y.dtype)

    def results(self) -> tuple[Found, ...]:
        """Return one :class:`Found` per event."""
        return tuple(self._result(found) for found in self.found)

    def _result(self, found: list[tuple[Tensor, Tensor, Tensor]]) -> Found:
        batch, device = self.example.shape[0], self.example.device
        count = torch.zeros(batch, dtype=torch.int64, device=device)
        slots = []
        for sample, _, _ in found:
            slots.append(count[sample])
            count = count.index_add(0, sample, torch.ones_like(sample))
        most = int(count.max()) if batch else 0
        t = torch.full((batch, most), torch.nan, dtype=torch.float64, device=device)
        y = torch.full((batch, most, self.example.shape[1]), torch.nan, dtype=self.example.dtype, device=device)
        if found:
            where = (torch.cat([sample for sample, _, _ in found]), torch.cat(slots))
            t = t.index_put(where, torch.cat([s for _, s, _ in found]))
            y = y.index_put(where, torch.cat([state for _, _, state in found]))
        rows = [leaves(self.pair.state(y[:, j].contiguous())) for j in range(most)]
        if not rows:
            return Found(t, each(lambda p: p[:, None][:, :0], self.pair.state(self.example)), count)
        stacked = tuple(torch.stack(parts, dim=1) for parts in zip(*rows, strict=True))
        return Found(t, like(self.pair.state(self.example), stacked), count)

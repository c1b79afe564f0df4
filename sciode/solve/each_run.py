"""An integration in which every sample has its own steps, and may have its own times."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.chart import IDENTITY
from sciode.solve.control import Controller, Measure
from sciode.solve.events import Event, Watch
from sciode.solve.first_step import guess
from sciode.solve.loop import Hook, counted
from sciode.solve.masked import RUNNING, Carry, Frame, Record, Stepper, begin
from sciode.solve.packing import Packing
from sciode.solve.pairs import PackedPair, Pair
from sciode.solve.pieces import Pieces
from sciode.solve.radius import radius_of
from sciode.solve.solution import Report, Stats, Status
from sciode.solve.step import At
from sciode.solve.term import Term

_BLOCK = 8  # steps between two looks of the host
_LAST_BLOCK = 12  # the last look may come later, if that saves one


class EachRun:
    """One integration with a step size for each sample.

    ``times`` is ``[b, k]``. The host looks once in eight steps: how many more are needed at the present sizes, and
    which asked times have been passed; those are then filled in by one contraction.
    """

    def __init__(
        self,
        pair_of: Any,
        controller: Controller,
        term: Term,
        times: Tensor,
        dt: float | None = None,
        hooks: Sequence[Hook] = (),
        keep: bool = False,
        events: Sequence[Event] = (),
    ) -> None:
        self.term, self.count = counted(term)
        self.pair_of, self.controller, self.times, self.dt = pair_of, controller, times, dt
        self.keep, self.events = keep, tuple(events)
        if hooks:
            raise InputError("hooks change the state of the whole batch at once: use per_sample=False")
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []  # sample, number of the asked time, state

    def states(self, y: State) -> Iterator[State]:
        """Yield the state at every asked time after the first; NaN rows for samples that have ended."""
        if self.times.shape[1] == 1:
            return
        table = self._solved(y)
        for j in range(1, table.shape[1]):
            yield self.packing.unpack(table[:, j])

    def table(self, y: State) -> Tensor | None:
        """Return all states, ``"b k ..."``, in one piece, if the state is one real tensor."""
        if not isinstance(y, Tensor) or y.is_complex() or self.term.chart is not IDENTITY:
            return None
        if self.times.shape[1] == 1:
            return y[:, None]
        table = self._solved(y).view(y.shape[0], -1, *y.shape[1:])
        return torch.cat([y[:, None], table[:, 1:]], dim=1)

    def _solved(self, y: State) -> Tensor:
        carry = self._begin(y)
        # One step at least, for the dense output to have a piece.
        need = max(1.0, self.stepper.needed(carry, self.frame).item())
        while need != 0.0:  # NaN goes on
            records = []
            for _ in range(1 if self.events else _block(need)):
                carry, record = self.stepper.advance(carry, self.frame)
                if self.reads:
                    records.append(record)
            carry, need = self._look(carry, records)
        self.carry = carry
        return self._table(carry)

    def _begin(self, y: State) -> Carry:
        self.packing = Packing(y)
        device = leaves(y)[0].device
        self.times = self.times.to(device).expand(self.packing.batch, -1).contiguous()
        self.pair: Pair = self.pair_of(self.term, self.packing, y)
        land = not (isinstance(self.pair, PackedPair) and self.pair.interpolates)
        self.inner = self.times[:, 1:-1]
        inside = self.inner.shape[1] > 0 or self.keep or bool(self.events)
        if isinstance(self.pair, PackedPair):
            self.pair.keeps = inside
        self.reads = inside or land  # else eight states would be kept, and pushed out of the caches, for nothing
        path: Any = None
        if self.term.noise is not None:
            path = self.term.noise.path(y, float(self.times.min()), float(self.times.max())).increment
        native = self.pair.native(y)
        at = At((self.times[:, 0],) * len(self.pair.nodes))
        size = self.pair.visible(native, at.times[0]).detach().abs()
        measure = Measure(self.controller, Packing(self.term.chart.leave(y, at.times[0])), size)
        self.frame = Frame.of(self.times, self.controller.dt_min)
        slope = self.term.checked().drift(at.times[0], y)
        sign = self.frame.sign
        radius = radius_of(self.pair, y, slope)
        self.stepper = Stepper(self.pair, self.controller, measure, land, path, radius=radius)
        first = guess(self.term, self.pair, measure, at.times[0], native, slope, sign, False)
        self.pieces = Pieces(self.pair) if self.keep else None
        self.watch = Watch(self.events, self.term, self.pair, at.times[0], native) if self.events else None
        probe = None if radius is None else radius.first(at.times[0], native, self.pair.native(slope))
        memory = self.pair.start(at, native)
        return begin(self.frame, self.controller, native, memory, size, first, self.dt, probe)

    def _look(self, carry: Carry, records: list[Record]) -> tuple[Carry, float]:
        """Fill in the asked times that were passed, look at events, and say how many steps are still needed."""
        if self.pieces is not None:
            for record in records:
                self.pieces.add(record.start, record.size, record.before, record.slopes)
        if self.watch is not None:
            carry, records[-1] = self.watch.look(carry, records[-1], self.stepper)
        over = (carry.tried >= self.controller.max_steps) & (carry.status == RUNNING)
        carry = carry._replace(status=torch.where(over, int(Status.MAX_STEPS), carry.status))
        need = self.stepper.needed(carry, self.frame)
        if self.stepper.land:
            self._landed(records)
            return carry, need.item()
        if self.inner.shape[1] == 0:
            return carry, need.item()
        start = torch.stack([r.start for r in records], dim=1)
        size = torch.stack([r.size for r in records], dim=1)
        until = torch.stack([r.until for r in records], dim=1)
        sign = self.frame.sign[:, None]
        clock = (self.inner * sign).contiguous()
        first = torch.searchsorted(clock, (start * sign).contiguous(), right=True)
        last = torch.searchsorted(clock, ((start + until) * sign).contiguous(), right=True)
        counts = (last - first).flatten()
        total, steps = torch.stack([counts.sum().double(), need]).tolist()
        if total:
            self._interpolate(records, start, size, first.flatten(), counts, int(total))
        return carry, steps

    def _interpolate(
        self, records: list[Record], start: Tensor, size: Tensor, first: Tensor, counts: Tensor, total: int
    ) -> None:
        assert isinstance(self.pair, PackedPair)
        slots = torch.arange(len(counts), device=counts.device)
        slot = torch.repeat_interleave(slots, counts, output_size=total)
        before = counts.cumsum(0) - counts
        number = first[slot] + torch.arange(total, device=slot.device) - before[slot]
        sample = slot // len(records)
        theta = (self.inner[sample, number] - start.flatten()[slot]) / size.flatten()[slot]
        slopes = torch.stack([self.pair.stacked(r.slopes).transpose(0, 1) for r in records], dim=1)
        states = torch.stack([r.before for r in records], dim=1)
        weights = self.pair.weights_at(theta)  # [q, stages]
        chosen = slopes.flatten(0, 1).index_select(0, slot)  # [q, stages, n]
        value = states.flatten(0, 1).index_select(0, slot) + (weights[:, None] @ chosen)[:, 0]
        self.found.append((sample, number + 1, value))

    def _landed(self, records: list[Record]) -> None:
        landed = torch.stack([r.landed for r in records], dim=1)
        sample, step = landed.nonzero().unbind(1)
        if len(sample) == 0:
            return
        ends = torch.stack([r.start + r.size for r in records], dim=1)
        number = (self.times[sample] - ends[sample, step][:, None]).abs().argmin(1)
        states = torch.stack([self.packing.pack(self.pair.state(r.after)) for r in records])
        self.found.append((sample, number, states[step, sample]))

    def _table(self, carry: Carry) -> Tensor:
        """Return all asked states ``[b, k, n]``, NaN where a sample did not get there."""
        end = self.packing.pack(self.pair.state(carry.y))
        batch, count = self.times.shape
        table = torch.full((batch, count, end.shape[1]), math.nan, dtype=end.dtype, device=end.device)
        good = (carry.status == int(Status.OK)).nonzero()[:, 0]
        found = self.found
        if not self.stepper.land:
            found = [*found, (good, torch.full_like(good, count - 1), end[good])]
        if not found:
            return table
        samples, numbers, values = (torch.cat(parts) for parts in zip(*found, strict=True))
        return table.index_put((samples, numbers), values)

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went."""
        if self.times.shape[1] == 1:
            batch = leaves(rows[0])[0].shape[0]
            status = torch.zeros(batch, dtype=torch.int32)
            return Report(status, Stats(0, 0), self.times[:, 0].expand(batch))
        carry = self.carry
        rejected = carry.tried - carry.accepted
        stats = Stats(int(carry.tried.max()), self.count[0], carry.accepted.cpu(), rejected.cpu())
        inside = None if self.pieces is None else self.pieces.interpolant([0.0, 1.0])
        events = () if self.watch is None else self.watch.results()
        return Report(carry.status.to(torch.int32), stats, carry.s.cpu(), inside, events)


def _block(need: float) -> int:
    """Return how many steps to take before the next look: no more than needed, as steps past the end are lost."""
    return math.ceil(need) if need <= _LAST_BLOCK else _BLOCK

"""Step control with one step for the whole batch: host floats, one wait for the device per step.

Symbols: ``s`` clock, ``h`` step, ``y`` state in the pair's own form, ``ratio`` error over tolerance.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.typing import State, each, leaves
from sciode.solve.chart import IDENTITY
from sciode.solve.control import Controller, Measure
from sciode.solve.first_step import guess
from sciode.solve.loop import Hook, counted
from sciode.solve.packing import Packing
from sciode.solve.pairs import Attempt, PackedPair, Pair
from sciode.solve.pieces import Pieces
from sciode.solve.radius import Radius, radius_of
from sciode.solve.solution import Report, Stats, Status
from sciode.solve.step import At
from sciode.solve.steps import Steps
from sciode.solve.term import Term

_STRETCH = 1.0 + 1e-2  # a rest this little above the step is taken at once: no sliver at the end
_EDGE = 0.9  # of the real stability limit, under autograd
_SELDOM = 6
_PATIENCE = 12  # refusals for a non-finite value in a row, each a fifth of the step, before a sample is given up


class AdaptiveRun:
    """One integration under a :class:`Controller` that the batch shares."""

    def __init__(
        self,
        pair_of: Any,
        controller: Controller,
        term: Term,
        times: Sequence[float],
        dt: float | None = None,
        hooks: Sequence[Hook] = (),
        keep: bool = False,
        land: bool = False,
    ) -> None:
        self.term, self.count = counted(term)
        self.pair_of, self.controller, self.times, self.dt = pair_of, controller, list(times), dt
        self.hooks, self.keep, self.land = tuple(hooks), keep, land
        self.replayed = land
        self.accepted: list[tuple[float, float]] = []
        self.rejected = 0
        self.capped = False

    def states(self, y: State) -> Iterator[State]:
        """Yield the state at every asked time after the first; NaN rows for samples that have ended."""
        for block in self._blocks(y):
            yield from (self.pair.state(row) for row in _unbind(block))
        for _ in range(self.next, len(self.times)):
            yield each(lambda part: torch.full_like(part, torch.nan), y)

    def table(self, y: State) -> Tensor | None:
        """Return all states, ``"b k ..."``, in one piece, if the state is one real tensor."""
        if not isinstance(y, Tensor) or y.is_complex() or self.term.chart is not IDENTITY:
            return None
        blocks = [y.reshape(1, *y.shape), *(b.view(-1, *y.shape) for b in self._blocks(y))]
        rest = len(self.times) - self.next
        if rest:
            blocks.append(torch.full_like(y, torch.nan).expand(rest, *y.shape))
        return torch.cat(blocks).transpose(0, 1)

    def _blocks(self, y: State) -> Iterator[Any]:
        if len(self.times) > 1:
            self._begin(y)
        while self.next < len(self.times) and self.running:
            yield from self._try()

    next = 1
    running = True

    def _begin(self, y: State) -> None:
        self.packing = Packing(y)
        self.measure: Measure | None = None
        self.pair: Pair = self.pair_of(self.term, self.packing, y)
        device = leaves(y)[0].device
        self.device = device
        self.sign = math.copysign(1.0, self.times[-1] - self.times[0])
        self.span = abs(self.times[-1] - self.times[0])
        self.nodes = torch.tensor(self.pair.nodes, dtype=torch.float64, device=device)
        self.land = self.land or not self.pair.interpolates or bool(self.hooks)
        batch = self.packing.batch
        self.status = torch.zeros(batch, dtype=torch.int32, device=device)
        self.reached = torch.full((batch,), math.nan, dtype=torch.float64, device=device)
        self.alive: Tensor | None = None
        self.pieces = Pieces(self.pair) if self.keep else None
        self.path: Any = None
        if self.term.noise is not None:
            self.path = self.term.noise.path(y, self.times[0], self.times[-1])
        self.s, self.y = self.times[0], self.pair.native(y)
        self.ratios = (1.0, 1.0, 1.0)
        self.nonfinite = 0
        start = At(self._moments(0.0))
        self.size = self.pair.visible(self.y, start.times[0]).detach().abs()
        self.measure = Measure(self.controller, Packing(self.term.chart.leave(y, start.times[0])), self.size)
        slope = self.term.checked().drift(start.times[0], y)
        first = guess(self.term, self.pair, self.measure, start.times[0], self.y, slope, self.sign, True)
        self._give_up(first.isnan(), Status.NON_FINITE)
        self.memory = self.pair.start(start, self.y)
        self._start_watch(start.times[0], slope)
        least = float(first.nan_to_num(nan=math.inf).amin())
        self.h = self._capped(self.controller.first(self.dt or min(least, self.span), self.span))

    def _start_watch(self, s: Tensor, slope: State) -> None:
        self.rho: Tensor | None = None
        self.radius, self.unwatched, self.limit = 0.0, 0, math.inf
        packed = self.pair.native(slope)
        self.probe = radius_of(self.pair, self.y, slope)
        if self.replayed and isinstance(self.pair, PackedPair):
            self.probe = Radius(self.pair)
        if self.probe is not None:
            self.limit = self.probe.pair.stable
            self.direction = self.probe.first(s, self.y, packed)
            self.rho, self.direction = self.probe.update(s, self.y, packed, self.direction)
            self.radius = float(self.rho.amax())

    def _moments(self, h: float) -> tuple[Tensor, ...]:
        return torch.mul(self.nodes, h).add_(self.s).unbind()

    def _try(self) -> Iterator[Any]:
        target = self.times[self.next if self.land else -1]
        rest = abs(target - self.s)
        hits = self.h * _STRETCH >= rest
        h = self.sign * (rest if hits else self.h)
        if len(self.accepted) + self.rejected >= self.controller.max_steps:
            self._give_up(self.status == Status.OK, Status.MAX_STEPS)
            return
        at = At(self._moments(h), None if self.path is None else self.path.increment(self.s, self.s + h))
        self._watch(at.times[0])
        attempt = self.pair.attempt(at, h, self.y, self.memory)
        worst, ratio, size = self._judge(attempt, at.times[-1], h)
        self.ratios = (worst, self.ratios[0], self.ratios[1])
        position = abs(self.s - self.times[0]) + (abs(h) if worst <= 1.0 else 0.0)
        if not worst <= 1.0:
            self._refuse(worst, ratio, abs(h), position)
            return
        following = self._capped(self.controller.next(abs(h), self.ratios, self.pair.error_order + 1, position))
        rows = self._accept(attempt, h, target if hits else self.s + h, hits)
        if following < self._floor() and not hits:
            self._give_up(ratio >= worst, Status.MIN_STEP)
        # A step cut short to meet a time says nothing against the longer one before it.
        self.h = max(following, self.h) if hits and abs(h) < self.h else following
        self.size = size if not self.hooks else self.pair.visible(self.y, at.times[-1]).detach().abs()
        yield from rows

    def _judge(self, attempt: Attempt, s: Tensor, h: float) -> tuple[float, Tensor, Tensor]:
        """Return the worst ratio on the host, and all ratios; the one wait of a step."""
        with torch.no_grad():
            assert self.measure is not None
            size = self.pair.visible(attempt.y, s).detach().abs()
            ratio = self.measure(self.pair.visible(attempt.error, s), self.size, size)
            if self.alive is not None:
                ratio = torch.where(self.alive, ratio, torch.zeros_like(ratio))
            worst = ratio.amax()
            if self.rho is None:
                return worst.item(), ratio, size
            worst_ratio, self.radius = torch.stack([worst.double(), self.rho.amax().double()]).tolist()
        if worst_ratio <= 1.0 and abs(h) * self.radius > self.limit:
            return 2.0, ratio, size
        return worst_ratio, ratio, size

    def _watch(self, s: Tensor) -> None:
        """Follow the spectral radius: at every step near the edge, now and then far from it."""
        if self.probe is None or (self.unwatched < _SELDOM and self.h * self.radius < 0.25 * self.limit):
            self.unwatched += 1
            return
        self.unwatched = 0
        slope = self.pair.start(At((s,)), self.y) if self.memory is None else self.memory
        self.rho, self.direction = self.probe.update(s, self.y, slope, self.direction)

    def _capped(self, following: float) -> float:
        """Hold a step inside the stability region."""
        if self.rho is None or following * self.radius <= _EDGE * self.limit:
            return following
        if following * self.radius > self.limit:
            self._warn()
        return _EDGE * self.limit / self.radius

    def _warn(self) -> None:
        if not self.capped:
            self.capped = True
            warnings.warn(
                "steps are held inside the stability region, because gradients through steps outside it explode; "
                "a stiff linear part belongs into Term(linear=), or use an implicit method",
                stacklevel=2,
            )

    def _floor(self) -> float:
        return max(self.controller.dt_min, 16.0 * math.ulp(max(abs(self.s), self.span)))

    def _refuse(self, worst: float, ratio: Tensor, h: float, position: float) -> None:
        self.rejected += 1
        finite = math.isfinite(worst)
        self.nonfinite = 0 if finite else self.nonfinite + 1
        smaller = self.controller.next(
            h, (worst if finite else 1e6, 1.0, 1.0), self.pair.error_order + 1, position
        )
        smaller = self._capped(smaller)
        floor = self._floor()
        if self.nonfinite >= _PATIENCE or (smaller < floor and not finite):
            self._give_up(~torch.isfinite(ratio), Status.NON_FINITE)
            self.nonfinite = 0
        elif smaller < floor:
            self._give_up(ratio > 1.0, Status.MIN_STEP)
        else:
            self.h = smaller
        self.ratios = (1.0, 1.0, 1.0) if not finite else self.ratios

    def _give_up(self, which: Tensor, status: Status) -> None:
        """End the samples in ``which``: they keep their last good state and no longer count."""
        which = which & (self.status == Status.OK)
        self.status = torch.where(which, int(status), self.status)
        self.reached = torch.where(which, self.s, self.reached)
        alive = self.status == Status.OK
        self.alive = None if bool(alive.all()) else alive
        self.running = bool(alive.any())

    def _accept(self, attempt: Attempt, h: float, end: float, hits: bool) -> list[Any]:
        before, start = self.y, self.s
        self.accepted.append((start, h))
        after = attempt.y
        if self.alive is not None:
            after = _where(self.alive, after, before)
        if self.pieces is not None:
            self.pieces.add(start, h, before, attempt.slopes)
        self.nonfinite = 0
        self.s, self.y, self.memory = end, after, attempt.memory
        if self.hooks:
            self._hook()
        return self._rows(before, start, h, attempt, hits)

    def _hook(self) -> None:
        s = torch.tensor(self.s, dtype=torch.float64, device=self.device)
        state = self.pair.state(self.y)
        for hook in self.hooks:
            state = hook(s, state)
        self.y = self.pair.native(state)
        self.memory = self.pair.start(At((s,)), self.y)

    def _rows(self, before: Any, start: float, h: float, attempt: Attempt, hits: bool) -> list[Any]:
        """Return blocks of states ``[m, b, ...]`` at the asked times that the step has passed."""
        first, end = self.next, self.s
        while self.next < len(self.times) and (self.times[self.next] - end) * self.sign <= 0.0:
            self.next += 1
        if first == self.next:
            return []
        at_end = hits and self.times[self.next - 1] == end
        inside = [(t - start) / h for t in self.times[first : self.next - at_end]]
        blocks = [self.pair.interpolate(inside, h, before, attempt.slopes)] if inside else []
        if at_end:
            blocks.append(each(lambda p: p[None], self.y))
        if self.alive is not None:
            alive = self.alive
            blocks = [each(lambda p: torch.where(_like(alive, p[0]), p, torch.nan), block) for block in blocks]
        return blocks

    def steps(self) -> Steps:
        """Return the accepted steps as a grid, so that the solve can be run again as one with given steps."""
        starts = np.asarray([s for s, _ in self.accepted])
        sizes = np.asarray([h for _, h in self.accepted])
        ends = starts + sizes
        marks = [0, *(int(np.argmin(np.abs(ends - t))) + 1 for t in self.times[1:])]
        return Steps(starts, sizes, tuple(marks))

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went."""
        device = leaves(rows[0])[0].device
        batch = leaves(rows[0])[0].shape[0]
        if len(self.times) == 1:
            status = torch.zeros(batch, dtype=torch.int32, device=device)
            return Report(status, Stats(0, 0), torch.full((batch,), self.times[0], dtype=torch.float64))
        reached = torch.where(self.reached.isnan(), self.times[-1], self.reached).cpu()
        same = torch.ones(batch, dtype=torch.int64)
        stats = Stats(len(self.accepted), self.count[0], same * len(self.accepted), same * self.rejected)
        return Report(
            self.status, stats, reached, None if self.pieces is None else self.pieces.interpolant(self.times)
        )


def _like(mask: Tensor, part: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (part.dim() - 1))


def _where(mask: Tensor, a: Any, b: Any) -> Any:
    return each(lambda p, q: torch.where(_like(mask, p), p, q), a, b)


def _unbind(block: Any) -> list[Any]:
    if isinstance(block, tuple):
        return list(zip(*(part.unbind() for part in block), strict=True))
    return list(block.unbind())

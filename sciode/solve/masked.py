"""Step control with one step per sample: every decision is a mask, and the host looks only now and then.

Symbols: ``s`` clock ``[b]``, ``h`` size of the next step ``[b]`` (> 0), ``ratio`` error over tolerance ``[b]``.

A sample that has ended takes steps of size zero, which change nothing; so no branch is needed, and a few steps
too many are harmless.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.solve.control import Controller, Measure
from sciode.solve.increment import Increment
from sciode.solve.pairs import Pair
from sciode.solve.radius import Radius
from sciode.solve.solution import Status
from sciode.solve.step import At

RUNNING = -1
_STRETCH = 1.0 + 1e-2
_EDGE = 0.9
_LARGE = 1e10  # what stands for a ratio that is NaN or infinite


class Carry(NamedTuple):
    """All that changes from step to step, sample by sample."""

    s: Tensor
    h: Tensor
    y: Any
    memory: Any
    size: Tensor  # |y| in the user's variables, [b, n]
    ratios: tuple[Tensor, Tensor]  # of the two steps before
    status: Tensor
    goal: Tensor  # number of the asked time that the step must not pass
    accepted: Tensor
    tried: Tensor
    probe: Tensor  # direction of the power iteration [b, n], under autograd; empty otherwise


class Record(NamedTuple):
    """What a step leaves for the dense output: ``size`` is 0 where the step was refused."""

    start: Tensor
    size: Tensor
    until: Tensor  # how far it counts: less than ``size`` where a terminal event ended it
    before: Any
    slopes: Any
    after: Any
    landed: Tensor


class Frame(NamedTuple):
    """What stays the same: the asked times ``[b, k]``, the direction, the smallest step."""

    times: Tensor
    sign: Tensor
    floor: Tensor

    @classmethod
    def of(cls, times: Tensor, dt_min: float) -> "Frame":
        """Make the frame of asked times."""
        sign = torch.where(times[:, -1] < times[:, 0], -1.0, 1.0).to(torch.float64)
        scale = torch.maximum(times[:, 0].abs(), times[:, -1].abs())
        floor = (8.0 * torch.finfo(torch.float64).eps * scale).clamp(min=max(dt_min, 1e-300))
        return cls(times, sign, floor)


def begin(
    frame: Frame,
    controller: Controller,
    y: Any,
    memory: Any,
    size: Tensor,
    first: Tensor,
    dt: float | None,
    probe: Tensor | None,
) -> Carry:
    """Return the carry before the first step; a first step of NaN marks a sample whose slope is not finite."""
    span = (frame.times[:, -1] - frame.times[:, 0]).abs()
    if dt is not None:
        first = torch.where(first.isnan(), first, dt)
    zero, one = torch.zeros_like(span, dtype=torch.int64), torch.ones_like(span)
    status = torch.where(first.isnan(), int(Status.NON_FINITE), RUNNING).to(torch.int64)
    h = controller.first(first.nan_to_num(nan=1.0), span)
    s = frame.times[:, 0]
    probe = torch.zeros(0, device=s.device) if probe is None else probe
    return Carry(s, h, y, memory, size, (one, one), status, zero + 1, zero, zero, probe)


class Stepper:
    """One step for each sample, as a function of :class:`Carry` and :class:`Frame` alone.

    ``land`` ends steps on the asked times; ``pause`` also lets a sample rest there. ``shared`` gives all samples
    the step of the most demanding one; the drift's time is then a number again.
    """

    def __init__(
        self,
        pair: Pair,
        controller: Controller,
        measure: Measure,
        land: bool = False,
        path: Callable[[Tensor, Tensor], Increment] | None = None,
        shared: bool = False,
        pause: bool = False,
        radius: Radius | None = None,
    ) -> None:
        self.pair, self.controller, self.measure = pair, controller, measure
        self.land, self.path, self.shared, self.pause = land, path, shared, pause
        self.radius = radius
        self.dtype = measure.atol.dtype
        # `where` makes a tensor of every number it is given, on the device, each time: make them once.
        codes = (Status.OK, Status.MIN_STEP, Status.NON_FINITE)
        self.codes = [torch.tensor(int(code), dtype=torch.int64, device=measure.atol.device) for code in codes]
        self.zero = torch.zeros((), dtype=torch.float64, device=measure.atol.device)
        self.nodes = torch.tensor(pair.nodes, dtype=torch.float64, device=measure.atol.device)[:, None]

    def advance(self, carry: Carry, frame: Frame) -> tuple[Carry, Record]:
        """Try a step in every sample that runs; no wait for the device."""
        target = frame.times.gather(1, carry.goal[:, None])[:, 0] if self.land else frame.times[:, -1]
        rest = (target - carry.s).abs()
        active = carry.status == RUNNING
        hits = carry.h * _STRETCH >= rest
        size = torch.where(active, torch.where(hits, rest, carry.h), self.zero)
        step = size * frame.sign
        noise = None if self.path is None else self.path(carry.s, carry.s + step)
        moments = torch.addcmul(carry.s, self.nodes, step)
        at = At((moments[:, 0] if self.shared else moments).unbind(), noise)
        limit, probe = self._held(carry, at.times[0])
        attempt = self.pair.attempt(at, step.to(self.dtype)[:, None], carry.y, carry.memory)
        with torch.no_grad():
            new_size = self.pair.visible(attempt.y, at.times[-1]).detach().abs()
            ratio = self.measure(self.pair.visible(attempt.error, at.times[-1]), carry.size, new_size).double()
            ratio = ratio.nan_to_num(nan=_LARGE, posinf=_LARGE)
            if self.shared:
                ratio = ratio.amax().expand_as(ratio)
            if limit is not None:
                ratio = torch.where((size > limit) & (ratio <= 1.0), 2.0, ratio)
            fits = ratio <= 1.0
            accept = fits & active
            landed = accept & hits
            h = self._next(carry, frame, ratio, size, hits, fits, limit)
            status, goal = self._status(carry, frame, ratio, h, active, landed)
            rows = accept[:, None]
            # Into itself, as it is made here and read no more: one state less that competes for the cache.
            new_size = torch.where(rows, new_size, carry.size, out=new_size)
        taken = torch.where(accept, step, self.zero)
        new = Carry(
            torch.where(landed, target, carry.s + taken),
            h,
            _merge(rows, attempt.y, carry.y),
            _merge(rows, attempt.memory, carry.memory),
            new_size,
            (ratio, carry.ratios[0]),
            status,
            goal,
            carry.accepted + accept,
            carry.tried + active,
            probe,
        )
        return new, Record(carry.s, taken, taken, carry.y, attempt.slopes, new.y, landed)

    def needed(self, carry: Carry, frame: Frame) -> Tensor:
        """Return how many more steps the slowest sample needs at its present size; 0 once none runs."""
        steps = (frame.times[:, -1] - carry.s).abs() / (carry.h * _STRETCH)
        if self.land:
            steps = steps + (frame.times.shape[1] - carry.goal)
        return torch.where(carry.status == RUNNING, steps.clamp(min=1.0), 0.0).amax()

    def _held(self, carry: Carry, s: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the longest step inside the stability region, under autograd, and the next direction."""
        if self.radius is None:
            return None, carry.probe
        slope = self.radius.pair.slope(s, carry.y) if carry.memory is None else carry.memory
        rho, probe = self.radius.update(s, carry.y, slope, carry.probe)
        if self.shared:
            rho = rho.amax().expand_as(rho)
        return self.radius.pair.stable / rho.double().clamp(min=1e-300), probe

    def _next(
        self,
        carry: Carry,
        frame: Frame,
        ratio: Tensor,
        size: Tensor,
        hits: Tensor,
        fits: Tensor,
        limit: Tensor | None,
    ) -> Tensor:
        position = carry.s
        if self.controller.needs_position:
            covered = (carry.s - frame.times[:, 0]).abs()
            position = torch.where(fits, covered + size, covered)
        h = self.controller.next_each(size, (ratio, *carry.ratios), self.pair.error_order + 1, position)
        if self.land:
            # A step cut short to meet a time says nothing against the longer one before it.
            h = torch.where(hits & fits, torch.maximum(h, carry.h), h)
        return h if limit is None else torch.minimum(h, _EDGE * limit)

    def _status(
        self, carry: Carry, frame: Frame, ratio: Tensor, h: Tensor, active: Tensor, landed: Tensor
    ) -> tuple[Tensor, Tensor]:
        goal = carry.goal
        done = landed
        dead = active & (h < frame.floor)
        if self.land:  # otherwise to land is to be done, which comes first below
            dead = dead & ~landed
        if self.land and not self.pause:
            done = landed & (goal == frame.times.shape[1] - 1)
            goal = goal + (landed & ~done)
        ok, small, lost = self.codes
        reason = torch.where(ratio >= _LARGE, lost, small)
        return torch.where(done, ok, torch.where(dead, reason, carry.status)), goal


def _merge(mask: Tensor, new: Any, old: Any) -> Any:
    """Take the new where the mask ``[b, 1]`` says so: states and memories are tensors, tuples of them, or None."""
    if isinstance(new, Tensor):
        if new.dim() != 2:
            mask = mask.view(-1, *[1] * (new.dim() - 1))
        return torch.where(mask, new, old)
    if isinstance(new, tuple):
        parts = [_merge(mask, a, b) for a, b in zip(new, old, strict=True)]
        return type(new)(*parts) if hasattr(new, "_fields") else tuple(parts)
    return new

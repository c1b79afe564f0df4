"""Step control in compiled form: a few steps as one unit, or the whole solve as one loop of the compiler.

Every decision is a mask (see :mod:`sciode.solve.masked`), so a step has no branch and compiles into few kernels,
the user's drift included. Steps end on the asked times.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.capture import Compiled, kept
from sciode.solve.control import Controller, Measure
from sciode.solve.first_step import guess
from sciode.solve.masked import RUNNING, Carry, Frame, Stepper, begin
from sciode.solve.packing import Packing
from sciode.solve.pairs import PackedPair
from sciode.solve.radius import radius_of
from sciode.solve.solution import Report, Stats, Status
from sciode.solve.step import At
from sciode.solve.term import Term

Unit = Callable[[Carry, Frame], Carry]


@dataclass(frozen=True)
class CompiledLoop:
    """Compile the whole solve under step control into one loop: for many short solves of a cheap drift.

    No call returns to Python between the steps. For inference; the drift must be traceable and must not change
    its inputs. Compiling takes up to half a minute, once per term, method, controller and shape, as long as this
    object and the term are kept.

    Parameters
    ----------
    options
        For ``torch.compile``; the default asks for a C++ wrapper, without which Python starts every kernel.
    """

    options: tuple[tuple[str, Any], ...] = (("cpp_wrapper", True),)
    units: dict[Any, Unit] = field(default_factory=dict, repr=False, compare=False)


def chunk(stepper: Stepper, steps: int, backend: str, mode: str | None) -> Unit:
    """Return ``steps`` steps compiled as one unit."""

    def run(carry: Carry, frame: Frame) -> Carry:
        for _ in range(steps):
            carry, _record = stepper.advance(carry, frame)
        return carry

    # The compiler keeps a few variants per code object: a code object of its own for every unit.
    own = FunctionType(run.__code__.replace(), run.__globals__, closure=run.__closure__)
    compiled: Unit = torch.compile(own, fullgraph=True, dynamic=False, backend=backend, mode=mode)
    return compiled


def _whole(stepper: Stepper, options: dict[str, Any]) -> Unit:
    from torch._higher_order_ops.while_loop import while_loop

    most = stepper.controller.max_steps

    def run(carry: Carry, frame: Frame) -> Carry:
        def unfinished(*parts: Tensor) -> Tensor:
            now = _joined(parts)
            return ((now.status == RUNNING) & (now.tried < most)).any()

        def body(*parts: Tensor) -> tuple[Tensor, ...]:
            after, _record = stepper.advance(_joined(parts), frame)
            return tuple(part.clone() for part in _flat(after))

        return _joined(while_loop(unfinished, body, _flat(carry)))

    own = FunctionType(run.__code__.replace(), run.__globals__, closure=run.__closure__)
    compiled: Unit = torch.compile(own, fullgraph=True, dynamic=False, options=options)
    return compiled


def _flat(carry: Carry) -> tuple[Tensor, ...]:
    parts = (*carry[:5], *carry.ratios, *carry[6:])
    return tuple(part.clone(memory_format=torch.contiguous_format) for part in parts)  # no two may share memory


def _joined(parts: Sequence[Tensor]) -> Carry:
    s, h, y, memory, size, last, before, *rest = parts
    return Carry(s, h, y, memory, size, (last, before), *rest)


class CompiledRun:
    """One integration by compiled steps."""

    def __init__(
        self,
        pair_of: Any,
        controller: Controller,
        term: Term,
        times: Sequence[float],
        dt: float | None,
        capture: Any,
    ) -> None:
        self.pair_of, self.controller, self.term = pair_of, controller, term
        self.times, self.dt, self.capture = list(times), dt, capture
        self.calls = 0

    def states(self, y: State) -> Iterator[State]:
        """Yield the state at every asked time after the first."""
        if len(self.times) == 1:
            return
        carry, frame, unit = self._begin(y)
        goal = carry.goal
        for place in range(1, len(self.times)):
            carry = carry._replace(goal=torch.full_like(goal, place))
            while True:
                carry = unit(carry, frame)
                self.calls += 1
                over = (carry.status == RUNNING) & (carry.tried >= self.controller.max_steps)
                carry = carry._replace(status=torch.where(over, int(Status.MAX_STEPS), carry.status))
                if not bool((carry.status == RUNNING).any()):
                    break
            good = carry.status == int(Status.OK)
            yield self.packing.unpack(torch.where(good[:, None], carry.y, torch.nan))
            self.carry = carry
            # Samples that rest at this time go on; those that have failed stay.
            carry = carry._replace(status=torch.where(good, RUNNING, carry.status))

    def table(self, y: State) -> None:
        """Return None: the states come one by one."""

    def _begin(self, y: State) -> tuple[Carry, Frame, Unit]:
        self.packing = Packing(y)
        device = leaves(y)[0].device
        pair = self.pair_of(self.term, self.packing, y)
        if not isinstance(pair, PackedPair):
            raise InputError(
                "capture under step control takes an explicit pair and a term without linear part or noise"
            )
        pair.functional = True
        native = pair.native(y)
        times = torch.tensor([self.times], dtype=torch.float64, device=device).expand(self.packing.batch, -1)
        frame = Frame.of(times.contiguous(), self.controller.dt_min)
        start = torch.tensor(self.times[0], dtype=torch.float64, device=device)
        shared = not self.controller.per_sample
        moment = start if shared else frame.times[:, 0]
        size = pair.visible(native, moment).detach().abs()
        measure = Measure(self.controller, self.packing, size)
        slope = self.term.checked().drift(moment, y)
        sign: Any = frame.sign[0] if shared else frame.sign
        first = guess(self.term, pair, measure, moment, native, slope, sign, shared)
        if shared:
            first = torch.where(first.isnan(), first, first.nan_to_num(nan=torch.inf).amin())
        radius = radius_of(pair, y, slope)
        probe = None if radius is None else radius.first(moment, native, pair.native(slope))
        memory = pair.start(At((moment,)), native)
        carry = begin(frame, self.controller, native, memory, size, first, self.dt, probe)
        stepper = Stepper(pair, self.controller, measure, land=True, shared=shared, pause=True, radius=radius)
        return carry, frame, self._unit(pair, stepper, native)

    def _unit(self, pair: PackedPair, stepper: Stepper, y: Tensor) -> Any:
        rule = id(self.controller.atol) if isinstance(self.controller.atol, Tensor) else self.controller
        like = (tuple(y.shape), y.dtype, y.device, len(self.times), stepper.radius is not None, y.requires_grad)
        key = ("adaptive", id(self.term.drift), pair.tableau, rule, like)
        self.pair = pair
        capture = self.capture
        if isinstance(capture, CompiledLoop):
            if stepper.radius is not None:
                raise InputError("CompiledLoop keeps no record for gradients: use Compiled(), or torch.no_grad()")
            return kept(capture.units, key, lambda: _whole(stepper, dict(capture.options)))
        if not isinstance(capture, Compiled):
            raise InputError("capture under step control is Compiled() or CompiledLoop()")
        return kept(capture.units, key, lambda: chunk(stepper, capture.steps, capture.backend, capture.mode))

    def report(self, rows: Sequence[State]) -> Report:
        """Say how it went."""
        batch = leaves(rows[0])[0].shape[0]
        if len(self.times) == 1:
            return Report(torch.zeros(batch, dtype=torch.int32), Stats(0, 0), torch.full((batch,), self.times[0]))
        carry = self.carry
        tried = int(carry.tried.max())
        # Of the calls within a unit none is seen; steps say how many are of use.
        evaluations = 3 + tried * (len(self.pair.nodes) - int(self.pair.tableau.reuses_last))
        stats = Stats(tried, evaluations, carry.accepted.cpu(), (carry.tried - carry.accepted).cpu())
        return Report(carry.status.to(torch.int32), stats, carry.s.cpu())

"""The loop over given steps: no tensor arithmetic of its own, and no wait for the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.trees import split
from sciode.core.typing import State, Time, leaves
from sciode.solve.capture import Capture, Chunk, Chunks, Hook, Unit
from sciode.solve.increment import Increment
from sciode.solve.step import At, Place, Solver, needs_of
from sciode.solve.steps import Steps
from sciode.solve.term import Drift, Term, around

_KEPT = 8  # plans of a large Fourier grid are large: irregular times must not pile them up
_AT_ONCE = 1024  # steps whose stage times are made together: many enough to be free, few enough to be small


def counted(term: Term) -> tuple[Term, list[int]]:
    """Return the same term with a drift that counts its calls, and the counter."""
    calls = [0]

    def counting(drift: Drift) -> Drift:
        def call(s: Time, y: State) -> State:
            calls[0] += 1
            return drift(s, y)

        return call

    return replace(term, drift=around(term.drift, counting)), calls


@dataclass
class FixedLoop:
    """Integrate ``term`` over given steps.

    ``advance`` is a pure function of its arguments: any stretch of the way can be run again, from its first
    state, and gives the same numbers. Checkpointing and the reversible adjoint rest on that.
    """

    solver: Solver
    term: Term
    steps: Steps
    hooks: Sequence[Hook] = ()
    capture: Capture | None = None
    _plans: dict[Any, Any] = field(default_factory=dict)
    _tables: dict[int, tuple[Tensor, list[Sequence[Time]]]] = field(default_factory=dict)
    _noise: Callable[[int], Increment] | None = None

    def __post_init__(self) -> None:
        self._counted, self._calls = counted(self.term)
        solver: Any = self.solver
        if hasattr(solver, "folded"):  # a Folding; isinstance with a protocol takes as long as a step
            self.solver = solver.folded(self.term)
        self._sizes: list[float] = self.steps.sizes.tolist()
        self._depth = self.solver.history
        self._timed: bool = getattr(self.solver, "timed", False)
        self._chunks = None if self.capture is None else Chunks(self._keys(), self.capture.steps)
        self._units: dict[Any, Unit] = {}
        self._costs: dict[Any, int] = {}  # drift calls of a step, per plan

    @property
    def evaluations(self) -> int:
        """Drift calls so far."""
        return self._calls[0]

    def states(self, y: State) -> Iterator[State]:
        """Yield the state, in the chart's coordinates, at every asked time after the first."""
        memory = self.start(y)
        for first, last in zip(self.steps.marks[:-1], self.steps.marks[1:], strict=True):
            y, memory = self.advance(y, memory, first, last)
            yield y

    def start(self, y: State) -> Any:
        """Return the method's memory before the first step."""
        if self.capture is not None:
            self.capture.check(y)
        if not self._sizes:
            return None
        if self.term.noise is not None:
            self._noise = self.term.noise.source(y, self.steps, needs_of(self.solver, self.term))
        return self.solver.start(self._counted.checked(), self.at(0, y), y)

    def advance(self, y: State, memory: Any, first: int, last: int) -> tuple[State, Any]:
        """Take the steps ``first`` to ``last`` (exclusive)."""
        index = first
        while index < last:
            count = 0 if self._chunks is None else self._chunks.length(index, last)
            if count:
                y, memory = self._leap(index, count, y, memory)
            else:
                y, memory = self._step(index, y, memory)
            index += max(count, 1)
        return y, memory

    def _step(self, index: int, y: State, memory: Any) -> tuple[State, Any]:
        term = self._counted.checked() if index == 0 else self._counted
        at = self.at(index, y)
        before = self.evaluations
        y, memory = self.solver.step(term, at, y, memory, self.plan(index, y))
        if self.capture is not None:
            self._costs[self.key(index)] = self.evaluations - before
        for hook in self.hooks:
            y = hook(at.times[-1], y)
        return y, memory

    def _leap(self, index: int, count: int, y: State, memory: Any) -> tuple[State, Any]:
        """Take ``count`` steps of one plan as a unit."""
        assert self.capture is not None
        key = self.key(index)
        times = self._times(index, count, y)
        noise = tuple(self.at(step, y).noise for step in range(index, index + count))
        tensors: list[Tensor] = []
        skeleton = split(self.plan(index, y), tensors)
        if (key, count) not in self._units:
            chunk = Chunk(self.solver, self.term, tuple(self.hooks), skeleton, count)
            self._units[key, count] = self.capture.unit(chunk, (y, memory, noise, tensors))
        self._calls[0] += count * self._costs.get(key, len(self.solver.nodes))
        return self._units[key, count](y, memory, times, noise, tensors)

    def key(self, index: int) -> tuple[float, tuple[float, ...], int]:
        """Return what the weights of a step depend on: its size, those of the steps before, perhaps its place."""
        depth = self._depth
        past = tuple(self._sizes[max(0, index - depth) : index][::-1]) if depth else ()
        return self._sizes[index], past, index if self._timed else 0

    def _keys(self) -> list[Any]:
        return [self.key(index) for index in range(len(self._sizes))]

    def plan(self, index: int, y: State) -> Any:
        """Return the weights of a step."""
        if self._timed:
            return self._plan_at(index, y)  # a step's own: there is nothing to share
        key = self.key(index)
        if key not in self._plans:
            if len(self._plans) == _KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = self.solver.plan(self.term.linear, key[0], y, key[1])
        return self._plans[key]

    def _plan_at(self, index: int, y: State) -> Any:
        solver: Any = self.solver
        h, past, _ = self.key(index)
        place = Place(index, len(self._sizes), float(self.steps.starts[index]))
        return solver.plan(self.term.linear, h, y, past, place)

    def forget(self) -> None:
        """Drop all weights: the next steps make their own."""
        self._plans.clear()

    def at(self, index: int, y: State) -> At:
        """Return the times of a step's nodes, and its noise."""
        chunk, within = divmod(index, _AT_ONCE)
        table = self._tables.get(chunk) or self._table(chunk, y)
        return At(table[1][within], None if self._noise is None else self._noise(index))

    def _times(self, index: int, count: int, y: State) -> Tensor:
        chunk, within = divmod(index, _AT_ONCE)
        times = self._table(chunk, y)[0][within : within + count]
        missing = count - len(times)
        return times if not missing else torch.cat([times, self._times(index + len(times), missing, y)])

    def _table(self, chunk: int, y: State) -> tuple[Tensor, list[Sequence[Time]]]:
        """Return the times ``[steps, nodes]`` of a chunk of steps, whole and apart."""
        if chunk not in self._tables:
            if len(self._tables) == 2:  # two, as a unit may begin in one and end in the next
                del self._tables[next(iter(self._tables))]
            nodes = (*self.solver.nodes, 1.0) if self.hooks else self.solver.nodes
            last = min((chunk + 1) * _AT_ONCE, len(self._sizes))
            table = self._moments(nodes, chunk * _AT_ONCE, last, y)
            flat, width = table.reshape(-1).unbind(), len(nodes)
            self._tables[chunk] = (table, [flat[i : i + width] for i in range(0, len(flat), width)])
        return self._tables[chunk]

    def _moments(self, nodes: Sequence[float], first: int, last: int, y: State) -> Tensor:
        """Return the times at which steps ``first`` to ``last`` look, on the device."""
        device = leaves(y)[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        table = torch.from_numpy(np.ascontiguousarray(self.steps.moments(nodes, first, last)))
        return table.to(device=device, dtype=wide)

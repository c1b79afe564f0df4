"""The loop over given steps: no tensor arithmetic of its own, and no wait for the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.typing import State, Time, leaves
from sciode.solve.noise import Increment
from sciode.solve.step import At, Solver
from sciode.solve.steps import Steps
from sciode.solve.term import Term

_KEPT = 8  # plans of a large Fourier grid are large: irregular times must not pile them up
_AT_ONCE = 1024  # steps whose stage times are made together: many enough to be free, few enough to be small

Hook = Callable[[Time, State], State]
"""A map of the state after each step, given the time reached: projection, inpainting, resampling."""


def counted(term: Term) -> tuple[Term, list[int]]:
    """Return the same term with a drift that counts its calls, and the counter."""
    calls = [0]

    def drift(s: Time, y: State) -> State:
        calls[0] += 1
        return term.drift(s, y)

    return replace(term, drift=drift), calls


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
    _plans: dict[Any, Any] = field(default_factory=dict)
    _chunk: tuple[int, list[Sequence[Time]]] = (-1, [])
    _noise: Callable[[int], Increment] | None = None

    def __post_init__(self) -> None:
        self._counted, self._calls = counted(self.term)
        self._sizes: list[float] = self.steps.sizes.tolist()

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
        if not self._sizes:
            return None
        if self.term.noise is not None:
            self._noise = self.term.noise.source(y, self.steps, area=getattr(self.solver, "area", False))
        return self.solver.start(self._counted.checked(), self.at(0, y), y)

    def advance(self, y: State, memory: Any, first: int, last: int) -> tuple[State, Any]:
        """Take the steps ``first`` to ``last`` (exclusive)."""
        term = self._counted.checked() if first == 0 else self._counted
        for index in range(first, last):
            at = self.at(index, y)
            y, memory = self.solver.step(term, at, y, memory, self.plan(index, y))
            for hook in self.hooks:
                y = hook(at.times[-1], y)
            term = self._counted
        return y, memory

    def key(self, index: int) -> tuple[float, tuple[float, ...]]:
        """Return what the weights of a step depend on: its size, and those of the steps that are remembered."""
        depth = self.solver.history
        past = tuple(self._sizes[max(0, index - depth) : index][::-1]) if depth else ()
        return self._sizes[index], past

    def plan(self, index: int, y: State) -> Any:
        """Return the weights of a step."""
        key = self.key(index)
        if key not in self._plans:
            if len(self._plans) == _KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = self.solver.plan(self.term.linear, key[0], y, key[1])
        return self._plans[key]

    def forget(self) -> None:
        """Drop all weights: the next steps make their own."""
        self._plans.clear()

    def at(self, index: int, y: State) -> At:
        """Return the times of a step's nodes, and its noise."""
        chunk, within = divmod(index, _AT_ONCE)
        if chunk != self._chunk[0]:
            nodes = (*self.solver.nodes, 1.0) if self.hooks else self.solver.nodes
            last = min((chunk + 1) * _AT_ONCE, len(self._sizes))
            flat = self._moments(nodes, chunk * _AT_ONCE, last, y)
            width = len(nodes)
            self._chunk = (chunk, [flat[i : i + width] for i in range(0, len(flat), width)])
        return At(self._chunk[1][within], None if self._noise is None else self._noise(index))

    def _moments(self, nodes: Sequence[float], first: int, last: int, y: State) -> tuple[Tensor, ...]:
        """Return the times at which steps ``first`` to ``last`` look, one tensor each, on the device."""
        device = leaves(y)[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        table = torch.from_numpy(np.ascontiguousarray(self.steps.moments(nodes, first, last)))
        return table.to(device=device, dtype=wide).reshape(-1).unbind()

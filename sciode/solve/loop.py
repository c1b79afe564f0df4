"""The fixed-step loop: from one asked time to the next in equal steps, with weights made once per step size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch

from sciode.core.typing import State, Time, leaves
from sciode.solve.term import Diagonal, Term

_KEPT = 8  # plans of a large Fourier grid are large: irregular times must not pile them up


class Solver(Protocol):
    """What the loop needs of a one-step method."""

    @property
    def order(self) -> int:
        """Order of convergence."""
        ...

    @property
    def tableau(self) -> Any:
        """The method's table; its ``nodes`` say at which times a step looks."""
        ...

    def plan(self, linear: Diagonal | None, h: float, y: State) -> Any:
        """Make the weights of a step."""
        ...

    def step(self, term: Term, s: Sequence[Time], y: State, plan: Any) -> State:
        """Take a step."""
        ...


@dataclass
class FixedLoop:
    """Integrate with steps of at most ``dt`` that land on every asked time.

    The loop holds no tensor arithmetic and never waits for the device: counts and step sizes are host
    floats, and the times of all stages between two asked times are made in one go.
    """

    solver: Solver
    dt: float
    steps: int = 0
    _plans: dict[float, Any] = field(default_factory=dict)

    def states(self, term: Term, y: State, times: Sequence[float]) -> Iterator[State]:
        """Yield the state, in the chart's coordinates, at every time after the first."""
        current = term.checked()
        for start, end in pairwise(times):
            # The small slack keeps 0.1 / 0.01 from becoming eleven steps by round-off.
            count = max(1, math.ceil(abs(end - start) / self.dt * (1.0 - 1e-12)))
            h = self._shared((end - start) / count, max(abs(start), abs(end)))
            plan = self._plan(term, h, y)
            for moments in self._moments(start, h, count, y):
                y = self.solver.step(current, moments, y, plan)
                current = term
            self.steps += count
            yield y

    def _plan(self, term: Term, h: float, y: State) -> Any:
        if h not in self._plans:
            if len(self._plans) == _KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[h] = self.solver.plan(term.linear, h, y)
        return self._plans[h]

    def _shared(self, h: float, scale: float) -> float:
        """Return a step size already in use where the two differ by the round-off of the asked times only."""
        for known in self._plans:
            if abs(known - h) <= 8 * math.ulp(scale):
                return known
        return h

    def _moments(self, start: float, h: float, count: int, y: State) -> Iterator[tuple[Time, ...]]:
        device = leaves(y)[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        nodes = torch.tensor(self.solver.tableau.nodes, dtype=torch.float64)
        for first in range(0, count, 1024):  # bounded memory for very many steps
            index = torch.arange(first, min(first + 1024, count), dtype=torch.float64)
            table = (start + h * (index[:, None] + nodes)).to(device=device, dtype=wide)
            flat = table.reshape(-1).unbind()
            width = len(nodes)
            yield from (flat[i : i + width] for i in range(0, len(flat), width))

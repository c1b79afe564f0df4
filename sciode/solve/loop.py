"""The fixed-step loop: from one asked time to the next in equal steps, with weights made once per step size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, Protocol

import numpy as np
import torch

from sciode.core.typing import State, Time, leaves
from sciode.solve.term import Diagonal, Term

_KEPT = 8  # plans of a large Fourier grid are large: irregular times must not pile them up
_AT_ONCE = 1024  # steps whose stage times are made together: many enough to be free, few enough to be small


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
    floats, and the times of the stages are made for many steps in one go.
    """

    solver: Solver
    dt: float
    steps: int = 0
    _plans: dict[float, Any] = field(default_factory=dict)

    def states(self, term: Term, y: State, times: Sequence[float]) -> Iterator[State]:
        """Yield the state, in the chart's coordinates, at every time after the first."""
        counts, sizes = self._steps(times)
        moments = self._moments(times, counts, sizes, y)
        current = term.checked()
        for count, h in zip(counts, sizes, strict=True):
            plan = self._plan(term, h, y)
            for s in islice(moments, count):
                y = self.solver.step(current, s, y, plan)
                current = term
            self.steps += count
            yield y

    def _steps(self, times: Sequence[float]) -> tuple[list[int], list[float]]:
        """Return how many steps, and how long ones, lead from each asked time to the next."""
        counts: list[int] = []
        sizes: list[float] = []
        scale = 8 * math.ulp(max(map(abs, times)))
        for start, end in pairwise(times):
            # The small slack keeps 0.1 / 0.01 from becoming eleven steps by round-off.
            count = max(1, math.ceil(abs(end - start) / self.dt * (1.0 - 1e-12)))
            h = (end - start) / count
            if sizes and abs(h - sizes[-1]) <= scale:
                h = sizes[-1]  # differs by the round-off of the asked times only: share the plan
            counts.append(count)
            sizes.append(h)
        return counts, sizes

    def _plan(self, term: Term, h: float, y: State) -> Any:
        if h not in self._plans:
            if len(self._plans) == _KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[h] = self.solver.plan(term.linear, h, y)
        return self._plans[h]

    def _moments(
        self, times: Sequence[float], counts: list[int], sizes: list[float], y: State
    ) -> Iterator[tuple[Time, ...]]:
        """Yield the times of a step's stages, step by step; made for many steps at once, on the device."""
        device = leaves(y)[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        nodes = np.asarray(self.solver.tableau.nodes)
        within = np.arange(sum(counts)) - np.repeat(np.cumsum([0, *counts])[:-1], counts)
        h = np.repeat(sizes, counts)
        starts = np.repeat(np.asarray(times[:-1]), counts) + h * within
        for first in range(0, len(starts), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            table = torch.from_numpy(starts[part, None] + h[part, None] * nodes).to(device=device, dtype=wide)
            flat = table.reshape(-1).unbind()
            yield from (flat[i : i + len(nodes)] for i in range(0, len(flat), len(nodes)))

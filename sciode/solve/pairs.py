"""Steps with an error estimate, in the form that the adaptive loops drive: packed where that is possible.

Symbols: ``K`` slopes times the step, ``h`` step (a host float, or a tensor ``[b, 1]``), ``e`` error weights.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.solve.dense import dense, embedded_order, real_stability
from sciode.solve.packing import Packing
from sciode.solve.step import AdaptiveSolver, At
from sciode.solve.tableau import Tableau, number
from sciode.solve.term import Term


class Attempt(NamedTuple):
    """What a try gives; ``y`` in the pair's own form."""

    y: Any
    error: Any
    memory: Any
    slopes: Any


class Pair(Protocol):
    """A method with an error estimate, bound to a term."""

    nodes: tuple[float, ...]
    order: int
    error_order: int
    interpolates: bool

    def native(self, y: State) -> Any:
        """Bring a state into the pair's own form."""
        ...

    def state(self, y: Any) -> State:
        """Bring it back."""
        ...

    def visible(self, y: Any, s: Time) -> Tensor:
        """Return ``[b, n]``: a state or an error in the user's variables, where tolerances live."""
        ...

    def start(self, at: At, y: Any) -> Any:
        """Return the memory before the first step."""
        ...

    def attempt(self, at: At, h: Any, y: Any, memory: Any) -> Attempt:
        """Try a step."""
        ...

    def interpolate(self, thetas: Sequence[float], h: float, y: Any, slopes: Any) -> Any:
        """Return states ``[m, b, ...]`` within a step just taken."""
        ...


class _Combine(torch.autograd.Function):
    """y + sum of weight * slope in one pass, and one node of the graph instead of one per slope."""

    @staticmethod
    def forward(ctx: Any, weights: tuple[float, ...], y: Tensor, *slopes: Tensor) -> Tensor:
        ctx.weights = weights
        total: Tensor | None = None
        for w, k in zip(weights, slopes, strict=True):
            if w:
                total = y.add(k, alpha=w) if total is None else total.add_(k, alpha=w)
        return y.clone() if total is None else total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        return (None, g, *(g * w if w else None for w in ctx.weights))


def combine(y: Tensor, weights: tuple[float, ...], slopes: Sequence[Tensor]) -> Tensor:
    """Return y + sum of weight * slope, differentiably."""
    result: Tensor = _Combine.apply(weights, y, *slopes)
    return result


class PackedPair:
    """A Runge--Kutta pair without a linear part, on packed states.

    Without autograd the slopes live in one buffer and a stage is one matrix-vector product; under autograd
    they are separate tensors and a stage is one node of the graph. The time step multiplies the slopes once,
    so the same code serves a shared step and one step per sample.
    """

    def __init__(self, tableau: Tableau, term: Term, packing: Packing, example: Tensor) -> None:
        if tableau.embedded is None:
            raise InputError(
                "this method has no error estimate: use HEUN, BOSH3, TSIT5, DOPRI5 or DOPRI8, or dt= alone"
            )
        self.packing, self.drift = packing, term.drift
        self.tableau, self.nodes, self.order = tableau, tableau.nodes, tableau.order
        self.error_order = embedded_order(tableau)
        self.extension = dense(tableau)
        # A step of an eighth-order method is long: what its slopes alone can interpolate is far less exact.
        self.interpolates = self.extension.order >= tableau.order - 1
        self.stable = real_stability(tableau)
        matrix, update, _ = tableau.at_zero()
        companion = [number(entry) for entry in tableau.embedded]
        self.rows = [tuple(row[:i]) for i, row in enumerate(matrix)]
        self.update = tuple(update)
        self.error = tuple(b - c for b, c in zip(update, companion, strict=True))
        self.last_is_update = tableau.reuses_last
        self.tables = [torch.tensor(row, dtype=example.dtype, device=example.device) for row in self.rows]
        self.update_table = torch.tensor(self.update, dtype=example.dtype, device=example.device)
        self.error_table = torch.tensor(self.error, dtype=example.dtype, device=example.device)
        self.buffer: Tensor | None = None
        self.functional = False  # for a compiler
        self.keeps = False  # whether slopes are read after the next step has begun

    def native(self, y: State) -> Tensor:
        """Pack."""
        return self.packing.pack(y).contiguous()

    def state(self, y: Tensor) -> State:
        """Unpack."""
        return self.packing.unpack(y)

    def visible(self, y: Tensor, s: Time) -> Tensor:
        """Return ``y``: packed states are the user's variables."""
        return y

    def slope(self, s: Time, y: Tensor) -> Tensor:
        """Return the drift, packed."""
        return self.packing.pack(self.drift(s, self.packing.unpack(y)))

    def start(self, at: At, y: Tensor) -> Tensor:
        """Return the first slope."""
        return self.slope(at.times[0], y)

    def attempt(self, at: At, h: Any, y: Tensor, memory: Tensor | None) -> Attempt:
        """Try a step."""
        first = self.slope(at.times[0], y) if memory is None else memory
        if self.functional:
            return self._functional(at, h, y, first)
        if torch.is_grad_enabled() and (first.requires_grad or y.requires_grad):
            return self._recorded(at, h, y, first)
        return self._in_place(at, h, y, first)

    def _in_place(self, at: At, h: Any, y: Tensor, first: Tensor) -> Attempt:
        if self.buffer is None or self.keeps:
            self.buffer = torch.empty(len(self.nodes), *y.shape, dtype=y.dtype, device=y.device)
            flat = self.buffer.view(len(self.nodes), -1)
            # Views cost as much as small kernels: made once, not in every stage.
            self.heads = [flat[:i].t() for i in range(len(self.nodes) + 1)]
            self.slots = self.buffer.unbind()
        slots, heads, start, shape = self.slots, self.heads, y.view(-1), y.shape
        torch.mul(first, h, out=slots[0])
        slope, point = first, y
        for i in range(1, len(self.nodes)):
            point = torch.addmv(start, heads[i], self.tables[i]).view(shape)
            slope = self.slope(at.times[i], point)
            torch.mul(slope, h, out=slots[i])
        if not self.last_is_update:
            point = torch.addmv(start, heads[-1], self.update_table).view(shape)
        error = torch.mv(heads[-1], self.error_table).view(shape)
        return Attempt(point, error, slope if self.last_is_update else None, self.buffer)

    def _functional(self, at: At, h: Tensor, y: Tensor, first: Tensor) -> Attempt:
        """The same without buffers or nodes of its own, for a compiler to fuse."""

        def point(row: tuple[float, ...]) -> Tensor:
            return y + sum(w * k for w, k in zip(row, slopes, strict=False) if w)

        slope, slopes, last = first, [first * h], y
        for i in range(1, len(self.nodes)):
            last = point(self.rows[i])
            slope = self.slope(at.times[i], last)
            slopes.append(slope * h)
        last = last if self.last_is_update else point(self.update)
        parts = [w * k for w, k in zip(self.error, slopes, strict=True) if w]
        error = sum(parts[1:], parts[0]).detach()
        return Attempt(last, error, slope if self.last_is_update else None, None)

    def _recorded(self, at: At, h: Any, y: Tensor, first: Tensor) -> Attempt:
        scale = h if isinstance(h, Tensor) else 1.0
        size = 1.0 if isinstance(h, Tensor) else h
        slopes = [first * scale if isinstance(h, Tensor) else first]
        slope, points = first, [y]
        for i in range(1, len(self.nodes)):
            points.append(combine(y, tuple(size * w for w in self.rows[i]), slopes))
            slope = self.slope(at.times[i], points[-1])
            slopes.append(slope * scale if isinstance(h, Tensor) else slope)
        last = points[-1]
        if not self.last_is_update:
            last = combine(y, tuple(size * w for w in self.update), slopes)
        with torch.no_grad():
            error = torch.zeros_like(y)
            for w, k in zip(self.error, slopes, strict=True):
                if w:
                    error.add_(k, alpha=size * w)
        memory = slope if self.last_is_update else None
        return Attempt(last, error, memory, (slopes, size))

    def interpolate(self, thetas: Sequence[float], h: float, y: Tensor, slopes: Any) -> Tensor:
        """Return ``[m, b, n]``: all times of the step in one contraction."""
        # On the host: a handful of numbers, for which a kernel each would cost more than the product below.
        powers = np.asarray(thetas)[:, None] ** np.arange(1, len(self.extension.beta) + 1)
        weights = torch.from_numpy(powers @ self.extension.beta).to(device=y.device, dtype=y.dtype)
        rows = torch.addmm(y.reshape(1, -1), weights, self.stacked(slopes).view(len(self.nodes), -1))
        return rows.view(len(thetas), *y.shape)

    def weights_at(self, theta: Tensor) -> Tensor:
        """Return the weights ``[q, stages]`` of the slopes at places ``[q]`` within a step."""
        beta = torch.from_numpy(self.extension.beta).to(theta.device)
        powers = theta[:, None] ** torch.arange(1, len(beta) + 1, device=theta.device)
        return (powers @ beta).to(self.packing.dtype)

    def stacked(self, slopes: Any) -> Tensor:
        """Return slopes times step, ``[stages, b, n]``."""
        return torch.stack(slopes[0]) * slopes[1] if isinstance(slopes, tuple) else slopes


class ChartPair(PackedPair):
    """The same in a chart: errors are measured in the user's variables."""

    def __init__(self, tableau: Tableau, term: Term, packing: Packing, example: Tensor) -> None:
        super().__init__(tableau, term, packing, example)
        self.chart = term.chart

    def visible(self, y: Tensor, s: Time) -> Tensor:
        """Leave the chart; it is linear, so this holds for errors too."""
        state = self.chart.leave(self.packing.unpack(y), s)
        return Packing(state).pack(state)


class SolverPair:
    """Any :class:`AdaptiveSolver`, on states as they are; asked times are met by a step's end."""

    interpolates = False

    def __init__(self, solver: AdaptiveSolver, term: Term, packing: Packing) -> None:
        self.solver, self.term, self.packing = solver, term, packing
        self.nodes, self.order, self.error_order = solver.nodes, solver.order, solver.error_order

    def native(self, y: State) -> State:
        """Return ``y``."""
        return y

    def state(self, y: State) -> State:
        """Return ``y``."""
        return y

    def visible(self, y: State, s: Time) -> Tensor:
        """Return a state or an error in the user's variables, packed."""
        state = self.term.chart.leave(y, s)
        return Packing(state).pack(state)

    def start(self, at: At, y: State) -> Any:
        """Ask the solver."""
        if self.term.noise is not None:
            self.term.noise.checked().amplitude(at.times[0], y)
        return self.solver.start(self.term, at, y)

    def attempt(self, at: At, h: Any, y: State, memory: Any) -> Attempt:
        """Ask the solver."""
        trial = self.solver.attempt(self.term, at, h[:, 0] if isinstance(h, Tensor) else h, y, memory)
        return Attempt(*trial)

    def interpolate(self, thetas: Sequence[float], h: float, y: State, slopes: Any) -> State:
        """Not offered."""
        raise InputError(f"{type(self.solver).__name__} has no dense output: ask for the times in t=")

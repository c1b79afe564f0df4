r"""The adjoint of a semilinear equation, which is semilinear: again a :class:`Term`, for any solver.

With :math:`y' = L y + N(s, y)` and a real loss, the cotangents of state, parameters and rates obey

.. math::

    a' = -\bar L a - N_y^H a, \qquad g_\theta' = -N_\theta^H a, \qquad g_L' = -\bar y a,

integrated from the end to the start; summed over what shares a rate. Cotangents follow autograd's convention,
dl/dRe + i dl/dIm, so that a vector-Jacobian product is ``N^H a`` for complex states too.

Symbols: ``s`` clock, ``y`` state, ``a`` cotangent of y, ``g`` gradients.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from sciode.core.typing import State, Time, leaves, like
from sciode.solve.gradients import loose, pull
from sciode.solve.steps import Steps
from sciode.solve.term import Diagonal, Term


@dataclass(frozen=True)
class Dual:
    """The adjoint of ``term`` for states like ``y``, with gradients for ``parameters`` and for learned rates."""

    term: Term
    y: State
    parameters: list[Tensor]

    @property
    def width(self) -> int:
        """How many tensors a state has."""
        return len(leaves(self.y))

    @property
    def rates(self) -> list[tuple[int, Tensor]]:
        """The rates that ask for a gradient, each with the number of its tensor of the state."""
        if self.term.linear is None:
            return []
        return [(i, rate) for i, rate in enumerate(self.term.linear.rates(self.width)) if rate.requires_grad]

    def given(self, states: Callable[[Time], State]) -> Term:
        """Return the equation of ``(a, g)``, the states being known."""

        def drift(s: Time, state: State) -> State:
            return self._slopes(s, states(s), leaves(state)[: self.width])[1]

        return Term(drift, self._linear(with_state=False))

    def together(self) -> Term:
        """Return the equation of ``(y, a, g)``."""

        def drift(s: Time, state: State) -> State:
            y, a = leaves(state)[: self.width], leaves(state)[self.width : 2 * self.width]
            slope, others = self._slopes(s, like(self.y, y), a)
            return (*slope, *others)

        return Term(drift, self._linear(with_state=True))

    def zeros(self) -> list[Tensor]:
        """Return ``g`` at the end."""
        return [torch.zeros_like(tensor) for tensor in (*self.parameters, *(rate for _, rate in self.rates))]

    def _slopes(self, s: Time, y: State, a: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        points = loose(leaves(y))
        with torch.enable_grad():
            slope = leaves(self.term.drift(s, like(self.y, tuple(points))))
        found = pull(slope, [-part for part in a], [*points, *self.parameters])
        rates = (_summed(-(points[i].detach().conj() * a[i]), rate) for i, rate in self.rates)
        return tuple(part.detach() for part in slope), (*found, *rates)

    def _linear(self, with_state: bool) -> Diagonal | None:
        if self.term.linear is None:
            return None
        rates = tuple(rate.detach() for rate in self.term.linear.rates(self.width))
        duals = Diagonal(rates).adjoint().rates(self.width)
        return Diagonal((*(rates if with_state else ()), *duals, *(0.0 for _ in self.zeros())))


def _summed(value: Tensor, rate: Tensor) -> Tensor:
    value = value.sum_to_size(rate.shape)
    return (value if rate.is_complex() else value.real).to(device=rate.device, dtype=rate.dtype)


class Stored:
    """The states of a stretch at all times at which a solver that goes back over it will look.

    They come from a solve forward, whose steps end on each of these times: nothing is interpolated, and what is
    damped forward is never integrated backward.
    """

    def __init__(self, y: State, states: Iterable[State], steps: Steps) -> None:
        self.rows = tuple(part.new_empty(len(steps.sizes) + 1, *part.shape) for part in leaves(y))
        self.y = y
        for index, state in enumerate(chain((y,), states)):
            self._keep(index, state)
        self.sign = 1.0 if steps.sizes[0] > 0 else -1.0
        middles = torch.from_numpy(self.sign * (steps.starts + 0.5 * steps.sizes))
        device = self.rows[0].device
        self.middles = middles.to(device, torch.float32 if device.type == "mps" else torch.float64)

    def _keep(self, index: int, y: State) -> None:
        for rows, part in zip(self.rows, leaves(y), strict=True):
            rows[index].copy_(part)

    def __call__(self, s: Time) -> State:
        """Return the state at ``s``: that of the nearest time, found without a wait for the device."""
        index = torch.bucketize(s * self.sign, self.middles).reshape(1)
        return like(self.y, tuple(rows.index_select(0, index).squeeze(0) for rows in self.rows))


def between(back: Steps, nodes: tuple[float, ...]) -> Steps:
    """Return the steps, in the opposite direction, that end on all nodes of the steps ``back``.

    >>> steps = between(Steps(np.array([1.0]), np.array([-1.0]), (0, 1)), (0.0, 0.25))
    >>> steps.starts.tolist(), steps.sizes.tolist()
    ([0.0, 0.75], [0.75, 0.25])
    """
    places = np.unique(np.round(np.asarray((0.0, *nodes, 1.0)), 12))[::-1]
    starts = back.starts[::-1, None] + back.sizes[::-1, None] * places[:-1]
    sizes = back.sizes[::-1, None] * np.diff(places)
    count = starts.size
    return Steps(starts.reshape(-1), sizes.reshape(-1), tuple(range(count + 1)))


def reversed_steps(steps: Steps, first: int, last: int) -> Steps:
    """Return the steps ``first`` to ``last`` (exclusive) as they are taken from the end."""
    starts, sizes = steps.starts[first:last], steps.sizes[first:last]
    return Steps((starts + sizes)[::-1].copy(), -sizes[::-1], (0, last - first))

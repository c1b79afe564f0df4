r"""What a step asks of a noise path, and the arithmetic of joining the answers of adjacent steps.

Symbols: ``h`` step, ``W`` Wiener increment over it, ``H`` its space--time Levy area,
:math:`H = h^{-1}\int_0^h (W_u - \tfrac{u}{h} W_h)\,\mathrm{d}u`, ``X`` Ornstein--Uhlenbeck increment
:math:`\int_0^h e^{(h-u)\rho}\,\mathrm{d}W_u`, ``rho`` its rate.

Given a path, W is N(0, h), H is N(0, h/12), and they are independent. A step backwards in time has h < 0 and
the same formulas.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sciode.core.typing import State, Time, each, leaves, like
from sciode.solve.steps import Steps


class Increment(NamedTuple):
    """What a step needs of the path: W over the step; H and X where the method asks for them."""

    W: State
    H: State | None = None
    X: State | None = None


class Needs(NamedTuple):
    """What a method asks of the path besides W.

    ``rates`` holds one tensor rho per Wiener leaf. If ``joint``, the rates of its last axis share one Wiener
    process, and X has that axis more than W; otherwise rho broadcasts to W.
    """

    area: bool = False
    rates: tuple[Tensor, ...] | None = None
    joint: bool = False


NOTHING = Needs()


class Query(Protocol):
    """A path that can be asked for any interval of its span."""

    def increment(self, start: float | Time, end: float | Time, area: bool = False) -> Increment:
        """Return the increment from ``start`` to ``end``: floats, or tensors ``[]`` or ``[b]``."""
        ...


class Driver(Protocol):
    """Where the numbers of a path come from. The same question always gets the same answer."""

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments on a fixed grid, by the number of the step; ``like`` is shaped like W."""
        ...

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Return the path over a span of time, for steps that are not known beforehand."""
        ...


@dataclass(frozen=True)
class Asked:
    """The path of ``driver``, asked for the steps of a grid: what steps found under control have seen."""

    driver: Driver

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments by the number of the step."""
        ends = [*map(float, steps.starts), float(steps.starts[-1] + steps.sizes[-1])]
        query = self.driver.path(like, ends[0], ends[-1], seed)
        return lambda index: query.increment(ends[index], ends[index + 1], needs.area)

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Return the path of ``driver``."""
        return self.driver.path(like, start, end, seed)


def turned(noise: Increment) -> Increment:
    """Return the increment of the path run backwards: W changes sign, its area about the chord does not."""
    return noise._replace(W=each(Tensor.neg, noise.W))


def spread(h: float) -> float:
    """Return the standard deviation of W; 1 for an infinite step, where the method knows the limit."""
    return 1.0 if math.isinf(h) else math.sqrt(abs(h))


def column(value: Tensor, part: Tensor) -> Tensor:
    """Let a tensor ``[]`` or ``[b]`` broadcast over a leaf ``[b, ...]``, in the leaf's real dtype."""
    value = value.to(part.real.dtype if part.is_complex() else part.dtype)
    return value.reshape(-1, *[1] * (part.dim() - 1)) if value.dim() else value


def join(parts: Sequence[Increment], sizes: Sequence[float], rates: tuple[Tensor, ...] | None = None) -> Increment:
    """Return the increment over adjacent steps taken as one: exact (the Chen relation).

    >>> one = Increment(torch.tensor([1.0]), torch.tensor([0.0]))
    >>> both = join([one, Increment(-one.W, one.H)], [0.5, 0.5])
    >>> both.W.item(), both.H.item()
    (0.0, 0.5)
    """
    total, length = parts[0], sizes[0]
    for part, h in zip(parts[1:], sizes[1:], strict=True):
        W = each(torch.add, total.W, part.W)
        H = None
        if total.H is not None and part.H is not None:
            H = _joined_area(total, part, length, h)
        X = None
        if total.X is not None and part.X is not None:
            assert rates is not None
            flow = [torch.exp(rate * h) for rate in rates]
            flow = flow if len(flow) == len(leaves(total.X)) else flow * len(leaves(total.X))
            moved = zip(leaves(total.X), leaves(part.X), flow, strict=True)
            X = like(total.X, tuple(b + a * _near(e, a) for a, b, e in moved))
        total, length = Increment(W, H, X), length + h
    return total


def _near(weight: Tensor, part: Tensor) -> Tensor:
    return weight.to(device=part.device, dtype=part.dtype if weight.is_complex() else part.real.dtype)


def _joined_area(first: Increment, second: Increment, h1: float, h2: float) -> State:
    # The integral of W - W(start) is h (W/2 + H), and adds up once the second starts from where the first ended.
    r1, r2 = h1 / (h1 + h2), h2 / (h1 + h2)

    def area(W1: Tensor, H1: Tensor, W2: Tensor, H2: Tensor) -> Tensor:
        return r1 * H1 + r2 * H2 + (0.5 * r2) * W1 - (0.5 * r1) * W2

    assert first.H is not None and second.H is not None
    return each(area, first.W, first.H, second.W, second.H)

"""The numbers of a multistep step: a prediction, and the correction of the step before, in one combination.

Symbols: ``h`` step, ``b`` weights of a prediction, ``c`` of a corrected step, ``E`` = e^{hL}.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from torch import Tensor

from sciode.solve.moments import MomentRule, Rate, Span, Value
from sciode.solve.weights import Weight, cast


class Leaf(NamedTuple):
    """The numbers of a step, for one leaf of the state."""

    carry: Weight | None  # None is the identity
    row: tuple[tuple[Weight, int], ...]  # (weight, which slope), newest slope first
    paired: bool  # real weights, complex state: combine (re, im) pairs


class Neighbours(NamedTuple):
    """A step and those before it."""

    h: float
    past: tuple[float, ...]  # newest first
    start: float | None
    slopes: int  # how many to extrapolate
    before: int  # slopes that the step before extrapolated, if it is to be corrected

    def span(self) -> Span:
        """Return the step, and where its slopes are known."""
        return Span(self.h, _behind(self.h, self.past, self.slopes), self.start)

    def last(self) -> Span:
        """Return the same of the step before."""
        h, *older = self.past
        return Span(h, _behind(h, tuple(older), self.before), None if self.start is None else self.start - h)


@lru_cache(maxsize=1024)
def known(rule: Any, rate: float | complex | None, steps: Neighbours) -> Leaf:
    """Return the numbers of a step for a number L: a sampler asks for the same ones in every solve."""
    carry, b = _combination(rule, rate, steps)
    return Leaf(carry, tuple((w, j) for j, w in enumerate(b) if isinstance(w, Tensor) or w != 0.0), False)


def made(rule: MomentRule, rate: Rate, steps: Neighbours, y: Tensor) -> Leaf:
    """Return the weights of a step in the dtype and on the device of ``y``."""
    carry, b = _combination(rule, rate, steps)
    shaped = [w for w in (carry, *b) if isinstance(w, Tensor) and w.dim() > 0]
    paired = len(shaped) > 0 and y.is_complex() and not any(w.is_complex() for w in shaped)

    def number(value: Value) -> Weight:
        if not isinstance(value, Tensor):
            return value
        return cast(value[..., None].expand(*value.shape, 2) if paired else value, y, paired)

    row = tuple((number(w), j) for j, w in enumerate(b) if isinstance(w, Tensor) or w != 0.0)
    return Leaf(None if carry is None else number(carry), row, paired)


def _combination(rule: MomentRule, rate: Rate, steps: Neighbours) -> tuple[Rate, list[Value]]:
    """Return E and the weights of the slopes: those of the prediction, and of the correction before it."""
    span = steps.span()
    carry = rule.carry(rate, span)
    b = rule.weights(rate, span)
    if not steps.before:
        return carry, b
    last = steps.last()
    predicted: list[Any] = [0.0, *rule.weights(rate, last)]
    corrected = rule.weights(rate, last._replace(nodes=(1.0, *last.nodes)))
    total: list[Any] = [c - p for c, p in zip(corrected, predicted, strict=True)]
    if carry is not None:
        total = [carry * w for w in total]
    for j, w in enumerate(b):
        total[j : j + 1] = [total[j] + w if j < len(total) else w]
    return carry, total


def _behind(h: float, past: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Return the nodes of the newest slopes, in units of h from the start of the step."""
    nodes, place = [0.0], 0.0
    for size in past[: count - 1]:
        place -= size
        nodes.append(place / h)
    return tuple(nodes)

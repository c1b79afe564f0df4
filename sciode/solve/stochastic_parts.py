"""What the stochastic steppers share: slopes with the linear part, and sums that fit a host or a per-sample step.

Symbols: ``h`` step, ``k`` slope, ``G`` amplitude, ``W`` Wiener increment.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, each, leaves, like
from sciode.solve.increment import column
from sciode.solve.noise import Noise
from sciode.solve.term import Diagonal, Term


class Plan(NamedTuple):
    """The step size, and the linear part per leaf in the state's dtype (None: there is none)."""

    h: Any  # a host float; a tensor ``[b]`` under per-sample control
    rates: tuple[Tensor, ...] | None


def plan(solver: object, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> Plan:
    """Return the step and the rates of the linear part. (An exponential method would make weights of them.)"""
    return Plan(h, rates_of(linear, y))


def rates_of(linear: Diagonal | None, y: State) -> tuple[Tensor, ...] | None:
    """Return the linear part per leaf, in the state's dtype; :class:`InputError` if it does not fit."""
    if linear is None:
        return None
    parts = leaves(y)
    rates = linear.rates(len(parts))
    for rate, part in zip(rates, parts, strict=True):
        if rate.is_complex() and not part.is_complex():
            raise InputError("a complex linear part needs a complex state: solve in a Fourier chart")
    return tuple(
        r.to(device=p.device, dtype=p.dtype if r.is_complex() else p.real.dtype)
        for r, p in zip(rates, parts, strict=True)
    )


def slope(term: Term, s: Time, y: State, rates: tuple[Tensor, ...] | None) -> State:
    """Return L y + N(s, y)."""
    k = term.drift(s, y)
    if rates is None:
        return k
    triples = zip(leaves(k), rates, leaves(y), strict=True)
    return like(y, tuple(torch.addcmul(part, rate, leaf) for part, rate, leaf in triples))


def pushed(y: State, h: Any, k: State) -> State:
    """Return y + h k, for a host float or one step per sample."""
    if isinstance(y, Tensor) and isinstance(k, Tensor) and not isinstance(h, Tensor):
        return y.add(k, alpha=h)
    if isinstance(h, Tensor):
        return each(lambda part, leaf: torch.addcmul(part, column(h, part), leaf), y, k)
    return each(lambda part, leaf: part.add(leaf, alpha=h), y, k)


def driven(y: State, noise: Noise, G: State, W: State, fresh: bool = True) -> State:
    """Return y + G W; a ``fresh`` y, one that was made for this sum, is changed in place where that is cheaper."""
    if noise.kind in ("additive", "diagonal"):
        add = Tensor.addcmul_ if fresh else Tensor.addcmul
        return each(add, y, G, W)
    return each(torch.add, y, noise.apply(G, W))


def average(first: State, second: State) -> State:
    """Return the mean of two states."""
    return each(lambda a, b: (a + b) * 0.5, first, second)

"""What the methods share: casting the weights of a step, and the linear combinations they are used in.

Symbols: ``k`` slopes N(s, y), ``h`` step.
"""

from typing import TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.solve.phi import scaled_phi
from sciode.solve.tableau import Entry, number
from sciode.solve.term import fits

Weight: TypeAlias = float | complex | Tensor
Row: TypeAlias = tuple[tuple[Weight, tuple[int, ...]], ...]
"""A linear combination of slopes: pairs (weight, the slopes that share it)."""


def check_rate(rate: Tensor | None, y: Tensor) -> None:
    """Refuse a linear part that does not fit the state."""
    if rate is None:
        return
    if rate.is_complex() and not y.is_complex():
        raise InputError(
            "a complex linear part needs a complex state: solve in a Fourier chart, or pass complex x0"
        )
    if not fits(rate, y):
        raise InputError(f"the linear part {list(rate.shape)} does not broadcast to the state {list(y.shape)}")


def at_rest(entry: Entry, h: float) -> float:
    """Return ``h`` times an entry at L = 0: one number, which keeps classical methods at their classical cost."""
    return h * number(entry)


def entry_weight(entry: Entry, rate: Tensor, h: float) -> Tensor:
    """Return ``h`` times an entry at z = h L."""
    first, *others = entry
    total = first.weight * scaled_phi(first.order, first.scale, rate, h)
    for part in others:
        total = total + part.weight * scaled_phi(part.order, part.scale, rate, h)
    return total


def cast(weight: Tensor, y: Tensor, paired: bool) -> Weight:
    """Return a weight in the dtype and on the device of ``y``; ``paired``: of its (re, im) view."""
    if weight.dim() == 0 and not weight.requires_grad:
        return weight.item()  # on the host, once per solve: a number is cheaper in the loop than a tensor
    dtype = y.real.dtype if paired else y.dtype
    # A strongly damped mode has a weight near the smallest number there is, and denormal arithmetic is slow:
    # what is below the square root of that (1e-19 in float32) changes no digit of the sum it enters.
    weight = torch.where(weight.abs() < torch.finfo(dtype).tiny ** 0.5, torch.zeros_like(weight), weight)
    return weight.to(device=y.device, dtype=dtype).contiguous()


def carried(carry: tuple[Weight | None, ...], y: Tensor) -> list[Tensor]:
    """Return ``y`` times each weight, equal weights multiplied once."""
    # `is`, not `id`: a compiler of this step would tie what it makes to the one tensor it saw.
    products: list[Tensor] = []
    for index, weight in enumerate(carry):
        first = next((i for i in range(index) if carry[i] is weight), None)
        if first is not None:
            products.append(products[first])
        else:
            products.append(y if weight is None else y * weight)
    return products


def combine(base: Tensor, row: Row, slopes: list[Tensor]) -> Tensor:
    """Return base + sum of weight * slopes. In place only on what was made here, which autograd allows."""
    fresh = False
    for weight, indices in row:
        if not isinstance(weight, Tensor):
            for index in indices:
                base = base.add_(slopes[index], alpha=weight) if fresh else base.add(slopes[index], alpha=weight)
                fresh = True
            continue
        k = slopes[indices[0]]
        for index in indices[1:]:
            k = k + slopes[index]
        base = base.addcmul_(weight, k) if fresh else base.addcmul(weight, k)
        fresh = True
    return base

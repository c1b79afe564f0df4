"""Random numbers by counter: a hash of (seed, sample, element, node), the same on any device and in any order."""

import math
from typing import TypeAlias

import torch
from torch import Tensor

from sciode.core.random import derive_seed

_MASK = (1 << 64) - 1
_LOW = (1 << 32) - 1
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of the splitmix64 finaliser (Steele et al. 2014)
_SHIFTS = (30, 27, 31)
_GOLDEN = 0x9E3779B97F4A7C15

Cell: TypeAlias = int | Tensor
"""The number of a cell: shared, or ``[b]``."""


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by) & ((1 << (64 - by)) - 1)  # torch shifts the sign in; a hash wants zeros


def mix(x: Tensor) -> Tensor:
    """Hash int64 element by element: a bijection in which every input bit moves half of the output bits.

    >>> mix(torch.tensor([1])).item() == mixed(1)
    True
    """
    for shift, factor in zip(_SHIFTS[:2], _FACTORS, strict=True):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return x ^ _shifted(x, _SHIFTS[2])


def mixed(x: int) -> int:
    """Return :func:`mix` of one number on the host, as a signed 64-bit integer."""
    x &= _MASK
    for shift, factor in zip(_SHIFTS[:2], _FACTORS, strict=True):
        x = ((x ^ (x >> shift)) * factor) & _MASK
    return _signed(x ^ (x >> _SHIFTS[2]))


def normals(keys: Tensor, node: Cell) -> tuple[Tensor, Tensor]:
    """Return two independent standard normals per key, float64, for a node: a number, or one per sample."""
    if isinstance(node, Tensor):
        salt: Tensor | int = mix(node * _signed(_GOLDEN)).reshape(-1, *[1] * (keys.dim() - 1))
    else:
        salt = mixed(node * _GOLDEN)
    bits = mix(keys ^ salt)
    radius = _shifted(bits, 32).to(torch.float64).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = (bits & _LOW).to(torch.float64).mul_(math.tau * 2.0**-32)
    return radius * torch.cos(angle), radius.mul_(torch.sin(angle))


def counter_keys(shape: tuple[int, ...], seed: int, offset: int, leaf: int, device: torch.device) -> Tensor:
    """Return one key per element of a leaf ``[b, ...]``; ``offset`` is the number of its first sample."""
    samples = torch.arange(offset, offset + shape[0], device=device, dtype=torch.int64)
    elements = torch.arange(math.prod(shape[1:]), device=device, dtype=torch.int64)
    rows = mix(samples * _signed(_GOLDEN) + mixed(derive_seed(seed, "tree", leaf)))
    return mix(rows[:, None] + elements * _signed(_GOLDEN)).reshape(shape)

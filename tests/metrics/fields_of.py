"""Fields the metric tests share: seeded noise, and the errors whose scores are known by hand."""

import math

import torch
from torch import Tensor

GRIDS = {1: (32,), 2: (32, 32), 3: (26, 28, 30)}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal values, drawn in float64 so that all dtypes see the same numbers."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(dtype)


def noisy_pair(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """A target of noise and a prediction one tenth off."""
    target = noise(*shape, seed=seed, dtype=dtype)
    return target + 0.1 * noise(*shape, seed=seed + 1, dtype=dtype), target


def wave(dimensions: int, mode: int = 5, size: float = 0.1, cells: int = 32) -> Tensor:
    """size sin(2 pi mode x) along the first axis, "1 1 1 *n"."""
    x = torch.arange(cells, dtype=torch.float64) / cells
    line = size * torch.sin(2 * math.pi * mode * x)
    shape = (cells,) * dimensions
    return line.reshape(1, 1, 1, cells, *([1] * (dimensions - 1))).expand(1, 1, 1, *shape).float()

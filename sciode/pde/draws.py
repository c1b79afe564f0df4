"""Random numbers for initial conditions, from an explicit generator alone."""

import torch
from torch import Generator, Tensor


def uniform(generator: Generator, low: float = 0.0, high: float = 1.0, *shape: int) -> Tensor:
    """Draw uniform numbers, float64, of a shape; one number ``[1]`` by default.

    >>> uniform(Generator().manual_seed(0), 2.0, 3.0, 4, 2).shape
    torch.Size([4, 2])
    """
    return low + (high - low) * torch.rand(shape or (1,), generator=generator, dtype=torch.float64)

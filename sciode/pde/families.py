"""The table by which recipes name a family of initial conditions, or of inputs to a steady problem."""

from collections.abc import Callable

from torch import Tensor

from sciode.pde import initial
from sciode.pde.initial_flow import FLOWS

FAMILIES: dict[str, Callable[..., Tensor]] = initial.FAMILIES | FLOWS
"""Name -> ``family(grid, generator, **parameters)``, which draws one sample ``"c *n"``."""

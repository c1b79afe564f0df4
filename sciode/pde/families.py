"""The table by which recipes name a family of initial conditions, or of inputs to a steady problem."""

from collections.abc import Callable

from torch import Tensor

from sciode.pde import initial
from sciode.pde.allen_cahn import sine_series
from sciode.pde.initial_flow import FLOWS
from sciode.pde.wave import wave_layers, wave_lenses

FAMILIES: dict[str, Callable[..., Tensor]] = {
    **initial.FAMILIES,
    **FLOWS,
    "sine_series": sine_series,
    "wave_layers": wave_layers,
    "wave_lenses": wave_lenses,
}
"""Name -> ``family(grid, generator, **parameters)``, which draws one sample ``"c *n"``."""

"""The table by which recipes name a family of initial conditions, or of inputs to a steady problem."""

from collections.abc import Callable

from torch import Tensor

from sciode.pde import initial
from sciode.pde.allen_cahn import sine_series
from sciode.pde.initial_flow import FLOWS
from sciode.pde.initial_gas import GASES
from sciode.pde.steady import darcy_patches, helmholtz_gauss, poisson_gauss
from sciode.pde.wave import wave_layers, wave_lenses

FAMILIES: dict[str, Callable[..., Tensor]] = {
    **initial.FAMILIES,
    **FLOWS,
    **GASES,
    "darcy_patches": darcy_patches,
    "helmholtz_gauss": helmholtz_gauss,
    "poisson_gauss": poisson_gauss,
    "sine_series": sine_series,
    "wave_layers": wave_layers,
    "wave_lenses": wave_lenses,
}
"""Name -> ``family(grid, generator, **parameters)``, which draws one sample ``"c *n"``."""

"""Families of initial conditions, PDEBench's among them: ``family(grid, generator, ...)`` draws one sample.

A sample is ``"c *n"``, float64. One generator per trajectory makes a trajectory depend on its own number
only, never on the batch it was drawn in.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.pde.draws import uniform
from sciode.spectral import Grid


class Family(Protocol):
    """What a family of initial conditions is."""

    def __call__(self, grid: Grid, generator: Generator, /, **parameters: float) -> Tensor:
        """Draw one sample ``"c *n"``."""
        ...


def _line(grid: Grid) -> Tensor:
    if grid.dimensions != 1:
        raise InputError(f"this family of initial conditions is one-dimensional, the grid is {grid.points}")
    return grid.coordinates()[0]


def _sines(grid: Grid, generator: Generator, amplitude: Tensor, lowest: int, highest: int) -> Tensor:
    x, count = _line(grid), len(amplitude)
    waves = torch.randint(lowest, int(highest) + 1, (count,), generator=generator)
    phase = uniform(generator, 0.0, 2 * math.pi, count)
    k = (2 * math.pi / grid.lengths[0]) * waves.to(torch.float64)  # an integer tensor would pull this to float32
    return (amplitude[:, None] * torch.sin(k[:, None] * x + phase[:, None])).sum(0)


def sine_sum(
    grid: Grid,
    generator: Generator,
    *,
    terms: float = 2,
    highest: float = 8,
    absolute: float = 0.1,
    window: float = 0.1,
) -> Tensor:
    r"""PDEBench's 1D family: :math:`\sum_i A_i \sin(k_i x + \phi_i)`, A in [0, 1], waves 1 .. ``highest``.

    With probability ``absolute`` the absolute value is taken and a random sign given; with probability
    ``window`` the field is multiplied by a smooth box over the middle.

    References
    ----------
    PDEBench, arXiv:2210.07182, section D.1, and its generator ``init_multi``.

    Examples
    --------
    >>> sine_sum(Grid((32,), (1.0,)), torch.Generator().manual_seed(0)).shape
    torch.Size([1, 32])
    """
    u = _sines(grid, generator, uniform(generator, 0.0, 1.0, int(terms)), 1, int(highest))
    chance = uniform(generator, 0.0, 1.0, 5).tolist()
    if chance[0] < absolute:
        u = u.abs() * (1.0 if chance[1] < 0.5 else -1.0)
    if chance[2] < window:
        x = _line(grid) / grid.lengths[0]
        left, right = 0.1 + 0.35 * chance[3], 0.55 + 0.35 * chance[4]
        u = u * 0.5 * (torch.tanh((x - left) / 0.01) - torch.tanh((x - right) / 0.01))
    return u[None]


def positive_sine_sum(grid: Grid, generator: Generator, *, terms: float = 2, highest: float = 8) -> Tensor:
    """PDEBench's family for 1D reaction-diffusion: the absolute value of a sine sum, its maximum set to 1.

    >>> sample = positive_sine_sum(Grid((32,), (1.0,)), torch.Generator().manual_seed(0))
    >>> sample.max().item()
    1.0
    """
    u = _sines(grid, generator, uniform(generator, 0.0, 1.0, int(terms)), 1, int(highest)).abs()
    return (u / u.max().clamp_min(1e-12))[None]


def wave_packet(
    grid: Grid, generator: Generator, *, terms: float = 10, highest: float = 3, amplitude: float = 0.5
) -> Tensor:
    r"""Ten long sines with A in [-1/2, 1/2] and waves 1 .. 3: the usual start for KS and KdV.

    References
    ----------
    Brandstetter et al., arXiv:2202.07643, appendix; PDE-Refiner, arXiv:2308.05732, appendix D.

    Examples
    --------
    >>> wave_packet(Grid((32,), (22.0,)), torch.Generator().manual_seed(0)).shape
    torch.Size([1, 32])
    """
    drawn = uniform(generator, -amplitude, amplitude, int(terms))
    return _sines(grid, generator, drawn, 1, int(highest))[None]


def white_noise(grid: Grid, generator: Generator, *, fields: float = 2, amplitude: float = 1.0) -> Tensor:
    """Independent normal values in every cell: PDEBench's start for 2D diffusion-reaction.

    >>> white_noise(Grid((8, 8), (2.0, 2.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 8, 8])
    """
    return amplitude * torch.randn(int(fields), *grid.points, generator=generator, dtype=torch.float64)


def smooth_noise(
    grid: Grid, generator: Generator, *, fields: float = 1, amplitude: float = 1.0, highest: float = 4
) -> Tensor:
    """A Gaussian random field of the modes up to ``highest`` in every direction, unit variance times amplitude^2.

    The modes are drawn one by one in a fixed order, so a finer grid shows the same field.

    >>> coarse = smooth_noise(Grid((16, 16), (1.0, 1.0)), torch.Generator().manual_seed(0))
    >>> fine = smooth_noise(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0))
    >>> torch.allclose(coarse, fine[:, ::2, ::2])
    True
    """
    m, d = int(highest), grid.dimensions
    if any(n <= 2 * m for n in grid.points):
        raise InputError(f"modes up to {m} need more than {2 * m} points per axis, found {grid.points}")
    shape = (int(fields), *([2 * m + 1] * d), 2)
    parts = torch.randn(shape, generator=generator, dtype=torch.float64)
    modes = torch.view_as_complex(parts) / math.sqrt(2)
    spectrum = torch.zeros(int(fields), *grid.points, dtype=torch.complex128)
    index = torch.arange(-m, m + 1)
    mesh: tuple[slice | Tensor, ...] = torch.meshgrid(*[index % n for n in grid.points], indexing="ij")
    spectrum[(slice(None), *mesh)] = modes
    field = torch.fft.ifftn(spectrum, dim=tuple(range(1, d + 1)), norm="forward").real
    return amplitude * field * math.sqrt(2 / (2 * m + 1) ** d)


def gaussian_vorticity(grid: Grid, generator: Generator, *, amplitude: float = 1.0, peak: float = 4.0) -> Tensor:
    r"""A random vorticity field, zero mean, spectrum :math:`|\hat\omega|^2 \propto k^3 (1 + (k/k_0)^2)^{-4}`.

    ``peak`` is k_0 in waves across the box; the field is scaled so that its standard deviation is ``amplitude``.

    >>> w = gaussian_vorticity(Grid((32, 32), (6.28, 6.28)), torch.Generator().manual_seed(0))
    >>> w.shape, round(w.std(unbiased=False).item(), 6)
    (torch.Size([1, 32, 32]), 1.0)
    """
    m = max(1, min(3 * int(peak), min(grid.points) // 2 - 1))
    modes = torch.fft.rfftn(smooth_noise(grid, generator, highest=m), dim=(-2, -1))
    k = torch.sqrt(-grid.laplacian) * grid.lengths[0] / (2 * math.pi)
    shaped = modes * k**1.5 * (1 + (k / peak) ** 2) ** -2.0
    field = torch.fft.irfftn(shaped, s=grid.points, dim=(-2, -1))
    return amplitude * field / field.std(unbiased=False)


FAMILIES: dict[str, Callable[..., Tensor]] = {
    "sine_sum": sine_sum,
    "positive_sine_sum": positive_sine_sum,
    "wave_packet": wave_packet,
    "white_noise": white_noise,
    "smooth_noise": smooth_noise,
    "gaussian_vorticity": gaussian_vorticity,
}
"""The families of this page by name."""

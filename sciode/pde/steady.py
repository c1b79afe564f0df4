"""Steady problems as data: inputs drawn at random, and maps from a batch of inputs to the solutions."""

import math

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.pde.elliptic import darcy, helmholtz, poisson
from sciode.pde.initial import smooth_noise
from sciode.spectral import Grid


def poisson_problem(inputs: Tensor, length: float = 1.0) -> Tensor:
    """Return the solution ``"b 1 n n"`` of :func:`sciode.pde.poisson` for the sources ``"b 1 n n"``.

    >>> poisson_problem(torch.ones(2, 1, 8, 8)).shape
    torch.Size([2, 1, 8, 8])
    """
    return poisson(inputs, length)


def helmholtz_problem(inputs: Tensor, length: float = 1.0, frequency: float = 2.5 * math.pi) -> Tensor:
    """Return (solution, border) ``"b 2 n n"`` of :func:`sciode.pde.helmholtz` for inputs (coefficient, border).

    Raises :class:`InputError` for inputs without two channels.

    >>> helmholtz_problem(torch.ones(1, 2, 8, 8)).shape
    torch.Size([1, 2, 8, 8])
    """
    if inputs.dim() != 4 or inputs.shape[1] != 2:
        raise InputError(f"Helmholtz inputs are (coefficient, border), 'b 2 n n', found {list(inputs.shape)}")
    solution = helmholtz(inputs[:, :1], inputs[:, 1:], frequency=frequency, length=length)
    return torch.cat([solution, inputs[:, 1:]], dim=1)


def darcy_problem(inputs: Tensor, length: float = 1.0, source: float = 1.0) -> Tensor:
    """Return the solution ``"b 1 n n"`` of :func:`sciode.pde.darcy` for the permeabilities ``"b 1 n n"``.

    >>> darcy_problem(torch.ones(1, 1, 8, 8)).shape
    torch.Size([1, 1, 8, 8])
    """
    return darcy(inputs, source, length)


def _gaussians(grid: Grid, generator: Generator, count: int, narrowest: float, widest: float) -> Tensor:
    """Return Gaussians of height 1 ``[count, n, n]`` on points with the border, centres anywhere in the square."""
    if grid.dimensions != 2 or grid.points[0] != grid.points[1]:
        raise InputError(f"this family lives on a square, found {grid.points} points")
    if not 0 < narrowest <= widest:
        raise InputError(f"widths satisfy 0 < narrowest <= widest, found {narrowest} and {widest}")
    x = torch.linspace(0.0, 1.0, grid.points[0], dtype=torch.float64)
    centre = torch.rand(2, count, 1, generator=generator, dtype=torch.float64)
    sigma = narrowest + (widest - narrowest) * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    along, across = (torch.exp(-0.5 * ((x - start) / sigma).square()) for start in centre)
    return along[:, :, None] * across[:, None, :]


def poisson_gauss(
    grid: Grid, generator: Generator, *, chance: float = 0.4, narrowest: float = 0.025, widest: float = 0.1
) -> Tensor:
    """Poisson-Gauss: a source ``[1, n, n]`` that is a sum of Gaussians, their number geometric with ``chance``.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, Poisson-Gauss.

    Examples
    --------
    >>> poisson_gauss(Grid((16, 16), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([1, 16, 16])
    """
    if not 0 < chance < 1:
        raise InputError(f"the chance of the last Gaussian lies in (0, 1), found {chance}")
    drawn = torch.rand((), generator=generator, dtype=torch.float64).item()
    count = max(1, math.ceil(math.log1p(-drawn) / math.log1p(-chance)))  # inverse of the geometric law
    return _gaussians(grid, generator, count, narrowest, widest).sum(0, keepdim=True)


def helmholtz_gauss(
    grid: Grid,
    generator: Generator,
    *,
    lenses: float = 4,
    narrowest: float = 0.05,
    widest: float = 0.15,
    lowest: float = 0.25,
    highest: float = 0.5,
) -> Tensor:
    """Helmholtz: inputs ``[2, n, n]``, a medium 1 plus Gaussians of height up to 1, and a value on the border.

    The value is constant, between ``lowest`` and ``highest``.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, Helmholtz.

    Examples
    --------
    >>> helmholtz_gauss(Grid((16, 16), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 16, 16])
    """
    if lenses < 1 or not lowest <= highest:
        raise InputError(f"Helmholtz takes lenses >= 1 and lowest <= highest, found {lenses}, {lowest}, {highest}")
    bumps = _gaussians(grid, generator, int(lenses), narrowest, widest)
    height = torch.rand(int(lenses), 1, 1, generator=generator, dtype=torch.float64)
    value = lowest + (highest - lowest) * torch.rand((), generator=generator, dtype=torch.float64)
    medium = 1 + (height * bumps).sum(0)
    return torch.stack([medium, value.expand_as(medium)])


def darcy_patches(
    grid: Grid, generator: Generator, *, low: float = 0.1, high: float = 1.0, highest: float = 6
) -> Tensor:
    """Darcy: a permeability ``[1, n, n]`` of two values, by the sign of a smooth random field.

    ``highest`` is the number of waves of that field across the square.

    References
    ----------
    PDEBench, arXiv:2210.07182, section D.6.

    Examples
    --------
    >>> darcy_patches(Grid((16, 16), (1.0, 1.0)), torch.Generator().manual_seed(0)).unique().tolist()
    [0.1, 1.0]
    """
    if not 0 < low <= high:
        raise InputError(f"permeabilities satisfy 0 < low <= high, found {low} and {high}")
    field = smooth_noise(grid, generator, highest=highest)
    return low + (high - low) * (field > 0).to(torch.float64)

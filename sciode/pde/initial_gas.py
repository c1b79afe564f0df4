r"""Families of initial conditions for gas and water: ``family(grid, generator, ...)`` draws one sample ``"c *n"``.

Samples are conserved variables at cell centres, float64, on a box whose lower corner is the origin of x and y
(PDEBench's dam stands in the middle). What is piecewise constant is sampled, not averaged: integrate it on a
finer grid and average, as recipes do with ``oversample``.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.pde.draws import uniform
from sciode.pde.euler import to_conserved
from sciode.pde.navier_stokes import velocity
from sciode.spectral import Grid


def centres(grid: Grid, dimensions: int) -> tuple[Tensor, ...]:
    """Return the mesh of cell centres as parts of the box, 0 to 1, one ``[*n]`` per axis.

    >>> centres(Grid((4,), (2.0,)), 1)[0].tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    if grid.dimensions != dimensions:
        raise InputError(
            f"this family of initial conditions has {dimensions} space dimensions, the grid is {grid.points}"
        )
    mesh = zip(grid.coordinates(), grid.points, grid.lengths, strict=True)
    return tuple(x / length + 0.5 / n for x, n, length in mesh)


def _gas(density: Tensor, u: Tensor, v: Tensor, p: Tensor, gamma: float) -> Tensor:
    return to_conserved(torch.stack([density, u, v, p])[None], gamma)[0]


def sod(grid: Grid, generator: Generator, *, spread: float = 0.5, gamma: float = 1.4) -> Tensor:
    r"""A shock tube about Sod's: (1, 0, 1) left of the middle, (0.125, 0, 0.1) right of it, gas at rest.

    The four densities and pressures are multiplied by :math:`e^{s U}`, U in [-1, 1], s = ``spread``, and the
    diaphragm moves by as much as a fifth of that part of the length. ``spread=0`` is Sod's own problem.

    References
    ----------
    Sod, J. Comput. Phys. 27 (1978), 1.

    Examples
    --------
    >>> sod(Grid((4,), (1.0,)), Generator().manual_seed(0), spread=0.0)[0].tolist()
    [1.0, 1.0, 0.125, 0.125]
    """
    (x,) = centres(grid, 1)
    factor = torch.exp(spread * uniform(generator, -1.0, 1.0, 2, 2))
    where = 0.5 + 0.2 * spread * uniform(generator, -1.0, 1.0)
    states = torch.tensor([[1.0, 1.0], [0.125, 0.1]], dtype=torch.float64) * factor
    density, p = torch.where(x < where, states[0, :, None], states[1, :, None])
    return to_conserved(torch.stack([density, torch.zeros_like(p), p])[None], gamma)[0]


def riemann_quadrants(
    grid: Grid,
    generator: Generator,
    *,
    cuts: float = 2,
    lowest: float = 0.1,
    speed: float = 1.0,
    gamma: float = 1.4,
) -> Tensor:
    """Constant states in ``cuts`` by ``cuts`` squares: with 2, four-quadrant Riemann problems in a periodic box.

    Density and pressure are uniform in [``lowest``, 1], each velocity in [-``speed``, ``speed``].

    References
    ----------
    CE-RP of Poseidon, arXiv:2405.19101, appendix B.

    Examples
    --------
    >>> u = riemann_quadrants(Grid((8, 8), (1.0, 1.0)), Generator().manual_seed(0))
    >>> u.shape, len(u[0].unique())
    (torch.Size([4, 8, 8]), 4)
    """
    x, y = centres(grid, 2)
    return _patches(x, y, generator, int(cuts), lowest, speed, gamma)


def riemann_curved(
    grid: Grid,
    generator: Generator,
    *,
    cuts: float = 2,
    bend: float = 0.1,
    waves: float = 2,
    lowest: float = 0.1,
    speed: float = 1.0,
    gamma: float = 1.4,
) -> Tensor:
    r"""Riemann problems along curves: squares as in :func:`riemann_quadrants`, seen through a periodic warp.

    .. math:: x \to x + \frac{b}{m^2} \sum_{i,j=1}^{m} \alpha_{ij} \sin(2 \pi (i x + j y + \beta_{ij}))

    and y likewise, with alpha in [-1, 1], beta in [0, 1], m = ``waves`` and b = ``bend``, in lengths of the box.

    References
    ----------
    After CE-CRP of Poseidon, arXiv:2405.19101, appendix B.

    Examples
    --------
    >>> riemann_curved(Grid((8, 8), (1.0, 1.0)), Generator().manual_seed(0)).shape
    torch.Size([4, 8, 8])
    """
    x, y = centres(grid, 2)
    m = int(waves)
    alpha, beta = uniform(generator, -1.0, 1.0, 2, m, m), uniform(generator, 0.0, 1.0, 2, m, m)
    i = torch.arange(1, m + 1, dtype=torch.float64)
    phase = i[:, None, None, None] * x + i[None, :, None, None] * y
    warp = torch.einsum("aij,aijxy->axy", alpha, torch.sin(2 * math.pi * (phase + beta[..., None, None])))
    warp = (bend / m**2) * warp
    return _patches(x + warp[0], y + warp[1], generator, int(cuts), lowest, speed, gamma)


def _patches(
    x: Tensor, y: Tensor, generator: Generator, cuts: int, lowest: float, speed: float, gamma: float
) -> Tensor:
    thermal = uniform(generator, lowest, 1.0, 2, cuts, cuts)
    moving = uniform(generator, -speed, speed, 2, cuts, cuts)
    i, j = ((cuts * (part % 1.0)).long().clamp(0, cuts - 1) for part in (x, y))
    return _gas(thermal[0, i, j], moving[0, i, j], moving[1, i, j], thermal[1, i, j], gamma)


def shear_layers(
    grid: Grid,
    generator: Generator,
    *,
    amplitude: float = 0.05,
    waves: float = 10,
    pressure: float = 2.5,
    gamma: float = 1.4,
) -> Tensor:
    r"""Kelvin--Helmholtz: a band of density 2 moves at 1/2 through a gas of density 1 that moves at -1/2.

    Its edges, at a quarter and three quarters of the height, are displaced by
    :math:`\epsilon \sum_j \alpha_j \cos(2\pi j (x - \beta_j))` with alpha >= 0 of sum one and
    epsilon = ``amplitude`` in heights of the box.

    References
    ----------
    After CE-KH of Poseidon, arXiv:2405.19101, appendix B; Fjordholm et al., Found. Comput. Math. 17 (2017), 763.

    Examples
    --------
    >>> u = shear_layers(Grid((8, 16), (1.0, 1.0)), Generator().manual_seed(0))
    >>> sorted(set(u[0].flatten().tolist())), bool(u[2].abs().max() == 0)
    ([1.0, 2.0], True)
    """
    x, y = centres(grid, 2)
    count = int(waves)
    alpha, beta = uniform(generator, 0.0, 1.0, 2, count), uniform(generator, 0.0, 1.0, 2, count)
    alpha = amplitude * alpha / alpha.sum(1, keepdim=True)
    j = torch.arange(1, count + 1, dtype=torch.float64)
    shape = torch.cos(2 * math.pi * j[:, None, None] * (x - beta[..., None, None]))
    low, high = torch.einsum("ej,ejxy->exy", alpha, shape)
    band = (y > 0.25 + low) & (y < 0.75 + high)
    one = torch.ones_like(x)
    return _gas(torch.where(band, 2.0, one), torch.where(band, 0.5 * one, -0.5), 0 * one, pressure * one, gamma)


def gaussian_vortices(
    grid: Grid,
    generator: Generator,
    *,
    count: float = 100,
    speed: float = 1.0,
    density: float = 1.0,
    pressure: float = 2.5,
    gamma: float = 1.4,
) -> Tensor:
    r"""Many vortices in a gas of constant density and pressure: :math:`\omega = \sum_i (\alpha_i / \sigma_i)
    e^{-r_i^2 / 2 \sigma_i^2}`.

    alpha is in [-1, 1], sigma in [0.01, 0.1] sides of the square box, centres anywhere; the velocity has no
    divergence, and its largest component is ``speed``.

    References
    ----------
    After CE-Gauss of Poseidon, arXiv:2405.19101, appendix B.

    Examples
    --------
    >>> u = gaussian_vortices(Grid((16, 16), (1.0, 1.0)), Generator().manual_seed(0))
    >>> round((u[1:3] / u[0]).abs().max().item(), 12)
    1.0
    """
    x, y = centres(grid, 2)
    place, number = uniform(generator, 0.0, 1.0, 2, int(count)), (int(count), 1, 1)
    alpha = uniform(generator, -1.0, 1.0, *number)
    sigma = uniform(generator, 0.01, 0.1, *number)
    away = [part - at.reshape(number) for part, at in zip((x, y), place, strict=True)]
    square = sum((d - d.round()) ** 2 for d in away)  # to the nearest image
    vorticity = (alpha / sigma * torch.exp(-0.5 * square / sigma**2)).sum(0)
    u, v = velocity((vorticity - vorticity.mean())[None, None], grid.lengths[0])[0]
    scale = speed / torch.stack([u, v]).abs().max()
    one = torch.ones_like(u)
    return _gas(density * one, scale * u, scale * v, pressure * one, gamma)


def richtmyer_meshkov(
    grid: Grid,
    generator: Generator,
    *,
    pressure: float = 20.0,
    core: float = 0.1,
    radius: float = 0.25,
    amplitude: float = 0.05,
    waves: float = 10,
    gamma: float = 1.4,
) -> Tensor:
    r"""Richtmyer--Meshkov: a round shock from the middle of the box meets the wavy edge of a dense disc.

    Pressure is ``pressure`` within ``core`` of the middle and 1 outside; density is 2 within
    :math:`R + \epsilon \sum_j \alpha_j \cos(j \theta + \beta_j)` and 1 outside, with alpha >= 0 of sum one;
    lengths in sides of the box.

    References
    ----------
    After CE-RM of Poseidon, arXiv:2405.19101, appendix B; Fjordholm et al., Found. Comput. Math. 17 (2017), 763.

    Examples
    --------
    >>> u = richtmyer_meshkov(Grid((16, 16), (1.0, 1.0)), Generator().manual_seed(0))
    >>> sorted(set(u[0].flatten().tolist())), bool(u[1:3].abs().max() == 0)
    ([1.0, 2.0], True)
    """
    x, y = (part - 0.5 for part in centres(grid, 2))
    count = int(waves)
    alpha, beta = uniform(generator, 0.0, 1.0, count), uniform(generator, 0.0, 2 * math.pi, count)
    j = torch.arange(1, count + 1, dtype=torch.float64)
    angle = j[:, None, None] * torch.atan2(y, x) + beta[:, None, None]
    edge = radius + amplitude * torch.einsum("j,jxy->xy", alpha / alpha.sum(), torch.cos(angle))
    r, one = torch.hypot(x, y), torch.ones_like(x)
    return _gas(torch.where(r < edge, 2.0, one), 0 * one, 0 * one, torch.where(r < core, pressure, one), gamma)


def radial_dam(
    grid: Grid,
    generator: Generator,
    *,
    inside: float = 2.0,
    outside: float = 1.0,
    smallest: float = 0.3,
    largest: float = 0.7,
) -> Tensor:
    """A round dam in the middle of the box: still water, deeper inside a radius in [``smallest``, ``largest``].

    Radii are in the unit of the grid's lengths; PDEBench's box is 5 wide.

    References
    ----------
    PDEBench, arXiv:2210.07182, section D.7, and its generator ``gen_radial_dam_break``.

    Examples
    --------
    >>> u = radial_dam(Grid((32, 32), (5.0, 5.0)), Generator().manual_seed(0))
    >>> u.shape, sorted(set(u[0].flatten().tolist()))
    (torch.Size([3, 32, 32]), [1.0, 2.0])
    """
    x, y = ((part - 0.5) * length for part, length in zip(centres(grid, 2), grid.lengths, strict=True))
    depth = torch.where(torch.hypot(x, y) <= uniform(generator, smallest, largest), inside, outside)
    return torch.stack([depth, torch.zeros_like(depth), torch.zeros_like(depth)]).to(torch.float64)


GASES: dict[str, Callable[..., Tensor]] = {
    "gaussian_vortices": gaussian_vortices,
    "radial_dam": radial_dam,
    "richtmyer_meshkov": richtmyer_meshkov,
    "riemann_curved": riemann_curved,
    "riemann_quadrants": riemann_quadrants,
    "shear_layers": shear_layers,
    "sod": sod,
}
"""The table by which recipes name a family of gas or water."""

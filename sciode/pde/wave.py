r"""The acoustic wave equation in a medium that differs from place to place and from sample to sample.

Symbols: ``u`` displacement, ``v`` its rate, ``c`` speed of sound, ``sigma`` damping of the absorbing border.
"""

import math

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.pde.draws import uniform
from sciode.solve import Term
from sciode.spectral import Grid, Symbol

DIMS = (-2, -1)


def wave(points: int = 128, length: float = 1.0, absorption: float = 0.0, border: float = 0.1) -> Term:
    r"""Waves :math:`\partial_{tt} u = c(x)^2 \Delta u` on a square, as a system of first order.

    .. math::
        \partial_t u = v - \sigma u, \qquad \partial_t v = c^2 \Delta u - \sigma v, \qquad \partial_t c = 0

    The medium is a part of the state, so every sample of a batch has its own. With sigma = 0 the box is periodic
    and the energy :func:`wave_energy` of the semi-discrete system is conserved exactly, whatever the medium, as
    the collocated Laplacian is symmetric: what is left is the error of the time step. With sigma > 0 in a border
    waves die before they come round, which stands in for an open box.

    Nothing is stiff and diagonal here, as c varies; an explicit method needs about
    ``dt < 0.6 * length / (points * c_max)``.

    Parameters
    ----------
    points
        Grid points n per side of the state ``"b 3 n n"``: u, v, c > 0 (length per time).
    length
        Side of the box.
    absorption
        Largest sigma, at the edge of the box, 1/time; 0 is the closed, periodic box. About
        4 c / (border * length) absorbs best: less thins the wave less, more reflects it.
    border
        Width of the absorbing border along every side, in parts of the side, below 1/2.

    Raises
    ------
    InputError
        For a negative absorption or a border that leaves no inside.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B: Wave-Layer and Wave-Gauss.

    Examples
    --------
    A standing wave comes back after a period:

    >>> from sciode.solve import solve
    >>> x, _ = Grid((16, 16), (1.0, 1.0)).coordinates()
    >>> start = torch.stack([torch.cos(2 * math.pi * x), torch.zeros_like(x), torch.ones_like(x)])[None]
    >>> end = solve(wave(16), start, [0.0, 1.0], dt=0.005).y[:, 1]
    >>> torch.allclose(end, start, atol=1e-6)
    True
    """
    grid = Grid((points, points), (length, length))
    if not absorption >= 0 or not 0 < border < 0.5:
        raise InputError(
            "waves take absorption >= 0 and a border between 0 and 1/2 of the side, "
            f"found {absorption} and {border}"
        )
    laplacian, damping = Symbol(grid.laplacian), Symbol(_border(grid, absorption, border))

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        if y.shape[-3:] != (3, points, points):
            raise InputError(f"waves take a state 'b 3 {points} {points}' (u, v, c), found {list(y.shape)}")
        u, v, c = y.unbind(-3)
        spectrum = torch.fft.rfftn(u, dim=DIMS)
        curvature = torch.fft.irfftn(laplacian.like(u) * spectrum, s=grid.points, dim=DIMS)
        rates = [v, c.square() * curvature]
        if absorption:
            rates = [rate - damping.like(u) * part for rate, part in zip(rates, (u, v), strict=True)]
        return torch.stack([*rates, torch.zeros_like(c)], dim=-3)

    return Term(drift)


def _border(grid: Grid, absorption: float, border: float) -> Tensor:
    """Return sigma ``[n, n]``: a parabola from zero inside the border to ``absorption`` at the edge."""
    depth = [
        (1 - torch.minimum(x, length - x) / (border * length)).clamp_min(0)
        for x, length in zip(grid.coordinates(), grid.lengths, strict=True)
    ]
    return absorption * torch.maximum(*depth).square()


def wave_energy(state: Tensor, length: float = 1.0) -> Tensor:
    r"""Return :math:`\tfrac12 \langle v^2/c^2 + |\nabla u|^2 \rangle`, the mean over the box, ``"..."``.

    ``state`` is ``"... 3 n n"``, u, v and c.

    >>> x, _ = Grid((16, 16), (1.0, 1.0)).coordinates()
    >>> state = torch.stack([torch.zeros_like(x), torch.ones_like(x), torch.full_like(x, 2.0)])
    >>> wave_energy(state).item()
    0.125
    """
    u, v, c = state.unbind(-3)
    grid = Grid((u.shape[-2], u.shape[-1]), (length, length))
    spectrum = torch.fft.rfftn(u, dim=DIMS)
    curvature = torch.fft.irfftn(Symbol(grid.laplacian).like(u) * spectrum, s=grid.points, dim=DIMS)
    return 0.5 * ((v / c).square() - u * curvature).mean(DIMS)


def _bumps(grid: Grid, generator: Generator, count: int, narrowest: float, widest: float) -> Tensor:
    """Return Gaussians ``[count, n, n]`` of height 1 with centres in the middle half of a plane box."""
    if grid.dimensions != 2 or count < 1 or not 0 < narrowest <= widest:
        raise InputError(
            f"Gaussians want a plane grid, at least one of them and 0 < narrowest <= widest, found points "
            f"{grid.points}, {count}, {narrowest} and {widest}"
        )
    centre, sigma = (
        uniform(generator, 0.25, 0.75, 2, count, 1, 1),
        uniform(generator, narrowest, widest, count, 1, 1),
    )
    x, y = (axis / length for axis, length in zip(grid.coordinates(), grid.lengths, strict=True))
    return torch.exp(-0.5 * ((x - centre[0]).square() + (y - centre[1]).square()) / sigma.square())


def _start(grid: Grid, generator: Generator, sources: float, narrowest: float, widest: float) -> Tensor:
    u = _bumps(grid, generator, int(sources), narrowest, widest)
    return (uniform(generator, 0.5, 1.0, int(sources), 1, 1) * u).sum(0)


def wave_layers(
    grid: Grid,
    generator: Generator,
    *,
    layers: float = 4,
    slowest: float = 0.2,
    fastest: float = 0.5,
    sources: float = 3,
    narrowest: float = 0.03,
    widest: float = 0.06,
) -> Tensor:
    """Wave-Layer: Gaussian pulses at rest in layers across the second axis, ``[3, n, n]``: u, v = 0, c.

    Each of ``layers`` layers has a speed between ``slowest`` and ``fastest``; the borders between them are
    drawn uniformly. Widths of the pulses are in parts of the side.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, Wave-Layer.

    Examples
    --------
    >>> wave_layers(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([3, 32, 32])
    """
    u, count = _start(grid, generator, sources, narrowest, widest), int(layers)
    _check_speeds(slowest, fastest)
    if count < 1:
        raise InputError(f"a layered medium has at least one layer, found {layers}")
    speed = uniform(generator, slowest, fastest, count)
    cuts = uniform(generator, 0.0, 1.0, count - 1).sort().values
    y = grid.coordinates()[1] / grid.lengths[1]
    c = speed[torch.searchsorted(cuts, y.contiguous())]
    return torch.stack([u, torch.zeros_like(u), c])


def wave_lenses(
    grid: Grid,
    generator: Generator,
    *,
    lenses: float = 4,
    slowest: float = 0.2,
    fastest: float = 0.5,
    sources: float = 3,
    narrowest: float = 0.03,
    widest: float = 0.06,
) -> Tensor:
    """Wave-Gauss: Gaussian pulses at rest in a medium perturbed by Gaussians, ``[3, n, n]``: u, v = 0, c.

    The speed is the middle of its range plus ``lenses`` Gaussians of either sign, 0.1 to 0.2 of the side wide,
    bent smoothly (tanh) so that it stays between ``slowest`` and ``fastest``.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, Wave-Gauss.

    Examples
    --------
    >>> wave_lenses(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([3, 32, 32])
    """
    u = _start(grid, generator, sources, narrowest, widest)
    _check_speeds(slowest, fastest)
    height = uniform(generator, -1.0, 1.0, int(lenses), 1, 1)
    bumps = (height * _bumps(grid, generator, int(lenses), 0.1, 0.2)).sum(0)
    c = 0.5 * (slowest + fastest) + 0.5 * (fastest - slowest) * torch.tanh(bumps)
    return torch.stack([u, torch.zeros_like(u), c])


def _check_speeds(slowest: float, fastest: float) -> None:
    if not (0 < slowest <= fastest and math.isfinite(fastest)):
        raise InputError(f"speeds satisfy 0 < slowest <= fastest, found {slowest} and {fastest}")

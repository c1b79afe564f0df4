"""The Allen--Cahn equation: two phases and the fronts between them."""

import math

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.solve import Diagonal, Fourier, Term
from sciode.spectral import Grid, Symbol

DIMS = (-2, -1)


def allen_cahn(points: int = 128, length: float = 1.0, sharpness: float = 3.0) -> Term:
    r"""Allen--Cahn, :math:`\partial_t u = \Delta u - \varepsilon^2 u (u^2 - 1)`, periodic square.

    Diffusion and the growth :math:`\varepsilon^2 u` are the linear part, :math:`-\varepsilon^2 u^3` is the drift.
    It is taken on the grid points and not dealiased: so the semi-discrete system is the gradient flow of the
    discrete energy :func:`allen_cahn_energy`, which falls at any resolution.

    Parameters
    ----------
    points
        Grid points n per side of the state ``"b 1 n n"``. A front is about 4 / epsilon wide and wants a few.
    length
        Side of the box.
    sharpness
        epsilon > 0, 1/length (time has the unit of length^2, the mobility being 1); 220 in ACE.

    Raises
    ------
    InputError
        If epsilon is not positive.

    References
    ----------
    Allen and Cahn, Acta Metall. 27 (1979), 1085; Herde et al., arXiv:2405.19101, appendix B, ACE.

    Examples
    --------
    A uniform state follows its ordinary equation to the nearest phase:

    >>> from sciode.solve import solve
    >>> u0 = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    >>> u = solve(allen_cahn(8, sharpness=1.0), u0, [0.0, 1.0], dt=0.01).y[0, 1, 0, 0, 0].item()
    >>> round(u, 6), round(0.5 / math.sqrt(0.25 + 0.75 * math.exp(-2)), 6)
    (0.843347, 0.843347)
    """
    grid = Grid((points, points), (length, length))
    if not (sharpness > 0 and math.isfinite(sharpness)):
        raise InputError(f"the sharpness of the fronts is positive, found {sharpness}")

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        u = torch.fft.irfftn(y, s=grid.points, dim=DIMS)
        return torch.fft.rfftn(-(sharpness**2) * u**3, dim=DIMS)

    return Term(drift, Diagonal(grid.laplacian + sharpness**2), chart=Fourier(grid.points))


def allen_cahn_energy(u: Tensor, length: float = 1.0, sharpness: float = 3.0) -> Tensor:
    r"""Return :math:`\langle \tfrac12|\nabla u|^2 + \tfrac{\varepsilon^2}{4}(u^2-1)^2\rangle` over ``"... n n"``.

    >>> allen_cahn_energy(torch.zeros(8, 8, dtype=torch.float64), sharpness=2.0).item()
    1.0
    """
    grid = Grid((u.shape[-2], u.shape[-1]), (length, length))
    spectrum = torch.fft.rfftn(u, dim=DIMS)
    curvature = torch.fft.irfftn(Symbol(grid.laplacian).like(u) * spectrum, s=grid.points, dim=DIMS)
    return (-0.5 * u * curvature + 0.25 * sharpness**2 * (u.square() - 1).square()).mean(DIMS)


def sine_series(
    grid: Grid,
    generator: Generator,
    *,
    fewest: float = 16,
    most: float = 32,
    roughest: float = 0.7,
    smoothest: float = 1.0,
) -> Tensor:
    r"""ACE's start ``[1, n, n]``: a sine series with random coefficients.

    .. math::
        u = \frac{1}{m}\sum_{i,j=1}^{K} a_{ij} (i^2+j^2)^{-r} \sin(\pi i x) \sin(\pi j y)

    a in [-1, 1], K between ``fewest`` and ``most``, r between ``roughest`` and ``smoothest``; m makes the largest
    value 1. The field is zero on the border of the box, so its periodic continuation is continuous.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, ACE.

    Examples
    --------
    >>> sine_series(Grid((64, 64), (1.0, 1.0)), torch.Generator().manual_seed(0)).abs().max().item()
    1.0
    """
    if grid.dimensions != 2 or not 1 <= fewest <= most or not roughest <= smoothest:
        raise InputError(
            f"a sine series wants a plane grid, 1 <= fewest <= most and roughest <= smoothest, found points "
            f"{grid.points}, {fewest}, {most}, {roughest} and {smoothest}"
        )
    terms = int(torch.randint(int(fewest), int(most) + 1, (1,), generator=generator))
    r = roughest + (smoothest - roughest) * torch.rand((), generator=generator, dtype=torch.float64)
    a = 2 * torch.rand(terms, terms, generator=generator, dtype=torch.float64) - 1
    i = torch.arange(1, terms + 1, dtype=torch.float64)
    a = a * (i[:, None].square() + i[None, :].square()) ** -r
    waves = [torch.sin(math.pi * i[:, None] * torch.arange(n, dtype=torch.float64) / n) for n in grid.points]
    field = torch.einsum("ij,ix,jy->xy", a, *waves)
    return (field / field.abs().max())[None]

r"""Initial velocities of two-dimensional incompressible flow: the families of the Poseidon data.

Each draws one velocity ``[2, n, n]``, float64, periodic and free of divergence, on a square box; coordinates
run over [0, 1) across it. A vorticity fixes its velocity up to the mean flow, which is then zero.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.pde.draws import uniform
from sciode.pde.incompressible import project
from sciode.pde.initial import smooth_noise
from sciode.pde.navier_stokes import velocity
from sciode.spectral import Grid


def _square(grid: Grid) -> tuple[Tensor, Tensor]:
    """Return x and y across the box, each ``[n]`` in [0, 1)."""
    if grid.dimensions != 2 or grid.points[0] != grid.points[1] or grid.lengths[0] != grid.lengths[1]:
        raise InputError(
            f"an initial flow lives on a square with as many points along either side, found points "
            f"{grid.points}, lengths {grid.lengths}"
        )
    x = torch.arange(grid.points[0], dtype=torch.float64) / grid.points[0]
    return x, x


def _whole(value: float, name: str) -> int:
    if value != int(value) or value < 1:
        raise InputError(f"{name} is a whole number of at least 1, found {value}")
    return int(value)


def _flow(vorticity: Tensor, grid: Grid) -> Tensor:
    return velocity(vorticity[None, None], grid.lengths[0])[0]


def flow_sines(grid: Grid, generator: Generator, *, highest: float = 10, amplitude: float = 1.0) -> Tensor:
    r"""NS-Sines: random products of sines, projected.

    .. math::
        u = \sum_{i,j=1}^{p} \frac{\alpha_{ij}}{\sqrt{2\pi(i+j)}} \sin(2\pi i x + \beta_{ij})
        \sin(2\pi j y + \gamma_{ij}), \qquad v \text{ the same with cosines}

    alpha in [-1, 1] times ``amplitude``, beta and gamma in [0, 2 pi], p = ``highest``. Of zero mean.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, NS-Sines.

    Examples
    --------
    >>> flow_sines(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 32, 32])
    """
    x, y = _square(grid)
    p = _whole(highest, "highest")
    if grid.points[0] <= 2 * p:
        raise InputError(f"waves up to {p} need more than {2 * p} points per axis, found {grid.points}")
    wave = torch.arange(1, p + 1, dtype=torch.float64)
    alpha = uniform(generator, -amplitude, amplitude, p, p)
    alpha = alpha / torch.sqrt(2 * math.pi * (wave[:, None] + wave[None, :]))
    beta, gamma = uniform(generator, 0.0, 2 * math.pi, 2, p, p, 1)
    phase_x = 2 * math.pi * wave[:, None, None] * x + beta
    phase_y = 2 * math.pi * wave[None, :, None] * y + gamma
    drawn = [
        torch.einsum("ij,ijx,ijy->xy", alpha, wavy(phase_x), wavy(phase_y)) for wavy in (torch.sin, torch.cos)
    ]
    return project(torch.stack(drawn), grid.lengths[0])


def flow_gauss(
    grid: Grid,
    generator: Generator,
    *,
    vortices: float = 100,
    narrowest: float = 0.01,
    widest: float = 0.1,
    amplitude: float = 1.0,
) -> Tensor:
    r"""NS-Gauss: vorticity :math:`\sum_i (\alpha_i/\sigma_i) \exp(-|x - x_i|^2 / 2\sigma_i^2)`, periodic.

    alpha in [-1, 1] times ``amplitude``, sigma between ``narrowest`` and ``widest``, centres anywhere.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, NS-Gauss.

    Examples
    --------
    >>> flow_gauss(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 32, 32])
    """
    x, y = _square(grid)
    count = _whole(vortices, "vortices")
    if not 0 < narrowest <= widest < 0.25:  # wider ones would feel more than the images summed here
        raise InputError(f"widths satisfy 0 < narrowest <= widest < 0.25, found {narrowest} and {widest}")
    sigma = uniform(generator, narrowest, widest, count, 1)
    alpha = uniform(generator, -amplitude, amplitude, count) / sigma[:, 0]
    centre = uniform(generator, 0.0, 1.0, 2, count, 1)
    bumps = []
    for axis, start in zip((x, y), centre, strict=True):
        distance = axis - start + torch.arange(-2.0, 3.0, dtype=torch.float64)[:, None, None]
        bumps.append(torch.exp(-0.5 * (distance / sigma).square()).sum(0))
    return _flow(torch.einsum("i,ix,iy->xy", alpha, *bumps), grid)


def flow_patches(grid: Grid, generator: Generator, *, patches: float = 10, amplitude: float = 1.0) -> Tensor:
    r"""NS-PwC: a vorticity constant on each of p x p squares, there uniform in [-1, 1] times ``amplitude``.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, NS-PwC.

    Examples
    --------
    >>> flow_patches(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 32, 32])
    """
    _square(grid)
    p = _whole(patches, "patches")
    value = uniform(generator, -amplitude, amplitude, p, p)
    # In whole numbers: 0.3 * 10 must not fall into patch 2.
    index = torch.arange(grid.points[0]) * p // grid.points[0]
    return _flow(value[index][:, index], grid)


def flow_shear_layer(
    grid: Grid,
    generator: Generator,
    *,
    waves: float = 10,
    thickness: float = 0.1,
    perturbation: float = 0.025,
    shift: float = 0.0625,
) -> Tensor:
    r"""NS-SL: a double shear layer whose seam wanders.

    .. math::
        u = \tanh\left(\tfrac{2\pi}{\rho} \min(\eta - \tfrac14, \tfrac34 - \eta)\right), \quad
        \eta = y + \xi + \delta \sum_{k=1}^{p} \alpha_k \sin(2\pi k x - \beta_k) \bmod 1, \quad v = 0

    projected. alpha in [0, 1], beta in [0, 2 pi], xi within ``shift`` of zero; delta is ``perturbation``, rho
    ``thickness``, p ``waves``. The mean flow that the draw has is kept.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, NS-SL; Bell, Colella and Glaz, J. Comput. Phys. 85 (1989), 257.

    Examples
    --------
    >>> flow_shear_layer(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 32, 32])
    """
    x, y = _square(grid)
    if not thickness > 0:
        raise InputError(f"the thickness of a shear layer is positive, found {thickness}")
    wave = torch.arange(1, _whole(waves, "waves") + 1, dtype=torch.float64)[:, None]
    alpha = uniform(generator, 0.0, perturbation, *wave.shape)
    beta = uniform(generator, 0.0, 2 * math.pi, *wave.shape)
    seam = uniform(generator, -shift, shift, 1) + (alpha * torch.sin(2 * math.pi * wave * x - beta)).sum(0)
    eta = torch.remainder(y[None, :] + seam[:, None], 1.0)
    u = torch.tanh(2 * math.pi / thickness * torch.minimum(eta - 0.25, 0.75 - eta))
    return project(torch.stack([u, torch.zeros_like(u)]), grid.lengths[0])


def flow_vortex_sheet(
    grid: Grid,
    generator: Generator,
    *,
    waves: float = 10,
    perturbation: float = 0.003125,
    radius: float = 0.0390625,
) -> Tensor:
    r"""NS-SVS: vorticity on a sinusoidal curve, smoothed, its mean removed.

    The curve is :math:`y = 1/2 + 0.2 \sin 2\pi x + \sum_{i=1}^{p} \alpha_i \sin(2\pi (x + \beta_i))`, alpha in
    [0, ``perturbation``], beta in [0, 1], of unit strength per length; a cubic B-spline of the given ``radius``
    along either axis smooths it. Curve and spline are taken together in Fourier space, so the only error
    is that of the modes the grid does not have.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, NS-SVS; Lanthaler, Mishra and Pares-Pulido, arXiv:1909.06615.

    Examples
    --------
    >>> flow_vortex_sheet(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 32, 32])
    """
    _square(grid)
    n, count = grid.points[0], _whole(waves, "waves")
    if not 0 < radius < 0.5:
        raise InputError(f"the radius of the smoothing lies in (0, 0.5), found {radius}")
    alpha = uniform(generator, 0.0, perturbation, count, 1)
    beta = uniform(generator, 0.0, 1.0, count, 1)
    s = torch.arange(32 * n, dtype=torch.float64) / (32 * n)
    height = 0.5 + 0.2 * torch.sin(2 * math.pi * s) + (alpha * torch.sin(2 * math.pi * (s + beta))).sum(0)
    slope = 2 * math.pi * (0.2 * torch.cos(2 * math.pi * s) + (alpha * torch.cos(2 * math.pi * (s + beta))).sum(0))
    weight = torch.sqrt(1 + slope.square()) / len(s)  # arc length
    spectrum = []
    for position, cycles in ((s, torch.fft.fftfreq), (height, torch.fft.rfftfreq)):
        k = cycles(n, d=1 / n, dtype=torch.float64)
        wave = torch.polar(torch.ones(()).double(), -2 * math.pi * k[:, None] * position)
        spectrum.append(torch.sinc(0.5 * k * radius)[:, None] ** 4 * wave)
    hat = (spectrum[0] * weight) @ spectrum[1].mT
    return _flow(torch.fft.irfftn(hat, s=grid.points, norm="forward"), grid)


def flow_brownian(grid: Grid, generator: Generator, *, highest: float = 16, amplitude: float = 1.0) -> Tensor:
    r"""NS-BB: a Brownian bridge, modes normal with deviation ``amplitude`` :math:`|k|^{-3/2}`, projected.

    Its energy spectrum falls like :math:`k^{-2}`, its increments like those of Brownian motion, up to
    ``highest`` waves along either axis. Of zero mean. The modes are drawn in a fixed order: a finer grid shows the
    same flow.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, NS-BB; Lanthaler, Mishra and Pares-Pulido, arXiv:1909.06615.

    Examples
    --------
    >>> flow_brownian(Grid((64, 64), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 64, 64])
    """
    _square(grid)
    m = _whole(highest, "highest")
    modes = torch.fft.rfftn(smooth_noise(grid, generator, fields=2, highest=m), dim=(-2, -1))
    k = torch.sqrt(-grid.laplacian) * grid.lengths[0] / (2 * math.pi)
    # smooth_noise gives every one of its (2m+1)^2 modes the same share of a unit variance.
    share = amplitude * (2 * m + 1) / math.sqrt(2)
    shape = torch.where(k == 0, 0.0, share * k.clamp_min(1.0) ** -1.5)
    return project(torch.fft.irfftn(shape * modes, s=grid.points, dim=(-2, -1)), grid.lengths[0])


def disc(grid: Grid, *, radius: float = 0.25, edge: float = 0.02) -> Tensor:
    """Return a tracer ``[1, n, n]``: 1 in a disc in the middle of the box, 0 outside, tanh ``edge`` wide between.

    >>> c = disc(Grid((32, 32), (1.0, 1.0)))
    >>> round(c[0, 16, 16].item(), 6), round(c[0, 0, 0].item(), 6)
    (1.0, 0.0)
    """
    if not (0 < radius < 0.5 and edge > 0):
        raise InputError(f"a disc has 0 < radius < 0.5 and edge > 0, found {radius} and {edge}")
    x, y = _square(grid)
    distance = torch.hypot(x[:, None] - 0.5, y[None, :] - 0.5)
    return 0.5 * (1 - torch.tanh((distance - radius) / edge))[None]


def with_tracer(family: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the family that draws the same flow and adds :func:`disc`: ``[3, n, n]``.

    >>> with_tracer(flow_patches)(Grid((32, 32), (1.0, 1.0)), torch.Generator().manual_seed(0)).shape
    torch.Size([3, 32, 32])
    """

    def draw(
        grid: Grid, generator: Generator, *, radius: float = 0.25, edge: float = 0.02, **parameters: float
    ) -> Tensor:
        return torch.cat([family(grid, generator, **parameters), disc(grid, radius=radius, edge=edge)])

    return draw


FLOWS: dict[str, Callable[..., Tensor]] = {
    "flow_sines": flow_sines,
    "flow_gauss": flow_gauss,
    "flow_patches": flow_patches,
    "flow_shear_layer": flow_shear_layer,
    "flow_vortex_sheet": flow_vortex_sheet,
    "flow_brownian": flow_brownian,
    "flow_patches_tracer": with_tracer(flow_patches),
    "flow_vortex_sheet_tracer": with_tracer(flow_vortex_sheet),
}
"""The table by which recipes name an initial flow."""

"""Closed-form solutions, to measure a solver or a surrogate against."""

import math

import torch
from torch import Tensor


def cole_hopf(x: Tensor, t: float, viscosity: float, length: float = 1.0, mean: float = 1.5) -> Tensor:
    r"""Burgers: :math:`u = 2 \nu k\, e^{-\nu k^2 t} \sin kx \,/\, (a + e^{-\nu k^2 t} \cos kx)`, k = 2 pi / L.

    It is :math:`-2\nu\,\phi_x/\phi` for the heat solution :math:`\phi = a + e^{-\nu k^2 t}\cos kx` with
    a > 1 (Cole 1951).

    >>> cole_hopf(torch.tensor([0.0, 0.25], dtype=torch.float64), 0.0, 0.1)[0].item()
    0.0
    """
    k = 2 * math.pi / length
    decay = math.exp(-viscosity * k * k * t)
    return 2 * viscosity * k * decay * torch.sin(k * x) / (mean + decay * torch.cos(k * x))


def kdv_soliton(x: Tensor, t: float, speed: float = 1.0, length: float = 32.0) -> Tensor:
    r"""KdV soliton, :math:`\tfrac{c}{2}\,\mathrm{sech}^2(\tfrac{\sqrt c}{2}(x - ct))`.

    Solves :math:`u_t + 6 u u_x + u_{xxx} = 0`. Starts at the middle of the box and is wrapped around it;
    the box must be wide against 1/sqrt(c).

    >>> kdv_soliton(torch.tensor([16.0]), 0.0, speed=2.0).item()
    1.0
    """
    distance = torch.remainder(x - speed * t, length) - length / 2
    return 0.5 * speed / torch.cosh(0.5 * math.sqrt(speed) * distance) ** 2


def taylor_green(points: int, t: float, viscosity: float, waves: int = 1) -> Tensor:
    r"""Taylor--Green vorticity :math:`2 m \cos(mx)\cos(my)\,e^{-2 m^2 \nu t}` ``[n, n]``, square of side 2 pi.

    The nonlinear term vanishes identically (Taylor and Green 1937).

    >>> taylor_green(8, 0.0, 0.1)[0, 0].item()
    2.0
    """
    x = 2 * math.pi * torch.arange(points, dtype=torch.float64) / points
    field = torch.cos(waves * x)[:, None] * torch.cos(waves * x)[None, :]
    return 2 * waves * field * math.exp(-2 * waves**2 * viscosity * t)


def fisher_wave(x: Tensor, t: float, diffusion: float = 1.0, growth: float = 1.0) -> Tensor:
    r"""Fisher--KPP front of Ablowitz and Zeppetella (1979): :math:`(1 + e^{z/\sqrt6})^{-2}`, moving right.

    :math:`z = \sqrt{\rho/\nu}\,x - \tfrac{5}{\sqrt 6}\rho t`, centred at x = 0.

    >>> fisher_wave(torch.tensor([0.0]), 0.0).item()
    0.25
    """
    z = math.sqrt(growth / diffusion) * x - 5 / math.sqrt(6) * growth * t
    return (1 + torch.exp(z / math.sqrt(6))) ** -2

"""Known problems: batched drifts ``(s, y) -> slope`` with initial states and spans.

DETEST is that of Hull, Enright, Fellen and Sedgwick, *Comparing numerical methods for ordinary differential
equations*, SIAM J. Numer. Anal. 9 (1972), classes A to E; the stiff problems are those of Hairer and Wanner,
*Solving Ordinary Differential Equations II*.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Problem(NamedTuple):
    """A drift, the initial state of one sample, and the span."""

    drift: Callable[[Tensor, Tensor], Tensor]
    y0: tuple[float, ...]
    end: float

    def x0(self, batch: int = 1) -> Tensor:
        return torch.tensor(self.y0, dtype=torch.float64).expand(batch, -1).clone()


def parts(*values: Tensor) -> Tensor:
    return torch.stack(values, dim=-1)


# Class A: single equations.


def a1(s: Tensor, y: Tensor) -> Tensor:
    return -y


def a2(s: Tensor, y: Tensor) -> Tensor:
    return -(y**3) / 2


def a3(s: Tensor, y: Tensor) -> Tensor:
    return y * torch.cos(s)


def a4(s: Tensor, y: Tensor) -> Tensor:
    return y / 4 * (1 - y / 20)


def a5(s: Tensor, y: Tensor) -> Tensor:
    return (y - s) / (y + s)


# Class B: small systems.


def b1(s: Tensor, y: Tensor) -> Tensor:
    p, q = y.unbind(-1)
    return parts(2 * (p - p * q), -(q - p * q))


def b2(s: Tensor, y: Tensor) -> Tensor:
    p, q, r = y.unbind(-1)
    return parts(-p + q, p - 2 * q + r, q - r)


def b3(s: Tensor, y: Tensor) -> Tensor:
    p, q, _ = y.unbind(-1)
    return parts(-p, p - q**2, q**2)


def b4(s: Tensor, y: Tensor) -> Tensor:
    p, q, r = y.unbind(-1)
    radius = torch.sqrt(p**2 + q**2)
    return parts(-q - p * r / radius, p - q * r / radius, p / radius)


def b5(s: Tensor, y: Tensor) -> Tensor:
    p, q, r = y.unbind(-1)
    return parts(q * r, -p * r, -0.51 * p * q)


# Class C: moderate systems.


def c1(s: Tensor, y: Tensor) -> Tensor:
    return torch.cat([-y[..., :1], y[..., :-2] - y[..., 1:-1], y[..., -2:-1]], dim=-1)


def c2(s: Tensor, y: Tensor) -> Tensor:
    flow = y[..., :-1] * torch.arange(1, y.shape[-1], dtype=y.dtype, device=y.device)
    return torch.nn.functional.pad(flow, (1, 0)) - torch.nn.functional.pad(flow, (0, 1))


def c3(s: Tensor, y: Tensor) -> Tensor:
    wide = torch.nn.functional.pad(y, (1, 1))
    return wide[..., :-2] - 2 * y + wide[..., 2:]


GRAVITY = 2.95912208286
SUN = 1.00000597682
PLANETS = (0.000954786104043, 0.000285583733151, 0.0000437273164546, 0.0000517759138449, 0.00000277777777778)
PLACES = (
    (3.42947415189, 3.35386959711, 1.35494901715),
    (6.64145542550, 5.97156957878, 2.18231499728),
    (11.2630437207, 14.6952576794, 6.27960525067),
    (-30.1552268759, 1.65699966404, 1.43785752721),
    (-21.1238353380, 28.4465098142, 15.3882659679),
)
SPEEDS = (
    (-0.557160570446, 0.505696783289, 0.230578543901),
    (-0.415570776342, 0.365682722812, 0.169143213293),
    (-0.325325669158, 0.189706021964, 0.0877265322780),
    (-0.0240476254170, -0.287659532608, -0.117219543175),
    (-0.176860753121, -0.216393453025, -0.0148647893090),
)


def c5(s: Tensor, y: Tensor) -> Tensor:
    """Five outer planets, places and speeds [..., 2, 5, 3] flat, about a sun that is accelerated too."""
    state = y.unflatten(-1, (2, 5, 3))
    place, speed = state.unbind(-3)
    mass = torch.tensor(PLANETS, dtype=y.dtype, device=y.device)
    cube = (place**2).sum(-1, keepdim=True) ** 1.5
    apart = place[..., None, :, :] - place[..., :, None, :]  # [..., i, j, 3]: from i to j
    distance = (apart**2).sum(-1) + torch.eye(5, dtype=y.dtype, device=y.device)
    pull = (mass[:, None] * (apart / distance[..., None] ** 1.5)).sum(-2)
    drag = (mass[:, None] * place / cube).sum(-2, keepdim=True)
    force = GRAVITY * (-SUN * place / cube + pull - drag)
    return torch.stack([speed, force], dim=-3).flatten(-3)


# Class D: two bodies, eccentricity 0.1 to 0.9.


def d(s: Tensor, y: Tensor) -> Tensor:
    p, q, u, v = y.unbind(-1)
    cube = (p**2 + q**2) ** 1.5
    return parts(u, v, -p / cube, -q / cube)


def orbit(eccentricity: float) -> tuple[float, ...]:
    return (1 - eccentricity, 0.0, 0.0, math.sqrt((1 + eccentricity) / (1 - eccentricity)))


# Class E: equations of second order.


def e1(s: Tensor, y: Tensor) -> Tensor:
    p, q = y.unbind(-1)
    return parts(q, -(q / (s + 1) + (1 - 0.25 / (s + 1) ** 2) * p))


def e2(s: Tensor, y: Tensor) -> Tensor:
    p, q = y.unbind(-1)
    return parts(q, (1 - p**2) * q - p)


def e3(s: Tensor, y: Tensor) -> Tensor:
    p, q = y.unbind(-1)
    return parts(q, p**3 / 6 - p + 2 * torch.sin(2.78535 * s))


def e4(s: Tensor, y: Tensor) -> Tensor:
    q = y[..., 1]
    return parts(q, 0.032 - 0.4 * q**2)


def e5(s: Tensor, y: Tensor) -> Tensor:
    q = y[..., 1]
    return parts(q, torch.sqrt(1 + q**2) / (25 - s))


FIRST = (1.0, *[0.0] * 9)
DETEST: dict[str, Problem] = {
    "A1": Problem(a1, (1.0,), 20.0),
    "A2": Problem(a2, (1.0,), 20.0),
    "A3": Problem(a3, (1.0,), 20.0),
    "A4": Problem(a4, (1.0,), 20.0),
    "A5": Problem(a5, (4.0,), 20.0),
    "B1": Problem(b1, (1.0, 3.0), 20.0),
    "B2": Problem(b2, (2.0, 0.0, 1.0), 20.0),
    "B3": Problem(b3, (1.0, 0.0, 0.0), 20.0),
    "B4": Problem(b4, (3.0, 0.0, 0.0), 20.0),
    "B5": Problem(b5, (0.0, 1.0, 1.0), 20.0),
    "C1": Problem(c1, FIRST, 20.0),
    "C2": Problem(c2, FIRST, 20.0),
    "C3": Problem(c3, FIRST, 20.0),
    "C4": Problem(c3, (1.0, *[0.0] * 50), 20.0),
    "C5": Problem(c5, tuple(x for rows in (PLACES, SPEEDS) for row in rows for x in row), 20.0),
    **{f"D{k}": Problem(d, orbit(0.2 * k - 0.1), 20.0) for k in range(1, 6)},
    # J_1/2(1) and its derivative: sqrt(2 / pi) sin 1, and sqrt(2 / pi) (cos 1 - sin 1 / 2).
    "E1": Problem(e1, (0.6713967071418030, 0.0954005144474746), 20.0),
    "E2": Problem(e2, (2.0, 0.0), 20.0),
    "E3": Problem(e3, (0.0, 0.0), 20.0),
    "E4": Problem(e4, (30.0, 0.0), 20.0),
    "E5": Problem(e5, (0.0, 0.0), 20.0),
}


# Stiff problems.


def robertson(s: Tensor, y: Tensor) -> Tensor:
    p, q, r = y.unbind(-1)
    slow, fast, back = 0.04 * p, 3e7 * q**2, 1e4 * q * r
    return parts(back - slow, slow - back - fast, fast)


def van_der_pol(mu: float | Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    def drift(s: Tensor, y: Tensor) -> Tensor:
        p, q = y.unbind(-1)
        return parts(q, mu * (1 - p**2) * q - p)

    return drift


def hires(s: Tensor, y: Tensor) -> Tensor:
    a, b, c, d, e, f, g, h = y.unbind(-1)
    light = 280 * f * h
    return parts(
        -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
        1.71 * a - 8.75 * b,
        -10.03 * c + 0.43 * d + 0.035 * e,
        8.32 * b + 1.71 * c - 1.12 * d,
        -1.745 * e + 0.43 * f + 0.43 * g,
        -light + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
        light - 1.81 * g,
        -light + 1.81 * g,
    )


def oregonator(s: Tensor, y: Tensor) -> Tensor:
    p, q, r = y.unbind(-1)
    return parts(77.27 * (q + p * (1 - 8.375e-6 * p - q)), (r - (1 + p) * q) / 77.27, 0.161 * (p - r))


def brusselator(points: int, diffusion: float = 0.02) -> Callable[[Tensor, Tensor], Tensor]:
    """Reaction and diffusion on [0, 1] with walls held at (1, 3): u and v, each of ``points``, flat."""

    def drift(s: Tensor, y: Tensor) -> Tensor:
        u, v = y.unflatten(-1, (2, points)).unbind(-2)
        rate = diffusion * (points + 1) ** 2

        def spread(field: Tensor, wall: float) -> Tensor:
            wide = torch.nn.functional.pad(field, (1, 1), value=wall)
            return rate * (wide[..., :-2] - 2 * field + wide[..., 2:])

        react = u**2 * v
        return torch.cat([1 + react - 4 * u + spread(u, 1.0), 3 * u - react + spread(v, 3.0)], dim=-1)

    return drift


def brusselator_start(points: int) -> tuple[float, ...]:
    x = [(i + 1) / (points + 1) for i in range(points)]
    return (*(1 + math.sin(2 * math.pi * a) for a in x), *[3.0] * points)


STIFF: dict[str, Problem] = {
    "robertson": Problem(robertson, (1.0, 0.0, 0.0), 1e5),
    "van_der_pol": Problem(van_der_pol(1000.0), (2.0, 0.0), 2000.0),
    "hires": Problem(hires, (1.0, *[0.0] * 6, 0.0057), 321.8122),
    "oregonator": Problem(oregonator, (1.0, 2.0, 3.0), 360.0),
    "brusselator": Problem(brusselator(40), brusselator_start(40), 10.0),
}

# Ends of the stiff problems by scipy's Radau at rtol 1e-11 (robertson, hires) and 1e-10, atol 1e-14. In Hairer
# and Wanner's test set, hires, oregonator and van der Pol have the same digits.
STIFF_ENDS: dict[str, tuple[float, ...]] = {
    "robertson": (0.0178659211423, 7.27475146853e-08, 0.98213400611),
    "van_der_pol": (1.70616773217, -0.000892809701025),
    "hires": (
        0.000737131257333,
        0.000144248572632,
        5.88872974097e-05,
        0.00117565134328,
        0.00238635619883,
        0.00623896825275,
        0.00284999839519,
        0.00285000160481,
    ),
    "oregonator": (1.00081487032, 1228.17852155, 132.055494285),
}

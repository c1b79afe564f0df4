r"""Methods, as numbers. Classical ones first, exponential ones after; ``TABLEAUS`` finds them by name.

``_phi(k, c, w)`` reads :math:`w\,\varphi_k(c z)`.
"""

from sciode.solve.tableau import Entry, Phi, Tableau, classical


def _phi(order: int, scale: float = 1.0, weight: float = 1.0) -> Phi:
    return Phi(weight, order, scale)


_NONE: Entry = ()

EULER = classical([0], [[]], [1], order=1)
"""Euler (1768)."""

MIDPOINT = classical([0, 1 / 2], [[], [1 / 2]], [0, 1], order=2)
"""Explicit midpoint rule (Runge 1895)."""

HEUN = classical([0, 1], [[], [1]], [1 / 2, 1 / 2], order=2, embedded=[1, 0])
"""Heun's second-order method, the explicit trapezoid; also EDM's sampler."""

HEUN3 = classical([0, 1 / 3, 2 / 3], [[], [1 / 3], [0, 2 / 3]], [1 / 4, 0, 3 / 4], order=3)
"""Heun's third-order method (1900)."""

BOSH3 = classical(
    [0, 1 / 2, 3 / 4, 1],
    [[], [1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
    [2 / 9, 1 / 3, 4 / 9, 0],
    order=3,
    embedded=[7 / 24, 1 / 4, 1 / 3, 1 / 8],
    reuses_last=True,
)
"""Bogacki and Shampine, Appl. Math. Lett. 2 (1989)."""

SSPRK3 = classical([0, 1, 1 / 2], [[], [1], [1 / 4, 1 / 4]], [1 / 6, 1 / 6, 2 / 3], order=3)
"""Shu and Osher's strong-stability-preserving method, J. Comput. Phys. 77 (1988)."""

RK4 = classical([0, 1 / 2, 1 / 2, 1], [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], order=4)
"""Kutta (1901)."""

DOPRI5 = classical(
    [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
    [
        [],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    order=5,
    embedded=[5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40],
    reuses_last=True,
)
"""Dormand and Prince, J. Comput. Appl. Math. 6 (1980), RK5(4)7M."""

ETD1 = Tableau(nodes=(0.0,), stages=((),), update=((_phi(1),),), order=1)
"""Exponential Euler; in a diffusion chart DDIM."""

ETD2 = Tableau(
    nodes=(0.0, 1.0),
    stages=((), ((_phi(1),),)),
    update=((_phi(1), _phi(2, 1.0, -1.0)), (_phi(2),)),
    order=2,
    embedded=((_phi(1),), _NONE),
)
"""ETD2RK: Cox and Matthews, J. Comput. Phys. 176 (2002), equations (22)--(23). At L = 0 Heun."""

DPM2 = Tableau(
    nodes=(0.0, 0.5),
    stages=((), ((_phi(1, 0.5, 0.5),),)),
    update=(_NONE, (_phi(1),)),
    order=2,
)
"""Exponential midpoint rule; DPM-Solver-2 (arXiv:2206.00927) in its noise chart. At L = 0 the midpoint rule."""

HO3 = Tableau(
    nodes=(0.0, 1 / 3, 2 / 3),
    stages=(
        (),
        ((_phi(1, 1 / 3, 1 / 3),),),
        ((_phi(1, 2 / 3, 2 / 3), _phi(2, 2 / 3, -4 / 3)), (_phi(2, 2 / 3, 4 / 3),)),
    ),
    update=((_phi(1), _phi(2, 1.0, -1.5)), _NONE, (_phi(2, 1.0, 1.5),)),
    order=3,
)
"""Hochbruck and Ostermann, SIAM J. Numer. Anal. 43 (2005), equation (5.9) with c2 = 1/3: DPM-Solver-3.
At L = 0 Heun's third-order method."""

_FIRST = (_phi(1), _phi(2, 1.0, -3.0), _phi(3, 1.0, 4.0))
_MIDDLE = (_phi(2, 1.0, 2.0), _phi(3, 1.0, -4.0))
_LAST = (_phi(2, 1.0, -1.0), _phi(3, 1.0, 4.0))

KROGSTAD4 = Tableau(
    nodes=(0.0, 0.5, 0.5, 1.0),
    stages=(
        (),
        ((_phi(1, 0.5, 0.5),),),
        ((_phi(1, 0.5, 0.5), _phi(2, 0.5, -1.0)), (_phi(2, 0.5),)),
        ((_phi(1), _phi(2, 1.0, -2.0)), _NONE, (_phi(2, 1.0, 2.0),)),
    ),
    update=(_FIRST, _MIDDLE, _MIDDLE, _LAST),
    order=4,
)
"""ETDRK4-B: Krogstad, J. Comput. Phys. 203 (2005), equation (51). Stiff order 3, smaller constants than
Cox--Matthews. At L = 0 the classical RK4."""

COXMATTHEWS4 = Tableau(
    nodes=(0.0, 0.5, 0.5, 1.0),
    stages=(
        (),
        ((_phi(1, 0.5, 0.5),),),
        (_NONE, (_phi(1, 0.5, 0.5),)),
        # e^(z/2) phi_1(z/2) = 2 phi_1(z) - phi_1(z/2) turns the published product into a sum.
        ((_phi(1), _phi(1, 0.5, -1.0)), _NONE, (_phi(1, 0.5),)),
    ),
    update=(_FIRST, _MIDDLE, _MIDDLE, _LAST),
    order=4,
)
"""ETDRK4: Cox and Matthews, J. Comput. Phys. 176 (2002), equations (26)--(29). At L = 0 the classical RK4."""

TABLEAUS: dict[str, Tableau] = {
    "euler": EULER,
    "midpoint": MIDPOINT,
    "heun": HEUN,
    "heun3": HEUN3,
    "bosh3": BOSH3,
    "ssprk3": SSPRK3,
    "rk4": RK4,
    "dopri5": DOPRI5,
    "etd1": ETD1,
    "etd2": ETD2,
    "dpm2": DPM2,
    "ho3": HO3,
    "krogstad4": KROGSTAD4,
    "coxmatthews4": COXMATTHEWS4,
}
"""The table by which configuration files name a method."""

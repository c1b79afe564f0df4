r"""Exponential Runge--Kutta methods, as numbers.

``_phi(k, c, w)`` reads :math:`w\,\varphi_k(c z)`.
"""

from sciode.solve.tableau import Entry, Phi, Tableau


def _phi(order: int, scale: float = 1.0, weight: float = 1.0) -> Phi:
    return Phi(weight, order, scale)


_NONE: Entry = ()

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
    embedded=((_phi(1),), _NONE),
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
    embedded=((_phi(1), _phi(2, 1.0, -3.0)), (_phi(2, 1.0, 3.0),), _NONE),
)
"""Hochbruck and Ostermann, SIAM J. Numer. Anal. 43 (2005), equation (5.9) with c2 = 1/3: DPM-Solver-3.
At L = 0 Heun's third-order method; embedded, the line through the first two slopes, as in DPM-Solver-23."""

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

KROGSTAD43 = Tableau(
    nodes=(*KROGSTAD4.nodes, 1.0),
    stages=(*KROGSTAD4.stages, KROGSTAD4.update),
    update=(*KROGSTAD4.update, _NONE),
    order=4,
    embedded=(_FIRST, _MIDDLE, _MIDDLE, _NONE, _LAST),
    reuses_last=True,
)
"""Krogstad's method with a third-order companion that takes its last slope from the end of the step: the
construction of Whalen, Brio and Moloney, J. Comput. Phys. 280 (2015). Four evaluations an accepted step."""

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

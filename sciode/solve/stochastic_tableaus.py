"""Stochastic Runge--Kutta tables, data only; the order conditions they satisfy are in the tests.

Roessler, *Runge--Kutta methods for the strong approximation of solutions of stochastic differential equations*,
SIAM J. Numer. Anal. 48 (2010), 922-952: ``SRA1``, ``SRA3`` (Table 6.3), ``SRI1`` and ``SRI2`` (SRI1W1, SRI2W1:
Tables 6.1 and 6.2). Stages that repeat an earlier one are left out, so rows may be shorter than in the paper.
"""

from dataclasses import dataclass

Row = tuple[float, ...]


@dataclass(frozen=True)
class StochasticTableau:
    r"""A stochastic Runge--Kutta method of Ito type for additive, diagonal or scalar noise.

    With :math:`\hat I_{10} = I_{(1,0)} / h`, :math:`\hat I_{11} = I_{(1,1)} / \sqrt h`,
    :math:`\hat I_{111} = I_{(1,1,1)} / h`,

    .. math::
        H_i &= y + h \sum_j A_{ij} f_j + \hat I_{10} \sum_j B_{ij} G_j, & f_i &= f(s + c_i h, H_i) \\
        K_i &= y + h \sum_j C_{ij} f_j + \sqrt h \sum_j D_{ij} G_j, & G_i &= G(s + e_i h, K_i) \\
        y' &= y + h \sum_i a_i f_i + \sum_i (b_{1i} W + b_{2i} \hat I_{11} + b_{3i} \hat I_{10}
              + b_{4i} \hat I_{111}) G_i.
    """

    name: str
    drift_nodes: Row  # c
    noise_nodes: Row  # e
    drift: Row  # a
    noise: tuple[Row, Row, Row, Row]  # b1 to b4
    drift_drift: tuple[Row, ...]  # A
    drift_noise: tuple[Row, ...]  # B
    noise_drift: tuple[Row, ...]  # C
    noise_noise: tuple[Row, ...]  # D
    additive: bool = False


SRA1 = StochasticTableau(
    "SRA1",
    drift_nodes=(0.0, 3 / 4),
    noise_nodes=(1.0, 0.0),
    drift=(1 / 3, 2 / 3),
    noise=((1.0, 0.0), (0.0, 0.0), (-1.0, 1.0), (0.0, 0.0)),
    drift_drift=((), (3 / 4,)),
    drift_noise=((), (3 / 2,)),
    noise_drift=((), ()),
    noise_noise=((), ()),
    additive=True,
)
"""Additive noise: 2 drift and 2 amplitude evaluations, strong order 1.5, deterministic order 2."""

SRA3 = StochasticTableau(
    "SRA3",
    drift_nodes=(0.0, 1.0, 1 / 2),
    noise_nodes=(1.0, 0.0),
    drift=(1 / 6, 1 / 6, 2 / 3),
    noise=((1.0, 0.0), (0.0, 0.0), (-1.0, 1.0), (0.0, 0.0)),
    drift_drift=((), (1.0,), (1 / 4, 1 / 4)),
    drift_noise=((), (0.0,), (1.0, 1 / 2)),
    noise_drift=((), ()),
    noise_noise=((), ()),
    additive=True,
)
"""Additive noise: 3 drift and 2 amplitude evaluations, strong order 1.5, deterministic order 3."""

SRI1 = StochasticTableau(
    "SRI1",
    drift_nodes=(0.0, 3 / 4),
    noise_nodes=(0.0, 1 / 4, 1.0, 1 / 4),
    drift=(1 / 3, 2 / 3),
    noise=(
        (-1.0, 4 / 3, 2 / 3, 0.0),
        (-1.0, 4 / 3, -1 / 3, 0.0),
        (2.0, -4 / 3, -2 / 3, 0.0),
        (-2.0, 5 / 3, -2 / 3, 1.0),
    ),
    drift_drift=((), (3 / 4,)),
    drift_noise=((), (3 / 2,)),
    noise_drift=((), (1 / 4,), (1.0,), (1 / 4,)),
    noise_noise=((), (1 / 2,), (-1.0,), (-5.0, 3.0, 1 / 2)),
)
"""Diagonal and scalar noise: 2 drift and 4 amplitude evaluations, strong order 1.5, deterministic order 2."""

SRI2 = StochasticTableau(
    "SRI2",
    drift_nodes=(0.0, 1.0, 1 / 2),
    noise_nodes=(0.0, 1 / 4, 1.0, 1 / 4),
    drift=(1 / 6, 1 / 6, 2 / 3),
    noise=(
        (-1.0, 4 / 3, 2 / 3, 0.0),
        (1.0, -4 / 3, 1 / 3, 0.0),
        (2.0, -4 / 3, -2 / 3, 0.0),
        (-2.0, 5 / 3, -2 / 3, 1.0),
    ),
    drift_drift=((), (1.0,), (1 / 4, 1 / 4)),
    drift_noise=((), (0.0,), (1.0, 1 / 2)),
    noise_drift=((), (1 / 4,), (1.0,), (0.0, 0.0, 1 / 4)),
    noise_noise=((), (-1 / 2,), (1.0,), (2.0, -1.0, 1 / 2)),
)
"""Diagonal and scalar noise: 3 drift and 4 amplitude evaluations, strong order 1.5, deterministic order 3."""

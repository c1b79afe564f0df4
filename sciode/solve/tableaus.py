"""Every explicit method; ``TABLEAUS`` finds them by name."""

from sciode.solve.classical_tableaus import (
    BOSH3,
    DOPRI5,
    DOPRI8,
    EULER,
    HEUN,
    HEUN3,
    KUTTA3,
    MIDPOINT,
    RK4,
    SSPRK3,
    TSIT5,
)
from sciode.solve.exponential_tableaus import COXMATTHEWS4, DPM2, ETD1, ETD2, HO3, KROGSTAD4, KROGSTAD43
from sciode.solve.tableau import Tableau

__all__ = [
    "BOSH3",
    "COXMATTHEWS4",
    "DOPRI5",
    "DOPRI8",
    "DPM2",
    "ETD1",
    "ETD2",
    "EULER",
    "HEUN",
    "HEUN3",
    "HO3",
    "KROGSTAD4",
    "KROGSTAD43",
    "KUTTA3",
    "MIDPOINT",
    "RK4",
    "SSPRK3",
    "TABLEAUS",
    "TSIT5",
    "Tableau",
]

TABLEAUS: dict[str, Tableau] = {
    "euler": EULER,
    "midpoint": MIDPOINT,
    "heun": HEUN,
    "heun3": HEUN3,
    "kutta3": KUTTA3,
    "bosh3": BOSH3,
    "ssprk3": SSPRK3,
    "rk4": RK4,
    "dopri5": DOPRI5,
    "tsit5": TSIT5,
    "dopri8": DOPRI8,
    "etd1": ETD1,
    "etd2": ETD2,
    "dpm2": DPM2,
    "ho3": HO3,
    "krogstad4": KROGSTAD4,
    "krogstad43": KROGSTAD43,
    "coxmatthews4": COXMATTHEWS4,
}
"""The table by which configuration files name a method."""

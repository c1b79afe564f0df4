"""The shared solver layer: every equation of the library is a :class:`Term`, and :func:`solve` integrates it."""

from sciode.solve import tableaus
from sciode.solve.api import solve
from sciode.solve.chart import IDENTITY, Chart, Cosine, Fourier, Identity
from sciode.solve.loop import FixedLoop, Solver
from sciode.solve.phi import phi, scaled_phi
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.solution import Solution, Stats, Status
from sciode.solve.tableau import Phi, Tableau, classical
from sciode.solve.term import Diagonal, Drift, Term

__all__ = [
    "IDENTITY",
    "Chart",
    "Cosine",
    "Diagonal",
    "Drift",
    "FixedLoop",
    "Fourier",
    "Identity",
    "Phi",
    "RungeKutta",
    "Solution",
    "Solver",
    "Stats",
    "Status",
    "Tableau",
    "Term",
    "classical",
    "phi",
    "scaled_phi",
    "solve",
    "tableaus",
]

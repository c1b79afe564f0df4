"""The shared solver layer: every equation of the library is a :class:`Term`, and :func:`solve` integrates it."""

from sciode.solve import tableaus
from sciode.solve.adjoint import Adjoint, Direct
from sciode.solve.api import Save, solve
from sciode.solve.backends import TorchDiffEq, TorchSDE
from sciode.solve.capture import Capture, Compiled, CudaGraph
from sciode.solve.chart import IDENTITY, Chart, Cosine, Fourier, Identity
from sciode.solve.checkpointed import Checkpointed
from sciode.solve.control import Controller, Ladder, Pid
from sciode.solve.events import Event, Found
from sciode.solve.loop import FixedLoop
from sciode.solve.noise import Noise
from sciode.solve.phi import phi, scaled_phi
from sciode.solve.reversible import Reversible
from sciode.solve.reversible_adjoint import ReversibleAdjoint
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.solution import Solution, Stats, Status
from sciode.solve.step import At, Solver
from sciode.solve.steps import Steps
from sciode.solve.tableau import Phi, Tableau, classical
from sciode.solve.term import Diagonal, Drift, Term

__all__ = [
    "IDENTITY",
    "Adjoint",
    "At",
    "Capture",
    "Chart",
    "Checkpointed",
    "Compiled",
    "Controller",
    "Cosine",
    "CudaGraph",
    "Diagonal",
    "Direct",
    "Drift",
    "Event",
    "FixedLoop",
    "Found",
    "Fourier",
    "Identity",
    "Ladder",
    "Noise",
    "Phi",
    "Pid",
    "Reversible",
    "ReversibleAdjoint",
    "RungeKutta",
    "Save",
    "Solution",
    "Solver",
    "Stats",
    "Status",
    "Steps",
    "Tableau",
    "Term",
    "TorchDiffEq",
    "TorchSDE",
    "classical",
    "phi",
    "scaled_phi",
    "solve",
    "tableaus",
]

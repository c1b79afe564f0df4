"""The shared solver layer: every equation of the library is a :class:`Term`, and :func:`solve` integrates it."""

from sciode.solve import stochastic_tableaus, tableaus
from sciode.solve.adjoint import Adjoint, Direct
from sciode.solve.api import Save, solve
from sciode.solve.backends import TorchDiffEq, TorchSDE
from sciode.solve.brownian import BrownianTree
from sciode.solve.capture import Capture, Compiled, CudaGraph
from sciode.solve.chart import IDENTITY, Chart, Cosine, Fourier, Identity
from sciode.solve.checkpointed import Checkpointed
from sciode.solve.compiled_run import CompiledLoop
from sciode.solve.continuous import Continuous
from sciode.solve.control import Controller, Ladder, Pid
from sciode.solve.driver import Coarse, Field, Generator, Path
from sciode.solve.events import Event, Found
from sciode.solve.exponential_euler import ExponentialEulerMaruyama
from sciode.solve.fractional import Fractional, fractional
from sciode.solve.implicit import Implicit
from sciode.solve.implicit_tableaus import IMPLICIT_EULER, KVAERNO3, KVAERNO5, TR_BDF2, ImplicitTableau
from sciode.solve.linear import Dense, Gmres, LinearSolver
from sciode.solve.loop import FixedLoop
from sciode.solve.moments import EXACT, HALVED, MIDPOINT, PLMS, TRAPEZOID, Exact, Frozen, MomentRule
from sciode.solve.multistep import Adams
from sciode.solve.newton import Newton
from sciode.solve.noise import Noise
from sciode.solve.phi import phi, scaled_phi
from sciode.solve.quadrature import Quadrature
from sciode.solve.recurrence import Recurrence, Row
from sciode.solve.reversible import Copies, Reversible
from sciode.solve.reversible_adjoint import ReversibleAdjoint
from sciode.solve.reversible_heun import ReversibleHeun
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.solution import Solution, Stats, Status
from sciode.solve.srk import StochasticRungeKutta
from sciode.solve.step import At, Place, Solver
from sciode.solve.steps import Steps
from sciode.solve.stochastic import EulerMaruyama, Milstein, StochasticHeun, by_difference, by_jvp
from sciode.solve.tableau import Phi, Tableau, classical
from sciode.solve.term import Diagonal, Drift, Scaled, Term

__all__ = [
    "EXACT",
    "HALVED",
    "IDENTITY",
    "IMPLICIT_EULER",
    "KVAERNO3",
    "KVAERNO5",
    "MIDPOINT",
    "PLMS",
    "TRAPEZOID",
    "TR_BDF2",
    "Adams",
    "Adjoint",
    "At",
    "BrownianTree",
    "Capture",
    "Chart",
    "Checkpointed",
    "Coarse",
    "Compiled",
    "CompiledLoop",
    "Continuous",
    "Controller",
    "Copies",
    "Cosine",
    "CudaGraph",
    "Dense",
    "Diagonal",
    "Direct",
    "Drift",
    "EulerMaruyama",
    "Event",
    "Exact",
    "ExponentialEulerMaruyama",
    "Field",
    "FixedLoop",
    "Found",
    "Fourier",
    "Fractional",
    "Frozen",
    "Generator",
    "Gmres",
    "Identity",
    "Implicit",
    "ImplicitTableau",
    "Ladder",
    "LinearSolver",
    "Milstein",
    "MomentRule",
    "Newton",
    "Noise",
    "Path",
    "Phi",
    "Pid",
    "Place",
    "Quadrature",
    "Recurrence",
    "Reversible",
    "ReversibleAdjoint",
    "ReversibleHeun",
    "Row",
    "RungeKutta",
    "Save",
    "Scaled",
    "Solution",
    "Solver",
    "Stats",
    "Status",
    "Steps",
    "StochasticHeun",
    "StochasticRungeKutta",
    "Tableau",
    "Term",
    "TorchDiffEq",
    "TorchSDE",
    "by_difference",
    "by_jvp",
    "classical",
    "fractional",
    "phi",
    "scaled_phi",
    "solve",
    "stochastic_tableaus",
    "tableaus",
]

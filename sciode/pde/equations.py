"""The table by which recipes, suites and the command line name an equation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sciode.pde.advection import advection
from sciode.pde.allen_cahn import allen_cahn
from sciode.pde.burgers import burgers
from sciode.pde.euler import euler
from sciode.pde.incompressible import incompressible_flow, tracer_flow
from sciode.pde.kdv import kdv
from sciode.pde.kuramoto_sivashinsky import kuramoto_sivashinsky
from sciode.pde.navier_stokes import navier_stokes
from sciode.pde.reaction_diffusion import fisher_kpp, fitzhugh_nagumo
from sciode.pde.shallow_water import shallow_water
from sciode.pde.steady import darcy_problem, helmholtz_problem, poisson_problem
from sciode.pde.wave import wave
from sciode.solve import RungeKutta, Solver, Term, tableaus


@dataclass(frozen=True)
class Equation:
    """An equation as configuration sees it.

    ``build(points=, length=, **parameters)`` returns its Term; ``cell_centred`` grids start half a cell in, from
    the ``corner`` of the box, in lengths. ``averages``: a state holds means over cells, so a coarser one is made
    by averaging. ``solver`` is what recipes integrate with; None takes the default of :func:`solve`. ``varied``
    names the arguments of ``build`` that may be tensors, one value for each sample.
    """

    build: Callable[..., Term]
    dimensions: int
    fields: tuple[str, ...]
    length: float
    cell_centred: bool = False
    corner: float = 0.0
    boundary: str = "periodic"
    averages: bool = False
    solver: Solver | None = None
    varied: tuple[str, ...] = ()


def _volumes(
    build: Callable[..., Term], fields: tuple[str, ...], length: float, boundary: str, corner: float = 0.0
) -> Equation:
    """Return the entry of an equation solved by finite volumes, on a line or a square as its fields say."""
    dimensions = sum(name.startswith("momentum") for name in fields)

    def on_box(points: int, length: float, **parameters: float) -> Term:
        return build((points,) * dimensions, length, boundary=boundary, **parameters)

    solver = RungeKutta(tableaus.SSPRK3)  # keeps positive what one Euler step keeps positive
    return Equation(on_box, dimensions, fields, length, True, corner, boundary, True, solver)


EQUATIONS: dict[str, Equation] = {
    "advection": Equation(advection, 1, ("u",), 1.0),
    "allen_cahn": Equation(allen_cahn, 2, ("phase",), 1.0),
    "burgers": Equation(burgers, 1, ("u",), 1.0),
    "fisher_kpp": Equation(fisher_kpp, 1, ("u",), 1.0),
    "incompressible_flow": Equation(incompressible_flow, 2, ("velocity_x", "velocity_y"), 1.0),
    "fitzhugh_nagumo": Equation(fitzhugh_nagumo, 2, ("activator", "inhibitor"), 2.0, True, -0.5, "wall"),
    "kdv": Equation(kdv, 1, ("u",), 32.0),
    "kuramoto_sivashinsky": Equation(
        kuramoto_sivashinsky, 1, ("u",), 22.0, varied=("length", "pace", "viscosity")
    ),
    "euler_line": _volumes(euler, ("density", "momentum_x", "energy"), 1.0, "outflow"),
    "euler_plane": _volumes(euler, ("density", "momentum_x", "momentum_y", "energy"), 1.0, "periodic"),
    "shallow_water": _volumes(shallow_water, ("depth", "momentum_x", "momentum_y"), 5.0, "outflow", -0.5),
    "navier_stokes": Equation(navier_stokes, 2, ("vorticity",), 2 * math.pi),
    "tracer_flow": Equation(tracer_flow, 2, ("velocity_x", "velocity_y", "tracer"), 1.0),
    "wave": Equation(wave, 2, ("displacement", "rate", "speed"), 1.0),
}


@dataclass(frozen=True)
class Steady:
    """A steady problem as configuration sees it: a map from inputs to solutions, not an evolution.

    ``solve(inputs, length=, **parameters)`` takes and returns ``"b c n n"``. Recipes store the inputs as time 0
    and the solution as time 1. ``cell_centred`` grids start half a cell in; the others include the border.
    """

    solve: Callable[..., Tensor]
    fields: tuple[str, ...]
    dimensions: int = 2
    length: float = 1.0
    cell_centred: bool = False
    corner: ClassVar[float] = 0.0
    boundary: ClassVar[str] = "wall"
    averages: ClassVar[bool] = False
    solver: ClassVar[None] = None


STEADY: dict[str, Steady] = {
    "darcy": Steady(darcy_problem, ("pressure",), cell_centred=True),
    "helmholtz": Steady(helmholtz_problem, ("solution", "border")),
    "poisson": Steady(poisson_problem, ("solution",)),
}

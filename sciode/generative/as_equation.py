"""A sampler's equation, solved in its chart: for adjoints that need an equation and not rows of numbers."""

import math

from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.coordinates import Coordinates, term
from sciode.generative.denoiser import Denoise
from sciode.generative.grid import Grid
from sciode.solve import Adjoint, Save, Solver, solve


def solve_as_equation(
    grid: Grid,
    coordinates: Coordinates,
    solver: Solver,
    denoise: Denoise,
    x: Tensor,
    adjoint: Adjoint,
    path: bool,
) -> Tensor:
    """Return the state at the end of the grid, or with ``path`` at all its times ``"b k ..."``.

    Raises
    ------
    InputError
        For a grid that ends at zero noise, where the chart is singular.
    """
    if grid.ends_at_zero:
        raise InputError("the equation in its chart needs an end above zero noise: give end=1e-3, for example")
    equation = term(denoise, grid.schedule, coordinates)
    centre = 0.0 if grid.schedule.centre is None else grid.schedule.centre.to(x)
    solution = solve(equation, x - centre, grid.t, solver=solver, dt=math.inf, adjoint=adjoint, save=Save.AT)
    assert isinstance(solution.y, Tensor)
    return (solution.y if path else solution.y[:, -1]) + centre

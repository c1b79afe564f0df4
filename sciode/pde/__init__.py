"""Equations as Terms: each about a page, each solved by :func:`sciode.solve.solve` like everything else."""

from sciode.pde import exact, initial
from sciode.pde.advection import advection
from sciode.pde.burgers import burgers
from sciode.pde.equations import EQUATIONS, Equation
from sciode.pde.kdv import kdv
from sciode.pde.kuramoto_sivashinsky import kuramoto_sivashinsky
from sciode.pde.navier_stokes import navier_stokes, velocity
from sciode.pde.reaction_diffusion import fisher_kpp, fitzhugh_nagumo

__all__ = [
    "EQUATIONS",
    "Equation",
    "advection",
    "burgers",
    "exact",
    "fisher_kpp",
    "fitzhugh_nagumo",
    "initial",
    "kdv",
    "kuramoto_sivashinsky",
    "navier_stokes",
    "velocity",
]

"""Equations as Terms: each about a page, each solved by :func:`sciode.solve.solve` like everything else."""

from sciode.pde import exact, initial, initial_flow
from sciode.pde.advection import advection
from sciode.pde.allen_cahn import allen_cahn, allen_cahn_energy
from sciode.pde.burgers import burgers
from sciode.pde.closed import CLOSED, Closed
from sciode.pde.elliptic import darcy, helmholtz, poisson
from sciode.pde.equations import EQUATIONS, STEADY, Equation, Steady
from sciode.pde.euler import euler, euler_step
from sciode.pde.exact_riemann import dam_break, exact_riemann
from sciode.pde.families import FAMILIES
from sciode.pde.incompressible import divergence, incompressible_flow, project, tracer_flow, vorticity
from sciode.pde.kdv import kdv
from sciode.pde.kuramoto_sivashinsky import kuramoto_sivashinsky
from sciode.pde.navier_stokes import navier_stokes, velocity
from sciode.pde.porous_medium import end_fluxes, porous_medium, power, switched
from sciode.pde.reaction_diffusion import fisher_kpp, fitzhugh_nagumo
from sciode.pde.shallow_water import shallow_water, shallow_water_step
from sciode.pde.thermoacoustics import Combustor, thermoacoustic
from sciode.pde.wave import wave, wave_energy

__all__ = [
    "CLOSED",
    "EQUATIONS",
    "FAMILIES",
    "STEADY",
    "Closed",
    "Combustor",
    "Equation",
    "Steady",
    "advection",
    "allen_cahn",
    "allen_cahn_energy",
    "burgers",
    "dam_break",
    "darcy",
    "divergence",
    "end_fluxes",
    "euler",
    "euler_step",
    "exact",
    "exact_riemann",
    "fisher_kpp",
    "fitzhugh_nagumo",
    "helmholtz",
    "incompressible_flow",
    "initial",
    "initial_flow",
    "kdv",
    "kuramoto_sivashinsky",
    "navier_stokes",
    "poisson",
    "porous_medium",
    "power",
    "project",
    "shallow_water",
    "shallow_water_step",
    "switched",
    "thermoacoustic",
    "tracer_flow",
    "velocity",
    "vorticity",
    "wave",
    "wave_energy",
]

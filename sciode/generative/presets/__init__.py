"""The samplers of the field: each names coordinates, a method and a grid.

Shared keywords:

``steps``
    Number of steps of the grid; for methods with one evaluation a step, of evaluations.
``spacing``, ``begin``, ``end``
    The grid, see :func:`sciode.generative.grid.grid`. ``end`` is a diffusion time, or "zero".
``final``
    "auto", "keep" or "lower": whether the order falls at the last steps.
``form``
    Which of the forms of a method that exist: "full", "taylor", "midpoint", "published".
``eta``
    Strength of the noise of the reverse equation; 0 is the deterministic sampler.
"""

from sciode.generative.presets.adaptive import dpm_solver_adaptive, probability_flow
from sciode.generative.presets.dc import Compensation, dc_solver, fingerprint, fit_compensation
from sciode.generative.presets.deis import deis, pndm
from sciode.generative.presets.dpm import dpm_solver, dpm_solver_pp, mr_sampler
from sciode.generative.presets.first import ddim, euler, rf_solver
from sciode.generative.presets.heun import heun, pfgmpp
from sciode.generative.presets.interpolant import interpolant_sde
from sciode.generative.presets.mcmc import denoising_mcmc
from sciode.generative.presets.reversible import reversible
from sciode.generative.presets.score_sde import predictor_corrector
from sciode.generative.presets.seeds import seeds
from sciode.generative.presets.unipc import unipc
from sciode.generative.presets.usf import known_schedules, records_of, usf
from sciode.generative.presets.v3 import dpm_solver_v3

__all__ = [
    "Compensation",
    "dc_solver",
    "ddim",
    "deis",
    "denoising_mcmc",
    "dpm_solver",
    "dpm_solver_adaptive",
    "dpm_solver_pp",
    "dpm_solver_v3",
    "euler",
    "fingerprint",
    "fit_compensation",
    "heun",
    "interpolant_sde",
    "known_schedules",
    "mr_sampler",
    "pfgmpp",
    "pndm",
    "predictor_corrector",
    "probability_flow",
    "records_of",
    "reversible",
    "rf_solver",
    "seeds",
    "unipc",
    "usf",
]

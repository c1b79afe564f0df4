"""Diffusion and flow models, trained and sampled on the shared solver layer.

Conventions: t runs from 0 (noise) to 1 (data); x_t = alpha x0 + sigma eps; a denoiser takes (x, t) and returns x0.
"""

from sciode.generative import presets
from sciode.generative.adaptive import AdaptiveSampler
from sciode.generative.coordinates import DATA, NOISE, RHO, TIME, Coordinates, DiffusionChart, term
from sciode.generative.denoiser import Denoise, Denoiser, Guidance, Prediction, discrete_label
from sciode.generative.fokker_planck import Potential, denoiser_of, residual
from sciode.generative.grid import SPACINGS, Grid, grid
from sciode.generative.guidance import (
    ClassifierFree,
    Clip,
    Inpaint,
    Likelihood,
    Project,
    Threshold,
    TimeShift,
)
from sciode.generative.hooks import Hook
from sciode.generative.interop import Imported, SciodeScheduler, from_diffusers
from sciode.generative.lanes import Lanes
from sciode.generative.likelihood import bits_per_dimension
from sciode.generative.mcmc import DenoisingMCMC
from sciode.generative.noise_level import NoiseLevel, level_matching
from sciode.generative.noise_source import row_noise, sample_seeds
from sciode.generative.objectives import (
    LogNormalTimes,
    Times,
    UniformTimes,
    Weighting,
    denoising,
    flow_matching,
    potential_matching,
)
from sciode.generative.paths import EDM, VE, LinearPath
from sciode.generative.pfgm import Points, heavy_tailed
from sciode.generative.plan import Plan
from sciode.generative.reversible import ReversibleSampler
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.generative.schedules import VP, Cosine, SubVP
from sciode.generative.schedules_of_data import MeanReverting, Refinement, Tabulated
from sciode.generative.search import Found, search_schedule
from sciode.generative.statistics import Statistics, fit_statistics
from sciode.generative.unified import StepRecord, load_records, save_records

__all__ = [
    "DATA",
    "EDM",
    "NOISE",
    "RHO",
    "SPACINGS",
    "TIME",
    "VE",
    "VP",
    "AdaptiveSampler",
    "ClassifierFree",
    "Clip",
    "Coordinates",
    "Cosine",
    "Denoise",
    "Denoiser",
    "DenoisingMCMC",
    "DiffusionChart",
    "Found",
    "Grid",
    "Guidance",
    "Hook",
    "Imported",
    "Inpaint",
    "Lanes",
    "Likelihood",
    "LinearPath",
    "LogNormalTimes",
    "MeanReverting",
    "NoiseLevel",
    "Plan",
    "Points",
    "Potential",
    "Prediction",
    "Project",
    "Refinement",
    "ReversibleSampler",
    "Sampler",
    "Schedule",
    "SciodeScheduler",
    "Statistics",
    "StepRecord",
    "SubVP",
    "Tabulated",
    "Threshold",
    "TimeShift",
    "Times",
    "UniformTimes",
    "Weighting",
    "bits_per_dimension",
    "denoiser_of",
    "denoising",
    "discrete_label",
    "fit_statistics",
    "flow_matching",
    "from_diffusers",
    "grid",
    "heavy_tailed",
    "level_matching",
    "load_records",
    "potential_matching",
    "presets",
    "residual",
    "row_noise",
    "sample_seeds",
    "save_records",
    "search_schedule",
    "term",
]

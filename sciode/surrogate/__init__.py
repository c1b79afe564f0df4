"""Surrogates: maps from a state to a later one, be they networks or numerical solvers."""

from sciode.surrogate.base import Constraint, Persistence, Surrogate
from sciode.surrogate.corrector import Corrector
from sciode.surrogate.dilated import DilatedResNet
from sciode.surrogate.emulator import Emulator
from sciode.surrogate.fno import FNO
from sciode.surrogate.history import History
from sciode.surrogate.modern_unet import ModernUNet
from sciode.surrogate.poseidon import Poseidon
from sciode.surrogate.published import load_published
from sciode.surrogate.refiner import Refiner
from sciode.surrogate.rollout import LeadTimeWarning, ParameterWarning, rollout
from sciode.surrogate.stepper import stepper
from sciode.surrogate.streaming import Arrival, stream
from sciode.surrogate.table import build, load_surrogate, surrogates
from sciode.surrogate.unet import UNet

__all__ = [
    "FNO",
    "Arrival",
    "Constraint",
    "Corrector",
    "DilatedResNet",
    "Emulator",
    "History",
    "LeadTimeWarning",
    "ModernUNet",
    "ParameterWarning",
    "Persistence",
    "Poseidon",
    "Refiner",
    "Surrogate",
    "UNet",
    "build",
    "load_published",
    "load_surrogate",
    "rollout",
    "stepper",
    "stream",
    "surrogates",
]

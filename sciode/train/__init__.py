"""Training of surrogates: one call, one process or many, killed and resumed at will."""

from sciode.train.config import FitConfig
from sciode.train.errors import DivergedError
from sciode.train.fit import History, fit
from sciode.train.objective import Loss, Trainable, relative_l2

__all__ = ["DivergedError", "FitConfig", "History", "Loss", "Trainable", "fit", "relative_l2"]

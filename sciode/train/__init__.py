"""Training of surrogates and of generative models: one call, one process or many, killed and resumed at will."""

from sciode.train.config import FitConfig, all_to_all
from sciode.train.denoise import Denoises, DenoisingTask
from sciode.train.errors import DivergedError
from sciode.train.fit import History, fit
from sciode.train.objective import Loss, RelativeL1, relative_l2
from sciode.train.sobolev import Sobolev
from sciode.train.task import Task
from sciode.train.trainable import Trainable

__all__ = [
    "Denoises",
    "DenoisingTask",
    "DivergedError",
    "FitConfig",
    "History",
    "Loss",
    "RelativeL1",
    "Sobolev",
    "Task",
    "Trainable",
    "all_to_all",
    "fit",
    "relative_l2",
]

"""Neural processes: distributions over functions, learnt from many and conditioned on points of one."""

from sciode.processes.attention import Attend
from sciode.processes.attentive import AttentiveProcess, load_process
from sciode.processes.gaussian import GaussianProcess
from sciode.processes.mixture import Mixture, together
from sciode.processes.points import RESIDUALS, FieldPoints

__all__ = [
    "RESIDUALS",
    "Attend",
    "AttentiveProcess",
    "FieldPoints",
    "GaussianProcess",
    "Mixture",
    "load_process",
    "together",
]

"""Generative models of fields: trained on a file of trajectories, sampled, and set beside the data."""

from sciode.synthesis.compare import compare
from sciode.synthesis.model import FieldModel
from sciode.synthesis.run import Synthesis, synthesize
from sciode.synthesis.sampling import SAMPLERS, conserved_mean, gaussian_fields, sample_fields

__all__ = [
    "SAMPLERS",
    "FieldModel",
    "Synthesis",
    "compare",
    "conserved_mean",
    "gaussian_fields",
    "sample_fields",
    "synthesize",
]

"""Other libraries' samplers, read as ours, and ours with another library's face."""

from sciode.generative.interop.read import Imported, from_diffusers
from sciode.generative.interop.scheduler import SciodeScheduler, Stepped

__all__ = ["Imported", "SciodeScheduler", "Stepped", "from_diffusers"]

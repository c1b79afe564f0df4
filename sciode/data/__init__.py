"""Trajectory files: one lazy view "b t c *n" of every schema; splits, windows, normalisation, writing, checks."""

from sciode.data.convert import convert
from sciode.data.coordinates import LayoutWarning
from sciode.data.duplicates import Run, duplicates
from sciode.data.families import Families, subset
from sciode.data.inspect import Description, inspect
from sciode.data.normalise import Channelwise
from sciode.data.space import decimate, resample
from sciode.data.split import Split, split
from sciode.data.trajectories import Trajectories, open_trajectories
from sciode.data.validate import Problem, validate
from sciode.data.windows import Windows
from sciode.data.write import write_trajectories

__all__ = [
    "Channelwise",
    "Description",
    "Families",
    "LayoutWarning",
    "Problem",
    "Run",
    "Split",
    "Trajectories",
    "Windows",
    "convert",
    "decimate",
    "duplicates",
    "inspect",
    "open_trajectories",
    "resample",
    "split",
    "subset",
    "validate",
    "write_trajectories",
]

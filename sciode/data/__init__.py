"""Trajectory files: one lazy view "b t c *n" of every schema, splits, windows, normalisation, writing, checking."""

from sciode.data.trajectories import Trajectories, open_trajectories
from sciode.data.write import write_trajectories

__all__ = [
    "Trajectories",
    "open_trajectories",
    "write_trajectories",
]

"""Forecasts as netCDF with named axes: what figures are drawn from, and what users open in xarray."""

from pathlib import Path

import numpy as np
import xarray as xr
from torch import Tensor

from sciode.bench.problems import Problem
from sciode.data.tables import to_dataset, write_netcdf


def write_rollout(path: Path, states: Tensor, problem: Problem, title: str) -> None:
    """Write trajectories "b t c *n", the initial state first, with a variable for each field."""
    data = problem.data
    table = to_dataset(
        states,
        data.fields,
        data.times[:: problem.entry.lead][: states.shape[1]],
        data.grid,
        trajectories=np.asarray(problem.split.test)[: len(states)],
        attrs={"title": title, "dataset": problem.entry.name},
    )
    write_netcdf(path, table)


def read_rollout(path: Path) -> xr.Dataset:
    """Read one back, whole."""
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()


def truth_path(folder: Path, dataset: str) -> Path:
    """Where the true trajectories stand that the forecasts in ``rollouts/`` are compared with."""
    return folder / "rollouts" / f"{dataset}--truth.nc"

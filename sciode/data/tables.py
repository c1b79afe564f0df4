"""Trajectories with named axes, for people: xarray, and netCDF on disk. The one module here that needs xarray."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.files import atomic_path
from sciode.data.layout import SPACE


def to_dataset(
    u: Tensor,
    fields: Sequence[str],
    times: ArrayLike,
    grid: Sequence[ArrayLike],
    *,
    trajectories: ArrayLike | None = None,
    units: Mapping[str, str] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Name the axes of trajectories "b t c *n": one variable per field, dims (trajectory, time, x[, y[, z]]).

    Parameters
    ----------
    u
        "b t c *n".
    fields
        Variable names, one per channel.
    times, grid
        Coordinates: ``[t]``, and one array per space axis.
    trajectories
        Trajectory ids; 0, 1, ... by default.
    units
        Unit of a field, of ``time``, or of ``x``, ``y``, ``z``, by name.
    attrs
        Attributes of the data set.

    Examples
    --------
    >>> import torch
    >>> table = to_dataset(torch.zeros(2, 3, 1, 4), ["u"], [0, 1, 2], [[0, 1, 2, 3]], units={"u": "m/s"})
    >>> table["u"].dims, table["u"].attrs
    (('trajectory', 'time', 'x'), {'units': 'm/s'})
    """
    rank = u.dim() - 3
    if not 1 <= rank <= 3 or len(fields) != u.shape[2] or len(grid) != rank:
        raise InputError(
            f"expected b t c *n with {len(fields)} channels and {len(grid)} space axes, "
            f"found shape {list(u.shape)}"
        )
    dims = ("trajectory", "time", *SPACE[:rank])
    ids = np.arange(u.shape[0]) if trajectories is None else np.asarray(trajectories)
    coordinates = {name: np.asarray(c) for name, c in zip(dims, (ids, times, *grid), strict=True)}
    sizes = (u.shape[0], u.shape[1], *u.shape[3:])
    for name, size in zip(dims, sizes, strict=True):
        if coordinates[name].shape != (size,):
            raise InputError(f"{name}: expected {size} coordinates, found shape {list(coordinates[name].shape)}")
    values = u.detach().cpu().numpy()
    table = xr.Dataset({name: (dims, values[:, :, i]) for i, name in enumerate(fields)}, coordinates)
    for name, unit in (units or {}).items():
        if name not in table.variables:
            raise InputError(
                f"units name {name!r}, which is no variable; known: {', '.join(map(str, table.variables))}"
            )
        table[name].attrs["units"] = unit
    return table.assign_attrs({key: _attribute(value) for key, value in (attrs or {}).items()})


def write_netcdf(path: str | Path, table: xr.Dataset) -> Path:
    """Write ``table`` as netCDF 4, atomically."""
    path = Path(path)
    with atomic_path(path) as partial:
        table.to_netcdf(partial, engine="h5netcdf")
    return path


def _attribute(value: Any) -> Any:
    """Return what netCDF can hold: numbers, text, lists of them; anything else as JSON text."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return value
    flat = isinstance(value, (list, tuple)) and len({type(entry) for entry in value}) == 1
    if flat and isinstance(value[0], (int, float, str)):
        return list(value)
    return json.dumps(value)

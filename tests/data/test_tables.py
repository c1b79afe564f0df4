from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from sciode.core.errors import InputError
from sciode.data.tables import to_dataset, write_netcdf
from tests.data import files


def test_axes_get_names_and_survive_netcdf(tmp_path: Path) -> None:
    u = torch.from_numpy(files.noise(2, 3, 2, 4, 5))
    grid = [np.arange(4) / 4, np.arange(5) / 5]
    table = to_dataset(
        u, ["h", "w"], np.arange(3) * 0.5, grid,
        trajectories=[7, 9], units={"h": "m", "x": "km"},
        attrs={"model": "fno", "nested": {"a": 1}, "seeds": [1, 2]},
    )  # fmt: skip
    assert table["w"].dims == ("trajectory", "time", "x", "y")
    np.testing.assert_array_equal(table["w"].sel(trajectory=9, time=0.5).values, u[1, 1, 1].numpy())
    path = write_netcdf(tmp_path / "t.nc", table)
    with xr.open_dataset(path, engine="h5netcdf") as again:
        xr.testing.assert_equal(again.load(), table)
        assert again["h"].attrs["units"] == "m" and again["x"].attrs["units"] == "km"
        assert again.attrs["model"] == "fno" and again.attrs["nested"] == '{"a": 1}'
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.nc"]


def test_what_is_refused() -> None:
    u = torch.zeros(2, 3, 1, 4)
    with pytest.raises(InputError, match="2 channels and 1 space axes"):
        to_dataset(u, ["a", "b"], range(3), [range(4)])
    with pytest.raises(InputError, match="time: expected 3"):
        to_dataset(u, ["a"], range(4), [range(4)])
    with pytest.raises(InputError, match="no variable"):
        to_dataset(u, ["a"], range(3), [range(4)], units={"b": "m"})

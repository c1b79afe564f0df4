"""The view of xarray, and splits by run."""

import functools
import operator
from pathlib import Path

import numpy as np
import pytest

from sciode.core.errors import InputError, UnknownName
from sciode.data.logs import Channel, LogWriter, SensorLog
from sciode.data.sensor_log import aligned, split_runs
from tests.data.logs.test_logs import START, engine


def test_channels_on_one_clock(tmp_path: Path) -> None:
    run = SensorLog(engine(tmp_path / "a.h5"))["r0"]
    data = aligned(run, 50.0, start=0.5, stop=1.5)
    assert dict(data.sizes) == {"time": 50} and data.attrs["run"] == "r0"
    assert data.p.attrs == {"units": "bar", "long_name": "p", "role": "target"}
    at = int(np.flatnonzero(run["t"].read().time == 1.0)[0])
    # known 0.05 s later, so the tick at 1.04 s still sees the sample before
    assert float(data.t.sel(time=1.06)) == pytest.approx(float(run["t"].read().values[at]))
    assert float(data.t.sel(time=1.04)) == pytest.approx(float(run["t"].read().values[at - 1]))
    assert float(data.t_age.sel(time=1.04)) == pytest.approx(0.14)
    assert float(data.mixture_ratio) == 6.0
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")  # what it says can be stored


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    run = SensorLog(engine(tmp_path / "a.h5"))["r0"]
    data = aligned(run, 10.0, ["v"], how={"v": "linear"})
    assert set(data.data_vars) == {"v", "v_good", "v_age"}
    assert float(data.v.sel(time=0.7, method="nearest")) == pytest.approx(0.7 / 1.3, abs=1e-6)
    with pytest.raises(UnknownName, match="'v'"):
        aligned(run, 10.0, ["vv"])
    with pytest.raises(InputError, match="no samples from 5 s to 4 s"):
        aligned(run, 10.0, start=5.0, stop=4.0)


def many(path: Path, count: int, **first: str) -> SensorLog:
    with LogWriter(path) as log:
        for i in range(count):
            run = log.run(f"r{i:02d}", start=START, **(first if i == 0 else {}))
            run.rate("a", [Channel("p")], sample_rate=1.0).append({"p": np.arange(5.0)})
    return SensorLog(path)


def test_a_run_is_on_one_side(tmp_path: Path) -> None:
    log = many(tmp_path / "a.h5", 20, split="test")
    parts = split_runs(log)
    assert "r00" in parts["test"]
    assert sorted(functools.reduce(operator.iadd, parts.values(), [])) == list(log.runs)
    assert [len(parts[name]) for name in ("train", "val", "test")] == [15, 2, 3]
    assert parts == split_runs(log) and parts != split_runs(log, seed=1)


def test_aborted_runs_train(tmp_path: Path) -> None:
    assert "r00" in split_runs(many(tmp_path / "a.h5", 4, status="aborted"))["train"]


def test_too_few_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 runs cannot be split into 3 parts"):
        split_runs(many(tmp_path / "a.h5", 2))
    assert split_runs(many(tmp_path / "b.h5", 3))["test"]
    with pytest.raises(InputError, match="add up to 1"):
        split_runs(many(tmp_path / "c.h5", 3), parts=(0.5, 0.1, 0.1))

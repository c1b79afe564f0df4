"""A file of 3 GiB passes through everything within 1 GiB beyond what importing torch takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PASS = """
import itertools, json, sys
import numpy as np, torch
from sciode.data import Channelwise, Windows, inspect, open_trajectories, split, validate, write_trajectories

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20

base, path, shape = peak(), sys.argv[1], (3900, 201, 1, 1024)
rng = np.random.default_rng(0)
blocks = (rng.standard_normal((10, *shape[1:]), dtype="f4") for _ in range(shape[0] // 10))
write_trajectories(path, source=blocks, shape=shape, fields=["u"], times=np.arange(201) * 0.01,
                   grid=[np.arange(1024) / 1024])
found = {"base": base, "write": peak()}
text = str(inspect(path))
found["inspect"] = peak()
problems = [str(problem) for problem in validate(path)]
found["validate"] = peak()
data = open_trajectories(path)
parts = split(data)
windows = Windows(data, parts.train, length=11)
for item in rng.integers(0, len(windows), 2000):
    windows[int(item)]
found["windows"] = peak()
Channelwise(1).fit(data, parts.train)
found["fit"] = peak()
count = sum(block.shape[0] for _, _, block in data.decimate(time=5, space=4).blocks())
count += sum(1 for _ in itertools.islice(data, 200))
found["iterate"] = peak()
print(json.dumps({"peak GiB": found, "count": count, "problems": problems, "text": text}))
"""


@pytest.mark.slow
def test_three_gibibytes_in_less_than_one(tmp_path: Path) -> None:
    path = tmp_path / "large.hdf5"
    done = subprocess.run(
        [sys.executable, "-c", PASS, str(path)], capture_output=True, text=True, check=True, timeout=900
    )
    found = json.loads(done.stdout)
    path.unlink()
    print(found["text"], found["peak GiB"], sep="\n")
    assert found["count"] == 3900 + 200 and found["problems"] == []
    beyond = max(found["peak GiB"].values()) - found["peak GiB"]["base"]
    print(f"peak {beyond:.3f} GiB beyond the imports")
    assert beyond < 1.0

"""A run killed outright goes on where it stopped, and ends with the numbers of one that was not killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sciode.bench import run_suite
from tests.bench.suite import write_suite

# Long enough that a training under way has saved itself before the kill.
LONG = """
name = "long"
seeds = [0, 1]

[datasets.waves]
path = "waves.hdf5"
rollout = 4

[models.persistence]

[models.fno]
config = { modes = 4, width = 8, layers = 2 }
train = { steps = 60, batch = 8, checkpoint_steps = 5 }
"""


def start(suite: Path, out: Path, jobs: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "sciode.cli", "bench", "run", str(suite), "--out", str(out), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "--jobs", str(jobs)], stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(pattern: str, folder: Path, process: subprocess.Popen, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, f"no {pattern} after {seconds} s"
        time.sleep(0.01)


def scores(folder: Path) -> dict:
    cells = json.loads((folder / "results.json").read_text())["cells"]
    timed = ("train_seconds", "rollout_ms")
    return {
        (cell["model"], cell["seed"]): {k: v for k, v in cell["metrics"].items() if k not in timed}
        for cell in cells
    }


def test_kill_and_go_on(tmp_path):
    suite, out = write_suite(tmp_path, LONG), tmp_path / "run"
    process = start(suite, out, jobs=1)
    wait_for("cells/waves--fno--0.json", out, process)
    wait_for("cells/waves--fno--1/checkpoints/last.safetensors", out, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*.json")}
    assert len(before) == 2
    again = start(suite, out, jobs=1)
    text, _ = again.communicate(timeout=120)
    assert again.returncode == 0 and "report:" in text
    assert before == {path: path.stat().st_mtime_ns for path in before}
    whole = scores(run_suite(suite, tmp_path / "whole", jobs=1, quiet=True))
    assert len(whole) == 3
    for cell, metrics in scores(out).items():
        missing = {name for name, value in metrics.items() if value is None}  # no high band on so few points
        assert missing == {name for name, value in whole[cell].items() if value is None}
        finite = {name: value for name, value in metrics.items() if name not in missing}
        assert finite == pytest.approx({name: whole[cell][name] for name in finite}, rel=1e-4)


@pytest.mark.slow
def test_children_end_with_a_parent_that_was_killed(tmp_path):
    suite, out = write_suite(tmp_path, LONG.replace("steps = 60", "steps = 3000")), tmp_path / "run"
    process = start(suite, out, jobs=2)
    wait_for("cells/waves--fno--*/checkpoints/last.safetensors", out, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2.0)
    states = {path: path.stat().st_mtime_ns for path in out.rglob("last.safetensors")}
    time.sleep(2.0)
    assert states == {path: path.stat().st_mtime_ns for path in states}

"""Weights spread over two processes on a CPU: the same training as in one, and the same files."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from sciode.cli import app
from sciode.core.checkpoint import load_checkpoint
from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.nn import module_tensors
from sciode.nn.sharded import local, spread_like, whole
from sciode.surrogate import Poseidon, load_surrogate
from sciode.train import fit
from sciode.train.sharding import blocks, shard
from tests.train.test_processes import ENVIRONMENT, _port, weights
from tests.train.waves import file_2d, waves_2d

SETTINGS: dict[str, Any] = {
    "width": 8,
    "depths": [2, 1],
    "heads": [1, 2],
    "skips": [1, 0],
    "window": 4,
    "patch": 2,
    "checkpointing": True,
}
OPTIONS = ["--model", "poseidon", "--batch", "8", "--epochs", "3", "--learning-rate", "0.001", "--quiet"]
OPTIONS += ["--device", "cpu", "--set", "leads=[0,1,2]"]
OPTIONS += [part for key, value in SETTINGS.items() for part in ("--set", f"model.{key}={json.dumps(value)}")]
SHARDED = ["--set", "sharded=true"]
# What a process is that stops by itself after an epoch: its first argument says after which.
STOPPED = """
import sys
from sciode.cli import main
from sciode.train.run import Run

finish, last = Run._finish_epoch, int(sys.argv[1])

def stop(self, *rest):
    finish(self, *rest)
    if self.at.epoch == last:
        sys.exit(0)

Run._finish_epoch = stop
main(sys.argv[2:])
"""


# And one that looks at what it holds, about half of all, and at the model that it gave to fit: its own class,
# whole, with the best weights.
LOOKING = """
import sys
import torch
import sciode.train
from sciode.cli import main
from sciode.core.checkpoint import load_checkpoint
from sciode.nn import module_tensors
from sciode.nn.sharded import local
from sciode.train.run import Run

fit, take_best = sciode.train.fit, Run.take_best

def weighed(self):
    count = sum(p.numel() for p in self.model.parameters())
    held = sum(local(p).numel() for p in self.model.parameters())
    averages = sum(tensor.numel() for tensor in self.average.tensors)
    moments = sum(local(state["exp_avg"]).numel() for state in self.optimizer.optimizer.state.values())
    assert held == averages == moments and 0.4 * count < held < 0.6 * count, (held, averages, moments, count)
    take_best(self)

def looked_at(model, *rest, **options):
    history = fit(model, *rest, **options)
    best = load_checkpoint(history.checkpoint)[0]
    assert type(model).__name__ == "Poseidon" and not model.training
    assert {type(p) for p in model.parameters()} == {torch.nn.Parameter}
    assert all(torch.equal(best["model." + name], tensor) for name, tensor in module_tensors(model).items())
    return history

sciode.train.fit, Run.take_best = looked_at, weighed
main(sys.argv[1:])
"""

# Another task, whose network is not the forward of the model; gradients that are clipped; fewer windows to
# validate on than processes. Spread and as copies.
TASK = """
import dataclasses
import sys
import torch
from sciode.data import open_trajectories, split
from sciode.nn import module_tensors
from sciode.synthesis import FieldModel
from sciode.train import DenoisingTask, fit

def moved(sharded):
    torch.manual_seed(0)
    data = open_trajectories(sys.argv[1])
    ids = dataclasses.replace(split(data), validation=split(data).validation[:1])
    model = FieldModel.for_data(data, width=8)
    start = {name: tensor.clone() for name, tensor in module_tensors(model).items()}
    options = {"steps": 6, "batch": 8, "starts": 1, "leads": [4], "clip": 0.01, "sharded": sharded}
    history = fit(model, data, split=ids, task=DenoisingTask(), device="cpu", quiet=True, **options)
    change = [(tensor - start[name]).flatten() for name, tensor in module_tensors(model).items() if "body" in name]
    return torch.cat(change), history

(copies, one), (spread, two) = moved(False), moved(True)
assert copies.norm() > 0.1 and (copies - spread).norm() < 0.01 * copies.norm(), (copies.norm(), spread.norm())
assert abs(one.best - two.best) < 1e-4 * one.best, (one.best, two.best)
"""


def train(file: Path, folder: Path, *more: str, processes: int = 1, script: tuple[str, ...] = ()) -> None:
    options = ["train", str(file), "-o", str(folder), *OPTIONS, *more]
    if processes == 1 and not script:  # here: a process of its own takes seconds to start
        result = CliRunner().invoke(app, options)
        assert result.exit_code == 0, result.output
    else:
        launch(*(script or ("-m", "sciode.cli")), *options, processes=processes)


def launch(*program: str, processes: int) -> None:
    launcher: list[str] = []
    if processes > 1:
        launcher += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
        launcher += ["--main_process_port", _port(), "--num_machines", "1", "--mixed_precision", "no"]
        launcher += ["--dynamo_backend", "no"]
    command = [sys.executable, *launcher, *program]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def same(one: Path, two: Path) -> None:
    """Check that two runs moved their weights alike, up to the order of summation, and moved them."""
    torch.manual_seed(derive_seed(0, "weights"))
    start = module_tensors(Poseidon(1, **SETTINGS))
    for file in ("last", "best"):
        a, b = weights(one, file), weights(two, file)
        assert a.keys() == b.keys()
        names = [name for name in start if name.startswith("network.")]
        moved = torch.stack([(a[f"model.{name}"] - start[name]).norm() for name in names]).norm()
        apart = torch.stack([(a[f"model.{name}"] - b[f"model.{name}"]).norm() for name in names]).norm()
        assert apart < 1e-3 * moved
        assert moved > 0.05 * torch.stack([start[name].norm() for name in names]).norm()
    first, second = ((folder / "metrics.jsonl").read_text().splitlines() for folder in (one, two))
    assert len(first) == len(second) == 3
    for line, other in zip(first, second, strict=True):
        a_epoch, b_epoch = json.loads(line), json.loads(other)
        assert b_epoch["train_loss"] == pytest.approx(a_epoch["train_loss"], rel=1e-5)
        assert b_epoch["validation"] == pytest.approx(a_epoch["validation"], rel=1e-5)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(file_2d(tmp_path_factory.mktemp("data"), "waves", waves_2d(12, 5, 16, (0.5, 0.2))).path)


@pytest.fixture(scope="module")
def one(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    train(file, folder)
    return folder


def test_copies_on_two_processes_do_the_training_of_one(file: Path, one: Path, tmp_path: Path) -> None:
    train(file, tmp_path / "copies", processes=2)
    same(one, tmp_path / "copies")


def test_spread_weights_are_trained_as_whole_ones(file: Path, one: Path, tmp_path: Path) -> None:
    script = tmp_path / "looking.py"
    script.write_text(LOOKING)
    train(file, tmp_path / "spread", *SHARDED, processes=2, script=(str(script),))
    same(one, tmp_path / "spread")
    model = load_surrogate(tmp_path / "spread/checkpoints/best.safetensors")
    assert isinstance(model, Poseidon)
    assert bool(torch.isfinite(model(torch.ones(1, 1, 16, 16), torch.tensor([0.05]))).all())


def test_a_run_goes_on_with_spread_weights_and_back(file: Path, one: Path, tmp_path: Path) -> None:
    """One process trains the first epoch, two with spread weights the second, one the third."""
    script, last = tmp_path / "stopped.py", tmp_path / "run/checkpoints/last.safetensors"
    script.write_text(STOPPED)
    train(file, tmp_path / "run", script=(str(script), "1"))
    assert load_checkpoint(last)[1]["progress"]["epoch"] == 1
    train(file, tmp_path / "run", *SHARDED, processes=2, script=(str(script), "2"))
    assert load_checkpoint(last)[1]["progress"]["epoch"] == 2
    train(file, tmp_path / "run")
    same(one, tmp_path / "run")


def test_another_task_with_spread_weights(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "task.py"
    script.write_text(TASK)
    launch(str(script), str(file), processes=2)


def test_one_process_is_told_so(file: Path) -> None:
    from sciode.data import open_trajectories

    data = open_trajectories(file)
    with pytest.raises(InputError, match="over processes and there is one"):
        fit(Poseidon.for_data(data, **SETTINGS), data, steps=1, sharded=True, device="cpu", quiet=True)


def test_blocks_are_the_innermost_of_lists() -> None:
    found = [type(block).__name__ for block in blocks(Poseidon(1, **SETTINGS))]
    assert sorted(set(found)) == ["ConvNeXtBlock", "PatchMerging", "PatchUnmerging", "SwinBlock"]
    assert found.count("SwinBlock") == 6


def test_plain_tensors_stay_plain() -> None:
    u = torch.ones(2)
    assert whole(u) is u and local(u) is u and spread_like(u, torch.zeros(2)) is u


def test_complex_weights_are_named() -> None:
    two = SimpleNamespace(num_processes=2, device=torch.device("cpu"), mixed_precision="no")
    model = torch.nn.Linear(1, 1, dtype=torch.complex64)
    with pytest.raises(InputError, match="takes real weights; complex ones are in weight"):
        shard(model, two)  # type: ignore[arg-type]

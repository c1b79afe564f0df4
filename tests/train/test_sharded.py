"""Weights spread over two processes on a CPU: the same training as in one, and the same files."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sciode.core.checkpoint import load_checkpoint
from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.nn import module_tensors
from sciode.nn.sharded import local, spread_like, whole
from sciode.surrogate import Poseidon, load_surrogate
from sciode.train import fit
from sciode.train.sharding import blocks, shard
from tests.train.test_processes import ENVIRONMENT, _port, run, weights
from tests.train.waves import file_2d, waves_2d

SETTINGS = {"width": 8, "depths": [2, 1], "heads": [1, 2], "skips": [1, 0], "window": 4, "patch": 2}
MODEL = ["--model", "poseidon", "--batch", "8", "--set", "leads=[0,1,2]", "--quiet", "--device", "cpu"]
MODEL += [part for key, value in SETTINGS.items() for part in ("--set", f"model.{key}={json.dumps(value)}")]


def train(file: Path, folder: Path, *more: str, processes: int = 1) -> None:
    launch = [] if processes == 1 else ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    if launch:
        launch += ["--main_process_port", _port(), "--num_machines", "1", "--mixed_precision", "no"]
        launch += ["--dynamo_backend", "no", "-m"]
    result = run(*launch, "sciode.cli", "train", str(file), "-o", str(folder), *MODEL, *more)
    assert result.returncode == 0, result.stderr


def at_start() -> dict[str, torch.Tensor]:
    torch.manual_seed(derive_seed(0, "weights"))
    return module_tensors(Poseidon(1, **SETTINGS))


def same(one: Path, two: Path) -> None:
    """Check that two runs moved their weights alike, up to the order of summation."""
    a, b, start = weights(one), weights(two), at_start()
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        if name.startswith("model.network"):
            moved = (tensor - start[name.removeprefix("model.")]).norm()
            assert moved > 0
            assert (b[name] - tensor).norm() < 0.05 * moved, name
    last = [json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1]) for folder in (one, two)]
    assert last[1]["train_loss"] == pytest.approx(last[0]["train_loss"], rel=1e-3)
    assert last[1]["validation"] == pytest.approx(last[0]["validation"], rel=2e-2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(file_2d(tmp_path_factory.mktemp("data"), "waves", waves_2d(12, 5, 16, (0.5, 0.2))).path)


def test_spread_weights_are_trained_as_whole_ones(file: Path, tmp_path: Path) -> None:
    short = ["--epochs", "3"]
    train(file, tmp_path / "one", *short)
    train(file, tmp_path / "copies", *short, processes=2)
    same(tmp_path / "one", tmp_path / "copies")
    train(file, tmp_path / "spread", *short, "--set", "sharded=true", processes=2)
    same(tmp_path / "one", tmp_path / "spread")
    model = load_surrogate(tmp_path / "spread/checkpoints/best.safetensors")
    assert isinstance(model, Poseidon)
    assert bool(torch.isfinite(model(torch.ones(1, 1, 16, 16), torch.tensor([0.05]))).all())


@pytest.mark.slow
def test_a_run_goes_on_with_spread_weights_and_back(file: Path, tmp_path: Path) -> None:
    """What one process saved in the middle two go on with, spread, and the end is that of one alone."""
    train(file, tmp_path / "whole", "--epochs", "4")
    middle = tmp_path / "middle/checkpoints/last.safetensors"
    _stopped_after_two_epochs(file, tmp_path / "middle")
    assert load_checkpoint(middle)[1]["progress"]["epoch"] == 2
    train(file, tmp_path / "middle", "--epochs", "4", "--set", "sharded=true", processes=2)
    assert load_checkpoint(middle)[1]["progress"]["epoch"] == 4
    same(tmp_path / "whole", tmp_path / "middle")


def _stopped_after_two_epochs(file: Path, folder: Path) -> None:
    code = f"""
import sys
from sciode.train.run import Run
finish = Run._finish_epoch
def stop(self, *rest):
    finish(self, *rest)
    if self.at.epoch == 2:
        sys.exit(0)
Run._finish_epoch = stop
from sciode.cli import main
main({["train", str(file), "-o", str(folder), *MODEL, "--epochs", "4"]!r})
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0


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
    two = SimpleNamespace(num_processes=2, device=torch.device("cpu"))
    model = torch.nn.Linear(1, 1, dtype=torch.complex64)
    with pytest.raises(InputError, match="takes real weights; Linear has complex ones: weight"):
        shard(model, two)  # type: ignore[arg-type]

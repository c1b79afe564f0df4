"""Training as a process of its own: killed, run again, run by two at once, and from the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sciode.cli import app
from sciode.core.checkpoint import load_checkpoint
from sciode.surrogate import load_surrogate
from tests.train.waves import wave_file

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
MODEL = ["--model", "unet", "--set", "model.width=8", "--set", "model.depth=2", "--batch", "8"]


def command(file: Path, folder: Path, *more: str) -> list[str]:
    return ["sciode.cli", "train", str(file), "-o", str(folder), "--device", "cpu", *MODEL, *more]


def weights(folder: Path, file: str = "last") -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / f"checkpoints/{file}.safetensors")[0]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )


def test_killed_and_run_again(tmp_path: Path) -> None:
    file = wave_file(tmp_path, 20, 11, 16).path
    long = ["--epochs", "6", "--set", "checkpoint_steps=10", "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", *command(file, tmp_path / "killed", *long)], env=ENVIRONMENT)
    last, deadline = tmp_path / "killed/checkpoints/last.safetensors", time.monotonic() + 120
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert load_checkpoint(last)[1]["progress"]["stopped"] is None
    for folder in ("killed", "whole"):
        result = run(*command(file, tmp_path / folder, *long))
        assert result.returncode == 0, result.stderr
    for name in ("last", "best"):
        a, b = weights(tmp_path / "killed", name), weights(tmp_path / "whole", name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert [path.name for path in last.parent.iterdir() if ".partial-" in path.name] == []


def test_two_processes_do_the_training_of_one(tmp_path: Path) -> None:
    """The batch is shared out, so the gradient is the same up to the order of summation."""
    file = wave_file(tmp_path, 12, 6, 16).path
    short = ["--epochs", "3", "--quiet"]
    # Without MPI accelerate starts several processes under its --multi_gpu launcher only; on GPUs or not is
    # then the training's own choice (--device cpu).
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", _port()]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "-m"]
    result = run(*launch, *command(file, tmp_path / "two", *short))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("best one-step error") == 1
    assert run(*command(file, tmp_path / "one", *short)).returncode == 0
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    start = weights_at_start(file)
    for name, tensor in one.items():
        if name.startswith("model.network"):
            moved = (tensor - start[name.removeprefix("model.")]).norm()
            assert (two[name] - tensor).norm() < 0.02 * moved, name
    a, b = (json.loads((tmp_path / f / "metrics.jsonl").read_text().splitlines()[-1]) for f in ("one", "two"))
    assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-3)
    assert b["validation"] == pytest.approx(a["validation"], rel=1e-3)


def weights_at_start(file: Path) -> dict[str, torch.Tensor]:
    from sciode.core.random import derive_seed
    from sciode.data import open_trajectories
    from sciode.nn import module_tensors
    from sciode.surrogate import UNet

    torch.manual_seed(derive_seed(0, "weights"))
    return module_tensors(UNet.for_data(open_trajectories(file), width=8, depth=2))


def _port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
def test_fno_trains_on_two_processes(tmp_path: Path) -> None:
    file = wave_file(tmp_path, 12, 6, 16).path
    launch = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", _port(), "-m", "sciode.cli"]
    small = ["-m", "fno", "--set", "model.width=8", "--set", "model.modes=4", "--epochs", "1", "--batch", "8"]
    result = run(*launch, "train", str(file), "-o", str(tmp_path / "two"), "--device", "cpu", *small)
    assert result.returncode == 0, result.stderr
    assert load_surrogate(tmp_path / "two/checkpoints/best.safetensors").config["modes"] == 4


def test_command_line(tmp_path: Path) -> None:
    file = wave_file(tmp_path, 10, 6, 16).path
    options = ["train", str(file), "-o", str(tmp_path / "run"), "--epochs", "1", "-q", *MODEL, "-s", "leads=[1,2]"]
    result = CliRunner().invoke(app, [*options, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "best one-step error" in result.output
    card = load_checkpoint(tmp_path / "run/checkpoints/best.safetensors")[1]
    assert card["config"]["leads"] == [1, 2]
    assert card["model"]["config"]["width"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "fnoo"], "unknown surrogate 'fnoo'; did you mean 'fno'?"),
        (["--set", "model.widht=3"], "did you mean 'width'?"),
        (["--set", "unrol=3"], "did you mean 'unroll'?"),
        (["--set", "unroll"], "--set takes KEY=VALUE"),
        (["--rule", "pdebnch"], "did you mean 'pdebench'?"),
    ],
)
def test_mistakes_on_the_command_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sciode.cli import main

    file = wave_file(tmp_path, 10, 6, 16).path
    with pytest.raises(SystemExit) as left:
        main(["train", str(file), "-o", str(tmp_path / "run"), *options])
    assert left.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "run").exists()

"""Whole trainings, small ones."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sciode.constraints import conserving, integral
from sciode.core.checkpoint import load_checkpoint
from sciode.core.errors import InputError, UnknownName
from sciode.data import Split, Trajectories
from sciode.nn import module_tensors
from sciode.surrogate import Emulator, Persistence, build, load_surrogate
from sciode.train import DivergedError, fit
from sciode.train.run import Run
from sciode.train.validate import one_step_errors
from sciode.train.windows import Held, Pairs
from tests.train.waves import wave_file

TINY = {"fno": {"modes": 6, "width": 12, "layers": 2}, "unet": {"width": 8, "depth": 2}}


class Killed(Exception):
    """Stands for a kill at a chosen step."""


def make(name: str, data: Trajectories) -> Any:
    torch.manual_seed(0)
    return build(name, data, **TINY[name])


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    original = Run._step

    def dying(self: Run, *rest: Any) -> None:
        if self.at.step == step:
            raise Killed
        original(self, *rest)

    monkeypatch.setattr(Run, "_step", dying)


def same(a: Emulator, b: Emulator) -> bool:
    other = module_tensors(b)
    return all(torch.equal(tensor, other[name]) for name, tensor in module_tensors(a).items())


def records(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "windows_per_second"} for line in lines]


def test_error(model: Any, data: Trajectories, ids: Any) -> float:
    windows = Held(data, ids, 2, Pairs(), torch.device("cpu"))
    total, count = one_step_errors(model, windows.batches([torch.arange(len(windows))])).tolist()
    return total / count


test_error.__test__ = False  # a helper, not a test


@pytest.mark.parametrize("name", TINY)
def test_learns_better_than_persistence(name: str, tmp_path: Path) -> None:
    data = wave_file(tmp_path, 24, 11, 32)
    ids = Split([*range(20)], [20, 21], [22, 23], rule="by hand")
    model = make(name, data)
    history = fit(model, data, split=ids, epochs=12, batch=16, learning_rate=4e-3, ema=0.9, quiet=True)
    change = data[[22, 23]]
    steps = (change[:, 1:] - change[:, :-1]).square().mean((2, 3)).sqrt()
    persistence = (steps / change[:, 1:].square().mean((2, 3)).sqrt()).mean().item()
    assert test_error(model, data, ids.test) < persistence / 3
    assert history.best == min(r["validation"] for r in history.records)
    assert history.best == pytest.approx(test_error(model, data, ids.validation), rel=1e-4)
    assert history.steps == 12 * (200 // 16)
    assert not model.training


@pytest.mark.parametrize(
    ("name", "step", "config"),
    [
        ("fno", 11, {}),
        ("unet", 14, {"checkpoint_steps": 3}),
        ("unet", 9, {"steps": 13, "unroll": 2, "leads": (1, 2), "memory": 0.0}),
    ],
)
def test_resumed_equals_uninterrupted(
    name: str, step: int, config: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    if "steps" not in config:
        config = {"epochs": 4, **config}
    options = {"batch": 8, "quiet": True, **config}
    whole, resumed = make(name, data), make(name, data)
    history = fit(whole, data, directory=tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            fit(resumed, data, directory=tmp_path / "killed", **options)
    saved = load_checkpoint(tmp_path / "killed/checkpoints/last.safetensors")[1]["step"]
    assert 0 < saved < step if "checkpoint_steps" not in config else saved == 12
    # Other initial weights: everything must come from the file.
    resumed = build(name, data, **TINY[name])
    again = fit(resumed, data, directory=tmp_path / "killed", **options)
    assert same(whole, resumed)
    assert again.best == history.best
    assert records(tmp_path / "whole") == records(tmp_path / "killed")
    for file in ("last", "best"):
        a, b = (
            load_checkpoint(tmp_path / f"{run}/checkpoints/{file}.safetensors")[0] for run in ("whole", "killed")
        )
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_finished_run_returns_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    first, second = make("unet", data), build("unet", data, **TINY["unet"])
    history = fit(first, data, directory=tmp_path / "run", epochs=2, quiet=True)
    kill_at(monkeypatch, 0)
    assert fit(second, data, directory=tmp_path / "run", epochs=2, quiet=True) == history
    assert same(first, second)
    with pytest.raises(Killed):
        fit(second, data, directory=tmp_path / "run", epochs=2, quiet=True, resume=False)
    assert not (tmp_path / "run/checkpoints/last.safetensors").exists()


def test_another_run_is_refused(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    run = {"directory": tmp_path / "run", "quiet": True}
    fit(make("unet", data), data, epochs=1, **run)
    with pytest.raises(InputError, match=r"differs in config.batch: 32 there, 16 here"):
        fit(make("unet", data), data, epochs=1, batch=16, **run)
    with pytest.raises(InputError, match=r"differs in config.epochs: 1 there, 2 here"):
        fit(make("unet", data), data, epochs=2, **run)
    with pytest.raises(InputError, match=r"differs in model.config.width: 8 there, 4 here"):
        fit(build("unet", data, width=4, depth=2), data, epochs=1, **run)
    with pytest.raises(InputError, match=r"differs in data"):
        fit(make("unet", data), wave_file(tmp_path, 10, 7, 16), epochs=1, **run)
    with pytest.raises(InputError, match=r"differs in split"):
        other = Split([*range(6)], [6], [7], rule="by hand")
        fit(make("unet", data), data, epochs=1, split=other, **run)
    fit(make("unet", data), data, epochs=1, memory=1.0, **run)


def test_checkpoint_alone_rebuilds_the_model(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    model = make("fno", data)
    history = fit(model, data, directory=tmp_path, epochs=2, quiet=True)
    assert history.checkpoint is not None
    again = load_surrogate(history.checkpoint)
    u, dt = data[0], torch.full((6,), data.dt)
    with torch.no_grad():
        assert torch.equal(again(u, dt), model(u, dt))
    card = load_checkpoint(history.checkpoint)[1]
    assert card["model"]["name"] == "FNO"
    assert card["config"]["epochs"] == 2
    assert card["data"]["shape"] == [10, 6, 1, 16]
    assert set(card["split"]) >= {"train", "validation", "test"}
    assert "torch" in card["versions"]


def test_stops_when_nothing_gets_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, scores = wave_file(tmp_path, 10, 6, 16), iter([0.5, 0.4, 0.45, 0.41, 0.1])
    monkeypatch.setattr(Run, "_validate", lambda self, validation: next(scores))
    history = fit(make("unet", data), data, epochs=5, patience=2, quiet=True)
    assert (history.stopped, history.best, history.best_epoch, len(history.records)) == ("patience", 0.4, 2, 4)


def test_loss_that_is_not_finite(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    calls = iter(range(1000))

    def breaking(prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean() * (float("nan") if next(calls) == 7 else 1.0)

    model = make("unet", data)
    with pytest.raises(DivergedError, match=r"not finite at step 7\. Try a smaller learning_rate"):
        fit(model, data, directory=tmp_path / "run", epochs=5, batch=8, loss=breaking, quiet=True)
    card = load_checkpoint(tmp_path / "run/checkpoints/last.safetensors")[1]
    assert card["step"] == 5
    good = load_surrogate(tmp_path / "run/checkpoints/last.safetensors")
    assert all(bool(torch.isfinite(p).all()) for p in good.parameters())


def test_streaming_reads_windows_and_not_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = wave_file(tmp_path, 20, 40, 16)
    largest = 0
    original = Trajectories.read

    def watched(self: Trajectories, which: Any, when: Any = None) -> Tensor:
        nonlocal largest
        block = original(self, which, when)
        largest = max(largest, block.numel())
        return block

    monkeypatch.setattr(Trajectories, "read", watched)
    model = make("unet", data)
    fit(model, data, steps=3, batch=4, memory=0.0, quiet=True)
    assert largest == 2 * 16
    held = make("unet", data)
    fit(held, data, steps=3, batch=4, quiet=True)
    assert same(model, held)


def test_bf16_trains(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    for name in TINY:
        history = fit(make(name, data), data, epochs=3, batch=8, precision="bf16", quiet=True)
        assert history.records[-1]["train_loss"] < history.records[0]["train_loss"]


def test_global_random_state_is_left_alone(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    model = make("unet", data)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(model, data, epochs=1, quiet=True)
    assert torch.equal(torch.rand(3), expected)


def test_mistakes_before_work_starts(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    with pytest.raises(UnknownName, match="did you mean 'epochs'"):
        fit(make("unet", data), data, epoch=1)
    with pytest.raises(InputError, match="Persistence has no parameters"):
        fit(Persistence(), data, epochs=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="patience needs validation ids"):
        fit(make("unet", data), data, split=Split([0], [], [1], rule="by hand"), patience=1)
    with pytest.raises(InputError, match="device is"):
        fit(make("unet", data), data, device="gpu")
    with pytest.raises(InputError, match="needs a GPU"):
        fit(make("unet", data), data, device="cpu", precision="fp16")


def test_without_validation_the_training_loss_judges(tmp_path: Path) -> None:
    data = wave_file(tmp_path, 10, 6, 16)
    history = fit(make("unet", data), data, split=Split([0, 1], [], [2], rule="by hand"), epochs=2, quiet=True)
    assert history.best == min(r["train_loss"] for r in history.records)


class Recording:
    """A task of long windows, which remembers what it was shown."""

    states = 5

    def __init__(self) -> None:
        self.lengths: set[int] = set()

    def __repr__(self) -> str:
        return "Recording()"

    def losses(self, model: Any, u: Tensor, dt: Tensor) -> Tensor:
        self.lengths.add(u.shape[1])
        return (model(u[:, 0], dt) - u[:, -1]).square().flatten(1).mean(1)


def test_a_task_is_validated_on_windows_of_its_own_length(tmp_path: Path) -> None:
    data, task = wave_file(tmp_path), Recording()
    history = fit(make("unet", data), data, task=task, epochs=1, batch=8, quiet=True)
    assert task.lengths == {5} and history.records[0]["validation"] > 0


def test_a_conserving_training_is_refused_where_it_has_no_meaning(tmp_path: Path) -> None:
    data = wave_file(tmp_path)
    with pytest.raises(InputError, match="a constraint is for predicted states"):
        fit(make("unet", data), data, task=Recording(), constraint=lambda u: None, epochs=1, quiet=True)  # type: ignore[arg-type, return-value]


def test_training_through_a_constraint(tmp_path: Path) -> None:
    data = wave_file(tmp_path)
    keep = partial(conserving, integral([torch.arange(data.shape[-1]) / data.shape[-1]], "periodic"))
    model = make("unet", data)
    fit(model, data, constraint=keep, epochs=8, batch=8, directory=tmp_path / "run", quiet=True)
    _, card = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert "conserving" in card["constraint"]
    u = data[:4][:, 0]
    dt = torch.full((4,), data.dt)
    with torch.no_grad():
        error = [
            (keep(u).project(f(u, dt)) - data[:4][:, 1]).square().mean().item() for f in (model, Persistence())
        ]
    assert error[0] < 0.5 * error[1]

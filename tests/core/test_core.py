"""Atomic files, names, seeds, checkpoints, progress."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sciode.core.checkpoint import load_checkpoint, save_checkpoint
from sciode.core.errors import InputError, MissingExtra, UnknownName
from sciode.core.files import atomic_path, read_json, write_json, write_text
from sciode.core.names import check_keys, lookup, require
from sciode.core.progress import progress
from sciode.core.random import derive_seed, generator


def test_atomic_write_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_write_survives_kill_and_cleans_up_after_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    code = (
        "import os, sys, time\nfrom sciode.core.files import atomic_path\n"
        f"with atomic_path({str(target)!r}) as partial:\n"
        "    partial.write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"ready"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write_text(target, "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as first:
        first.write_text("one")
        write_text(tmp_path / "a.txt", "two")
        assert first.exists()
    assert (tmp_path / "a.txt").read_text() == "one"


def test_a_finished_file_is_readable_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_json_round_trip_and_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"x": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == {"x": [1, 2.5, None]}


def test_names() -> None:
    assert lookup("a", {"a": 1}, "letter") == 1
    with pytest.raises(
        UnknownName, match=r"unknown equation 'brgers'; did you mean 'burgers'\? Known: burgers, kdv"
    ):
        lookup("brgers", {"kdv": 0, "burgers": 1}, "equation")
    with pytest.raises(UnknownName, match=r"unknown letter 'zzz'; Known: a"):
        lookup("zzz", {"a": 1}, "letter")
    with pytest.raises(UnknownName, match="'seed'"):
        check_keys(["sede"], ["seed"], "key")


def test_a_missing_extra_prints_the_command() -> None:
    with pytest.raises(MissingExtra, match=r'pip install "sciode\[ot\]"'):
        require("no_such_module_anywhere", "ot")


def test_seeds_differ_by_every_key_and_by_type() -> None:
    seeds = {derive_seed(s, *k) for s in (0, 1) for k in ((), (0,), (1,), ("0",), ("a", 0), ("a0",), (0, "a"))}
    assert len(seeds) == 14
    assert all(0 <= s < 2**63 for s in seeds)
    assert derive_seed(0, "initial", 3) == 3079624526153212051  # the streams of published files must not move
    assert torch.equal(torch.rand(3, generator=generator(1, "x")), torch.rand(3, generator=generator(1, "x")))


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    tensors = {"a": shared, "b": shared[1:], "c": torch.tensor(3), "d": torch.ones(2, dtype=torch.bfloat16)}
    save_checkpoint(tmp_path / "m.safetensors", tensors, {"step": 1, "name": "m"})
    back, card = load_checkpoint(tmp_path / "m.safetensors")
    assert card == {"step": 1, "name": "m"} == read_json(tmp_path / "m.json")
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in tensors.items())


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError, match="no checkpoint at"):
        load_checkpoint(path)
    save_checkpoint(path, {"a": torch.ones(1000)}, {})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_checkpoint(path)


def test_progress_prints_plain_lines_off_a_terminal() -> None:
    stream = io.StringIO()
    with progress("making", 3, stream=stream) as bar:
        bar.advance(1)
        bar.advance(2, "loss 0.1")
    assert stream.getvalue().startswith("making: 3/3 in ")
    assert stream.getvalue().endswith("loss 0.1\n")

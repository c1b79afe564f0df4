"""The README's Python runs as it stands, and its commands and links exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from sciode.generate import generate

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run_first_block(folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int) -> dict[str, float]:
    monkeypatch.chdir(folder)
    generate("burgers", "smoke", quiet=True)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(BLOCKS[0].replace("epochs=20", f"epochs={epochs}"), "README", "exec"), {})
    found = re.findall(r"^(\w+) nRMSE over the rollout: ([\d.e+-]+)$", out.getvalue(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_the_fifteen_lines_are_about_fifteen() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 15
    assert "epochs=20" in BLOCKS[0]


def test_the_fifteen_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = run_first_block(tmp_path, monkeypatch, epochs=1)
    assert set(scores) == {"fno", "persistence"}
    assert (tmp_path / "runs" / "first" / "checkpoints").is_dir()


@pytest.mark.slow
def test_the_fifteen_lines_beat_persistence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = run_first_block(tmp_path, monkeypatch, epochs=20)
    assert scores["fno"] < scores["persistence"] / 3


def test_the_solver_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[1], "README", "exec"), {})
    assert capsys.readouterr().out.strip() == "torch.Size([8, 101, 1, 128])"


def test_every_link_and_picture_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target

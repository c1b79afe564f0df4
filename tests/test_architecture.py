"""The house rules that a linter does not know: sizes, docstrings, waits in the solver, who may import what."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "sciode").rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 320
    for function in functions(ast.parse(text)):
        documentation = ast.get_docstring(function, clean=False) or ""
        length = function.end_lineno - function.lineno - documentation.count("\n")
        assert length <= 50, f"{function.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name not in ("__main__.py",) and path.read_text().strip():
        assert ast.get_docstring(tree), "module"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            nested = isinstance(node, ast.FunctionDef) and not _is_public_place(tree, node)
            assert nested or ast.get_docstring(node), node.name


def _is_public_place(tree: ast.Module, node: ast.FunctionDef) -> bool:
    owners = [tree, *(c for c in tree.body if isinstance(c, ast.ClassDef) and not c.name.startswith("_"))]
    return any(node in owner.body for owner in owners)


@pytest.mark.parametrize(
    "name",
    [
        "runge_kutta.py",
        "multistep.py",
        "weights.py",
        "srk.py",
        "stochastic.py",
        "exponential_euler.py",
        "brownian.py",
        "loop.py",
        "chart.py",
        "term.py",
        "phi.py",
    ],
)
def test_no_step_waits_for_the_device(name: str) -> None:
    """``.item()``, ``bool(tensor)`` and their like stop the queue of a GPU; they may stand in set-up code only."""
    allowed = {"_rates", "__post_init__", "cast", "_cast", "check_rate", "_moments", "scaled_phi", "_leaf_plan"}
    for function in functions(ast.parse((ROOT / "sciode" / "solve" / name).read_text())):
        if function.name in allowed:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("item", "tolist", "cpu", "nonzero", "numpy"), function.name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "bool", function.name


@pytest.mark.parametrize(
    ("module", "homes"), [("h5py", {"data"}), ("xarray", {"data", "bench", "forecast"}), ("typer", {"cli"})]
)
def test_outer_libraries_stay_outside(module: str, homes: set[str]) -> None:
    for path in FILES:
        if re.search(rf"^\s*(import|from) {module}\b", path.read_text(), re.MULTILINE):
            assert path.relative_to(ROOT / "sciode").parts[0] in homes, path


def test_nothing_is_pickled() -> None:
    for path in FILES:
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) (pickle|dill|joblib)\b", text, re.MULTILINE), path
        assert "torch.save(" not in text, path
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, path


@pytest.mark.parametrize("statement", ["import sciode", "import sciode.cli"])
def test_light_imports_stay_light(statement: str) -> None:
    heavy = "('torch', 'h5py', 'matplotlib', 'xarray')"
    code = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

"""The pages under docs: their Python runs and prints what is true, links exist, tables are the code's."""

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if "```python" in page.read_text()]


def identifier(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.parametrize("page", WITH_CODE, ids=identifier)
def test_the_code_of_a_page_runs_and_says_true(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, in order, in one namespace; no comparison that it prints may be false."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    out = io.StringIO()
    module = ModuleType("page")  # a real one: dataclasses and the compiler look it up
    monkeypatch.setitem(sys.modules, "page", module)
    with contextlib.redirect_stdout(out):
        for block in blocks:
            exec(compile(block, str(page), "exec"), module.__dict__)
    assert out.getvalue().strip()
    assert "False" not in out.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_tables_of_solvers_are_those_of_the_code() -> None:
    specification = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert specification is not None and specification.loader is not None
    tables = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tables)
    assert set(tables.solvers()) <= set(tables.CLASSES), "a new class of solver needs a line in docs/tables.py"
    assert tables.page() == tables.PAGE.read_text(), "run python docs/tables.py"

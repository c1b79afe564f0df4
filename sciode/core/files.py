"""Writes that a kill cannot break: a file is either the old one, whole, or the new one, whole."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MARK = ".partial-"


def clean_partial(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it. Another live writer's file is left alone."""
    for stale in path.parent.glob(f".{path.name}{_MARK}*"):
        owner = stale.name.rpartition(_MARK)[2].split("-")[0]
        if not (owner.isdigit() and _alive(int(owner))):
            stale.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the name ``path``, otherwise it goes.

    The data reach the disk before the name does (``fsync``), so a power cut cannot leave an empty file.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as partial:
    ...     _ = partial.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    clean_partial(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}{_MARK}{os.getpid()}-", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        _keep_mode(partial)
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _keep_mode(path: Path) -> None:
    # mkstemp makes 0600; a finished file has what an ordinary open() would have given it.
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))

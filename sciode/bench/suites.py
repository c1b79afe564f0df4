"""Suites by name: the shipped ones, or any TOML file."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from sciode.bench.config import DatasetEntry, ModelEntry, Pretraining, Suite
from sciode.bench.parse import parse_suite, read_toml
from sciode.core.errors import InputError
from sciode.core.names import unknown

_FOLDER = Path(str(files("sciode.bench"))) / "suites"


def suite_names() -> list[str]:
    """Return the names of the shipped suites.

    >>> suite_names()
    ['poseidon', 'poseidon-smoke', 'refiner', 'refiner-smoke', 'small', 'smoke']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_suite(suite: str | Path, seeds: tuple[int, ...] | None = None) -> Suite:
    """Read a shipped suite by name, or a suite file by path; ``seeds`` replaces those in the file.

    Paths of data in a suite file count from the file's own folder.

    Raises
    ------
    UnknownName
        For a name that is no shipped suite and no file, with the nearest shipped one.
    InputError
        For a file that is not valid.
    """
    path = _find(suite)
    try:
        loaded = parse_suite(read_toml(path))
    except InputError as error:
        raise type(error)(f"{path.name}: {error}") from error
    datasets = tuple(anchored(entry, path.parent) for entry in loaded.datasets)
    starts = tuple(
        replace(entry, datasets=tuple(anchored(part, path.parent) for part in entry.datasets))
        for entry in loaded.pretraining
    )
    return replace(loaded, datasets=datasets, pretraining=starts, seeds=loaded.seeds if seeds is None else seeds)


def _find(suite: str | Path) -> Path:
    path = Path(suite)
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError(f"no suite file at {path}")
        return path
    if str(suite) not in suite_names():
        raise unknown(str(suite), suite_names(), "suite")
    return _FOLDER / f"{suite}.toml"


def anchored(entry: DatasetEntry, folder: Path) -> DatasetEntry:
    """Return ``entry`` with its path counted from ``folder``."""
    if entry.path is None:
        return entry
    return replace(entry, path=str((folder / Path(entry.path).expanduser()).resolve()))


def resolved(suite: Suite) -> dict[str, Any]:
    """Return the suite as a table with every default written out, fit for TOML; :func:`parse_suite` reads it.

    >>> from sciode.bench.parse import parse_suite
    >>> suite = load_suite("smoke")
    >>> parse_suite(resolved(suite)) == suite
    True
    """
    return {
        "name": suite.name,
        "description": suite.description,
        "seeds": list(suite.seeds),
        "metrics": list(suite.metrics),
        "datasets": {entry.name: _dataset_table(entry) for entry in suite.datasets},
        "pretraining": {entry.name: _start_table(entry) for entry in suite.pretraining},
        "models": {entry.name: _model_table(entry) for entry in suite.models},
    }


def _dataset_table(entry: DatasetEntry) -> dict[str, Any]:
    table = {key: value for key, value in asdict(entry).items() if key != "name" and value is not None}
    if entry.fields is not None:
        table["fields"] = list(entry.fields)
    table["groups"] = list(entry.groups)
    if entry.path is not None:
        del table["size"]
    # What a suite leaves alone is left out, as before there was such a key.
    return {key: value for key, value in table.items() if key not in ("groups", "change", "members") or value}


def _start_table(entry: Pretraining) -> dict[str, Any]:
    tables = {key: dict(value) for key, value in (("config", entry.config), ("train", entry.train)) if value}
    datasets = {part.name: _dataset_table(part) for part in entry.datasets}
    return {"model": entry.model, "datasets": datasets, **tables}


def _model_table(entry: ModelEntry) -> dict[str, Any]:
    plain = {"start": entry.start, "trajectories": entry.trajectories, "curve": entry.curve}
    tables = {"config": entry.config, "train": entry.train, "on": entry.on}
    return {
        "model": entry.model,
        **{key: value for key, value in plain.items() if value is not None},
        **{key: dict(value) for key, value in tables.items() if value},
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Name what differs between two resolved suites, one line a key.

    >>> differences({"seeds": [0], "models": {"fno": {"width": 8}}}, {"seeds": [0], "models": {"fno": {}}})
    ['models.fno.width: 8 -> absent']
    """
    lines = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        where = f"{path}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{where}.")
        elif before != after or (key in old) != (key in new):
            lines.append(f"{where}: {_show(old, key)} -> {_show(new, key)}")
    return lines


def _show(table: Mapping[str, Any], key: str) -> str:
    if key not in table:
        return "absent"
    return "a table" if isinstance(table[key], Mapping) else repr(table[key])

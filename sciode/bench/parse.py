"""Suites from TOML documents."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sciode.bench import checks
from sciode.bench.config import DETERMINISTIC, KINDS, DatasetEntry, ModelEntry, Pretraining, Suite
from sciode.bench.scores import CHOICES, NAMES
from sciode.core.errors import InputError
from sciode.core.names import check_keys, lookup

_KEYS = ("name", "description", "seeds", "metrics", "datasets", "pretraining", "models")
_MODEL = ("model", "config", "train", "on", "start", "trajectories", "curve")
_SPLITS = ("sciode", "pdebench")


def parse_suite(document: Mapping[str, Any]) -> Suite:
    """Build a :class:`Suite` from the content of a TOML file.

    Raises
    ------
    UnknownName
        For a key that does not exist, with the nearest one that does.
    InputError
        For a value of the wrong type, and for a suite without data sets or models.

    Examples
    --------
    >>> suite = parse_suite({"name": "one", "datasets": {"kdv": {"recipe": "kdv"}}, "models": {"fno": {}}})
    >>> suite.datasets[0].size, suite.models[0].model, suite.seeds
    ('smoke', 'fno', (0, 1, 2))
    """
    check_keys(document, _KEYS, "key of a suite")
    entries = {key: checks.table(document.get(key, {}), key) for key in ("datasets", "models", "pretraining")}
    for key in ("datasets", "models"):
        if not entries[key]:
            raise InputError(f"the suite has no {key}: add a table [{key}.NAME]")
    starts = tuple(parse_pretraining(name, value) for name, value in entries["pretraining"].items())
    models = tuple(
        model
        for name, value in entries["models"].items()
        for model in _models(name, value, entries["datasets"], starts)
    )
    return Suite(
        name=checks.name(document.get("name"), "name"),
        datasets=tuple(_dataset(name, value) for name, value in entries["datasets"].items()),
        models=models,
        seeds=checks.counts(document.get("seeds", [0, 1, 2]), "seeds", least=0),
        metrics=_metrics(document.get("metrics", list(NAMES))),
        description=str(document.get("description", "")),
        pretraining=starts,
    )


def _metrics(value: Any) -> tuple[str, ...]:
    chosen = checks.texts(value, "metrics")
    check_keys(chosen, CHOICES, "metric")
    return chosen


def _dataset(name: str, value: Any, above: str = "datasets") -> DatasetEntry:
    where = f"{above}.{checks.name(name, 'name of a data set')}"
    given = checks.table(value, where)
    known = [key for key in DatasetEntry.__dataclass_fields__ if key != "name"]
    check_keys(given, known, f"key of [{where}]")
    if ("recipe" in given) == ("path" in given):
        raise InputError(f"{where}: give either recipe or path")
    if "path" in given and (wrong := {"size", "change"} & set(given)):
        raise InputError(f"{where}: {min(wrong)} belongs to a recipe; trajectories, time and space thin a file")
    checked: dict[str, Any] = {}
    for key, item in given.items():
        at = f"{where}.{key}"
        if key in ("recipe", "size", "path", "split"):
            checked[key] = checks.text(item, at)
        elif key == "fields":
            checked[key] = checks.texts(item, at)
        elif key == "groups":
            checked[key] = tuple(checks.count(size, at) for size in item)
        elif key == "change":
            checked[key] = checks.table(item, at)
        else:
            checked[key] = checks.count(item, at, least=0 if key in ("split_seed", "keep", "members") else 1)
    if checked.get("members") == 1:
        raise InputError(f"{where}.members: an ensemble has two members or more, or 0 for none; found 1")
    lookup(checked.get("split", "sciode"), dict.fromkeys(_SPLITS), f"value of {where}.split")
    return DatasetEntry(name=name, **checked)


def parse_pretraining(name: str, value: Any, above: str = "pretraining.") -> Pretraining:
    """Build a :class:`Pretraining` from its table; errors as in :func:`parse_suite`."""
    where = f"{above}{checks.name(name, 'name of a pre-training')}"
    given = checks.table(value, where)
    check_keys(given, ("model", "datasets", "config", "train"), f"key of [{where}]")
    kind = checks.text(given.get("model", "poseidon"), f"{where}.model")
    lookup(kind, dict.fromkeys(set(KINDS) - set(DETERMINISTIC)), "model")
    parts = checks.table(given.get("datasets", {}), f"{where}.datasets")
    if not parts:
        raise InputError(f"{where} has no data: add a table [{where}.datasets.NAME]")
    datasets = tuple(_dataset(part, entry, f"{where}.datasets") for part, entry in parts.items())
    return Pretraining(name, kind, datasets, *_settings(given, where))


def _models(
    name: str, value: Any, datasets: Mapping[str, Any], starts: tuple[Pretraining, ...]
) -> Iterator[ModelEntry]:
    """Yield the model; one for each number where ``trajectories`` is a list."""
    where = f"models.{checks.name(name, 'name of a model')}"
    given = checks.table(value, where)
    check_keys(given, _MODEL, f"key of [{where}]")
    start = given.get("start")
    before = None if start is None else lookup(str(start), {entry.name: entry for entry in starts}, "pre-training")
    kind = checks.text(given.get("model", name if before is None else before.model), f"{where}.model")
    lookup(kind, dict.fromkeys(KINDS), "model")
    on = checks.table(given.get("on", {}), f"{where}.on")
    check_keys(on, datasets, f"data set in [{where}.on]")
    changes = {key: _override(on[key], f"{where}.on.{key}") for key in on}
    config, train = _settings(given, where)
    if before is not None and (before.model != kind or config):
        raise InputError(f"{where}: start = {start!r} brings a {before.model} and its config; give neither here")
    numbers = given.get("trajectories")
    curve = given.get("curve")
    model = ModelEntry(name, kind, config, train, changes, start, None, curve)
    if isinstance(numbers, list | tuple):
        for count in checks.counts(numbers, f"{where}.trajectories"):
            yield replace(model, name=f"{name}-{count}", trajectories=count, curve=curve or name)
    else:
        yield model if numbers is None else replace(model, trajectories=checks.count(numbers, where))


def _override(value: Any, where: str) -> dict[str, dict[str, Any]]:
    given = checks.table(value, where)
    check_keys(given, ("config", "train"), f"key of [{where}]")
    return {key: checks.table(item, f"{where}.{key}") for key, item in given.items()}


def _settings(given: Mapping[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    config = checks.table(given.get("config", {}), f"{where}.config")
    train = checks.table(given.get("train", {}), f"{where}.train")
    if "seed" in train:
        raise InputError(f"{where}.train.seed: the seeds of a suite stand in its list seeds")
    return config, train


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; raises :class:`InputError` with the file's name where it is not valid."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error

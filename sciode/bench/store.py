"""The run directory: opened, checked against the suite, and what it holds beside the cells."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from sciode.bench.cells import Cell, cells_of, finished
from sciode.bench.config import Suite
from sciode.bench.parse import parse_suite, read_toml
from sciode.bench.scores import recorded
from sciode.bench.suites import differences, resolved
from sciode.bench.toml import dumps
from sciode.core.errors import InputError
from sciode.core.files import read_json, write_json, write_text

_MOST = 6


def open_run(folder: Path, suite: Suite) -> None:
    """Make the run directory, or take up an earlier run of the very same suite.

    Raises :class:`InputError` where the directory holds another suite, naming what differs, or other things.
    """
    config = folder / "config.toml"
    if not config.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is neither empty nor a run directory; give another one by --out")
        write_text(config, dumps(resolved(suite)))
        return
    changed = differences(read_toml(config), json.loads(json.dumps(resolved(suite))))
    # The description does not touch the numbers.
    changed = [line for line in changed if not line.startswith("description:")]
    if changed:
        more = f"\n  and {len(changed) - _MOST} more" if len(changed) > _MOST else ""
        lines = "".join(f"\n  {line}" for line in changed[:_MOST])
        raise InputError(
            f"{folder} holds a run of another suite; what differs (there -> now):{lines}{more}\n"
            "give another directory by --out, or --fresh to put that run aside"
        )


def put_aside(folder: Path) -> Path | None:
    """Rename an earlier run to the next free ``NAME-1``, ``NAME-2``, ...; nothing is deleted."""
    if not folder.exists():
        return None
    number = 1
    while (target := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return folder.rename(target)


def read_suite(folder: Path) -> Suite:
    """Return the suite of a run directory; raises :class:`InputError` where there is none."""
    config = folder / "config.toml"
    if not config.is_file():
        raise InputError(f"no run at {folder}: there is no config.toml in it")
    return parse_suite(read_toml(config))


def record_data(folder: Path, name: str, description: dict[str, Any]) -> None:
    """Keep what a data set is in ``data.json``; raises :class:`InputError` where it has changed since."""
    path = folder / "data.json"
    known = read_json(path) if path.is_file() else {}
    now = json.loads(json.dumps(description))
    if name in known and known[name] != now:
        keys = [key for key in now if known[name].get(key) != now[key]]
        raise InputError(f"{folder}: the data of {name} have changed since the run began: {', '.join(keys)}")
    write_json(path, {**known, name: now})


def record_session(folder: Path, environment: dict[str, Any], seconds: float, cells: int) -> None:
    """Add a session to ``env.json``: where it ran, for how long, how many cells it finished."""
    path = folder / "env.json"
    sessions = read_json(path)["sessions"] if path.is_file() else []
    sessions.append({**environment, "seconds": round(seconds, 2), "cells": cells})
    total = round(sum(session["seconds"] for session in sessions), 2)
    write_json(path, {**environment, "seconds": total, "sessions": sessions})


def write_results(folder: Path, suite: Suite) -> dict[str, Any]:
    """Gather the finished cells into ``results.json`` and, in long format, ``results.csv``."""
    cells = cells_of(suite)
    records = finished(folder, cells)
    keys = ("dataset", "model", "seed", "device", "metrics", "failed", "best_epoch", "stopped")
    names = recorded(suite.metrics)
    for record in records:
        if "metrics" in record:
            record["metrics"] = {name: record["metrics"][name] for name in names if name in record["metrics"]}
    results = {
        "suite": suite.name,
        "seeds": list(suite.seeds),
        "metrics": list(names),
        "complete": len(records) == len(cells),
        "missing": [cell.id for cell in missing(folder, cells)],
        "cells": [{key: record[key] for key in keys if key in record} for record in records],
    }
    write_json(folder / "results.json", results)
    write_text(folder / "results.csv", _long(results))
    return results


def missing(folder: Path, cells: list[Cell]) -> list[Cell]:
    """Return the cells without a result."""
    return [cell for cell in cells if not cell.result(folder).is_file()]


def _long(results: dict[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["suite", "dataset", "model", "seed", "metric", "value"])
    for cell in results["cells"]:
        seed = "" if cell["seed"] is None else cell["seed"]
        for metric, value in cell.get("metrics", {}).items():
            row = [results["suite"], cell["dataset"], cell["model"], seed, metric]
            writer.writerow([*row, "" if value is None else repr(value)])
    return text.getvalue()

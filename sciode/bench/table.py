"""The summary of a run: a row for each data set and model, mean and spread over the seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sciode.bench.console import print_table
from sciode.bench.scores import CHAOS, COSTS, FORECAST, HEADS, OPERATOR, SPREAD
from sciode.core.errors import InputError
from sciode.core.files import read_json

METRICS: dict[str, str] = {**FORECAST, **OPERATOR, **CHAOS, **COSTS}
"""The columns of the summary."""


@dataclass(frozen=True)
class Value:
    """A metric over the seeds: mean, sample standard deviation (0 for one seed), and the numbers themselves.

    ``mean`` is None where any seed has no finite number: an average over the others would flatter the model.
    """

    mean: float | None
    spread: float
    seeds: tuple[float | None, ...]


@dataclass(frozen=True)
class Line:
    """One row: data set, model, its metrics, and one-step error over that of persistence."""

    dataset: str
    model: str
    seeds: tuple[int | None, ...]
    metrics: Mapping[str, Value]
    ratio: float | None
    failed: int


def value_of(numbers: list[float | None]) -> Value:
    """Summarise one metric.

    >>> value_of([1.0, 3.0]).mean, value_of([1.0, None]).mean
    (2.0, None)
    """
    finite = [number for number in numbers if number is not None]
    if not finite or len(finite) < len(numbers):
        return Value(None, 0.0, tuple(numbers))
    return Value(fmean(finite), stdev(finite) if len(finite) > 1 else 0.0, tuple(numbers))


def summarise(results: Mapping[str, Any]) -> list[Line]:
    """Return the rows of a ``results.json``."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in results["cells"]:
        groups.setdefault((cell["dataset"], cell["model"]), []).append(cell)
    base = {
        dataset: _mean(cells, "one_step_nrmse")
        for (dataset, model), cells in groups.items()
        if model == "persistence"
    }
    return [_line(dataset, model, cells, base.get(dataset)) for (dataset, model), cells in groups.items()]


def _mean(cells: list[dict[str, Any]], metric: str) -> float | None:
    return value_of([cell.get("metrics", {}).get(metric) for cell in cells]).mean


def _line(dataset: str, model: str, cells: list[dict[str, Any]], base: float | None) -> Line:
    known = {name for cell in cells for name in cell.get("metrics", ())}
    metrics = {
        name: value_of([cell.get("metrics", {}).get(name) for cell in cells if name in known or "failed" in cell])
        for name in HEADS
    }
    mean = metrics["one_step_nrmse"].mean
    ratio = None if not base or mean is None else mean / base
    seeds = tuple(cell["seed"] for cell in cells)
    return Line(dataset, model, seeds, metrics, ratio, sum("failed" in cell for cell in cells))


def show(name: str, value: Value, *, spread: bool = True) -> str:
    """Return a metric as text, three significant digits.

    >>> show("one_step_nrmse", value_of([0.011, 0.013])), show("parameters", value_of([29345.0]))
    ('0.012 ± 0.0014', '29.3k')
    """
    if value.mean is None:
        return "not finite" if value.seeds else "-"
    if name in ("parameters", "train_seconds") and value.mean == 0:
        return "-"
    if name == "parameters":
        return count(value.mean)
    if spread and name in SPREAD and len(value.seeds) > 1:
        return f"{digits(value.mean)} ± {value.spread:.2g}"
    return digits(value.mean)


def digits(number: float) -> str:
    """Return three significant digits; powers of ten for the very small and the very large.

    >>> digits(0.01234), digits(1234567.0), digits(0.0)
    ('0.0123', '1.23e+06', '0')
    """
    if number != 0 and (abs(number) < 1e-3 or abs(number) >= 1e5):
        return f"{number:.2e}"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"


def count(number: float) -> str:
    """Return a count in thousands or millions.

    >>> count(512), count(29345), count(1.26e6)
    ('512', '29.3k', '1.26M')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def columns(results: Mapping[str, Any], among: Mapping[str, str] = METRICS) -> list[str]:
    """Return those metrics ``among`` the summary's, or others, that a run records."""
    return [name for name in among if name in results["metrics"]]


def header(names: list[str]) -> list[str]:
    """Return the heads of :func:`rows`."""
    return ["data set", "model", METRICS[names[0]], "/persist.", *(METRICS[name] for name in names[1:])]


def rows(lines: list[Line], names: list[str]) -> list[list[str]]:
    """Return the cells of the table as text; a data set is named in its first row."""
    table, before = [], ""
    for line in lines:
        label = f"{line.model} ({line.failed} failed)" if line.failed else line.model
        ratio = "-" if line.ratio is None else digits(line.ratio)
        shown = [show(name, line.metrics[name]) for name in names]
        table.append([line.dataset if line.dataset != before else "", label, shown[0], ratio, *shown[1:]])
        before = line.dataset
    return table


def read_results(folder: Path) -> dict[str, Any]:
    """Return the ``results.json`` of a run; raises :class:`InputError` where there is none."""
    path = folder / "results.json"
    if not path.is_file():
        raise InputError(f"no run at {folder}: there is no results.json in it")
    results: dict[str, Any] = read_json(path)
    return results


def print_run(folder: Path) -> None:
    """Print the table of a run, what is missing, and where the report is."""
    results = read_results(folder)
    names = columns(results)
    print_table(
        header(names), rows(summarise(results), names), title=f"suite {results['suite']}, seeds {results['seeds']}"
    )
    if results["missing"]:
        print(f"not run yet: {', '.join(results['missing'])}")
    print(f"report: {folder / 'report.html'}")

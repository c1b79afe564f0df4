"""Two runs side by side."""

from dataclasses import dataclass
from pathlib import Path

from sciode.bench.console import print_table
from sciode.bench.scores import HEADS, SPREAD
from sciode.bench.table import Line, digits, read_results, show, summarise
from sciode.core.files import write_text


@dataclass(frozen=True)
class Comparison:
    """What two runs say on the same data set and model; a side is None where that run does not have it."""

    first: Path
    second: Path
    pairs: tuple[tuple[Line | None, Line | None], ...]


def compare_runs(first: str | Path, second: str | Path) -> Comparison:
    """Put the results of two run directories side by side, in the order of the first.

    Raises :class:`InputError` for a directory that holds no results.
    """
    sides = [
        {(line.dataset, line.model): line for line in summarise(read_results(Path(run)))}
        for run in (first, second)
    ]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return Comparison(Path(first), Path(second), tuple((sides[0].get(key), sides[1].get(key)) for key in keys))


HEADER = ["data set", "model", "metric", "first", "second", "difference", "ratio"]
"""Heads of :func:`comparison_rows`."""


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Return a row for each data set, model and metric, as text."""
    table = []
    for old, new in comparison.pairs:
        line = old or new
        assert line is not None
        if old is None or new is None:
            side = "second" if old is None else "first"
            table.append([line.dataset, line.model, f"only in the {side} run", *[""] * 4])
            continue
        both = [name for name in HEADS if old.metrics[name].seeds and new.metrics[name].seeds]
        table += [_row(old, new, name) for name in both if name != "parameters"]
    return table


def _row(old: Line, new: Line, name: str) -> list[str]:
    a, b = old.metrics[name], new.metrics[name]
    shown = [old.dataset, old.model, HEADS[name], show(name, a), show(name, b)]
    if a.mean is None or b.mean is None:
        return [*shown, "", ""]
    difference = b.mean - a.mean
    # A difference below the seeds' own spread is no finding.
    noise = name in SPREAD and abs(difference) < max(a.spread, b.spread)
    ratio = digits(b.mean / a.mean) if a.mean else ("1" if b.mean == a.mean else "")
    return [
        *shown,
        f"{'+' if difference > 0 else ''}{digits(difference)}{' (within spread)' if noise else ''}",
        ratio,
    ]


def print_comparison(comparison: Comparison) -> None:
    """Print the comparison as a table."""
    title = f"first: {comparison.first}\nsecond: {comparison.second}"
    print_table(HEADER, comparison_rows(comparison), title=title)


def write_html(comparison: Comparison, path: str | Path) -> None:
    """Write the comparison as one self-contained HTML file."""
    from sciode.bench.page import render

    page = render("compare.html", comparison=comparison, header=HEADER, rows=comparison_rows(comparison))
    write_text(path, page)

"""The report of a run: figures as files, and one HTML page, drawn from the run directory alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sciode.bench import style
from sciode.bench.cells import Cell, cells_of, finished
from sciode.bench.chaos_figures import bands_figure, ensemble_figure
from sciode.bench.config import Suite
from sciode.bench.curves import Record, by_model, error_figure, leads_figure, spectrum_figure, training_figure
from sciode.bench.overview import overview_figure
from sciode.bench.page import inline, render
from sciode.bench.parse import read_toml
from sciode.bench.pictures import field_figure
from sciode.bench.rollouts import truth_path
from sciode.bench.samples import gains, largest, samples_figure
from sciode.bench.scores import PDEBENCH
from sciode.bench.store import read_suite
from sciode.bench.table import METRICS, Line, columns, digits, read_results, show, summarise
from sciode.bench.toml import dumps
from sciode.core.files import read_json, write_text


def write_report(folder: Path) -> Path:
    """Draw the figures of a run and write ``report.html``; returns its path.

    Raises :class:`InputError` for a directory that holds no run.
    """
    suite, results = read_suite(folder), read_results(folder)
    records = _by_dataset(suite, finished(folder, cells_of(suite)))
    lines, names = summarise(results), columns(results)
    theirs = columns(results, PDEBENCH)
    with style.drawing():
        overview = _overview(folder, suite, records)
        sections = [_section(folder, suite, name, cells) for name, cells in records.items()]
    for section in sections:
        own = [line for line in lines if line.dataset == section["name"]]
        section["seeds"] = [row for line in own for row in _seed_rows(line, names)]
        section["pdebench"] = [[line.model, *(show(name, line.metrics[name]) for name in theirs)] for line in own]
    page = render(
        "report.html",
        suite=suite,
        results=results,
        environment=read_json(folder / "env.json"),
        header=[METRICS[name] for name in names],
        theirs=[PDEBENCH[name] for name in theirs],
        lines=[_row(line, names) for line in lines],
        overview=overview,
        sections=sections,
        config=dumps(read_toml(folder / "config.toml")),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _by_dataset(suite: Suite, records: Sequence[Record]) -> dict[str, list[Record]]:
    groups = {entry.name: [r for r in records if r["dataset"] == entry.name] for entry in suite.datasets}
    return {name: cells for name, cells in groups.items() if cells}


def _overview(folder: Path, suite: Suite, records: Mapping[str, Sequence[Record]]) -> str:
    if not any(by_model(cells) for cells in records.values()):
        return ""
    shown = largest(suite)
    kept = {name: [r for r in cells if r["model"] in shown] for name, cells in records.items()}
    figure = overview_figure(folder, suite, kept)
    style.settle(figure)
    style.png(figure, folder / "overview.png", dpi=180)
    return inline({"overview": style.svg(figure, "overview")})["overview"]


def _section(folder: Path, suite: Suite, name: str, records: Sequence[Record]) -> dict[str, Any]:
    figures = {} if not by_model(records) else _figures(folder, suite, name, records)
    drawn = {}
    for kind, figure in figures.items():
        if figure is not None:
            style.settle(figure)
            style.png(figure, folder / "figures" / f"{name}-{kind}.png")
            drawn[kind] = style.svg(figure, f"{name}-{kind}")
    counts = sorted({entry.trajectories for entry in suite.models if entry.trajectories})
    return {
        "name": name,
        "gains": gains(suite, records),
        "gain_header": ["model", "baseline", "EG", *(f"AG, {count}" for count in counts)],
        "data": _facts(read_json(folder / "data.json")[name]),
        "figures": inline(drawn),
        "failures": [(r["model"], r["seed"], r["failed"]) for r in records if "failed" in r],
    }


def _figures(folder: Path, suite: Suite, name: str, records: Sequence[Record]) -> dict[str, Figure | None]:
    samples = samples_figure(suite, records)
    models = largest(suite)
    records = [record for record in records if record["model"] in models]
    forecasts = {
        model: Cell(name, model, cells[0]["seed"]).rollout(folder) for model, cells in by_model(records).items()
    }
    shown = suite.dataset(name).keep > 0
    return {
        "error": error_figure(records, models),
        "fields": field_figure(truth_path(folder, name), forecasts) if shown else None,
        "spectra": spectrum_figure(records, models),
        "training": training_figure(records, models),
        "samples": samples,
        "leads": leads_figure(records, models),
        "bands": bands_figure(records, models),
        "ensemble": ensemble_figure(records, models),
    }


def _facts(data: Mapping[str, Any]) -> dict[str, str]:
    b, t, c, *n = data["shape"]
    sizes = {part: len(data["split"][part]) for part in ("train", "validation", "test")}
    return {
        "title": data["title"],
        "shape": f"{b} trajectories × {t} times × {c} fields × {' × '.join(map(str, n))} points",
        "fields": ", ".join(data["fields"]),
        "split": ", ".join(f"{count} {part}" for part, count in sizes.items())
        + f" (rule {data['split']['rule']})",
        "step of the models": f"{data['step']:.4g}, {data['rollout']} steps a rollout",
        "domain": " × ".join(f"{length:.4g}" for length in data["lengths"]),
        "file": f"{data['file']}, {data['schema']}, fingerprint {data['fingerprint'][:16]}",
    }


def _row(line: Line, names: Sequence[str]) -> dict[str, Any]:
    """A row of the summary: text to show, and the number to sort by."""
    cells = [(show(name, line.metrics[name]), line.metrics[name].mean) for name in names]
    ratio = ("–" if line.ratio is None else digits(line.ratio), line.ratio)
    return {
        "dataset": line.dataset,
        "model": line.model,
        "cells": [cells[0], ratio, *cells[1:]],
        "failed": line.failed,
    }


def _seed_rows(line: Line, names: Sequence[str]) -> list[list[str]]:
    rows = []
    for index, seed in enumerate(line.seeds):
        values = [line.metrics[name].seeds[index] if line.metrics[name].seeds else None for name in names]
        shown = ["–" if value is None else digits(value) for value in values]
        rows.append([line.model, "all" if seed is None else str(seed), *shown])
    return rows

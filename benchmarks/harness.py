"""What the benchmarks share: CPU seconds of a call, the machine in words, and a table in Markdown.

On a CPU the clock is the process's CPU time, which other programs on the machine do not add to; on a GPU it
is wall time between synchronisations. The first call of an entry is not counted (allocation, compilation),
unless it takes minutes, beside which either is nothing.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sciode.core.files import write_json, write_text

RESULTS = Path(__file__).parent / "results"


def seconds(call: Callable[[], Any], repeats: int, device: str, warm: bool = True) -> tuple[float, Any]:
    """Return the median of ``repeats`` timings of ``call``, and its value; ``warm`` calls it once before."""
    if warm:
        call()
    clock = time.perf_counter if device == "cuda" else time.process_time
    taken, value = [], None
    for _ in range(repeats):
        _wait(device)
        start = clock()
        value = call()
        _wait(device)
        taken.append(clock() - start)
    return sorted(taken)[len(taken) // 2], value


def interleave(calls: Mapping[Any, Callable[[], Any]], repeats: int, device: str = "cpu") -> dict[Any, Any]:
    """Return (median seconds, value) of each call. They take turns, so that a busy machine slows all alike."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    values = {name: call() for name, call in calls.items()}
    taken: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            _wait(device)
            start = clock()
            call()
            _wait(device)
            taken[name].append(clock() - start)
    return {name: (sorted(times)[len(times) // 2], values[name]) for name, times in taken.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def machine(device: str, packages: list[str]) -> dict[str, Any]:
    """Describe where a benchmark ran."""
    versions = {}
    for name in ["torch", *packages]:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    hardware = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {"device": hardware, "threads": torch.get_num_threads(), "cores": os.cpu_count(), "versions": versions}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(rows: list[dict[str, Any]]) -> str:
    """Lay out rows of equal keys as a Markdown table."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(row[key]) for key in heads) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write(name: str, title: str, notes: str, where: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Print the table, and keep it as Markdown and JSON under ``results/``."""
    text = f"# {title}\n\n{notes}\n\n{table(rows)}\n\nMachine: {json.dumps(where)}\n"
    print(text)
    write_text(RESULTS / f"{name}.md", text)
    write_json(RESULTS / f"{name}.json", {"machine": where, "rows": rows})

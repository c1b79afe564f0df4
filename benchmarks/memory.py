"""Resident memory while a large file is inspected, windowed and trained on.

    python benchmarks/memory.py [--gib 3] [--steps 40]

Writes a tensor file (1024 points, 201 times) of travelling waves, streamed, in a temporary folder; then a fresh
process imports torch and sciode, notes its peak resident memory, and goes on to inspect the file, read windows
from all over it and train an FNO on it. The figure is the peak after each part, less what the imports took.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

POINTS, TIMES = 1024, 201


def blocks(count: int) -> Iterator[np.ndarray]:
    """Yield trajectories "1 t 1 n" one at a time."""
    x, t = np.arange(POINTS) / POINTS, np.linspace(0, 2, TIMES)
    for i in range(count):
        k, phase = 1 + i % 8, 0.1 * i
        yield np.sin(2 * np.pi * k * (x - 0.4 * t[:, None]) + phase).astype(np.float32)[None, :, None]


def make(path: Path, gib: float) -> None:
    """Write a file of about ``gib`` GiB."""
    from sciode.data import write_trajectories

    count = int(gib * 2**30 / (4 * POINTS * TIMES)) + 1
    grid = (np.arange(POINTS) / POINTS,)
    shape = (count, TIMES, 1, POINTS)
    times = np.linspace(0, 2, TIMES)
    write_trajectories(
        path, "pdebench-a", source=blocks(count), shape=shape, fields=("u",), times=times, grid=grid
    )


def peak() -> float:
    """Return this process's peak resident memory in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell the peak resident memory")


def work(path: Path, steps: int) -> None:
    """Inspect, window and train; print the peak beyond the imports after each."""
    import neuralop.models  # noqa: F401  (its import is no part of what is measured)

    from sciode.data import Windows, inspect, open_trajectories, split
    from sciode.surrogate import FNO
    from sciode.train import fit

    start = peak()
    print(
        f"file: {path.stat().st_size / 2**30:.2f} GiB; torch, neuraloperator and sciode imported: {start:.0f} MiB"
    )
    print(str(inspect(path)).splitlines()[0])
    print(f"after inspecting: {peak() - start:+.0f} MiB")
    data = open_trajectories(path)
    windows = Windows(data, range(len(data)), length=10)
    for i in np.random.default_rng(0).integers(0, len(windows), 2000):
        windows[int(i)]
    print(f"after 2000 windows from all over the file: {peak() - start:+.0f} MiB")
    model = FNO.for_data(data, modes=12, width=20)
    with tempfile.TemporaryDirectory() as folder:
        # The normaliser is fitted on all of the training part; two trajectories are enough to validate on here.
        whole = split(data, seed=0)
        parts = replace(whole, validation=whole.validation[:2])
        fit(model, data, split=parts, directory=folder, steps=steps, batch=16, seed=0)
    print(f"after {steps} training steps on all of it, with validation: {peak() - start:+.0f} MiB")


def main() -> None:
    """Make the file, then measure in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.file:
        return work(chosen.file, chosen.steps)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder) / "large.hdf5"
        make(path, chosen.gib)
        command = [sys.executable, __file__, "--file", str(path), "--steps", str(chosen.steps)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

"""A suite of seconds on a file of the user's own: travelling sines, 12 trajectories."""

import math
from pathlib import Path

import numpy as np

from sciode.data import write_trajectories

SUITE = """
name = "tiny"
seeds = [0, 1]

[datasets.waves]
path = "waves.hdf5"
rollout = 4
keep = 2

[models.persistence]

[models.fno]
config = { modes = 4, width = 8, layers = 2 }
train = { steps = 12, batch = 8, learning_rate = 1e-2 }

[models.wide]
model = "unet"
config = { width = 4, depth = 1 }
train = { steps = 12, batch = 8 }

[models.wide.on.waves]
train = { steps = 8 }
"""


def write_waves(path: Path, trajectories: int = 12, times: int = 6, points: int = 16) -> Path:
    """Write u = sin(2 pi k (x - t / 10) + phase) with k and the phase drawn at random."""
    random = np.random.default_rng(0)
    x, t = np.arange(points) / points, np.arange(times) / 10
    wave, phase = random.integers(1, 3, trajectories), random.uniform(0, 2 * math.pi, trajectories)
    angle = 2 * math.pi * wave[:, None, None] * (x - t[:, None]) + phase[:, None, None]
    u = np.sin(angle)[:, :, None]
    write_trajectories(path, source=[u], shape=u.shape, fields=("u",), times=t, grid=[x])
    return path


def write_suite(folder: Path, text: str = SUITE) -> Path:
    """Write data and suite into ``folder``; return the suite's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_waves(folder / "waves.hdf5")
    path = folder / "tiny.toml"
    path.write_text(text)
    return path

"""Exact trajectories to learn from: sums of sines that travel and decay."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciode.data import Trajectories, open_trajectories, write_trajectories

SPEED, VISCOSITY, DT = 0.4, 0.005, 0.05


def waves(count: int, steps: int, points: int, seed: int = 0) -> Tensor:
    """Return "b t 1 n": u_t + SPEED u_x = VISCOSITY u_xx on [0, 1), three modes of random size and phase."""
    source = torch.Generator().manual_seed(seed)
    x = torch.arange(points) / points
    t = DT * torch.arange(steps)[:, None]
    u = torch.zeros(count, steps, points)
    for mode in (1, 2, 3):
        wave = 2 * torch.pi * mode
        size = (0.5 + torch.rand(count, 1, 1, generator=source)) / mode
        phase = 2 * torch.pi * torch.rand(count, 1, 1, generator=source)
        u += size * torch.exp(-VISCOSITY * wave**2 * t) * torch.sin(wave * (x - SPEED * t) + phase)
    return u[:, :, None]


def waves_2d(count: int, steps: int, points: int, velocity: tuple[float, float], seed: int = 0) -> Tensor:
    """Return "b t 1 n n": random fields of four modes an axis that travel at ``velocity`` and decay, exactly."""
    source = torch.Generator().manual_seed(seed)
    k = torch.fft.fftfreq(points, 1 / points)
    kx, ky = k[:, None], k[None]
    low = (kx.abs() <= 4) & (ky.abs() <= 4) & (kx**2 + ky**2 > 0)
    start = torch.fft.fft2(torch.randn(count, points, points, generator=source)) * low / (1.0 + kx**2 + ky**2)
    start = start / torch.fft.ifft2(start).real.std((1, 2))[:, None, None]
    t = DT * torch.arange(steps)[:, None, None]
    rate = -2j * torch.pi * (velocity[0] * kx + velocity[1] * ky) - VISCOSITY * (2 * torch.pi) ** 2 * (
        kx**2 + ky**2
    )
    return torch.fft.ifft2(start[:, None] * torch.exp(rate * t)).real[:, :, None]


def file_2d(folder: Path, name: str, u: Tensor) -> Trajectories:
    """Write "b t c n n" to an HDF5 file in ``folder`` and open it."""
    points = np.arange(u.shape[-1]) / u.shape[-1]
    path = write_trajectories(
        folder / f"{name}.hdf5",
        source=[u],
        shape=tuple(u.shape),
        fields=[f"u{i}" for i in range(u.shape[2])] if u.shape[2] > 1 else ["u"],
        times=DT * np.arange(u.shape[1]),
        grid=[points, points],
    )
    return open_trajectories(path)


def wave_file(folder: Path, count: int = 20, steps: int = 11, points: int = 32) -> Trajectories:
    """Write waves to an HDF5 file in ``folder`` and open it."""
    path = folder / f"waves-{count}-{steps}-{points}.hdf5"
    write_trajectories(
        path,
        source=[waves(count, steps, points)],
        shape=(count, steps, 1, points),
        fields=["u"],
        times=DT * np.arange(steps),
        grid=[np.arange(points) / points],
    )
    return open_trajectories(path)

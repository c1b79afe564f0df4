"""Files of every schema, laid down by hand with h5py: nothing of sciode takes part.

Every ``make_*`` writes the file and returns what a reader must find, "b t c *n" float32.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]


def noise(*shape: int, seed: int = 0) -> Block:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def centres(n: int, length: float = 1.0, dtype: str = "f4") -> NDArray[Any]:
    return ((np.arange(n) + 0.5) * (length / n)).astype(dtype)


def coordinates(file: h5py.File, t: int, *n: int, dtype: str = "f4") -> None:
    """PDEBench's coordinates at the root, times one too many."""
    file["t-coordinate"] = (np.arange(t + 1) * 0.05).astype(dtype)
    for letter, points in zip("xyz", n, strict=False):
        file[f"{letter}-coordinate"] = centres(points, dtype=dtype)


def make_a(path: Path, b: int = 4, t: int = 5, n: tuple[int, ...] = (16,), dtype: str = "f4") -> Block:
    u = noise(b, t, *n)
    with h5py.File(path, "w") as file:
        file["tensor"] = u
        coordinates(file, t, *n, dtype=dtype)
        file.attrs["beta"] = 0.1
    return u[:, :, None]


def make_darcy(path: Path, b: int = 3, n: int = 6) -> Block:
    nu, u = noise(b, n, n), noise(b, 1, n, n, seed=1)
    with h5py.File(path, "w") as file:
        file["nu"], file["tensor"] = nu, u
        file["x-coordinate"] = file["y-coordinate"] = centres(n)
        file.attrs["beta"] = 1.0
    return np.stack([nu[:, None], u], axis=2)


def make_b(path: Path, names: tuple[str, ...], b: int = 3, t: int = 4, n: tuple[int, ...] = (8, 6)) -> Block:
    """The datasets are created in the reverse of ``names``; what is returned has the order of ``names``."""
    u = noise(b, t, len(names), *n)
    with h5py.File(path, "w") as file:
        for i, name in reversed(list(enumerate(names))):
            file[name] = u[:, :, i]
        coordinates(file, t, *n)
        file.attrs["eta"], file.attrs["zeta"], file.attrs["M"] = 0.1, 0.1, 1.0
    return u


def make_c(
    path: Path, seeds: tuple[int, ...] = (0, 1, 2), t: int = 5, n: tuple[int, ...] = (8, 6), c: int = 2
) -> Block:
    u = noise(len(seeds), t, c, *n)
    with h5py.File(path, "w") as file:
        for seed, states in zip(seeds, u, strict=True):
            group = file.create_group(f"{seed:04d}")
            group["data"] = np.moveaxis(states, 1, -1)
            for letter, points in zip("xyz", n, strict=False):
                group[f"grid/{letter}"] = centres(points, 2.0)
            group["grid/t"] = (np.arange(t) * 0.05).astype("f4")
            group.attrs["config"] = f"sim:\n  Du: 0.001\n  seed: {seed}\nname: diff-react\n"
    return u


def make_d(path: Path, b: int = 2, t: int = 6, n: int = 8) -> Block:
    velocity, particles, force = noise(b, t, n, n, 2), noise(b, t, n, n, 1, seed=1), noise(b, n, n, 2, seed=2)
    with h5py.File(path, "w") as file:
        for name, values in (("velocity", velocity), ("particles", particles), ("force", force)):
            chunks = (1,) * (values.ndim - 3) + values.shape[-3:]
            file.create_dataset(name, data=values, chunks=chunks, compression="lzf", shuffle=True)
        file["t"] = np.tile((np.arange(t) * 0.005).astype("f4"), (b, 1))
        file.attrs["config"] = "domain_size: [2, 2]\nnu: 0.01\n"
        file.attrs["latestIndex"] = b - 1
    steady = np.broadcast_to(force[:, None], (b, t, n, n, 2))
    return np.moveaxis(np.concatenate([velocity, particles, steady], axis=-1), -1, 2)


def _flags(item: h5py.Dataset, sample: bool, time: bool, dims: tuple[bool, ...]) -> None:
    item.attrs["sample_varying"], item.attrs["time_varying"], item.attrs["dim_varying"] = sample, time, list(dims)


def make_well(path: Path, b: int = 2, t: int = 4, n: tuple[int, int] = (6, 5)) -> Block:
    """A scalar, a profile in y alone, a map that samples share, a vector and a tensor; a wall in x."""
    x, y = n
    scalar, profile, shared = noise(b, t, x, y), noise(b, t, y, seed=1), noise(x, y, seed=2)
    vector, tensor = noise(b, t, x, y, 2, seed=3), noise(b, t, x, y, 2, 2, seed=4)
    with h5py.File(path, "w") as file:
        file.attrs["dataset_name"], file.attrs["grid_type"] = "handmade", "cartesian"
        file.attrs["n_spatial_dims"], file.attrs["n_trajectories"] = 2, b
        file.attrs["simulation_parameters"], file.attrs["Rayleigh"] = ["Rayleigh"], 1e6
        file.create_group("dimensions").attrs["spatial_dims"] = ["x", "y"]
        for name, values in (("time", np.arange(t) * 0.25), ("x", centres(x)), ("y", centres(y, 3.0))):
            file["dimensions"][name] = values.astype("f4")
            file["dimensions"][name].attrs["sample_varying"] = False
        wall = file.create_group("boundary_conditions/x_wall")
        wall.attrs["associated_dims"], wall.attrs["bc_type"] = "x", "wall"
        file.create_group("scalars").attrs["field_names"] = ["Rayleigh"]
        file["scalars/Rayleigh"] = np.array(1e6)
        for order, names in enumerate((["scalar", "profile", "shared"], ["velocity"], ["stress"])):
            file.create_group(f"t{order}_fields").attrs["field_names"] = names
        file["t0_fields/scalar"], file["t0_fields/profile"], file["t0_fields/shared"] = scalar, profile, shared
        file["t1_fields/velocity"], file["t2_fields/stress"] = vector, tensor
        _flags(file["t0_fields/scalar"], True, True, (True, True))
        _flags(file["t0_fields/profile"], True, True, (False, True))
        _flags(file["t0_fields/shared"], False, False, (True, True))
        _flags(file["t1_fields/velocity"], True, True, (True, True))
        _flags(file["t2_fields/stress"], True, True, (True, True))
    shape = (b, t, x, y)
    parts = [scalar, np.broadcast_to(profile[:, :, None], shape), np.broadcast_to(shared, shape)]
    parts += [vector[..., i] for i in range(2)] + [tensor[..., i, j] for i in range(2) for j in range(2)]
    return np.stack(parts, axis=2)

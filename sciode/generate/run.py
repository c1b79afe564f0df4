"""From a recipe to a file: integrate in shards, keep each whole shard, join them at the end.

A shard is the unit of everything: of the batch on the device, of memory, of what a kill can lose. Shards lie
beside the target in a folder ``.NAME.shards`` and go when the file is whole.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import EllipsisType

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError, LayoutError
from sciode.core.files import read_json, write_json
from sciode.core.progress import Bar, progress
from sciode.core.random import generator
from sciode.data import open_trajectories, write_trajectories
from sciode.generate.recipe import Recipe, load_recipe
from sciode.pde.closed import Closed
from sciode.pde.equations import Steady
from sciode.pde.families import FAMILIES
from sciode.solve import Term, solve
from sciode.spectral import Grid, resample

_BLOCK = 64 * 2**20  # bytes of float64 trajectory that one call of the solver may hold


def generate(
    recipe: str | Path | Recipe,
    size: str = "smoke",
    out: str | Path | None = None,
    *,
    seed: int | None = None,
    device: torch.device | str = "cpu",
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Make the data set of a recipe: integrated in batches on ``device``, streamed to one HDF5 file.

    The same recipe, size and seed give the same bytes on the same machine. A run that was killed goes on with
    its first missing shard. A finished file of the same recipe is left as it is.

    Parameters
    ----------
    recipe
        Name of a shipped recipe, path of a ``recipe.toml``, or a :class:`Recipe` (``size`` is then ignored).
    size
        ``"smoke"``, ``"small"`` or ``"pdebench"``.
    out
        Target, a file or a folder; ``data/NAME-SIZE.hdf5`` by default.
    seed
        Replaces the recipe's own.
    device
        Where to integrate; the arithmetic is the recipe's ``precision``, the stored values are float32.
    force
        Replace a file that another recipe made.
    quiet
        Show no progress.

    Returns
    -------
    Path
        The finished file.

    Raises
    ------
    InputError
        If ``out`` holds something else, or the integration leaves the finite numbers (it names the trajectory).

    Examples
    --------
    >>> import tempfile
    >>> path = generate("advection", "smoke", Path(tempfile.mkdtemp()) / "a.hdf5", quiet=True)
    >>> open_trajectories(path).shape
    (96, 21, 1, 64)
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, size, seed=seed)
    path = Path("data") if out is None else Path(out)
    if out is None or path.is_dir():
        path = path / (f"{chosen.name}.hdf5" if isinstance(recipe, Recipe) else f"{chosen.name}-{size}.hdf5")
    if path.exists() and not force:
        _check_finished(path, chosen)
        return path
    shards = _shards(path, chosen)
    states = chosen.size.trajectories * chosen.size.times
    with progress(f"generating {chosen.name}, states", states, quiet=quiet) as bar:
        for first, last in _spans(chosen):
            shard = shards / f"{first:07d}.hdf5"
            if shard.exists():
                bar.advance((last - first) * chosen.size.times)
            else:
                block = integrate(chosen, range(first, last), device, bar)
                _write(shard, chosen, iter([block]), last - first)
    _write(path, chosen, _join(shards, chosen), chosen.size.trajectories)
    shutil.rmtree(shards)
    return path


def _check_finished(path: Path, recipe: Recipe) -> None:
    try:
        with open_trajectories(path) as data:
            made_by = data.parameters.get("digest")
    except LayoutError as error:
        raise InputError(f"{path} is in the way and is no data file ({error}); use force to replace it") from error
    if made_by != recipe.digest:
        raise InputError(
            f"{path} exists and was made by another recipe, size or seed ({made_by}, not {recipe.digest}); "
            "use force to replace it, or another name"
        )


def _shards(path: Path, recipe: Recipe) -> Path:
    """Return the folder of shards, emptied if another recipe left it."""
    folder = path.parent / f".{path.name}.shards"
    card = folder / "recipe.json"
    if folder.exists() and not (card.is_file() and read_json(card)["digest"] == recipe.digest):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not card.exists():
        write_json(card, {"digest": recipe.digest})
    return folder


def _spans(recipe: Recipe) -> Iterator[tuple[int, int]]:
    total, step = recipe.size.trajectories, recipe.size.shard
    for first in range(0, total, step):
        yield first, min(first + step, total)


def integrate(
    recipe: Recipe, numbers: range, device: torch.device | str = "cpu", bar: Bar | None = None
) -> np.ndarray:
    """Integrate the trajectories ``numbers`` of a recipe and return them, float32 ``"k t c *n"``.

    A trajectory's initial state depends on the seed and on its own number only.
    """
    size, kind = recipe.size, recipe.kind
    if isinstance(kind, Closed):
        return _evaluated(kind, recipe, numbers, device, bar)
    space, family = (size.points * size.oversample,) * kind.dimensions, FAMILIES[recipe.family]
    drawn = [recipe.drawn(i) for i in numbers]
    grids = [Grid(space, (own.get("length", recipe.length),) * kind.dimensions) for own in drawn]
    states = [
        family(grid, generator(recipe.seed, "initial", i), **recipe.initial)
        for i, grid in zip(numbers, grids, strict=True)
    ]
    dtype = torch.float64 if recipe.precision == "float64" else torch.float32
    state = torch.stack(states).to(device=device, dtype=dtype)
    if isinstance(kind, Steady):
        return _solved_once(kind, state, recipe, numbers, bar)
    own = {
        name: torch.tensor([each[name] for each in drawn], dtype=torch.float64) for name in sorted(recipe.draws)
    }
    term = recipe.term(own=own)
    stored = np.empty((len(numbers), *recipe.shape[1:]), dtype=np.float32)
    for channel, values in enumerate(own.values(), start=len(kind.fields)):
        stored[:, :, channel] = values.view(-1, *(1,) * (1 + kind.dimensions)).numpy()
    with torch.inference_mode():
        if size.burn_in > 0:
            state = _solved(term, state, [0.0, size.burn_in], recipe)[:, -1]
        for start, block in _blocks(term, state, recipe):
            part = stored[:, start : start + block.shape[1], : len(kind.fields)]
            part[...] = _thinned(block, recipe).float().cpu().numpy()
            if bar is not None:
                bar.advance(block.shape[0] * block.shape[1])
    _check_finite(stored, recipe, numbers)
    return stored


def _blocks(term: Term, state: Tensor, recipe: Recipe) -> Iterator[tuple[int, Tensor]]:
    """Yield (first time index, states "k t c *n"), a few times at a time so that memory stays bounded."""
    times = torch.linspace(0.0, recipe.size.end, recipe.size.times, dtype=torch.float64)
    width = max(2, _BLOCK // max(1, 8 * state.numel()))
    yield 0, state[:, None]
    for first in range(0, len(times) - 1, width):
        y = _solved(term, state, times[first : first + width + 1].tolist(), recipe)
        state = y[:, -1]
        yield first + 1, y[:, 1:]


def _thinned(block: Tensor, recipe: Recipe) -> Tensor:
    """Return "k t c *n" on the stored grid: every so many points, or the means of so many cells."""
    factor, dimensions = recipe.size.oversample, recipe.kind.dimensions
    if recipe.filtered:
        return resample(block, (recipe.size.points,) * dimensions)
    if not recipe.kind.averages:
        thin: tuple[slice | EllipsisType, ...] = (..., *[slice(None, None, factor)] * dimensions)
        return block[thin]
    for dim in range(3, 3 + dimensions):
        block = block.unflatten(dim, (-1, factor)).mean(dim + 1)
    return block


def _solved(term: Term, state: Tensor, times: list[float], recipe: Recipe) -> Tensor:
    y = solve(term, state, times, solver=recipe.kind.solver, dt=recipe.size.dt).y
    assert isinstance(y, Tensor)  # every equation here has one tensor for its state
    return y


def _solved_once(kind: Steady, inputs: Tensor, recipe: Recipe, numbers: range, bar: Bar | None) -> np.ndarray:
    """Return inputs and solution as the times 0 and 1 of a trajectory."""
    with torch.inference_mode():
        solution = kind.solve(inputs, length=recipe.length, **recipe.parameters)
        stored = torch.stack([inputs, solution], dim=1).float().cpu().numpy()
    if bar is not None:
        bar.advance(2 * len(stored))
    _check_finite(stored, recipe, numbers)
    return stored


def _evaluated(
    kind: Closed, recipe: Recipe, numbers: range, device: torch.device | str, bar: Bar | None
) -> np.ndarray:
    """Return the closed form at the stored points and times, and its parameter where it is drawn."""
    size, name = recipe.size, kind.parameter
    own = [{**recipe.parameters, **recipe.drawn(i)}[name] for i in numbers]
    value = torch.tensor(own, dtype=torch.float64, device=device)
    x = torch.from_numpy(_axis(recipe)).to(device)
    times = torch.linspace(0.0, size.end, size.times, dtype=torch.float64, device=device)
    stored = np.empty((len(numbers), *recipe.shape[1:]), dtype=np.float32)
    stored[:, :, 0] = kind.states(x, times, value).float().cpu().numpy()
    if recipe.draws:
        stored[:, :, 1] = np.asarray(own)[:, None, None]
    if bar is not None:
        bar.advance(len(numbers) * size.times)
    _check_finite(stored, recipe, numbers)
    return stored


def _check_finite(stored: np.ndarray, recipe: Recipe, numbers: range) -> None:
    bad = ~np.isfinite(stored).all(axis=tuple(range(2, stored.ndim)))
    if bad.any():
        sample, time = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{recipe.name}: trajectory {numbers[sample]} left the finite numbers at time index {time}; "
            f"dt = {recipe.size.dt} is too long for this equation and grid"
        )


def _join(shards: Path, recipe: Recipe) -> Iterator[np.ndarray]:
    for first, _ in _spans(recipe):
        with open_trajectories(shards / f"{first:07d}.hdf5") as shard:
            for i in range(len(shard)):
                yield shard[i : i + 1].numpy()


def _write(path: Path, recipe: Recipe, blocks: Iterator[np.ndarray], count: int) -> None:
    size, kind = recipe.size, recipe.kind
    settings = json.loads(json.dumps(recipe.settings()))
    card = {
        **recipe.parameters,
        "equation": recipe.equation,
        "seed": recipe.seed,
        "digest": recipe.digest,
        "boundary": kind.boundary,
        "recipe": settings,
    }
    write_trajectories(
        path,
        recipe.schema,
        source=blocks,
        shape=(count, *recipe.shape[1:]),
        fields=recipe.fields,
        times=np.linspace(0.0, size.end, size.times),
        grid=(_axis(recipe),) * kind.dimensions,
        lengths=(recipe.length,) * kind.dimensions,
        parameters=card,
        name=recipe.name,
    )


def _axis(recipe: Recipe) -> np.ndarray:
    """Return the coordinates of the stored points along any axis."""
    points, length = recipe.size.points, recipe.length
    if recipe.kind.cell_centred:
        return recipe.kind.corner * length + length / points * (0.5 + np.arange(points))
    if isinstance(recipe.kind, Steady | Closed):
        return np.linspace(0.0, length, points)
    return length / points * np.arange(points)

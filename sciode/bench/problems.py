"""A data set made ready: opened, thinned, divided, with its equation where a recipe gives one."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sciode.bench.config import DatasetEntry
from sciode.core.errors import InputError
from sciode.core.names import check_keys
from sciode.data import Split, Trajectories, open_trajectories, split
from sciode.generate import Recipe, generate, load_recipe
from sciode.solve import Cosine, Term
from sciode.surrogate import Surrogate, stepper


@dataclass(frozen=True)
class Problem:
    """A data set of a suite, ready for training and tests."""

    entry: DatasetEntry
    data: Trajectories
    split: Split
    recipe: Recipe | None

    @property
    def step(self) -> float:
        """Time of one model step, in the unit of the data."""
        return self.entry.lead * self.data.dt

    @property
    def scored(self) -> list[int]:
        """Channels that are forecast; those that a recipe draws are only carried. All where no other is left."""
        recipe = self.data.parameters.get("recipe", {})
        drawn = recipe.get("draws", {}) if isinstance(recipe, Mapping) else {}
        found = [i for i, name in enumerate(self.data.fields) if name not in drawn]
        return found or list(range(len(self.data.fields)))

    @property
    def rollout(self) -> int:
        """Steps of the autoregressive forecast."""
        most = (self.data.shape[1] - 1) // self.entry.lead
        return most if self.entry.rollout is None else min(self.entry.rollout, most)

    def describe(self) -> dict[str, Any]:
        """Return what ``data.json`` keeps: the file's description with hash, and the ids of the split."""
        title = self.entry.name if self.recipe is None else self.recipe.title
        return {
            "title": title,
            "recipe": None if self.recipe is None else self.recipe.digest,
            "step": self.step,
            "rollout": self.rollout,
            **self.data.spec(),
            "split": self.split.to_dict(),
        }


def data_folder() -> Path:
    """Return where generated data are kept: ``$SCIODE_DATA``, or ``data`` under the working directory."""
    return Path(os.environ.get("SCIODE_DATA") or "data")


def prepare(entry: DatasetEntry, device: str, *, quiet: bool) -> Problem:
    """Generate the data where a recipe names them and they are not there yet, open, thin and divide them.

    Raises :class:`InputError` for a file whose trajectories are too short or too few.
    """
    recipe, path = None, entry.path
    if entry.recipe is not None:
        recipe = load_recipe(entry.recipe, entry.size, change=entry.change)
        # The digest in the name: data of an earlier version of the recipe are not taken for these.
        target = data_folder() / f"{recipe.name}-{entry.size}-{recipe.digest[:8]}.hdf5"
        path = str(generate(recipe, out=target, device=device, quiet=quiet))
    assert path is not None
    data = open_trajectories(path, fields=entry.fields).decimate(entry.trajectories, entry.time, entry.space)
    ids = split(data, rule=entry.split, seed=entry.split_seed)
    if entry.groups and sum(entry.groups) != data.shape[2]:
        raise InputError(f"{entry.name}: groups {list(entry.groups)} do not make {data.shape[2]} channels")
    if data.shape[1] <= entry.lead:
        raise InputError(f"{entry.name}: {data.shape[1]} states are too few for lead {entry.lead}")
    if min(len(ids.train), len(ids.test)) == 0:
        raise InputError(f"{entry.name}: {len(data)} trajectories are too few for the split {entry.split!r}")
    return Problem(entry, data, ids, recipe)


def coarse_stepper(problem: Problem, config: Mapping[str, Any]) -> Surrogate:
    """Return the equation's own solver on a grid ``coarsen`` times coarser per axis (default 2).

    ``substeps`` a model step is by default what keeps the Courant number of the recipe's integrator.
    """
    check_keys(config, ("coarsen", "substeps"), "argument of stepper")
    recipe, coarsen = problem.recipe, int(config.get("coarsen", 2))
    if recipe is None:
        raise InputError(f"{problem.entry.name}: a stepper needs the equation, so a data set with a recipe")
    grid = problem.data.shape[3:]
    points = tuple(n // coarsen for n in grid)
    if coarsen < 1 or min(points) < 4:
        raise InputError(f"{problem.entry.name}: a grid of {list(grid)} cannot be coarsened {coarsen} times")
    longest = recipe.size.dt * max(1.0, recipe.size.points * recipe.size.oversample / points[0])
    substeps = int(config.get("substeps", math.ceil(problem.step / longest - 1e-9)))
    if recipe.draws:
        return Guarded(ToldStepper(recipe, problem.data.fields, points, substeps))
    term = recipe.term(points[0])
    if recipe.kind.averages:
        return Guarded(CellAverages(stepper(term, recipe.kind.solver, substeps), coarsen))
    if recipe.kind.cell_centred:
        return Guarded(CellCentred(term, grid, points, substeps))
    return Guarded(stepper(term, substeps=substeps, points=points))


class ToldStepper:
    """A stepper for an equation whose parameters are channels of the state, on a coarser periodic grid."""

    def __init__(self, recipe: Recipe, fields: tuple[str, ...], points: tuple[int, ...], substeps: int) -> None:
        if fields != recipe.fields:
            raise InputError(f"a stepper of {recipe.name} takes the fields {recipe.fields}, found {fields}")
        self.recipe, self.points, self.substeps = recipe, points, substeps

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the state ``dt`` after ``u``, "b c *n", its parameters as they are."""
        count = len(self.recipe.kind.fields)
        state, told = u[:, :count], u[:, count:].flatten(2)[:, :, 0]
        own = dict(zip(self.recipe.fields[count:], told.unbind(1), strict=True))
        solver = stepper(self.recipe.term(self.points[0], own), substeps=self.substeps, points=self.points)
        return torch.cat([solver(state, dt), u[:, count:]], dim=1)


class CellCentred:
    """A stepper on a coarser grid between walls: states go there and back by their cosine series."""

    def __init__(self, term: Term, fine: tuple[int, ...], coarse: tuple[int, ...], substeps: int) -> None:
        self.solver = stepper(term, substeps=substeps)
        self.fine, self.coarse = Cosine(fine), Cosine(coarse)

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the state ``dt`` after ``u``, "b c *n"."""
        low = _recast(u, self.fine, self.coarse)
        return _recast(self.solver(low, dt), self.coarse, self.fine)


@dataclass(frozen=True)
class CellAverages:
    """A stepper on cells ``coarsen`` times wider: means go there, constants come back, so totals are kept."""

    solver: Surrogate
    coarsen: int

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the state ``dt`` after ``u``, "b c *n"."""
        for dim in range(2, u.dim()):
            if u.shape[dim] % self.coarsen:
                raise InputError(f"{u.shape[dim]} cells cannot be joined {self.coarsen} at a time")
            u = u.unflatten(dim, (-1, self.coarsen)).mean(dim + 1)
        later = self.solver(u, dt)
        for dim in range(2, u.dim()):
            later = later.repeat_interleave(self.coarsen, dim)
        return later


def _recast(u: Tensor, source: Cosine, target: Cosine) -> Tensor:
    modes = source.enter(u)
    assert isinstance(modes, Tensor)
    out = modes.new_zeros(*u.shape[:2], *target.points)
    shared = (slice(min(a, b)) for a, b in zip(source.points, target.points, strict=True))
    kept = (slice(None), slice(None), *shared)
    # The transform is orthonormal, so its coefficients grow with the root of the number of cells.
    out[kept] = modes[kept] * math.sqrt(math.prod(target.points) / math.prod(source.points))
    later = target.leave(out)
    assert isinstance(later, Tensor)
    return later


class Guarded:
    """A solver that answers NaN with NaN: a forecast that has blown up is a score, not the end of the run."""

    def __init__(self, solver: Surrogate) -> None:
        self.solver = solver

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the state ``dt`` after ``u``; samples that are not finite stay so."""
        whole = torch.isfinite(u).flatten(1).all(dim=1)
        if bool(whole.all()):
            return self.solver(u, dt)
        later = torch.full_like(u, torch.nan)
        if bool(whole.any()):
            later[whole] = self.solver(u[whole], dt[whole])
        return later

"""A recipe is a TOML file that says everything a dataset depends on."""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import check_keys, lookup, unknown
from sciode.core.random import derive_seed
from sciode.pde.closed import CLOSED, Closed
from sciode.pde.equations import EQUATIONS, STEADY, Equation, Steady
from sciode.pde.families import FAMILIES
from sciode.solve import Term

SIZES = ("smoke", "small", "pdebench")
_PROBLEMS: dict[str, Equation | Steady | Closed] = {**EQUATIONS, **STEADY, **CLOSED}
_KEYS = [
    *("name", "title", "equation", "length", "seed", "schema", "precision", "filtered", "parameters", "draws"),
    *("initial", "sizes"),
]
_LATER = {"draws": {}, "filtered": False}  # keys that a recipe without them does not have in its digest


@dataclass(frozen=True)
class Size:
    """How much of a dataset to make, and how finely to integrate it.

    Parameters
    ----------
    points
        Stored points per axis.
    trajectories
        How many.
    times
        Stored times per trajectory, the initial one included.
    end
        Last time, in the equation's unit.
    dt
        Largest step of the integrator, same unit.
    burn_in
        Time integrated and dropped before the first stored state.
    oversample
        The integrator's grid is this many times finer per axis than the stored one.
    shard
        Trajectories integrated together: what a kill can lose, and what memory must hold.
    """

    points: int
    trajectories: int
    times: int
    end: float
    dt: float
    burn_in: float = 0.0
    oversample: int = 1
    shard: int = 32

    def check(self, where: str) -> None:
        """Raise :class:`InputError` for a count or a time that makes no sense."""
        for name in ("points", "trajectories", "oversample", "shard"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{where}: {name} must be a whole number of at least 1, found {value!r}")
        if not isinstance(self.times, int) or self.times < 2:
            raise InputError(f"{where}: times must be a whole number of at least 2, found {self.times!r}")
        for name in ("end", "dt"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and value > 0 and math.isfinite(value)):
                raise InputError(f"{where}: {name} must be a positive number, found {value!r}")
        if not (isinstance(self.burn_in, int | float) and self.burn_in >= 0):
            raise InputError(f"{where}: burn_in must not be negative, found {self.burn_in!r}")


@dataclass(frozen=True)
class Recipe:
    """An equation, its parameters, a family of initial conditions, a size and a seed.

    ``draws`` gives bounds of arguments of the equation that are drawn anew for every trajectory, uniformly; the
    file has them as further fields, constant in space and time. ``pace`` drawn so is the trajectory's own time
    between stored states, over the nominal one. ``filtered``: what is stored of a finer grid is its low-pass, by
    Fourier series, in place of every so many points.
    """

    name: str
    title: str
    equation: str
    family: str
    size: Size
    length: float
    seed: int = 0
    schema: str = "pdebench-a"
    precision: str = "float64"
    parameters: dict[str, float] = field(default_factory=dict)
    initial: dict[str, float] = field(default_factory=dict)
    draws: dict[str, tuple[float, float]] = field(default_factory=dict)
    filtered: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what is stored: the equation's fields, then what is drawn."""
        return (*self.kind.fields, *sorted(self.draws))

    @property
    def kind(self) -> Equation | Steady | Closed:
        """The equation's entry in its table."""
        return _PROBLEMS[self.equation]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(b, t, c, *n)`` of the stored data."""
        space = (self.size.points,) * self.kind.dimensions
        return (self.size.trajectories, self.size.times, len(self.fields), *space)

    @cached_property
    def digest(self) -> str:
        """A hash of everything that the numbers depend on; the title is not among it."""
        content = {key: value for key, value in self.settings().items() if key != "title"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def settings(self) -> dict[str, Any]:
        """Return all keys, JSON-able, without those that say nothing."""
        return {key: value for key, value in asdict(self).items() if key not in _LATER or value != _LATER[key]}

    def drawn(self, number: int) -> dict[str, float]:
        """Return the parameters of one trajectory that are its own: a function of the seed and of its number."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "draws", number))
        names = sorted(self.draws)
        numbers = torch.rand(len(names), generator=generator, dtype=torch.float64).tolist()
        bounds = (self.draws[name] for name in names)
        return {name: low + (high - low) * x for name, (low, high), x in zip(names, bounds, numbers, strict=True)}

    def term(self, points: int | None = None, own: Mapping[str, Tensor] | None = None) -> Term:
        """Build the equation on the integrator's grid, or on one of ``points`` per axis.

        ``own`` holds what is drawn, ``[b]`` each, of the trajectories of a batch.

        Raises :class:`InputError` for a steady problem, which does not evolve, and without ``own`` for a recipe
        with draws, whose equation differs from one trajectory to the next.
        """
        if self.draws and own is None:
            raise InputError(
                f"{self.name} draws {', '.join(sorted(self.draws))} anew for each trajectory: no one term"
            )
        if isinstance(self.kind, Steady):
            raise InputError(f"{self.equation} is a steady problem: it has a solution and no evolution")
        if isinstance(self.kind, Closed):
            raise InputError(f"{self.equation} is stored from its closed form: it has no term")
        fine = self.size.points * self.size.oversample
        numbers: dict[str, Any] = {"length": self.length, **self.parameters, **(own or {})}
        return self.kind.build(points=fine if points is None else points, **numbers)


def recipe_folder() -> Path:
    """Return the folder of the shipped recipes: inside an installed package, or beside a source checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_datasets"
    return installed if installed.is_dir() else package.parent / "datasets"


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes.

    >>> "burgers" in recipe_names()
    True
    """
    return sorted(path.parent.name for path in recipe_folder().glob("*/recipe.toml"))


def load_recipe(
    recipe: str | Path, size: str = "smoke", *, seed: int | None = None, change: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a shipped recipe by name, or any by path, at one of its sizes.

    ``change`` holds keys of a size that replace those in the file; its tables ``parameters``, ``draws`` and
    ``initial`` replace single values of the recipe's.

    Raises :class:`UnknownName` for a name, size or key that nothing knows, :class:`InputError` for a bad value.

    >>> load_recipe("burgers", "pdebench").shape
    (10000, 201, 1, 1024)
    >>> load_recipe("burgers", change={"points": 64, "parameters": {"viscosity": 0.02}}).parameters
    {'viscosity': 0.02}
    """
    path = Path(recipe)
    if path.suffix != ".toml":
        if str(recipe) not in recipe_names():
            raise unknown(str(recipe), recipe_names(), "recipe")
        path = recipe_folder() / str(recipe) / "recipe.toml"
    if not path.is_file():
        raise InputError(f"no recipe at {path}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    built = _build(_changed(table, size, change) if change else table, size, path)
    return built if seed is None else replace(built, seed=seed)


def _changed(table: Mapping[str, Any], size: str, change: Mapping[str, Any]) -> dict[str, Any]:
    own = dict(change)
    tables = {name: {**table.get(name, {}), **own.pop(name, {})} for name in ("parameters", "draws")}
    before = lookup(size, table.get("sizes", {size: {}}), f"size of {table.get('name', 'the recipe')}")
    own["initial"] = {**before.get("initial", {}), **own.pop("initial", {})}
    sizes = {**table.get("sizes", {}), size: {**before, **own}}
    return {**table, **tables, "sizes": sizes}


def _build(table: Mapping[str, Any], size: str, path: Path) -> Recipe:
    check_keys(table, _KEYS, f"key of {path.name}")
    equation = lookup(str(table["equation"]), _PROBLEMS, "equation") if "equation" in table else None
    needed = (
        ("name", "equation", "sizes") if isinstance(equation, Closed) else ("name", "equation", "initial", "sizes")
    )
    missing = [key for key in needed if key not in table]
    if missing or equation is None:
        raise InputError(f"{path} lacks {', '.join(missing)}")
    initial = dict(table.get("initial", {}))
    family = str(initial.pop("family", ""))
    if isinstance(equation, Closed):
        _check_closed(table, equation, path)
    else:
        lookup(family, FAMILIES, "family of initial conditions")
    numbers = dict(lookup(size, table["sizes"], f"size of {table['name']}"))
    initial |= dict(numbers.pop("initial", {}))  # a size may draw from a narrower family
    check_keys(numbers, [f.name for f in fields(Size)], f"key of [sizes.{size}]")
    absent = [name for name in ("points", "trajectories", "times", "end", "dt") if name not in numbers]
    if absent:
        raise InputError(f"{path}: [sizes.{size}] lacks {', '.join(absent)}")
    chosen = Size(**numbers)
    chosen.check(f"{path}: [sizes.{size}]")
    if equation.cell_centred and not equation.averages and chosen.oversample != 1:
        raise InputError(f"{path}: {table['equation']} lives at cell centres, which a finer grid does not share")
    if isinstance(equation, Closed) and (chosen.oversample, chosen.burn_in) != (1, 0.0):
        raise InputError(f"{path}: {table['equation']} has a closed form: oversample = 1 and no burn_in")
    if isinstance(equation, Steady) and (chosen.times, chosen.oversample, chosen.burn_in) != (2, 1, 0.0):
        raise InputError(
            f"{path}: {table['equation']} is steady, it takes times = 2, oversample = 1 and no burn_in, found "
            f"{chosen.times}, {chosen.oversample} and {chosen.burn_in}"
        )
    precision = str(table.get("precision", "float64"))
    lookup(precision, {"float32": 0, "float64": 0}, "precision")
    return Recipe(
        name=str(table["name"]),
        title=str(table.get("title", table["name"])),
        equation=str(table["equation"]),
        family=family,
        size=chosen,
        length=float(table.get("length", equation.length)),
        seed=int(table.get("seed", 0)),
        schema=str(table.get("schema", "pdebench-a" if equation.dimensions == 1 else "pdebench-b")),
        precision=precision,
        parameters={key: float(value) for key, value in table.get("parameters", {}).items()},
        initial={key: float(value) for key, value in initial.items()},
        draws=_draws(table, equation, path),
        filtered=_filtered(table, equation, path),
    )


def _draws(
    table: Mapping[str, Any], equation: Equation | Steady | Closed, path: Path
) -> dict[str, tuple[float, float]]:
    found = dict(table.get("draws", {}))
    check_keys(found, getattr(equation, "varied", ()), f"argument of {table['equation']} that may be drawn")
    if twice := sorted(found.keys() & table.get("parameters", {}).keys()):
        raise InputError(f"{path}: {twice[0]} stands in [parameters] and in [draws]: leave it in one of them")
    for name, bounds in found.items():
        if not (isinstance(bounds, list | tuple) and len(bounds) == 2 and 0 < bounds[0] <= bounds[1] < math.inf):
            raise InputError(f"{path}: draws of {name} are two positive numbers in order, found {bounds!r}")
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def _check_closed(table: Mapping[str, Any], equation: Closed, path: Path) -> None:
    if "initial" in table or "length" in table:
        raise InputError(f"{path}: {table['equation']} has a closed form, with its own initial state and length")
    given = {**table.get("parameters", {}), **table.get("draws", {})}
    if list(given) != [equation.parameter]:
        raise InputError(
            f"{path}: {table['equation']} takes {equation.parameter} in [parameters] or [draws], found "
            f"{', '.join(given) or 'nothing'}"
        )


def _filtered(table: Mapping[str, Any], equation: Equation | Steady | Closed, path: Path) -> bool:
    chosen = bool(table.get("filtered", False))
    if chosen and (isinstance(equation, Steady | Closed) or equation.cell_centred):
        raise InputError(
            f"{path}: filtered takes an equation on a periodic grid of points, not {table['equation']}"
        )
    return chosen

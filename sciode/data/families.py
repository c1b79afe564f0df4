"""Trajectories of several files as one data set, each family in units of its own: what pre-training takes."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciode.core.errors import InputError
from sciode.data.normalise import Channelwise
from sciode.data.split import Split, split
from sciode.data.trajectories import Trajectories


class Families:
    """Several data sets, one after the other; every state is normalised by the constants of its family.

    Time is counted in steps of each file, ``dt`` being 1: families differ in how fast they are, and a model that
    is trained on all of them is told the number of steps.

    Parameters
    ----------
    parts
        Data sets by name, with the same number of times, channels and points.
    seed
        Of the split of each, see :func:`sciode.data.split`. Constants are fitted on the training parts alone.
    same_fields
        Whether the names of the channels must agree too, in order.

    Attributes
    ----------
    normalisers : dict
        By name; they bring states of a family back to physical units.

    Raises
    ------
    InputError
        For no parts, and for parts whose shapes or fields differ, naming the first that does.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sciode.data import open_trajectories, write_trajectories
    >>> def made(name, size):
    ...     u = size * np.random.default_rng(0).standard_normal((5, 4, 1, 8))
    ...     path = Path(tempfile.mkdtemp()) / name
    ...     return open_trajectories(write_trajectories(path, source=[u], shape=u.shape, fields=["u"],
    ...         times=np.arange(4) / 4, grid=[np.arange(8)]))
    >>> both = Families({"small": made("a.h5", 0.01), "large": made("b.h5", 100.0)})
    >>> len(both), both[0].abs().max().item() < 9.0, both[9].abs().max().item() < 9.0
    (10, True, True)
    """

    dt = 1.0

    def __init__(self, parts: Mapping[str, Trajectories], seed: int = 0, *, same_fields: bool = True) -> None:
        if not parts:
            raise InputError("Families takes at least one data set")
        self.parts, self.seed = dict(parts), seed
        (first, one), *others = self.parts.items()
        for name, other in others:
            if other.shape[1:] != one.shape[1:]:
                raise InputError(
                    f"families must agree in times, channels and points: {first!r} has {list(one.shape[1:])}, "
                    f"{name!r} {list(other.shape[1:])}; decimate or resample one of them"
                )
            if same_fields and other.fields != one.fields:
                raise InputError(
                    f"families must have the same fields: {first!r} has {', '.join(one.fields)}, {name!r} "
                    f"{', '.join(other.fields)}; if their names alone differ, say same_fields=False"
                )
        self._splits = {name: split(part, seed=seed) for name, part in self.parts.items()}
        self.normalisers = {
            name: Channelwise(part.shape[2]).fit(part, self._splits[name].train)
            for name, part in self.parts.items()
        }
        self._first = np.cumsum([0, *(len(part) for part in self.parts.values())])

    @property
    def shape(self) -> tuple[int, ...]:
        """All trajectories, times, channels, points."""
        return (len(self), *next(iter(self.parts.values())).shape[1:])

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the channels, of the first family."""
        return next(iter(self.parts.values())).fields

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: Any) -> Tensor:
        which, *when = index if isinstance(index, tuple) else (index,)
        name, number = self.locate(int(which))
        u = self.parts[name][(number, *when)]
        one = u.dim() < len(self.shape) - 1  # a state alone
        return self.normalisers[name].normalise(u, axis=0 if one else 1)

    def locate(self, index: int) -> tuple[str, int]:
        """Return the family of a trajectory, and its number there."""
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            raise IndexError(f"trajectory {index} is out of bounds for {len(self)}")
        part = int(np.searchsorted(self._first, index, side="right")) - 1
        return list(self.parts)[part], index - int(self._first[part])

    def blocks(self, trajectories: NDArray[np.int64]) -> Iterator[tuple[slice, slice, Tensor]]:
        """Stream normalised trajectories, one by one: see :meth:`Trajectories.blocks`."""
        for place, index in enumerate(trajectories):
            yield slice(place, place + 1), slice(0, self.shape[1]), self[int(index)][None]

    def split(self) -> Split:
        """Return the parts of all families together."""
        ids: dict[str, NDArray[np.int64]] = {}
        for part in ("train", "validation", "test"):
            own = [getattr(s, part) + first for s, first in zip(self._splits.values(), self._first, strict=False)]
            ids[part] = np.concatenate(own)
        return Split(**ids, rule="sciode, by family", seed=self.seed)

    def spec(self) -> dict[str, Any]:
        """Describe the families in JSON-able terms, for checkpoints and run cards."""
        return {
            name: {"data": part.spec(), "normaliser": self.normalisers[name].to_dict()}
            for name, part in self.parts.items()
        }

    def __repr__(self) -> str:
        return f"Families({', '.join(f'{name}: {len(part)}' for name, part in self.parts.items())})"


def subset(parts: Split, count: int) -> Split:
    """Return the split with the first ``count`` training ids alone, drawn by its seed: fewer include no others.

    >>> whole = split(20, seed=1)
    >>> set(subset(whole, 4).train) < set(subset(whole, 8).train)
    True
    """
    if not 1 <= count <= len(parts.train):
        raise InputError(f"a subset takes 1 to {len(parts.train)} training trajectories, got {count}")
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(parts.seed)).numpy()
    return Split(np.sort(parts.train[order[:count]]), parts.validation, parts.test, parts.rule, parts.seed)

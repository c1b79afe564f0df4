"""Random numbers of a sampler: every sample has its own stream, so a batch may be split at will."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.core.typing import State, leaves, like
from sciode.solve.increment import Increment, Needs, Query
from sciode.solve.steps import Steps

_BLOCK = 16  # rows drawn at once


def sample_seeds(seed: int, count: int, first: int = 0) -> list[int]:
    """Return the seeds of the samples ``first`` .. ``first + count - 1`` of a run named ``seed``.

    Half a batch, given the seeds of its half, gets the very numbers that it gets in the whole batch:

    >>> sample_seeds(7, 4)[2:] == sample_seeds(7, 2, first=2)
    True
    """
    return [derive_seed(seed, "sample", index) for index in range(first, first + count)]


@dataclass(frozen=True)
class EachSample:
    """A driver of standard normal numbers: sample i draws from a stream of its own, named by ``seeds[i]``."""

    seeds: Sequence[int]

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the numbers by the number of the row."""
        count = len(leaves(like)[0])
        if len(self.seeds) != count:
            raise InputError(f"{len(self.seeds)} seeds for a batch of {count} samples: give one number, or [b]")
        return _Rows(like, self.seeds, len(steps.sizes))

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Refuse: rows are numbered."""
        raise InputError("the noise of a sampler is drawn row by row; with step control use a BrownianTree")


def row_noise(seed: int, block: int, count: int, parts: Sequence[Tensor]) -> list[Tensor]:
    """Return one sample's standard normal numbers of ``count`` rows of a block, of states ``"b ..."``.

    >>> row_noise(0, 0, 3, [torch.zeros(5, 2)])[0].shape
    torch.Size([3, 2])
    """
    stream = torch.Generator(parts[0].device).manual_seed(derive_seed(seed, block))
    return [part.new_empty((count, *part.shape[1:])).normal_(generator=stream) for part in parts]


class _Rows:
    """Numbers of one solve; a block of rows can be drawn again at any time."""

    def __init__(self, like: State, seeds: Sequence[int], rows: int) -> None:
        self.like, self.seeds, self.rows = like, seeds, rows
        self.block, self.drawn = -1, ()  # type: tuple[int, tuple[State, ...]]

    def __call__(self, index: int) -> Increment:
        block, within = divmod(index, _BLOCK)
        if block != self.block:
            self.block, self.drawn = block, self._draw(block)
        return Increment(self.drawn[within])

    def _draw(self, block: int) -> tuple[State, ...]:
        count = min(_BLOCK, self.rows - block * _BLOCK)
        parts = leaves(self.like)
        made = [part.new_empty((count, *part.shape)) for part in parts]
        for sample, seed in enumerate(self.seeds):
            for all_samples, one in zip(made, row_noise(seed, block, count, parts), strict=True):
                all_samples[:, sample] = one
        return tuple(like(self.like, row) for row in zip(*(part.unbind() for part in made), strict=True))

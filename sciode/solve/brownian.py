r"""A Brownian path with no memory: any value is made anew, by counter, from (seed, sample, element, node).

The span is cut in half ``depth`` times. Each node of that tree splits an interval by the exact conditional law
of (W, H) on the left half given (W, H) on the whole, and a last exact bridge leads from the cell's ends to the
time asked. The numbers come from a hash of counters: the same for every order of questions, split of the
batch and device (up to the round-off of its logarithm and cosine).

Symbols: ``B`` path, ``J`` its integral from the start of the span, ``W`` and ``H`` increment and space--time
Levy area of a cell, ``h`` its width, ``r`` place within it in [0, 1].

References
----------
Foster, Oberhauser and Lyons, *An optimal polynomial approximation of Brownian motion*, SIAM J. Numer. Anal. 58
(2020). Jelincic, Foster and Kidger, arXiv:2405.06464, section 4.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, leaves
from sciode.solve.counter import Cell, counter_keys, normals
from sciode.solve.increment import Increment, Needs
from sciode.solve.steps import Steps

_EXACT = 50  # float64 places a time in no finer a cell


class _Node(NamedTuple):
    """A cell of the tree: path and integral at its left end, and the increment over it."""

    B: Tensor
    J: Tensor
    W: Tensor
    H: Tensor


def _root(keys: Tensor, span: float) -> _Node:
    first, second = normals(keys, 0)
    zero = torch.zeros_like(first)
    return _Node(zero, zero, first * math.sqrt(span), second * math.sqrt(span / 12.0))


def _halved(keys: Tensor, node: _Node, number: Cell, right: Cell, h: float) -> _Node:
    """Return the left or right half of a cell of width ``h``. ``Z`` is N(0, h/16) and ``N`` is N(0, h/12)."""
    B, J, W, H = node
    first, second = normals(keys, number)
    Z, N = first * math.sqrt(h / 16.0), second * math.sqrt(h / 48.0)  # N halved
    W1 = 0.5 * W + 1.5 * H + Z
    common = 0.25 * H - 0.5 * Z
    if not isinstance(right, Tensor):
        if not right:
            return _Node(B, J, W1, common + N)
        return _Node(B + W1, J + 0.5 * h * (B + 0.5 * W1 + common + N), W - W1, common - N)
    # Each sample goes its own way: the same numbers, chosen element by element.
    r = right.reshape(-1, *[1] * (B.dim() - 1)).bool()
    J2 = J + 0.5 * h * (B + 0.5 * W1 + common + N)
    return _Node(
        torch.where(r, B + W1, B),
        torch.where(r, J2, J),
        torch.where(r, W - W1, W1),
        torch.where(r, common - N, common + N),
    )


def _inside(keys: Tensor, node: _Node, number: Cell, r: Tensor | float, h: float) -> tuple[Tensor, Tensor]:
    """Return (B, J) at the place ``r`` of a cell, by the exact law given (W, H) of the cell."""
    B, J, W, H = node
    first, second = normals(keys, number)
    r = torch.as_tensor(r, dtype=torch.float64, device=B.device)
    r = r.reshape(-1, *[1] * (B.dim() - 1)) if r.dim() else r
    q = r * (1.0 - r)
    rest = 1.0 - 3.0 * q  # at least 1/4
    first = first * torch.sqrt(q * rest)  # standard deviation of B(r)
    along = q * (1.0 - 2.0 * r) / (2.0 * rest)  # regression of J(r) on it
    second = second * torch.sqrt(q**3 / (12.0 * rest))
    root = math.sqrt(h)
    moved = r * W + 6.0 * q * H + root * first
    area = 0.5 * r * r * W + r * r * (3.0 - 2.0 * r) * H + root * (along * first + second)
    return B + moved, J + h * (r * B + area)


@dataclass
class TreePath:
    """One path over [start, end]; see :class:`BrownianTree`."""

    leaves: tuple[Tensor, ...]  # shaped like W; only shape, dtype and device count
    tupled: bool
    start: float
    end: float
    seed: int
    depth: int
    offset: int
    _keys: tuple[Tensor, ...] = ()
    _trail: list[list[_Node]] = field(default_factory=list)  # per leaf, the cells of the last descent
    _cell: int = 0
    _known: dict[float, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)  # the last two host times

    def __post_init__(self) -> None:
        with torch.no_grad():
            self._keys = tuple(
                counter_keys(_real_shape(part), self.seed, self.offset, leaf, part.device)
                for leaf, part in enumerate(self.leaves)
            )
            self._trail = [[_root(keys, self.end - self.start)] for keys in self._keys]

    @torch.no_grad()
    def increment(self, start: float | Time, end: float | Time, area: bool = False) -> Increment:
        """Return W, and H if ``area``, from ``start`` to ``end``: floats, or tensors ``[]`` or ``[b]``.

        Additive: W(a, c) = W(a, b) + W(b, c) to round-off, and so for the integral h (W/2 + H). Times
        outside the span are taken at its nearer end.
        """
        first, last = self._at(start), self._at(end)
        made = [self._between(i, start, end, first[i], last[i], area) for i in range(len(self.leaves))]
        W = tuple(pair[0] for pair in made)
        H = tuple(pair[1] for pair in made)
        if not self.tupled:
            return Increment(W[0], H[0] if area else None)
        return Increment(W, H if area else None)

    def _between(
        self,
        leaf: int,
        start: float | Time,
        end: float | Time,
        first: tuple[Tensor, Tensor],
        last: tuple[Tensor, Tensor],
        area: bool,
    ) -> tuple[Tensor, Tensor]:
        (B0, J0), (B1, J1) = first, last
        W = B1 - B0
        if not area:
            return _cast(W, self.leaves[leaf]), W
        h = torch.as_tensor(end, dtype=torch.float64) - torch.as_tensor(start, dtype=torch.float64)
        h = h.to(W.device)
        h = h.reshape(-1, *[1] * (W.dim() - 1)) if h.dim() else h
        safe = torch.where(h == 0.0, torch.ones_like(h), h)
        H = (J1 - J0 - h * B0) / safe - 0.5 * W
        return _cast(W, self.leaves[leaf]), _cast(H, self.leaves[leaf])

    def _at(self, time: float | Time) -> list[tuple[Tensor, Tensor]]:
        """Return (B, J) of every leaf at a time."""
        if isinstance(time, Tensor):
            return self._at_each(time.detach())
        found = self._known.pop(time, None)
        if found is None:
            if len(self._known) == 2:
                del self._known[next(iter(self._known))]
            found = self._descend(time)
        self._known[time] = found  # the newest last: a refused step asks again from the same start
        return found

    def _descend(self, time: float) -> list[tuple[Tensor, Tensor]]:
        count = 1 << self.depth
        place = min(max((time - self.start) / (self.end - self.start) * count, 0.0), float(count))
        cell = min(int(place), count - 1)
        shared = self.depth - (cell ^ self._cell).bit_length()  # the cells above are those of the last descent
        self._cell = cell
        made = []
        for keys, trail in zip(self._keys, self._trail, strict=True):
            del trail[shared + 1 :]
            for level in range(len(trail) - 1, self.depth):
                number = (1 << level) + (cell >> (self.depth - level))
                right = (cell >> (self.depth - level - 1)) & 1
                trail.append(_halved(keys, trail[-1], number, right, self._width(level)))
            made.append(_inside(keys, trail[-1], count + cell, place - cell, self._width(self.depth)))
        return made

    def _at_each(self, time: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Descend with one time per sample: no comparison on the host, and so no wait for the device."""
        count = 1 << self.depth
        place = (time.to(torch.float64) - self.start) / (self.end - self.start) * count
        place = place.clamp(0.0, float(count)).to(self._keys[0].device)
        cell = place.to(torch.int64).clamp_(max=count - 1)
        made = []
        for keys, trail in zip(self._keys, self._trail, strict=True):
            node = trail[0]
            for level in range(self.depth):
                number = (1 << level) + (cell >> (self.depth - level))
                right = (cell >> (self.depth - level - 1)) & 1
                node = _halved(keys, node, number, right, self._width(level))
            made.append(_inside(keys, node, count + cell, place - cell, self._width(self.depth)))
        return made

    def _width(self, level: int) -> float:
        return math.ldexp(self.end - self.start, -level)


def _real_shape(part: Tensor) -> tuple[int, ...]:
    return (*part.shape, 2) if part.is_complex() else tuple(part.shape)


def _cast(value: Tensor, part: Tensor) -> Tensor:
    if not part.is_complex():
        return value.to(part.dtype)
    # Circular noise: E|W|^2 = h, half of it in either part.
    return torch.view_as_complex(value * math.sqrt(0.5)).to(part.dtype)


@dataclass(frozen=True)
class BrownianTree:
    r"""A counter-based Brownian path: for adaptive steps, adjoints, and batches that are split over machines.

    Parameters
    ----------
    depth
        The span of the solve is cut into :math:`2^{depth}` cells. The law of (W, H) is exact for all times;
        only two times in one cell share its numbers, so steps should not be shorter than a cell.
    offset
        The number of the first sample of the batch. Samples 0-3 and 4-7, solved apart with offsets 0 and 4,
        get the noise that one batch of eight gets.
    span
        Two times that the path spans, in the clock of the chart; by default the span of the solve. Set it
        where solves over different spans shall see one path.

    Raises
    ------
    InputError
        For a depth outside 1 to 50, a negative offset, or an empty span.

    Examples
    --------
    >>> path = BrownianTree().path(torch.zeros(2, 3), 0.0, 1.0, seed=1)
    >>> whole = path.increment(0.2, 0.7).W
    >>> bool(torch.allclose(path.increment(0.2, 0.4).W + path.increment(0.4, 0.7).W, whole))
    True
    """

    depth: int = 16
    offset: int = 0
    span: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= _EXACT:
            raise InputError(f"depth must be between 1 and {_EXACT}, found {self.depth}")
        if self.offset < 0:
            raise InputError(f"offset must not be negative, found {self.offset}")
        if self.span is not None and not self.span[0] < self.span[1]:
            raise InputError(f"span must be two increasing times, found {self.span}")

    def path(self, like: State, start: float, end: float, seed: int) -> TreePath:
        """Return the path of a seed over a span; ``like`` gives shape, dtype and device of W."""
        low, high = self.span or (min(start, end), max(start, end))
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InputError(f"a Brownian tree needs a finite span of time, found {low:g} to {high:g}")
        outside = min(start, end) < low - 1e-9 * (high - low) or max(start, end) > high + 1e-9 * (high - low)
        if outside:
            raise InputError(
                f"the solve from {start:g} to {end:g} leaves the span {low:g} to {high:g} of its path"
            )
        return TreePath(leaves(like), isinstance(like, tuple), low, high, seed, self.depth, self.offset)

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments on a fixed grid, by the number of the step."""
        if needs.joint:
            raise InputError(
                "exact joint increments come from the default driver; a BrownianTree has W and H only"
            )
        if not len(steps.sizes):
            raise InputError("a Brownian tree needs at least one step")
        ends = [*map(float, steps.starts), float(steps.starts[-1] + steps.sizes[-1])]
        path = self.path(like, ends[0], ends[-1], seed)
        return lambda index: path.increment(ends[index], ends[index + 1], needs.area)

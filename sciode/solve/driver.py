"""Where the numbers of a noise path come from.

``Generator`` draws them step by step and forgets them, ``Path`` is given them, ``Coarse`` joins the steps of a
finer grid, ``Field`` draws on the points of a real field and transforms. :class:`BrownianTree` is in a module
of its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.core.typing import State, each, leaves
from sciode.core.typing import like as built
from sciode.solve.brownian import BrownianTree
from sciode.solve.chart import Chart
from sciode.solve.increment import Driver, Increment, Needs, Query, join, spread
from sciode.solve.phi import scaled_phi
from sciode.solve.steps import Steps

_AT_ONCE = 1 << 15  # numbers drawn together: enough to make seeding free, few enough to stay in a cache


@dataclass(frozen=True)
class Generator:
    """The default: torch's random stream, seeded anew for every block of steps.

    Any step can be drawn again at any time, in constant memory. The numbers depend on the seed, the number of
    the step and the shape, dtype and kind of device of the state.
    """

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments on a fixed grid, by the number of the step."""
        return _Stream(leaves(like), isinstance(like, tuple), [float(h) for h in steps.sizes], seed, needs)

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Return a Brownian tree: steps that are not known beforehand cannot be drawn in order."""
        return BrownianTree().path(like, start, end, seed)


GENERATOR = Generator()


@dataclass
class _Stream:
    """Increments of a grid, drawn a block of steps at a time: by the block, so that a replay is the same."""

    leaves: tuple[Tensor, ...]
    tupled: bool
    sizes: list[float]
    seed: int
    needs: Needs
    _block: int = -1
    _rows: list[Increment] = field(default_factory=list)  # of the steps of the block
    _factors: dict[float, list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rates = self.needs.rates
        self.joint = self.needs.joint and rates is not None
        self.draws = 1 + rates[0].shape[-1] if self.joint and rates else 1 + self.needs.area
        # Of the state alone: W is the same path whatever else is drawn.
        self.depth = max(1, min(256, _AT_ONCE // max(1, sum(part.numel() for part in self.leaves))))
        self.even = len(set(self.sizes)) == 1
        self.stream = torch.Generator(device=self.leaves[0].device)

    def __call__(self, index: int) -> Increment:
        block, row = divmod(index, self.depth)
        if block != self._block:
            self._rows = self._draw(block)
            self._block = block
        return self._rows[row]

    def _made(self, parts: Sequence[Tensor]) -> State:
        return tuple(parts) if self.tupled else parts[0]

    @torch.no_grad()
    def _draw(self, block: int) -> list[Increment]:
        self.stream.manual_seed(derive_seed(self.seed, block))
        # Grids mostly have one step size: its root then costs nothing.
        root = spread(self.sizes[0]) if self.even and not self.joint else 1.0
        numbers = []
        for number in range(self.draws):
            scale = root * math.sqrt(1.0 / 12.0) if number and self.needs.area else root
            drawn = [self._drawn(part, scale, block) for part in self.leaves]
            numbers.append(
                [self._made(parts) for parts in zip(*(value.unbind(0) for value in drawn), strict=True)]
            )
        if self.joint:
            sizes = self.sizes[block * self.depth : (block + 1) * self.depth]
            return [self._joint(list(made), h) for made, h in zip(zip(*numbers, strict=True), sizes, strict=False)]
        return list(map(Increment, *numbers))

    def _drawn(self, part: Tensor, scale: float, block: int) -> Tensor:
        value = part.new_empty((self.depth, *part.shape)).normal_(0.0, scale, generator=self.stream)
        if self.even or self.joint:
            return value
        sizes = self.sizes[block * self.depth : (block + 1) * self.depth]
        roots = [spread(h) for h in sizes] + [0.0] * (self.depth - len(sizes))
        return value.mul_(value.new_tensor(roots).reshape(-1, *[1] * part.dim()))

    def _joint(self, numbers: list[State], h: float) -> Increment:
        if h not in self._factors:
            assert self.needs.rates is not None
            pairs = zip(self.needs.rates, self.leaves, strict=True)
            self._factors[h] = [factor(rate, h).to(part) for rate, part in pairs]
        stacked = [torch.stack(parts, dim=-1) for parts in zip(*map(leaves, numbers), strict=True)]
        drawn = [z @ root for z, root in zip(stacked, self._factors[h], strict=True)]  # the root is symmetric
        return Increment(self._made([z[..., 0] for z in drawn]), None, self._made([z[..., 1:] for z in drawn]))


def factor(rates: Tensor, h: float) -> Tensor:
    r"""Return R, ``[K + 1, K + 1]`` float64, with R z distributed as (W, X_1 .. X_K) of one Wiener process.

    The covariance :math:`h\,\varphi_1((\rho_i + \rho_j) h)`, with rate 0 for W itself, is singular to round-off
    for small h, so its root is taken by eigenvalues and not by Cholesky.

    >>> root = factor(torch.tensor([-1.0, -5.0]), 0.1)
    >>> round((root @ root.mT)[0, 0].item(), 9)
    0.1
    """
    rate = torch.cat([rates.new_zeros(1), rates.detach()]).to(torch.float64)
    covariance = scaled_phi(1, 1.0, rate[:, None] + rate, h) * math.copysign(1.0, h)
    values, vectors = torch.linalg.eigh(covariance)
    # Symmetric root: unlike the bare eigenvectors it does not depend on their arbitrary signs.
    return (vectors * values.clamp(min=0.0).sqrt()) @ vectors.mT


@dataclass(frozen=True)
class Path:
    """Increments that the user gives, one row per step, shaped like W.

    Parameters
    ----------
    W
        ``[steps, b, ...]``: N(0, h) each, if it shall be a Wiener process. For a tuple state a tuple.
    H
        Space--time Levy area, the same shape, or None.

    Examples
    --------
    >>> path = Path(torch.ones(4, 1, 2))
    >>> path.coarsen(2, 0.1).W.shape
    torch.Size([2, 1, 2])
    """

    W: State
    H: State | None = None

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments by the number of the step."""
        parts = leaves(like)
        for given in (self.W, self.H):
            if given is None:
                continue
            wanted = [[len(steps.sizes), *part.shape] for part in parts]
            found = [list(part.shape) for part in leaves(given)]
            if wanted != found:
                raise InputError(f"the given path holds {found}, these steps need {wanted}")
        if needs.area and self.H is None:
            raise InputError("this solver needs the space-time Levy area: Path(W, H)")
        if needs.joint:
            raise InputError("exact joint increments come from the default driver; a Path has W and H only")

        def row(given: State, index: int) -> State:
            return each(lambda part: part[index], given)

        def increment(index: int) -> Increment:
            return Increment(row(self.W, index), None if self.H is None else row(self.H, index))

        return increment

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Refuse: a path given on a grid has no values between."""
        raise InputError("a given Path serves fixed steps only; for other steps use driver=BrownianTree()")

    def coarsen(self, factor: int, dt: float) -> "Path":
        """Join each ``factor`` adjacent steps of size ``dt``."""
        count = len(leaves(self.W)[0])
        if count % factor:
            raise InputError(f"{count} steps cannot be joined {factor} by {factor}")

        def rows(index: int) -> Increment:
            return Increment(
                each(lambda part: part[index::factor], self.W),
                None if self.H is None else each(lambda part: part[index::factor], self.H),
            )

        joined = join([rows(index) for index in range(factor)], [dt] * factor)
        return Path(joined.W, joined.H)


@dataclass(frozen=True)
class Coarse:
    """The path of a finer grid: each step is joined from ``factor`` steps of ``driver``, exactly."""

    factor: int
    driver: Driver = GENERATOR

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise InputError(f"factor must be at least 1, found {self.factor}")

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments by the number of the step."""
        fine = finer(steps, self.factor)
        sizes = [float(h) for h in fine.sizes]
        source = convolving(self.driver.grid(like, fine, seed, needs), sizes, needs)

        def increment(index: int) -> Increment:
            first, last = index * self.factor, (index + 1) * self.factor
            return join([source(i) for i in range(first, last)], sizes[first:last], needs.rates)

        return increment

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Return the path of ``driver``."""
        return self.driver.path(like, start, end, seed)


def convolving(source: Callable[[int], Increment], sizes: list[float], needs: Needs) -> Callable[[int], Increment]:
    r"""Add the Ornstein--Uhlenbeck increment X to a source, where it is asked for and not there yet.

    X is W scaled to the variance :math:`h\varphi_1(2 h \Re\rho)`: its exact law, independent from step to step.
    """
    rates = needs.rates
    if rates is None or needs.joint:
        return source
    kept: dict[float, list[Tensor]] = {}
    learned = any(rate.requires_grad for rate in rates)  # a weight with a graph behind it is made for each use

    def increment(index: int) -> Increment:
        made, h = source(index), sizes[index]
        if made.X is not None:
            return made
        parts = leaves(made.W)
        if learned or h not in kept:
            scales = [torch.sqrt(scaled_phi(1, 2.0, rate.real, h).abs()) / spread(h) for rate in rates]
            scales = scales if len(scales) == len(parts) else scales * len(parts)
            kept[h] = [scale.to(part.real) for scale, part in zip(scales, parts, strict=True)]
        return made._replace(X=built(made.W, tuple(w * scale for w, scale in zip(parts, kept[h], strict=True))))

    return increment


def finer(steps: Steps, factor: int) -> Steps:
    """Cut every step into ``factor`` equal ones."""
    sizes = np.repeat(steps.sizes / factor, factor)
    starts = (steps.starts[:, None] + steps.sizes[:, None] / factor * np.arange(factor)).reshape(-1)
    return Steps(starts, sizes, tuple(mark * factor for mark in steps.marks))


@dataclass(frozen=True)
class Field:
    """Noise of a real field, for an equation solved in another chart.

    One Wiener process per point of the user's grid, taken to the chart: so noise in a Fourier chart has the
    symmetry of a real field's transform. White noise in space of intensity sigma has the amplitude
    sigma / sqrt(cell volume).

    Examples
    --------
    >>> from sciode.solve.chart import Fourier
    >>> y = torch.zeros(1, 1, 5, dtype=torch.complex128)
    >>> path = Field(Fourier((8,))).path(y, 0.0, 1.0, seed=0)
    >>> path.increment(0.0, 0.5).W[0, 0, 0].imag.item()  # the mean of a real field is real
    0.0
    """

    chart: Chart
    driver: Driver = GENERATOR

    def grid(self, like: State, steps: Steps, seed: int, needs: Needs) -> Callable[[int], Increment]:
        """Return the increments, in the chart's coordinates, by the number of the step."""
        source = self.driver.grid(self._points(like), steps, seed, needs._replace(rates=None))
        return lambda index: self._entered(source(index))

    def path(self, like: State, start: float, end: float, seed: int) -> Query:
        """Return the path in the chart's coordinates."""
        return _FieldPath(self, self.driver.path(self._points(like), start, end, seed))

    def _points(self, like: State) -> State:
        empty = each(torch.zeros_like, like)
        return self.chart.leave(empty, torch.zeros((), dtype=torch.float64))

    def _entered(self, made: Increment) -> Increment:
        zero = torch.zeros((), dtype=torch.float64)
        H = None if made.H is None else self.chart.enter(made.H, zero)
        return Increment(self.chart.enter(made.W, zero), H)


@dataclass(frozen=True)
class _FieldPath:
    field: Field
    query: Query

    def increment(self, start: Any, end: Any, area: bool = False) -> Increment:
        """Return the increment, transformed."""
        return self.field._entered(self.query.increment(start, end, area))

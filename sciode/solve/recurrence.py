r"""A method that is written down: one affine recurrence, its numbers given row by row.

.. math:: x \leftarrow a\,x + \sum_j w_j\,f_j + n\,z

with the slopes f known so far, newest first, and independent standard normal z. Any explicit method on a given
grid for a scalar linear part is such a list, stages included: a stage is a row like any other.

Symbols: ``f`` slopes, ``a`` carry, ``w`` weights, ``n`` amplitude of the noise, ``z`` standard normal numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.solve.increment import NOTHING, Increment, Needs
from sciode.solve.multistep import combined
from sciode.solve.multistep_weights import Leaf
from sciode.solve.step import At, Place
from sciode.solve.term import Diagonal, Term
from sciode.solve.weights import Weight

Move: TypeAlias = Callable[[Any, Any, Any], State]
"""(state, newest slope, standard normal numbers) -> state, for a row that is not affine; states may be tuples."""


class Row(NamedTuple):
    """One evaluation and the update that follows it."""

    carry: Weight | None  # a; None is one
    weights: tuple[tuple[Weight, int], ...]  # (w_j, age of the slope), 0 being the newest
    noise: float = 0.0  # n
    evaluates: bool = True  # False: no slope is added before the update
    ends: bool = True  # False for a stage: hooks wait for the end of the step
    blend: tuple[tuple[Weight, int], ...] = ()  # what the newest slope becomes, itself first
    move: Move | None = None  # replaces the update
    shift: Tensor | None = None  # added to the state


class Entry(NamedTuple):
    """A row, ready for a step."""

    leaf: Leaf
    row: Row
    time: Tensor
    reached: Tensor


@dataclass(frozen=True, eq=False)
class Recurrence:
    """Steps given as rows, one a step of unit length: step i of a solve is ``rows[i]``.

    Parameters
    ----------
    rows
        As many as the solve has steps.
    times
        What the drift is given as time in each row, ``[rows]``, on the state's device.
    reached
        The time after each row, ``[rows]``, for hooks. None: ``times``.
    order
        Of convergence of what the rows spell; for the record.
    states
        Keep the states among the slopes: the entries of age 2 j are slopes, those of age 2 j + 1 the states that
        they were taken at.
    hooks
        Maps ``(s, x) -> x`` after every row that ends a step, s the time reached.

    Raises
    ------
    InputError
        In a solve, for a number of steps other than of rows, and for a term with a linear part.

    Examples
    --------
    Two steps of the Adams--Bashforth kind, written out:

    >>> import torch
    >>> from sciode.solve import Term, solve
    >>> rows = (Row(None, ((0.5, 0),)), Row(None, ((0.75, 0), (-0.25, 1))))
    >>> method = Recurrence(rows, torch.tensor([0.0, 0.5]))
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> solve(Term(lambda s, y: -y), x0, [0.0, 2.0], solver=method, dt=1.0).y[0, 1].item()
    0.375
    """

    rows: Sequence[Row]
    times: Tensor
    reached: Tensor | None = None
    order: int = 1
    states: bool = False
    hooks: tuple[Callable[[Tensor, State], State], ...] = ()

    nodes: ClassVar[tuple[float, ...]] = (0.0,)
    history: ClassVar[int] = 0
    timed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.times) == len(self.times if self.reached is None else self.reached):
            raise InputError(f"{len(self.rows)} rows take as many times, found {len(self.times)}")

    @cached_property
    def depth(self) -> int:
        """How many entries are remembered beside the newest."""
        return max((age for row in self.rows for _, age in (*row.weights, *row.blend)), default=0)

    @cached_property
    def entries(self) -> list[Entry]:
        """The rows, ready for steps."""
        reached = self.times if self.reached is None else self.reached
        parts = zip(self.rows, self.times.unbind(), reached.unbind(), strict=True)
        return [Entry(Leaf(row.carry, row.weights, False), row, *at) for row, *at in parts]

    def needs(self, term: Term) -> Needs:
        """Ask for the Wiener increment of the step, which is standard normal on unit steps."""
        assert term.noise is not None
        term.noise.check("Recurrence", ("additive",), stratonovich=False, ito=True)
        return NOTHING

    def plan(
        self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = (), place: Place | None = None
    ) -> Entry:
        """Return the row of a step."""
        assert place is not None
        if linear is not None:
            raise InputError("a Recurrence holds the linear part in its rows: give the term none")
        if h != 1.0 or place.steps != len(self.rows):
            raise InputError(
                f"a Recurrence of {len(self.rows)} rows takes as many steps of length 1, found {place.steps} "
                f"of length {h:g}"
            )
        return self.entries[place.step]

    def start(self, term: Term, at: At, y: State) -> tuple[State, ...]:
        """Return the empty history."""
        return ()

    def step(self, term: Term, at: At, y: State, memory: tuple[Any, ...], plan: Entry) -> tuple[State, Any]:
        """Evaluate, and update."""
        leaf, row, time, reached = plan
        slopes = memory
        if row.evaluates:
            newest = term.drift(time, y)
            slopes = (newest, y, *memory) if self.states else (newest, *memory)
            if row.blend:
                (own, _), *others = row.blend
                (value,) = leaves(newest)
                slopes = (combined(Leaf(own, tuple(others), False), value, slopes), *slopes[1:])
        if row.move is not None:
            assert at.noise is not None
            y = row.move(y, slopes[0], at.noise.W)
        else:
            assert isinstance(y, Tensor)
            y = combined(leaf, y, slopes) if not row.noise else _noisy(row, leaf, y, slopes, at.noise)
            if row.shift is not None:
                y = y + row.shift
        if row.ends:
            for hook in self.hooks:
                y = hook(reached, y)
        return y, slopes[: self.depth]


def cast(row: Row, like: Tensor) -> Row:
    """Return a row whose elementwise numbers have the dtype and the place of a state."""

    def number(weight: Weight) -> Weight:
        return weight.to(like) if isinstance(weight, Tensor) else weight

    return row._replace(
        carry=None if row.carry is None else number(row.carry),
        weights=tuple((number(weight), age) for weight, age in row.weights),
        shift=None if row.shift is None else row.shift.to(like),
    )


def _noisy(row: Row, leaf: Leaf, y: Tensor, slopes: tuple[Any, ...], noise: Increment | None) -> Tensor:
    assert noise is not None and isinstance(noise.W, Tensor)
    changes = leaf.carry is not None or len(leaf.row) > 0
    total = combined(leaf, y, slopes)
    return total.add_(noise.W, alpha=row.noise) if changes else total.add(noise.W, alpha=row.noise)

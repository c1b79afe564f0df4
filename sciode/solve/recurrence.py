r"""A method that is written down: one affine recurrence, its numbers given row by row.

.. math:: x \leftarrow a\,x + \sum_j w_j\,f_j + n\,z

with the slopes f known so far, newest first, and independent standard normal z. Any explicit method on a given grid
for a scalar linear part is such a list, stages included: a stage is a row like any other.

Symbols: ``f`` slopes, ``a`` carry, ``w`` weights, ``n`` amplitude of the noise, ``z`` standard normal numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State
from sciode.solve.increment import NOTHING, Needs
from sciode.solve.multistep import combined
from sciode.solve.multistep_weights import Leaf
from sciode.solve.step import At, Place
from sciode.solve.term import Diagonal, Term
from sciode.solve.weights import Weight

Move: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(state, newest slope, standard normal numbers) -> state, for a row that is not affine."""


class Row(NamedTuple):
    """One evaluation and the update that follows it."""

    carry: Weight | None  # a; None is one
    weights: tuple[tuple[Weight, int], ...]  # (w_j, age of the slope), 0 being the newest
    noise: float = 0.0  # n
    evaluates: bool = True  # False: no slope is added before the update
    ends: bool = True  # False for a stage: hooks wait for the end of the step
    blend: tuple[tuple[float, int], ...] = ()  # what the newest slope becomes, itself first
    move: Move | None = None  # replaces the update


@dataclass(frozen=True)
class Recurrence:
    """Steps given as rows, one a step of unit length: step i of a solve is ``rows[i]``.

    Parameters
    ----------
    rows
        As many as the solve has steps.
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
    Two steps of the implicit Adams kind, written out:

    >>> from sciode.solve import Term, solve
    >>> rows = (Row(None, ((0.5, 0),)), Row(None, ((0.75, 0), (-0.25, 1))))
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> solve(Term(lambda s, y: -y), x0, [0.0, 2.0], solver=Recurrence(rows), dt=1.0).y[0, 1].item()
    0.375
    """

    rows: Sequence[Row]
    order: int = 1
    states: bool = False
    hooks: tuple[Callable[[Tensor, State], State], ...] = ()

    nodes: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    history: ClassVar[int] = 0
    timed: ClassVar[bool] = True

    @cached_property
    def depth(self) -> int:
        """How many slopes are remembered beside the newest."""
        return max((age for row in self.rows for _, age in (*row.weights, *row.blend)), default=0)

    def needs(self, term: Term) -> Needs:
        """Ask for the Wiener increment of the step, which is standard normal on unit steps."""
        assert term.noise is not None
        term.noise.check("Recurrence", ("additive",), stratonovich=False, ito=True)
        return NOTHING

    def plan(
        self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = (), place: Place | None = None
    ) -> Row:
        """Return the row of a step."""
        assert place is not None
        if linear is not None:
            raise InputError("a Recurrence holds the linear part in its rows: give the term none")
        if place.steps != len(self.rows) or h != 1.0:
            raise InputError(
                f"a Recurrence of {len(self.rows)} rows takes as many steps of length 1, found {place.steps} "
                f"of length {h:g}"
            )
        return self.rows[place.step]

    def start(self, term: Term, at: At, y: State) -> tuple[State, ...]:
        """Return the empty history."""
        return ()

    def step(self, term: Term, at: At, y: State, memory: tuple[Any, ...], plan: Row) -> tuple[State, Any]:
        """Evaluate, and update."""
        assert isinstance(y, Tensor)
        slopes = memory
        if plan.evaluates:
            newest = term.drift(at.times[0], y)
            slopes = (newest, y, *memory) if self.states else (newest, *memory)
            if plan.blend:
                (own, _), *others = plan.blend
                slopes = (combined(Leaf(own, tuple(others), False), newest, slopes), *slopes[1:])
        z = None if at.noise is None else at.noise.W
        if plan.move is not None:
            assert isinstance(z, Tensor)
            y = plan.move(y, slopes[0], z)
        else:
            y = combined(Leaf(plan.carry, plan.weights, False), y, slopes)
            if plan.noise:
                assert isinstance(z, Tensor)
                y = y.add(z, alpha=plan.noise)
        if plan.ends:
            for hook in self.hooks:
                y = hook(at.times[1], y)
        return y, slopes[: self.depth]

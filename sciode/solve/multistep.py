r"""Exponential Adams methods: every multistep method of the library, on any grid and of any order, in one stepper.

Adams--Bashforth (L = 0), exponential multistep methods for stiff equations, DPM-Solver++ multistep, DEIS, PLMS and
UniPC differ in the linear part and in the moment rule alone. A step is one linear combination,

.. math:: y(s+h) = E\, y + \sum_j w_j N_j,

of the state and the newest slopes, with numbers that are made on the host before. A corrector changes the numbers
only: when the slope at a predicted state becomes known, the correction of the step that led there is a combination
of slopes too, and is taken together with the next step.

Symbols: ``s`` time, ``h`` step, ``y`` state, ``k`` slopes N(s, y), ``b`` weights of a prediction, ``c`` of a
corrected step, ``E`` = e^{hL}.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time, leaves, like
from sciode.solve import tableaus
from sciode.solve.moments import EXACT, MomentRule, Rate
from sciode.solve.multistep_weights import Leaf, Neighbours, known, made
from sciode.solve.runge_kutta import RungeKutta
from sciode.solve.step import At, Place, Solver
from sciode.solve.term import Diagonal, Term
from sciode.solve.weights import Weight, check_rate

_STARTERS = (
    tableaus.ETD1,
    tableaus.ETD2,
    tableaus.HO3,
    tableaus.KROGSTAD4,
    tableaus.DOPRI5,
    tableaus.DOPRI8,
    tableaus.DOPRI8,
    tableaus.DOPRI8,
)
"""By order: truly exponential ones where there are, else Lawson methods."""


class Starting(NamedTuple):
    """The plan of a step that the starter takes."""

    plan: Any


Plan: TypeAlias = tuple[Leaf, ...] | Starting


@dataclass(frozen=True)
class Adams:
    r"""Exponential Adams method with one evaluation a step.

    Parameters
    ----------
    order
        Order of convergence, 1 to 8, and the number of slopes that a step of full order combines.
    corrector
        False: the step extrapolates ``order`` slopes (Adams--Bashforth). True: it extrapolates ``order - 1``, and
        is corrected once the slope at its end is known, which costs no evaluation more (a predictor-corrector
        pair with Adams--Moulton, as UniPC). The state between steps is the predicted one, of the same order.
    rule
        How weights are found: :data:`EXACT`, :class:`Quadrature` for a linear part that varies or polynomials in
        another clock, :class:`Frozen` for given numbers.
    starter
        One-step method of at least order - 1 that takes steps while too few slopes are known. None: the
        exponential Runge--Kutta method of the same order, or a Lawson method above order 4.
    orders
        How many slopes each step of a solve extrapolates, one entry a step; None: as many as the order asks.
        Entries below the number of known slopes lower the order at given steps, as samplers do at the end; an
        entry above it calls the starter. ``(1, 2, 2, 1)`` starts without any.

    Raises
    ------
    InputError
        For an order outside 1..8 (2..8 with a corrector), a starter of too low an order, and ``orders`` that do
        not fit the steps of the solve; in a solve, for a term with noise.

    Notes
    -----
    Slopes are remembered by reference: a drift must not write into a tensor that it has returned before.
    A step of infinite length (to zero noise) extrapolates one slope.
    High orders have small stability regions beside a drift that is itself stiff.

    References
    ----------
    Hochbruck and Ostermann, *Exponential multistep methods of Adams-type*, BIT 51 (2011); Lu et al.,
    *DPM-Solver++* (arXiv:2211.01095); Zhao et al., *UniPC* (arXiv:2302.04867).

    Examples
    --------
    >>> from sciode.solve import Diagonal, Term, solve
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> stiff = Term(lambda s, y: torch.cos(s) + 0 * y, Diagonal(-100.0))
    >>> round(solve(stiff, x0, [0.0, 1.0], solver=Adams(3), dt=0.05).y[0, 1].item(), 6)
    0.005486
    """

    order: int = 2
    corrector: bool = False
    rule: MomentRule = EXACT
    starter: Solver | None = None
    orders: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        least = 2 if self.corrector else 1
        if not isinstance(self.order, int) or not least <= self.order <= len(_STARTERS):
            with_it = "with a corrector " if self.corrector else ""
            raise InputError(f"Adams {with_it}takes an order {least} to {len(_STARTERS)}, found {self.order!r}")
        if self.starter is not None and self.starter.order < self.order - 1:
            raise InputError(
                f"a starter of order {self.starter.order} spoils Adams({self.order}): take one of order "
                f"{self.order - 1} or more, or orders=(1, 2, ...) to start without one"
            )
        for place, count in enumerate(self.orders or ()):
            if not 1 <= count <= self._predicting:
                raise InputError(f"Adams(orders=) takes entries 1 to {self._predicting}, found {count} at {place}")

    @property
    def nodes(self) -> tuple[float, ...]:
        """Times of the starter's stages, the first being the start of the step."""
        return (0.0,) if self._one_step is None else self._one_step.nodes

    @property
    def history(self) -> int:
        """How many earlier steps the weights depend on, and how many slopes are remembered."""
        return self.order - 1

    @property
    def timed(self) -> bool:
        """Whether ``plan`` asks for the place of the step, and not for sizes alone."""
        return self.orders is not None or self.rule.timed

    @property
    def _predicting(self) -> int:
        """How many slopes a prediction extrapolates at most."""
        return self.order - 1 if self.corrector else self.order

    @property
    def _one_step(self) -> Solver | None:
        known = [min(index + 1, self._predicting) for index in range(self.order)]
        wanted = self.orders[: self.order] if self.orders is not None else [self._predicting] * self.order
        if all(count <= most for count, most in zip(wanted, known, strict=False)):
            return None
        return self.starter if self.starter is not None else RungeKutta(_STARTERS[self.order - 1])

    def plan(
        self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = (), place: Place | None = None
    ) -> Plan:
        """Make the numbers of a step, in float64, and cast them to the state's dtype and device."""
        if place is not None and self.orders is not None and len(self.orders) != place.steps:
            raise InputError(f"Adams(orders=) has {len(self.orders)} entries for a solve of {place.steps} steps")
        index = len(past) if place is None else place.step
        count = self._count(index, h)
        if count == 0:
            assert self._one_step is not None
            return Starting(self._one_step.plan(linear, h, y))
        before = self._count(index - 1, past[0]) if self.corrector and past else 0
        start = None if place is None else place.start
        steps = Neighbours(h, past, start, count, before)
        rates = _rates(linear, len(leaves(y)))
        return tuple(self._leaf(rate, steps, part) for rate, part in zip(rates, leaves(y), strict=True))

    def _count(self, index: int, h: float) -> int:
        """Return how many slopes step ``index`` extrapolates; 0: the starter takes it."""
        if math.isinf(h):
            return 1
        wanted = self._predicting if self.orders is None else self.orders[index]
        return wanted if wanted <= index + 1 else 0

    def _leaf(self, rate: Rate, steps: Neighbours, y: Tensor) -> Leaf:
        if not isinstance(rate, Tensor):
            if isinstance(rate, complex):
                check_rate(torch.tensor(rate), y)
            if not self.rule.timed:
                rule: Any = self.rule  # hashable, as all rules
                return known(rule, rate, steps)
        else:
            check_rate(rate, y)
        return made(self.rule, rate, steps, y)

    def start(self, term: Term, at: At, y: State) -> tuple[State, ...]:
        """Return the empty history."""
        return ()

    def step(
        self, term: Term, at: At, y: State, memory: tuple[State, ...], plan: Plan
    ) -> tuple[State, tuple[State, ...]]:
        """Advance ``y``; the history gains the newest slope and loses the oldest."""
        if isinstance(plan, Starting):
            return self._started(term, at, y, memory, plan)
        slopes = (term.drift(at.times[0], y), *memory)
        if isinstance(y, Tensor):
            return combined(plan[0], y, slopes), slopes[: self.history]
        history = zip(*map(leaves, slopes), strict=True)
        parts = tuple(combined(leaf, part, k) for leaf, part, k in zip(plan, y, history, strict=True))
        return like(y, parts), slopes[: self.history]

    def _started(
        self, term: Term, at: At, y: State, memory: tuple[State, ...], plan: Starting
    ) -> tuple[State, tuple[State, ...]]:
        assert self._one_step is not None
        slopes: list[State] = []

        def noted(s: Time, y: State) -> State:
            slopes.append(term.drift(s, y))
            return slopes[-1]

        seen = replace(term, drift=self.rule.whole(noted))
        y, _ = self._one_step.step(seen, at, y, self._one_step.start(seen, at, y), plan.plan)
        return y, (slopes[0], *memory)[: self.history]


def _rates(linear: Diagonal | None, count: int) -> tuple[Rate, ...]:
    """Return one rate per leaf, a number wherever it is one: its weights then need no tensors."""
    if linear is None:
        return (None,) * count
    if isinstance(linear.rate, float | int | complex) and count == 1:
        return (linear.rate,)
    return tuple(
        rate.item() if rate.dim() == 0 and not rate.requires_grad else rate for rate in linear.rates(count)
    )


def combined(leaf: Leaf, y: Tensor, slopes: Any) -> Tensor:
    """Return the state plus the weighed slopes."""
    if not leaf.paired:
        return _sum(leaf, y, slopes)
    pairs = [torch.view_as_real(k.resolve_conj()) for k in slopes]
    return torch.view_as_complex(_sum(leaf, torch.view_as_real(y.resolve_conj()), pairs))


def _sum(leaf: Leaf, y: Tensor, slopes: Any) -> Tensor:
    """Return E y + sum of w_j k_j. In place only on what was made here, which autograd allows."""
    fresh = leaf.carry is not None
    total, row = y, leaf.row
    if leaf.carry is not None and row and _flat(y, slopes[row[0][1]], leaf.carry, row[0][0]):
        total = _scaled(y, slopes[row[0][1]], leaf.carry, row[0][0])
        row = row[1:]
    elif leaf.carry is not None:
        total = y * leaf.carry
    for weight, j in row:
        k = slopes[j]
        if isinstance(weight, Tensor):
            total = total.addcmul_(weight, k) if fresh else total.addcmul(weight, k)
        else:
            total = total.add_(k, alpha=weight) if fresh else total.add(k, alpha=weight)
        fresh = True
    return total


_LARGE = 1 << 16  # elements from which reading memory costs more than a call


def _flat(y: Tensor, k: Tensor, carry: Weight, weight: Weight) -> bool:
    """Say whether :func:`_scaled` takes these, and pays."""
    return (
        y.numel() >= _LARGE
        and isinstance(carry, float)
        and isinstance(weight, float)
        and y.dtype == k.dtype
        and y.is_floating_point()
        and y.is_contiguous()
        and k.is_contiguous()
        and not torch.compiler.is_compiling()  # which fuses better
    )


def _scaled(y: Tensor, k: Tensor, carry: Any, weight: Any) -> Tensor:
    """Return E y + w k in one pass over memory: a rank-one update of a column, the row being one number."""
    column = torch.addr(y.view(-1, 1), k.view(-1), y.new_ones(1), beta=carry, alpha=weight)
    return column.view(y.shape)

"""The seam between methods and loops: what a loop gives to a step, and what it takes back."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.solve.increment import Increment, Needs
from sciode.solve.term import Diagonal, Term


class At(NamedTuple):
    """Where a step stands: the times of the method's nodes, and the noise of the step."""

    times: Sequence[Time]
    noise: Increment | None = None


class Place(NamedTuple):
    """Where in a solve a step is, for methods whose weights depend on it."""

    step: int
    steps: int  # of the whole solve
    start: float  # in the chart's clock


class Solver(Protocol):
    """A method on a given grid. Frozen: all that evolves is passed in and returned."""

    @property
    def order(self) -> int:
        """Order of convergence (strong order, rounded down, for a stochastic method)."""
        ...

    @property
    def nodes(self) -> tuple[float, ...]:
        """The times within a step, in units of h, at which it calls the drift."""
        ...

    @property
    def history(self) -> int:
        """How many earlier steps its weights depend on: 0 for a one-step method."""
        ...

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> Any:
        """Make the weights of a step of ``h``; ``past`` holds the sizes of earlier steps, newest first.

        At most ``history`` of them, fewer near the start: what tells a multistep method to use its starter.
        ``y`` gives dtype, device and shape only. A method whose weights depend on more than sizes has an
        attribute ``timed`` that says so, and takes the :class:`Place` of the step besides.
        """
        ...

    def start(self, term: Term, at: At, y: State) -> Any:
        """Return what the method remembers before its first step."""
        ...

    def step(self, term: Term, at: At, y: State, memory: Any, plan: Any) -> tuple[State, Any]:
        """Take a step; return the new state and what is remembered. No host synchronisation."""
        ...


@runtime_checkable
class Folding(Protocol):
    """A method that can take over the factor of a :class:`Scaled` drift."""

    def folded(self, term: Term) -> Solver:
        """Return the method for this term alone: what its drift is multiplied by goes into the weights."""
        ...


class Trial(NamedTuple):
    """A step that may be refused."""

    y: State
    error: State  # estimate of the local error, in the coordinates of y
    memory: Any  # to be carried on if the step is accepted
    slopes: Any = None  # for the dense output of this step; opaque to the loop


class AdaptiveSolver(Protocol):
    """A method that estimates its error."""

    @property
    def order(self) -> int:
        """Order of convergence."""
        ...

    @property
    def nodes(self) -> tuple[float, ...]:
        """The times within a step, in units of h, that ``at.times`` holds; the first is 0."""
        ...

    @property
    def error_order(self) -> int:
        """The error estimate of a step is O(h^(error_order + 1))."""
        ...

    def start(self, term: Term, at: At, y: State) -> Any:
        """Return what the method remembers before its first step."""
        ...

    def attempt(self, term: Term, at: At, h: Any, y: State, memory: Any) -> Trial:
        """Try a step of ``h``: a host float if the batch shares it, else a float64 tensor ``[b]``.

        ``at.times`` are then ``[]`` or ``[b]``; ``at.noise`` is the path's increment over the step.
        """
        ...


class Stochastic(Protocol):
    """A method that takes noise."""

    def needs(self, term: Term) -> Needs:
        """Say what it needs of the path; raise :class:`InputError` for noise that it cannot take."""
        ...


def needs_of(solver: object, term: Term) -> Needs:
    """Return what a solver needs of the noise path, or refuse a solver that would not see the noise."""
    needs: Callable[[Term], Needs] | None = getattr(solver, "needs", None)
    if needs is None:
        raise InputError(
            f"{type(solver).__name__} takes no noise; for a term with noise use EulerMaruyama, Milstein, "
            "StochasticHeun, StochasticRungeKutta, ReversibleHeun or ExponentialEulerMaruyama"
        )
    return needs(term)

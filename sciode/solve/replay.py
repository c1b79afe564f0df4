"""The steps of a solve as a given grid, which an adjoint can take again, forward or backward."""

from collections.abc import Sequence

from sciode.core.typing import State
from sciode.solve.method import FixedRun, Method
from sciode.solve.term import Term


def given_steps(method: Method, term: Term, y: State, times: Sequence[float]) -> FixedRun:
    """Return the integration with its steps known."""
    return method.run(term, times)

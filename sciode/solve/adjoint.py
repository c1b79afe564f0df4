"""How gradients go through a solve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sciode.core.typing import State
from sciode.solve.method import Method
from sciode.solve.solution import Report, Rows
from sciode.solve.term import Term


class Adjoint(Protocol):
    """A way to differentiate a solve."""

    def run(self, method: Method, term: Term, y: State, times: Sequence[float] | Tensor) -> tuple[Rows, Report]:
        """Integrate; return the states at all asked times, ``y`` first, and how it went.

        A list of states; or, where the chart is the identity, one tensor ``"b k ..."``.
        """
        ...


@dataclass(frozen=True)
class Direct:
    """Autograd records every operation: exact for the discrete solution, memory of all steps."""

    def run(self, method: Method, term: Term, y: State, times: Sequence[float] | Tensor) -> tuple[Rows, Report]:
        """Integrate under autograd's eyes."""
        run = method.run(term, times)
        table = run.table(y)
        if table is not None:
            return table, run.report([y])
        rows = [y, *run.states(y)]
        return rows, run.report(rows)

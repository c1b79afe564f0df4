"""A numerical solver as a surrogate: the baseline that a network has to beat at its own cost."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import leaves
from sciode.solve import RungeKutta, Term, solve, tableaus
from sciode.spectral.resample import resample
from sciode.surrogate.base import Surrogate

# A step longer by this part than the exact one cannot cause a step more by rounding.
_SLACK = 1 + 1e-9


@dataclass(frozen=True)
class Stepper:
    """The surrogate that :func:`stepper` returns."""

    term: Term
    solver: Any
    substeps: int
    points: tuple[int, ...] | None

    def __call__(self, u: Float[Tensor, "b c *n"], dt: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Integrate from ``u`` over the lead time, which the batch has to share."""
        lead = _shared(dt)
        if lead == 0.0:
            return u
        grid = u.shape[2:]
        start = u if self.points is None else resample(u, self.points)
        step = abs(lead) / self.substeps * _SLACK
        solution = solve(self.term, start, [0.0, lead], solver=self.solver, dt=step)
        later = leaves(solution.y)[0][:, 1]
        return later if self.points is None else resample(later, grid)


def stepper(
    term: Term, solver: Any = None, substeps: int = 1, *, points: tuple[int, ...] | None = None
) -> Surrogate:
    """Return the surrogate that solves ``term`` with ``substeps`` fixed steps a call.

    Parameters
    ----------
    term : Term
        The equation, in physical space; autonomous, since every call starts at time zero.
    solver : Solver, optional
        Default ``RungeKutta(tableaus.KROGSTAD4)``.
    substeps : int
        Steps of equal length from 0 to dt.
    points : tuple of int, optional
        Solve on this (coarser) periodic grid, for which ``term`` was built: the state is resampled there by
        its Fourier series and back, and what the coarse grid cannot hold is lost.

    Raises
    ------
    InputError
        For substeps below 1; at a call, for lead times that differ in a batch.

    Examples
    --------
    >>> import torch
    >>> from sciode.solve import Term
    >>> decay = stepper(Term(lambda s, u: -u), substeps=4)
    >>> decay(torch.ones(1, 1, 8, dtype=torch.float64), torch.ones(1))[0, 0, 0].item()  # exp(-1) = 0.36788
    0.3678...
    """
    if substeps < 1:
        raise InputError(f"substeps must be at least 1, got {substeps}")
    solver = RungeKutta(tableaus.KROGSTAD4) if solver is None else solver
    return Stepper(term, solver, substeps, None if points is None else tuple(points))


def _shared(dt: Tensor) -> float:
    first = float(dt.reshape(-1)[0])
    if not bool((dt == first).all()):
        raise InputError("a numerical stepper takes one lead time for the whole batch; dt holds several")
    return first

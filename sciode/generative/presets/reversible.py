"""Samplers that can be undone."""

from sciode.core.errors import InputError
from sciode.generative.grid import End, Spacing
from sciode.generative.presets.common import check_order, grid_for
from sciode.generative.presets.singlestep import METHODS
from sciode.generative.reversible import ReversibleSampler
from sciode.generative.schedule import Schedule
from sciode.solve import Reversible, RungeKutta


def reversible(
    schedule: Schedule,
    order: int = 2,
    steps: int = 10,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    coupling: float = 0.999,
) -> ReversibleSampler:
    """DPM-Solver of order 1, 2 or 3 on two coupled copies: exact inversion, exact gradients in constant memory.

    ``2 order`` evaluations a step.

    References
    ----------
    McCallum and Foster (arXiv:2410.11648), section 3; for diffusions Blasingame and Liu, *Rex*
    (arXiv:2502.08834).

    Examples
    --------
    >>> from sciode.generative import VP
    >>> reversible(VP(), order=3, steps=5).method.order
    3
    """
    check_order(order, METHODS, "reversible")
    where = grid_for(schedule, steps, spacing, begin, end)
    if where.ends_at_zero:
        raise InputError("what ends at zero noise cannot be undone: give end > 0")
    return ReversibleSampler(f"reversible-{order}", where, Reversible(RungeKutta(METHODS[order]), coupling))

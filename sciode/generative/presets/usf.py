"""USF: a sampler from records, records of the samplers people know, and the search for better ones (S^3)."""

from collections.abc import Sequence

from sciode.generative.grid import Grid, Spacing, grid
from sciode.generative.plan import lowered
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.generative.unified import StepRecord, check_records, compiled


def usf(schedule: Schedule, records: Sequence[StepRecord], begin: float | None = None) -> Sampler:
    """Return the sampler that records spell, from ``begin``; one evaluation a step.

    Raises
    ------
    InputError
        For records that cannot be followed, and times that do not decrease from ``begin``.

    References
    ----------
    Liu et al. (arXiv:2312.07243), section 3.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> steps = [StepRecord(0.4), StepRecord(0.1, estimates=((1,),), corrector=True), StepRecord(1e-3)]
    >>> usf(VP(), steps).table().orders
    (1, 2, 1)
    """
    check_records(records)
    first = schedule.begin if begin is None else float(begin)
    taus = [first, *(record.tau for record in records)]
    where = grid(schedule, len(records), taus)
    return Sampler("USF", compiled(where, records))


def records_of(
    where: Grid,
    order: int = 2,
    *,
    prediction: str = "data",
    corrector: bool = False,
    relaxation: float | str = "midpoint",
    final: str = "auto",
) -> tuple[StepRecord, ...]:
    """Return the records of a sampler that people know, on a grid.

    Order 1 is DDIM; order 2 with "midpoint" DPM-Solver++(2M); with a corrector UniPC.

    >>> from sciode.generative import VP
    >>> [record.order for record in records_of(grid(VP(), 4, "lam"), 3)]
    [1, 2, 3, 3]
    """
    taus = where.schedule.tau(where.t[1:]).tolist()
    made = []
    for tau, count in zip(taus, lowered(order, where, final), strict=True):
        ages = tuple(range(1, count))
        made.append(StepRecord(tau, prediction, tuple(ages for _ in ages), 0, corrector, relaxation))
    return tuple(made)


def known_schedules(
    schedule: Schedule, steps: int, spacings: Sequence[Spacing], begin: float | None, end: float | None
) -> list[tuple[StepRecord, ...]]:
    """Return the samplers that people know on the given grids: where a search begins."""
    found = []
    for spacing in spacings:
        where = grid(schedule, steps, spacing, begin, end)
        for prediction in ("data", "noise"):
            for order, corrector in ((1, False), (2, False), (3, False), (2, True), (3, True)):
                found.append(records_of(where, order, prediction=prediction, corrector=corrector))
    return found

r"""Singlestep samplers: exponential Runge--Kutta tableaus with inner nodes where the grid puts them.

Symbols: ``c2``, ``c3`` inner nodes in units of the step in lam.
"""

import math

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.generative.grid import End, Grid, Spacing, grid
from sciode.generative.schedule import Schedule
from sciode.solve import Phi, Tableau, tableaus
from sciode.solve.tableau import Entry

METHODS: dict[int, Tableau] = {1: tableaus.ETD1, 2: tableaus.DPM2, 3: tableaus.HO3}


def second(c2: float = 0.5, form: str | None = None) -> Tableau:
    r"""Return the two-stage method, its difference weighed by :math:`\varphi_1/2c_2` or :math:`\varphi_2/c_2`."""
    a = 0.5 / c2
    update: tuple[Entry, ...]
    if form == "taylor":
        update = ((Phi(1.0, 1, 1.0), Phi(-1.0 / c2, 2, 1.0)), (Phi(1.0 / c2, 2, 1.0),))
    else:
        update = ((Phi(1.0 - a, 1, 1.0),) if a != 1.0 else (), (Phi(a, 1, 1.0),))
    return Tableau((0.0, c2), ((), ((Phi(c2, 1, c2),),)), update, 2)


def third(c2: float = 1 / 3, c3: float = 2 / 3, form: str | None = None) -> Tableau:
    r"""Return the three-stage method. "midpoint": the last stage alone corrects the first order, which is of third
    order for c3 = 2/3; "taylor": the parabola through all three slopes."""
    ratio = c3 * c3 / c2
    inner = ((Phi(c3, 1, c3), Phi(-ratio, 2, c3)), (Phi(ratio, 2, c3),))
    stages = ((), ((Phi(c2, 1, c2),),), inner)
    update: tuple[Entry, ...]
    if form != "taylor":
        update = ((Phi(1.0, 1, 1.0), Phi(-1.0 / c3, 2, 1.0)), (), (Phi(1.0 / c3, 2, 1.0),))
        return Tableau((0.0, c2, c3), stages, update, 3)
    # Lagrange polynomials of (0, c2, c3), integrated against the kernel: u -> phi_2, u^2 -> 2 phi_3
    first = 1.0 / (c2 * (c2 - c3))
    last = 1.0 / (c3 * (c3 - c2))
    update = (
        (Phi(1.0, 1, 1.0), Phi(-(c2 + c3) / (c2 * c3), 2, 1.0), Phi(2.0 / (c2 * c3), 3, 1.0)),
        (Phi(-c3 * first, 2, 1.0), Phi(2.0 * first, 3, 1.0)),
        (Phi(-c2 * last, 2, 1.0), Phi(2.0 * last, 3, 1.0)),
    )
    return Tableau((0.0, c2, c3), stages, update, 3)


def tableau(order: int, nodes: tuple[float, ...], form: str | None) -> Tableau:
    """Return the method of an order with given inner nodes."""
    if form not in (None, "midpoint", "taylor", "full", "published"):
        raise unknown(str(form), ("midpoint", "taylor"), "form")
    form = {"full": "taylor", "published": "midpoint"}.get(form or "", form)
    if order == 1:
        return tableaus.ETD1
    if order == 2:
        return second(nodes[0], form)
    return third(nodes[0], nodes[1], form)


def budget(order: int, evaluations: int) -> list[int]:
    """Return the orders of the steps that spend exactly so many evaluations (arXiv:2206.00927, section 3.4).

    >>> budget(3, 20), budget(3, 9), budget(2, 5)
    ([3, 3, 3, 3, 3, 3, 2], [3, 3, 2, 1], [2, 2, 1])
    """
    if order < 3:
        return [order] * (evaluations // order) + [1] * (evaluations % order)
    if evaluations < 3:
        return [evaluations]
    whole, rest = divmod(evaluations, 3)
    if rest == 0:
        return [3] * (whole - 1) + [2, 1]
    return [3] * whole + [rest]


def fast(
    schedule: Schedule,
    order: int,
    evaluations: int,
    spacing: Spacing | None,
    begin: float | None,
    end: End,
    form: str | None,
) -> tuple[Grid, list[Tableau]]:
    """Return the grid of the steps and a tableau for each.

    Steps even in lam have inner nodes even in lam. In any other spacing all the evaluations are spaced so, the
    steps take every ``order``-th of them and the others are inner nodes, as published.
    """
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise InputError(f"steps takes a whole number >= 1, found {evaluations!r}")
    name = schedule.spacing if spacing is None else spacing
    orders = budget(order, evaluations)
    if isinstance(name, str) and name in ("lam", "exponential"):
        outer = grid(schedule, len(orders), name, begin, end)
        nodes = {1: (), 2: (0.5,), 3: (1 / 3, 2 / 3)}
        return outer, [tableau(k, nodes[k], form) for k in orders]
    fine = grid(schedule, evaluations, name, begin, end)
    made, picked, place = [], [0], 0
    for k in orders:
        lam = fine.lam[place : place + k + 1].tolist()
        if not all(map(math.isfinite, lam)):
            inner: tuple[float, ...] = {1: (), 2: (0.5,), 3: (1 / 3, 2 / 3)}[k]  # such a step is of first order
        else:
            inner = tuple((node - lam[0]) / (lam[-1] - lam[0]) for node in lam[1:-1])
        made.append(tableau(k, inner, form))
        place += k
        picked.append(place)
    return fine.subset(picked), made

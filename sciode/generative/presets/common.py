"""What presets share: multistep samplers, forms, and checks."""

from collections.abc import Iterable, Sequence

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.generative.coordinates import DATA, NOISE, Coordinates
from sciode.generative.grid import End, Grid, Spacing, grid
from sciode.generative.plan import lowered, multistep
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import EXACT, HALVED, MIDPOINT, Adams, MomentRule

FORMS = ("full", "taylor", "midpoint", "published")

PREDICTIONS: dict[str, Coordinates] = {"data": DATA, "noise": NOISE}
"""The coordinates by what is frozen within a step."""


def grid_for(schedule: Schedule, steps: int, spacing: Spacing | None, begin: float | None, end: End) -> Grid:
    """Return the grid, with the schedule's own spacing by default."""
    return grid(schedule, steps, schedule.spacing if spacing is None else spacing, begin, end)


def check_order(order: int, allowed: Iterable[int], method: str) -> None:
    """Raise :class:`InputError` for an order that a method does not have."""
    known = list(allowed)
    if isinstance(order, bool) or order not in known:
        raise InputError(f"{method} has orders {', '.join(map(str, known))}; found {order!r}")


def rule_of(form: str | None, order: int) -> MomentRule:
    """Return the moment rule of a form of DPM-Solver.

    "full" and "taylor" interpolate exactly; "midpoint" has phi_1/2 for phi_2 beside two slopes; "published" is
    that and, beside three slopes, half the second derivative. By default "midpoint" at order 2, as people run it,
    and "full" at order 3, where the published form is of second order only.
    """
    if form is None:
        return MIDPOINT if order == 2 else EXACT
    if form not in FORMS:
        raise unknown(str(form), FORMS, "form")
    if form == "midpoint" and order > 2:
        raise InputError("the midpoint form has orders 1 and 2; for order 3 use form='full' or form='published'")
    return {"midpoint": MIDPOINT, "published": HALVED}.get(form, EXACT)


def adams_sampler(
    name: str,
    where: Grid,
    coordinates: Coordinates,
    method: Adams,
    most: int,
    final: str,
    eta: float | Sequence[float] = 0.0,
) -> Sampler:
    """Return a multistep sampler that extrapolates at most ``most`` slopes."""
    check_eta(eta, where.steps)
    plan = multistep(where, coordinates, method, lowered(most, where, final), eta)
    if plan.noisy:
        return Sampler(name, plan, method)
    back = NOISE if coordinates is DATA else coordinates
    return Sampler(name, plan, method, lambda way: multistep(way, back, method, lowered(most, way, final)))


def check_eta(eta: float | Sequence[float], steps: int) -> None:
    """Raise :class:`InputError` for a negative strength of noise, or not one a step."""
    values = [eta] if isinstance(eta, int | float) else list(eta)
    if len(values) not in (1, steps):
        raise InputError(f"eta takes a number or one a step, {steps}; found {len(values)}")
    for value in values:
        if not value >= 0.0:
            raise InputError(f"eta takes numbers >= 0, found {value}")

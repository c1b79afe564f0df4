"""DEIS and PNDM: multistep methods on eps, with polynomials in time, in sigma/alpha, or with fixed numbers."""

from dataclasses import replace

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.generative.coordinates import NOISE, RHO
from sciode.generative.grid import End, Grid, Spacing
from sciode.generative.plan import Plan, Writer, multistep, runge_kutta, singlestep
from sciode.generative.presets.common import adams_sampler, check_order, grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import PLMS, Adams, Phi, Quadrature, RungeKutta, Tableau, tableaus

RUNGE_KUTTA: dict[int, Tableau] = {1: tableaus.EULER, 2: tableaus.HEUN, 3: tableaus.KUTTA3, 4: tableaus.RK4}


def deis(
    schedule: Schedule,
    order: int = 3,
    steps: int = 10,
    spacing: Spacing | None = "quadratic",
    begin: float | None = None,
    end: End = None,
    *,
    variant: str = "tAB",
    final: str = "keep",
) -> Sampler:
    """DEIS: ``steps`` evaluations (``tAB``, ``rhoAB``), or steps of ``order`` evaluations (``rhoRK``).

    Parameters
    ----------
    order
        As published: ``tAB`` and ``rhoAB`` of order q, 0 to 3, have polynomials of degree q through q + 1 slopes;
        ``rhoRK`` of order 1 to 4 is a Runge--Kutta method of that order.
    variant
        "tAB": polynomials in time; "rhoAB": in sigma/alpha; "rhoRK".
    spacing
        "quadratic", as the authors advise.

    References
    ----------
    Zhang and Chen, *Fast sampling of diffusion models with exponential integrator* (arXiv:2204.13902), equations
    (14), (15) and (17).

    Examples
    --------
    >>> from sciode.generative import VP
    >>> deis(VP(), order=3, steps=10).table().orders
    (1, 2, 3, 4, 4, 4, 4, 4, 4, 4)
    """
    where = grid_for(schedule, steps, spacing, begin, end)
    name = f"{variant}-DEIS-{order}"
    match variant:
        case "tAB":
            check_order(order, range(4), "tAB-DEIS")
            rule = Quadrature(clock=schedule.time, points=32)
            made = adams_sampler(name, where, NOISE, Adams(order + 1, rule=rule), order + 1, final)
            return replace(made, solver=Adams(order + 1), _kept={})  # elsewhere there is no such clock
        case "rhoAB":
            check_order(order, range(4), "rhoAB-DEIS")
            return adams_sampler(name, where, RHO, Adams(order + 1), order + 1, final)
        case "rhoRK":
            check_order(order, RUNGE_KUTTA, "rhoRK-DEIS")
            rules = [RUNGE_KUTTA[order]] * where.steps
            return Sampler(
                name,
                singlestep(where, RHO, rules),
                RungeKutta(RUNGE_KUTTA[order]),
                lambda way: singlestep(way, RHO, rules),
            )
    raise unknown(str(variant), ("tAB", "rhoAB", "rhoRK"), "variant of DEIS")


def pndm(
    schedule: Schedule,
    steps: int = 50,
    spacing: Spacing | None = "time",
    begin: float | None = None,
    end: End = None,
    *,
    variant: str = "F",
) -> Sampler:
    """PNDM: the numbers of classical Adams--Bashforth methods on eps, with the transfer of DDIM.

    Parameters
    ----------
    variant
        "S": two slopes, started by one step of two evaluations (steps + 1 evaluations); "F": four slopes, started
        by three steps of four (steps + 9); "PLMS": four slopes, started with fewer (steps evaluations).
    spacing
        "time" alone: the numbers are those of equal steps.

    References
    ----------
    Liu et al., *Pseudo numerical methods for diffusion models on manifolds* (arXiv:2202.09778), equations (11) to
    (13) and algorithms 2 and 3.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> [pndm(VP(), steps=10, variant=v).evaluations for v in ("S", "F", "PLMS")]
    [11, 19, 10]
    """
    if variant not in ("S", "F", "PLMS"):
        raise unknown(str(variant), ("S", "F", "PLMS"), "variant of PNDM")
    where = grid_for(schedule, steps, spacing, begin, end)
    _check_even(where)
    most = 2 if variant == "S" else 4
    starting = {"S": 1, "F": 3, "PLMS": 0}[variant]
    method = Adams(most, rule=PLMS)

    def made(way: Grid) -> Plan:
        return _started(way, method, most, starting)

    return Sampler(f"PNDM-{variant}", made(where), method, made)


def _check_even(where: Grid) -> None:
    steps = where.t[: len(where.t) - where.zero].diff()
    if len(steps) > 1 and (steps - steps[0]).abs().max() > 1e-9:
        raise InputError("PNDM's numbers are those of steps equal in time: use spacing='time'")


def _started(where: Grid, method: Adams, most: int, starting: int) -> Plan:
    """Write pseudo Runge--Kutta steps, then multistep ones on the first slope of every step."""
    counts = [min(most, index + 1) for index in range(where.steps)]
    whole = multistep(where, NOISE, method, counts)
    if not starting:
        return whole
    writer = Writer(where, NOISE)
    firsts: list[int] = []
    for index in range(where.steps):
        firsts.append(len(writer.rows))
        if writer.limit(index) is not None:
            continue
        if index < starting:
            _pseudo(writer, index, where, two=most == 2)
            continue
        row = whole.rows[index]
        weights = [(weight, firsts[index - age]) for weight, age in row.weights]
        writer.row(where.t[index], where.t[index + 1], row.carry, weights, whole.orders[index])
    return writer.plan()


def _pseudo(writer: Writer, index: int, where: Grid, two: bool) -> None:
    lam = where.lam[index : index + 2].tolist()
    middle = where.schedule.lam(0.5 * (where.t[index] + where.t[index + 1])).item()
    c = (middle - lam[0]) / (lam[1] - lam[0])
    runge_kutta(writer, index, pseudo_heun() if two else pseudo_rk4(c))


def pseudo_heun() -> Tableau:
    """Return the improved Euler method with DDIM's transfer."""
    half = (Phi(0.5, 1, 1.0),)
    return Tableau((0.0, 1.0), ((), ((Phi(1.0, 1, 1.0),),)), (half, half), 2)


def pseudo_rk4(c: float) -> Tableau:
    """Return the classical Runge--Kutta method with DDIM's transfer, its middle in time at ``c`` in lam."""
    step = (Phi(c, 1, c),)
    whole = (Phi(1.0, 1, 1.0),)
    sixth, third = (Phi(1 / 6, 1, 1.0),), (Phi(1 / 3, 1, 1.0),)
    stages = ((), (step,), ((), step), ((), (), whole))
    return Tableau((0.0, c, c, 1.0), stages, (sixth, third, third, sixth), 2)

"""DPM-Solver and DPM-Solver++: exponential integrators in lam, on eps and on x0."""

from collections.abc import Sequence

from sciode.core.errors import InputError
from sciode.generative.coordinates import DATA, NOISE, Coordinates
from sciode.generative.grid import End, Grid, Spacing
from sciode.generative.plan import Plan, singlestep
from sciode.generative.presets.common import adams_sampler, check_order, grid_for, rule_of
from sciode.generative.presets.singlestep import METHODS, fast
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.generative.schedules_of_data import MeanReverting
from sciode.solve import Adams, RungeKutta


def dpm_solver(
    schedule: Schedule,
    order: int = 3,
    steps: int = 20,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    final: str = "auto",
    form: str | None = None,
    multistep: bool = False,
) -> Sampler:
    """DPM-Solver: noise prediction.

    Singlestep by default, with ``steps`` evaluations in steps of the given order and what remains in lower ones;
    see :func:`dpm_solver_pp` for the other arguments.

    References
    ----------
    Lu et al., *DPM-Solver* (arXiv:2206.00927), algorithms 1, 2 and 4.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> dpm_solver(VP(), order=3, steps=20).table().evaluations
    20
    """
    check_order(order, (1, 2, 3), "dpm_solver")
    where = (schedule, steps, spacing, begin, end)
    return _made(f"DPM-Solver-{order}", *where, NOISE, order, final, form, multistep, 0.0)


def dpm_solver_pp(
    schedule: Schedule,
    order: int = 2,
    steps: int = 20,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    final: str = "auto",
    form: str | None = None,
    multistep: bool = True,
    eta: float | Sequence[float] = 0.0,
) -> Sampler:
    r"""DPM-Solver++: data prediction, ``steps`` evaluations.

    Parameters
    ----------
    order
        1, 2 or 3.
    form
        Multistep: "midpoint" (default at order 2), "taylor" and "full" (the same, default at order 3), "published"
        (order 3 with half the second derivative, which converges at second order). Singlestep: "midpoint"
        (default) or "taylor".
    multistep
        False: singlestep, 2S and 3S.
    eta
        0: the probability-flow equation. 1: SDE-DPM-Solver++. Any strength, or one a step; multistep only.

    Raises
    ------
    InputError
        For an order, a form or an eta that the method does not have, and for a grid that cannot be made.

    References
    ----------
    Lu et al., *DPM-Solver++* (arXiv:2211.01095), algorithms 1 and 2, and appendix D for noise.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> dpm_solver_pp(VP(), order=3, steps=6, final="lower").table().orders
    (1, 2, 3, 3, 2, 1)
    """
    check_order(order, (1, 2, 3), "dpm_solver_pp")
    name = f"DPM-Solver++({order}{'M' if multistep else 'S'})"
    return _made(name, schedule, steps, spacing, begin, end, DATA, order, final, form, multistep, eta)


def mr_sampler(
    schedule: MeanReverting,
    order: int = 2,
    steps: int = 10,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    final: str = "auto",
    form: str | None = "taylor",
    eta: float | Sequence[float] = 0.0,
) -> Sampler:
    """MR Sampler: DPM-Solver++ in x - mu, where a mean-reverting schedule is an ordinary one.

    References
    ----------
    Li et al., *MRS: a fast sampler for mean reverting diffusion* (arXiv:2502.07856), propositions 1 to 4.

    Examples
    --------
    >>> import torch
    >>> from sciode.generative import MeanReverting
    >>> mr_sampler(MeanReverting(torch.zeros(3, 8, 8)), steps=5).evaluations
    5
    """
    if not isinstance(schedule, MeanReverting):
        raise InputError(f"mr_sampler takes a MeanReverting schedule, found {type(schedule).__name__}")
    check_order(order, (1, 2, 3), "mr_sampler")
    return _made(f"MRS-{order}", schedule, steps, spacing, begin, end, DATA, order, final, form, True, eta)


def _made(
    name: str,
    schedule: Schedule,
    steps: int,
    spacing: Spacing | None,
    begin: float | None,
    end: End,
    coordinates: Coordinates,
    order: int,
    final: str,
    form: str | None,
    multistep: bool,
    eta: float | Sequence[float],
) -> Sampler:
    if multistep:
        where = grid_for(schedule, steps, spacing, begin, end)
        return adams_sampler(name, where, coordinates, Adams(order, rule=rule_of(form, order)), order, final, eta)
    if not isinstance(eta, int | float) or eta != 0.0:
        raise InputError("noise goes with multistep=True; singlestep samplers with noise: presets.seeds")
    outer, tableaus = fast(schedule, order, steps, spacing, begin, end, form)

    def inverse(way: Grid) -> Plan:
        return singlestep(way, NOISE, tableaus[::-1])

    return Sampler(name, singlestep(outer, coordinates, tableaus), RungeKutta(METHODS[order]), inverse)

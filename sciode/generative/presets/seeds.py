"""SEEDS: singlestep exponential integrators of the reverse stochastic equation."""

from collections.abc import Sequence

from sciode.core.names import lookup
from sciode.generative.grid import End, Spacing
from sciode.generative.plan import singlestep
from sciode.generative.presets.common import PREDICTIONS, check_eta, check_order
from sciode.generative.presets.singlestep import METHODS, fast
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import RungeKutta


def seeds(
    schedule: Schedule,
    order: int = 3,
    steps: int = 60,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    form: str | None = None,
    prediction: str = "data",
    eta: float | Sequence[float] = 1.0,
) -> Sampler:
    """SEEDS-1, -2 and -3: the stages of DPM-Solver, on one Brownian path; ``steps`` evaluations.

    Orders 2 and 3 are of second weak order, and of first strong order; at ``eta`` = 0 they are the singlestep
    DPM-Solver++ (``prediction="data"``) and DPM-Solver ("noise") of their order.

    Parameters
    ----------
    order
        Stages of a step, 1 to 3. What the evaluations leave over goes into shorter steps.
    form
        "midpoint" (default, as published) or "taylor".
    prediction
        "data" or "noise": the coordinates.
    eta
        Strength of the noise, one number or one a step; 1 is the reverse equation of Score-SDE, as published.

    Raises
    ------
    InputError
        For an order, a form or an eta that the method does not have, and for a grid that cannot be made.

    References
    ----------
    Gonzalez et al., *SEEDS: exponential SDE solvers for fast high-quality sampling from diffusion models*
    (arXiv:2305.14267), algorithms 1 to 4.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> sampler = seeds(VP(), order=3, steps=20)
    >>> sampler.evaluations, sampler.plan.noisy
    (20, True)
    """
    check_order(order, (1, 2, 3), "seeds")
    coordinates = lookup(prediction, PREDICTIONS, "prediction")
    where, tableaus = fast(schedule, order, steps, spacing, begin, end, form)
    check_eta(eta, where.steps)
    plan = singlestep(where, coordinates, tableaus, eta)
    return Sampler(f"SEEDS-{order}", plan, RungeKutta(METHODS[order]))

"""Methods of first order, and the midpoint rule for rectified flows."""

import math
from collections.abc import Sequence

from sciode.core.errors import InputError
from sciode.generative.coordinates import DATA, TIME
from sciode.generative.grid import End, Spacing
from sciode.generative.plan import singlestep
from sciode.generative.presets.common import adams_sampler, grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import Adams, RungeKutta, tableaus


def ddim(
    schedule: Schedule,
    steps: int = 50,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    eta: float = 0.0,
) -> Sampler:
    r"""DDIM: exponential Euler, the same in data and in noise prediction.

    Parameters
    ----------
    eta
        As published, 0 to 1: :math:`\sigma_{t\mid s} = \eta\,\sigma_t\sqrt{1 - e^{-2h}}`, for variance-preserving
        schedules the posterior's at 1 (ancestral sampling, DDPM).

    References
    ----------
    Song, Meng and Ermon, *Denoising diffusion implicit models* (arXiv:2010.02502), equations (12) and (16).

    Examples
    --------
    >>> from sciode.generative import VP
    >>> ddim(VP(), steps=10).evaluations
    10
    """
    if not 0.0 <= eta <= 1.0:
        raise InputError(f"ddim takes eta between 0 and 1, found {eta}")
    where = grid_for(schedule, steps, spacing, begin, end)
    name = "DDIM" if eta == 0.0 else f"DDIM(eta={eta:g})"
    strengths: float | Sequence[float] = 0.0
    if eta:
        strengths = [_strength(eta, rise) for rise in where.lam.diff().tolist()]
    return adams_sampler(name, where, DATA, Adams(1), 1, "keep", strengths)


def _strength(eta: float, h: float) -> float:
    """Return eta' of the reverse equation with DDIM's noise: 1 - e^{-2 eta' h} = eta^2 (1 - e^{-2h})."""
    if math.isinf(h):
        return eta
    left = -eta * eta * math.expm1(-2.0 * h)
    return -math.log1p(-left) / (2.0 * h)


def euler(
    schedule: Schedule,
    steps: int = 50,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
) -> Sampler:
    r"""Euler's method for dx/dt = velocity: what a rectified flow is sampled with.

    On an ``EDM`` schedule dx/dsigma = (x - x0)/sigma, which is DDIM.

    Examples
    --------
    >>> from sciode.generative import LinearPath
    >>> euler(LinearPath(), steps=4).evaluations
    4
    """
    where = grid_for(schedule, steps, spacing, begin, end)
    return adams_sampler("Euler", where, TIME, Adams(1), 1, "keep")


def rf_solver(
    schedule: Schedule,
    steps: int = 25,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
) -> Sampler:
    """RF-Solver: second-order Taylor steps for rectified flows, with the derivative by a half step ahead.

    That is the explicit midpoint rule: x + h v(t + h/2, x + (h/2) v(t, x)), two evaluations a step.

    References
    ----------
    Wang et al., *Taming rectified flow for inversion and editing* (arXiv:2411.04746), algorithm 1.

    Examples
    --------
    >>> from sciode.generative import LinearPath
    >>> rf_solver(LinearPath(), steps=4, end=1e-2).evaluations
    8
    """
    where = grid_for(schedule, steps, spacing, begin, end)
    rules = [tableaus.MIDPOINT] * where.steps
    return Sampler(
        "RF-Solver",
        singlestep(where, TIME, rules),
        RungeKutta(tableaus.MIDPOINT),
        lambda way: singlestep(way, TIME, rules),
    )

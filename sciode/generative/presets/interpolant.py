r"""Sampling stochastic interpolants with noise.

Symbols: ``epsilon`` diffusion of the equation, ``eta`` strength of the reverse equation in lam.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.coordinates import DATA
from sciode.generative.grid import End, Spacing
from sciode.generative.presets.common import adams_sampler, check_order, grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import EXACT, Adams


def interpolant_sde(
    schedule: Schedule,
    order: int = 1,
    steps: int = 50,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    epsilon: float | Callable[[Tensor], Tensor] = 1.0,
) -> Sampler:
    r"""Sample :math:`\mathrm{d}x = (b + \epsilon s)\,\mathrm{d}t + \sqrt{2\epsilon}\,\mathrm{d}W`, of any
    diffusion epsilon.

    b is the velocity and s the score. The reverse equation of strength eta has :math:`\eta\sigma^2\lambda'` in
    place of epsilon, so this is it with :math:`\eta = \int\epsilon\,\mathrm{d}t / \int\sigma^2\,\mathrm{d}\lambda`
    over each step: exponential steps, of which the noise is exact.

    Parameters
    ----------
    order
        1 or 2 slopes a step.
    epsilon
        A number >= 0, or a function of the library's time ``[m]``; 0 gives the deterministic flow. Steps must be
        short beside sigma^2 / epsilon: let epsilon fall with sigma, or end early.

    References
    ----------
    Albergo, Boffi and Vanden-Eijnden, *Stochastic interpolants* (arXiv:2303.08797), equation (2.33).

    Examples
    --------
    >>> from sciode.generative import LinearPath
    >>> interpolant_sde(LinearPath(start=0.99, final=0.01), steps=8).plan.noisy
    True
    """
    check_order(order, (1, 2), "interpolant_sde")
    where = grid_for(schedule, steps, spacing, begin, end)
    points, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(16))
    strengths = []
    for index in range(where.steps):
        t0, t1 = where.t[index : index + 2]
        times = t0 + (t1 - t0) * 0.5 * (points + 1.0)
        values = epsilon(times) if callable(epsilon) else torch.full_like(times, float(epsilon))
        if not bool((values >= 0.0).all() and torch.isfinite(values).all()):
            raise InputError(f"epsilon takes finite numbers >= 0, found {values.min():g} to {values.max():g}")
        given = (0.5 * (t1 - t0) * (weights * values).sum()).item()
        variance = _variance(where.lam[index].item(), where.lam[index + 1].item(), schedule, points, weights)
        strengths.append(given / variance)
    return adams_sampler("interpolant SDE", where, DATA, Adams(order, rule=EXACT), order, "auto", strengths)


def _variance(first: float, last: float, schedule: Schedule, points: Tensor, weights: Tensor) -> float:
    """Return the integral of sigma^2 over lam; infinite from pure noise."""
    if first == -np.inf:
        return float("inf")
    if last == np.inf:
        last = first + 30.0  # sigma falls as e^{-lam}: what is left is below round-off
    lam = first + (last - first) * 0.5 * (points + 1.0)
    sigma = schedule.sigma(schedule.time(lam))
    return (0.5 * (last - first) * (weights * sigma**2).sum()).item()

r"""The samplers of EDM: Heun's method in rho = sigma/alpha, with churn.

Symbols: ``gamma`` relative rise of the noise level before a step.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.coordinates import RHO
from sciode.generative.grid import End, Grid, Spacing
from sciode.generative.plan import Plan, Writer, runge_kutta, singlestep
from sciode.generative.presets.common import grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import RungeKutta, tableaus


def heun(
    schedule: Schedule,
    steps: int = 18,
    spacing: Spacing | None = "karras",
    begin: float | None = None,
    end: End = "zero",
    *,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = math.inf,
    churn_noise: float = 1.0,
) -> Sampler:
    r"""EDM's sampler: Heun steps in sigma/alpha, the last one to zero noise by Euler; 2 steps - 1 evaluations.

    Parameters
    ----------
    churn
        S_churn: before a step the noise level is raised by the factor 1 + min(churn / steps, sqrt(2) - 1).
    churn_min, churn_max
        S_tmin, S_tmax: noise levels sigma/alpha between which it is.
    churn_noise
        S_noise: standard deviation of the noise added.

    References
    ----------
    Karras et al. (arXiv:2206.00364), algorithms 1 and 2.

    Examples
    --------
    >>> from sciode.generative import EDM
    >>> heun(EDM(), steps=18).evaluations
    35
    """
    if not (churn >= 0.0 and churn_noise >= 0.0):
        raise InputError(f"churn and churn_noise take numbers >= 0, found {churn:g}, {churn_noise:g}")
    where = grid_for(schedule, steps, spacing, begin, end)
    rules = [tableaus.HEUN] * where.steps
    if churn == 0.0:
        return Sampler(
            "Heun",
            singlestep(where, RHO, rules),
            RungeKutta(tableaus.HEUN),
            lambda way: singlestep(way, RHO, rules),
        )
    gamma = min(churn / where.steps, math.sqrt(2.0) - 1.0)
    return Sampler("Heun, churned", _churned(where, gamma, (churn_min, churn_max), churn_noise))


def pfgmpp(
    schedule: Schedule,
    steps: int = 18,
    extra: float = 2048.0,
    spacing: Spacing | None = "karras",
    begin: float | None = None,
    end: End = "zero",
) -> Sampler:
    """PFGM++: EDM's sampler from noise with heavy tails, D = ``extra``; in sigma its equation is EDM's.

    The network must have been trained with such noise: :func:`sciode.generative.heavy_tailed`.

    References
    ----------
    Xu et al. (arXiv:2302.04265), algorithm 2 and equation (8).

    Examples
    --------
    >>> from sciode.generative import EDM
    >>> pfgmpp(EDM(), extra=128).evaluations
    35
    """
    if not extra > 0.0:
        raise InputError(f"PFGM++ takes extra dimensions D > 0, found {extra}")
    made = heun(schedule, steps, spacing, begin, end)
    return replace(made, name=f"PFGM++(D={extra:g})", extra=extra, _kept={})


def _churned(where: Grid, gamma: float, span: tuple[float, float], spread: float) -> Plan:
    writer = Writer(where, RHO)
    top = math.exp(-where.schedule.lam(where.schedule.at(where.schedule.begin)).item())
    for index in range(where.steps):
        rho = where.rho[index].item()
        raised = min(rho * (1.0 + gamma), max(rho, top)) if span[0] <= rho <= span[1] else rho
        time = where.t[index] if raised <= rho else _raised(writer, index, raised, spread)
        # a grid of this step alone: the level may have been raised to that of an earlier time
        last = where.zero and index + 1 == where.steps
        writer.grid = Grid(where.schedule, torch.stack([time, where.t[index + 1]]), last)
        if writer.limit(0) is None:
            runge_kutta(writer, 0, tableaus.HEUN)
        writer.grid = where
    return writer.plan()


def _raised(writer: Writer, index: int, rho: float, spread: float) -> Tensor:
    """Write the row that adds noise, and return the time of the raised level."""
    where = writer.grid
    time = where.schedule.time(torch.tensor(-math.log(rho), dtype=torch.float64))
    alpha = where.schedule.alpha(time).item()
    noise = alpha * math.sqrt(rho**2 - where.rho[index].item() ** 2) * spread
    carry = alpha / where.alpha[index].item()
    writer.row(where.t[index], time, carry, [], 0, noise=noise, ends=False, evaluates=False)
    return time

"""Presets under step control."""

import torch

from sciode.generative.adaptive import AdaptiveSampler
from sciode.generative.coordinates import DATA, NOISE
from sciode.generative.grid import Grid, check_lam
from sciode.generative.presets.common import check_order
from sciode.generative.schedule import Schedule
from sciode.solve import Pid, RungeKutta, tableaus


def probability_flow(
    schedule: Schedule,
    *,
    begin: float | None = None,
    end: float | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    per_sample: bool = True,
) -> AdaptiveSampler:
    """The probability-flow equation under step control, by an exponential 4(3) pair in data coordinates.

    Parameters
    ----------
    begin, end
        Diffusion times; end > 0, as lam must be finite.
    rtol, atol
        Tolerances in the user's variables.
    per_sample
        Give every sample its own steps: its result then does not depend on its batch.

    References
    ----------
    Song et al. (arXiv:2011.13456), section 4.3 and appendix D.4, with a classical pair.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> probability_flow(VP(), end=1e-3).name
    'probability flow'
    """
    method = RungeKutta(tableaus.KROGSTAD43)
    control = Pid(rtol=rtol, atol=atol, per_sample=per_sample)
    return AdaptiveSampler("probability flow", _ends(schedule, begin, end), DATA, method, control)


def dpm_solver_adaptive(
    schedule: Schedule,
    order: int = 3,
    *,
    begin: float | None = None,
    end: float | None = None,
    rtol: float = 0.05,
    atol: float = 0.0078,
    per_sample: bool = True,
) -> AdaptiveSampler:
    """DPM-Solver-12 and -23: singlestep methods with the next lower one as estimate of the error.

    Steps are chosen by the library's controller, from the mean square of the error over a tolerance
    atol + rtol * the larger of the states at both ends; the published one takes the larger of the two tolerances.

    Parameters
    ----------
    order
        2 or 3.
    begin, end, rtol, atol, per_sample
        As of :func:`probability_flow`; the default tolerances are the published ones.

    References
    ----------
    Lu et al., *DPM-Solver* (arXiv:2206.00927), appendix C.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> dpm_solver_adaptive(VP(), order=2).name
    'DPM-Solver-12'
    """
    check_order(order, (2, 3), "dpm_solver_adaptive")
    method = RungeKutta({2: tableaus.DPM2, 3: tableaus.HO3}[order])
    control = Pid(rtol=rtol, atol=atol, per_sample=per_sample)
    return AdaptiveSampler(f"DPM-Solver-{order - 1}{order}", _ends(schedule, begin, end), NOISE, method, control)


def _ends(schedule: Schedule, begin: float | None, end: float | None) -> Grid:
    first = schedule.begin if begin is None else float(begin)
    last = schedule.end if end is None else float(end)
    schedule.check_span(first, last)
    lam = schedule.lam(schedule.at(torch.tensor([first, last], dtype=torch.float64)))
    check_lam(lam, "step control")
    return Grid(schedule, schedule.at(torch.tensor([first, last], dtype=torch.float64)))

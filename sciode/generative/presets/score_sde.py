r"""Predictor-corrector samplers of Score-SDE: ancestral-like steps, each preceded by Langevin steps.

Symbols: ``a`` = alpha_s / alpha_t and ``b`` of the forward step x_s = a x_t + b z, from t to the noisier s;
``s(x)`` score, ``N`` = -eps = sigma s(x).
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.generative.coordinates import NOISE
from sciode.generative.grid import End, Grid, Spacing, check_lam
from sciode.generative.plan import Writer
from sciode.generative.presets.common import grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve.recurrence import Move

Step: TypeAlias = Callable[[Grid, int], tuple[float, float, float]]
"""(grid, step) -> carry, weight of N, amplitude of the noise."""


def predictor_corrector(
    schedule: Schedule,
    steps: int = 1000,
    spacing: Spacing | None = "time",
    begin: float | None = None,
    end: End = None,
    *,
    predictor: str = "reverse_diffusion",
    corrector: str = "langevin",
    corrector_steps: int = 1,
    snr: float = 0.16,
    norm: str = "sample",
) -> Sampler:
    r"""Predictor-corrector sampling: at every time Langevin steps, then a step; steps (corrector_steps + 1)
    evaluations.

    Parameters
    ----------
    predictor
        "reverse_diffusion", "ancestral", "euler_maruyama", or "none".
    corrector
        "langevin": :math:`x + e\,s + \sqrt{2e}\,z` with
        :math:`e = 2a^2(\mathrm{snr}\,\lVert z\rVert / \lVert s\rVert)^2`; or "none".
    snr
        r of the paper: 0.16 for VE, smaller for VP.
    norm
        "sample": norms of each sample, so that a sample does not depend on its batch. "batch": their mean over the
        batch, as published.

    The result is the noise-free mean of the last step.

    References
    ----------
    Song et al. (arXiv:2011.13456), algorithms 2 to 5 and appendices E to G.

    Examples
    --------
    >>> from sciode.generative import VE
    >>> predictor_corrector(VE(), steps=10).evaluations
    20
    """
    step = lookup(predictor, PREDICTORS, "predictor")
    makes = lookup(corrector, {"langevin": True, "none": False}, "corrector")
    over_batch = lookup(norm, {"sample": False, "batch": True}, "norm")
    if type(corrector_steps) is not int or corrector_steps < 1 or not snr > 0.0:
        raise InputError(f"corrector_steps >= 1 and snr > 0 must hold, found {corrector_steps!r} and {snr:g}")
    if not makes and step is None:
        raise InputError("neither a predictor nor a corrector: nothing would be done")
    where = grid_for(schedule, steps, spacing, begin, end)
    check_lam(where.lam[0], "the start of predictor-corrector sampling")
    writer = Writer(where, NOISE)
    for index in range(where.steps):
        ratio = (where.alpha[index] / where.alpha[index + 1]).item()
        for _ in range(corrector_steps * makes):
            move = _langevin(where.sigma[index].item(), 2.0 * ratio**2 * snr**2, over_batch)
            writer.row(where.t[index], where.t[index], None, [], 1, ends=False, move=move)
        _predict(writer, index, step)
    return Sampler(f"PC({predictor}, {corrector})", writer.plan())


def _predict(writer: Writer, index: int, step: Step | None) -> None:
    where = writer.grid
    now, then = where.t[index], where.t[index + 1]
    if step is None:
        writer.row(now, then, None, [], 1, evaluates=False)
        return
    carry, weight, noise = step(where, index)
    last = index + 1 == where.steps
    writer.row(now, then, carry, [(weight, len(writer.rows))], 1, noise=0.0 if last else noise)


def _forward(where: Grid, index: int) -> tuple[float, float, float, float]:
    """Return a, b^2 and the two sigmas of the forward step that step ``index`` reverses."""
    a = (where.alpha[index] / where.alpha[index + 1]).item()
    sigma, then = where.sigma[index].item(), where.sigma[index + 1].item()
    # sigma_s^2 - a^2 sigma_t^2 = sigma_s^2 (1 - e^{-2h}), without cancellation
    h = (where.lam[index + 1] - where.lam[index]).item()
    return a, -(sigma**2) * math.expm1(-2.0 * h), sigma, then


def _reverse_diffusion(where: Grid, index: int) -> tuple[float, float, float]:
    a, square, sigma, _ = _forward(where, index)
    return 2.0 - a, square / sigma, math.sqrt(square)


def _ancestral(where: Grid, index: int) -> tuple[float, float, float]:
    a, square, sigma, then = _forward(where, index)
    # as published: the forward step's spread where the data shrink, the posterior's where they do not
    spread = math.sqrt(square) if a < 1.0 else math.sqrt(square) * then / sigma
    return 1.0 / a, square / (a * sigma), spread


def _euler_maruyama(where: Grid, index: int) -> tuple[float, float, float]:
    schedule = where.schedule
    growth, rise = (rate.item() for rate in schedule.rates(where.t[index]))
    h = (where.t[index + 1] - where.t[index]).item()
    sigma = where.sigma[index].item()
    return 1.0 + h * growth, 2.0 * sigma * rise * h, sigma * math.sqrt(2.0 * rise * h)


PREDICTORS: dict[str, Step | None] = {
    "reverse_diffusion": _reverse_diffusion,
    "ancestral": _ancestral,
    "euler_maruyama": _euler_maruyama,
    "none": None,
}
"""Carry, weight of N and amplitude of the noise of a step."""


def _langevin(sigma: float, scale: float, over_batch: bool) -> Move:
    def size(value: Tensor) -> Tensor:
        norms = value.flatten(1).norm(dim=1)
        norms = norms.mean().expand_as(norms) if over_batch else norms
        return norms.reshape(-1, *[1] * (value.dim() - 1))

    def move(x: Tensor, slope: Tensor, z: Tensor) -> Tensor:
        # slope = sigma s: a score of zero would ask for an infinite step, and gives no direction; none is taken
        norm = size(slope)
        ratio = torch.where(norm > 0.0, size(z) * sigma / norm, 0.0)
        e = scale * ratio**2
        return x + (e / sigma) * slope + torch.sqrt(2.0 * e) * z

    return move

"""Means and variances that a plan's rows end with, exactly, where the denoiser is linear."""

import torch
from torch import Tensor

from sciode.generative import Sampler, Schedule
from sciode.solve.recurrence import Row


def spread(sampler: Sampler, variance: float, start: float) -> float:
    """Return the variance at the end for data N(0, variance) and a start of variance ``start``."""
    return moments(sampler, 0.0, variance, (0.0, start))[1]


def moments(sampler: Sampler, mean: float, variance: float, start: tuple[float, float]) -> tuple[float, float]:
    """Return mean and variance at the end for data N(mean, variance) and a start of the given mean and variance.

    Every row is an affine map of (state, slopes known) plus noise, so joint mean and covariance are carried along.
    """
    plan = sampler.plan
    size = 2 + max(age for row in plan.rows for _, age in (*row.weights, (0, 0)))
    centre = torch.zeros(size, dtype=torch.float64)  # of the state, then of the slopes, newest first
    covariance = torch.zeros(size, size, dtype=torch.float64)
    centre[0], covariance[0, 0] = start
    for row, t in zip(plan.rows, plan.times, strict=True):
        if row.evaluates:
            shift, slope = _slope(sampler, t, mean, variance)
            change = torch.eye(size, dtype=torch.float64)
            change[1:] = torch.cat([torch.zeros(1, size), torch.eye(size)[1:-1]]).double()
            change[1, 0] = slope
            centre = change @ centre
            centre[1] += shift
            covariance = change @ covariance @ change.T
        update = _update(row, size)
        centre, covariance = update @ centre, update @ covariance @ update.T
        covariance[0, 0] += row.noise**2
    return centre[0].item(), covariance[0, 0].item()


def marginal(schedule: Schedule, variance: float, t: Tensor) -> float:
    """Return the variance at time t of data with ``variance``."""
    return (schedule.alpha(t) ** 2 * variance + schedule.sigma(t) ** 2).item()


def truth(sampler: Sampler, mean: float, variance: float, start: float, eta: float) -> tuple[float, float]:
    """Return mean and variance of the reverse equation at the end of a sampler's grid, in closed form.

    The mean begins at ``start``, the variance at the marginal's. With v the marginal's variance, x - alpha m
    decays as sqrt(v'/v) without noise and as (v'/v)^{(1 + eta)/2} (alpha / alpha')^eta with it: the score is
    -(x - alpha m)/v, and d log v = 2 d log alpha - 2 sigma^2 d lam / v.
    """
    schedule, ends = sampler.schedule, (sampler.grid.t[0], sampler.grid.t[-1])
    a0, a1 = (schedule.alpha(t).item() for t in ends)
    v0, v1 = (marginal(schedule, variance, t) for t in ends)
    decay = (v1 / v0) ** ((1 + eta) / 2) * (a0 / a1) ** eta
    return a1 * mean + decay * (start - a0 * mean), v1


def gaps(sampler: Sampler, mean: float, variance: float, start: float, eta: float) -> tuple[float, float]:
    """Return the errors of mean and variance; the mean begins at ``start``, the variance at the marginal's."""
    begin = marginal(sampler.schedule, variance, sampler.grid.t[0])
    got = moments(sampler, mean, variance, (start, begin))
    want = truth(sampler, mean, variance, start, eta)
    return abs(got[0] - want[0]), abs(got[1] - want[1])


def _slope(sampler: Sampler, t: Tensor, mean: float, variance: float) -> tuple[float, float]:
    """Return N = shift + slope x."""
    alpha, sigma = sampler.schedule.alpha(t).item(), sampler.schedule.sigma(t).item()
    gain = alpha * variance / (alpha**2 * variance + sigma**2)
    if sampler.coordinates.name == "data":
        return mean * (1.0 - alpha * gain), gain
    return alpha * mean * (1.0 - alpha * gain) / sigma, -(1.0 - alpha * gain) / sigma


def _update(row: Row, size: int) -> Tensor:
    update = torch.eye(size, dtype=torch.float64)
    update[0, 0] = 1.0 if row.carry is None else _number(row.carry)
    for weight, age in row.weights:
        update[0, 1 + age] += _number(weight)
    return update


def _number(value: object) -> float:
    assert isinstance(value, float) and not isinstance(value, Tensor)
    return value

"""Means and variances that a plan's rows end with, exactly, where the denoiser is linear."""

import torch
from torch import Tensor

from sciode.generative import Sampler
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

"""Means and variances that a plan's rows end with, exactly, where the denoiser is linear."""

import torch
from torch import Tensor

from sciode.generative import Sampler


def spread(sampler: Sampler, variance: float, start: float) -> float:
    """Return the variance at the end for data N(0, variance) and a start of variance ``start``.

    Every row is a linear map of (state, slopes known) plus noise, so their joint covariance is carried along.
    """
    plan, schedule = sampler.plan, sampler.schedule
    depth = 1 + max(age for row in plan.rows for _, age in (*row.weights, (0, 0)))
    covariance = torch.zeros(1 + depth, 1 + depth, dtype=torch.float64)  # of the state, then slopes, newest first
    covariance[0, 0] = start
    for row, t in zip(plan.rows, plan.times, strict=True):
        alpha, sigma = schedule.alpha(t).item(), schedule.sigma(t).item()
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        slope = gain if plan.coordinates.name == "data" else -(1.0 - alpha * gain) / sigma
        change = torch.eye(1 + depth, dtype=torch.float64)
        if row.evaluates:
            change[1:] = torch.cat([torch.zeros(1, 1 + depth), torch.eye(1 + depth)[1:-1]]).double()
            change[1, 0] = slope
        covariance = change @ covariance @ change.T
        update = torch.eye(1 + depth, dtype=torch.float64)
        update[0, 0] = 1.0 if row.carry is None else float(_number(row.carry))
        for weight, age in row.weights:
            update[0, 1 + age] += float(_number(weight))
        covariance = update @ covariance @ update.T
        covariance[0, 0] += row.noise**2
    return covariance[0, 0].item()


def _number(value: object) -> float:
    assert isinstance(value, float) and not isinstance(value, Tensor)
    return value

"""PFGM++: the law of its noise, and the limit in which it is a diffusion."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sciode.core.errors import InputError
from sciode.generative import EDM, Points, heavy_tailed, presets, sample_seeds

POINTS = torch.randn(12, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def normal(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("extra", [1, 16, 2048])
def test_the_radius_has_the_published_law(extra: int) -> None:
    made = heavy_tailed(normal(4000, 4), extra, seed=1)
    share = (made**2).sum(1) / extra  # B / (1 - B)
    found = stats.kstest((share / (1 + share)).numpy(), stats.beta(2.0, extra / 2).cdf)
    assert found.pvalue > 0.01


def test_the_direction_is_uniform() -> None:
    made = heavy_tailed(normal(4000, 4), 2, seed=1)
    way = made / made.norm(dim=1, keepdim=True)
    assert way.mean(0).abs().max() < 4 * math.sqrt(0.25 / 4000)
    assert (way.T @ way / 4000 - torch.eye(4) / 4).abs().max() < 4 * math.sqrt(1 / 8 / 4000)


def test_posterior_means_near_the_diffusions_with_slope_minus_one() -> None:
    x, t = 1.5 * normal(64, 4, seed=3), EDM().at(0.8)
    limit = Points(POINTS, EDM())(x, t)
    sizes = [256, 1024, 4096, 16384]
    errors = [(Points(POINTS, EDM(), extra)(x, t) - limit).abs().max().item() for extra in sizes]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(sizes))
    assert (np.abs(slopes + 1.0) < 0.05).all()
    assert (Points(POINTS, EDM(), 1)(x, t) - limit).abs().max() > 0.1


def test_sampling_returns_data_points() -> None:
    schedule = EDM(sigma_max=40.0)
    for extra in (4.0, 128.0):
        noise = normal(200, 4, seed=5)
        x0 = presets.pfgmpp(schedule, 24, extra).sample(Points(POINTS, schedule, extra), noise, seed=6)
        heavy = heavy_tailed(noise, extra, seed=6)
        assert torch.equal(x0, presets.heun(schedule, 24).sample(Points(POINTS, schedule, extra), heavy))
        away = torch.cdist(x0, POINTS)
        assert away.min(1).values.quantile(0.98) < 1e-3
        # and all of them, none more often than its share by far
        share = torch.bincount(away.argmin(1), minlength=12) / 200
        assert share.max() < 0.25
        assert (share > 0).sum() >= 11


def test_draws_follow_the_sample() -> None:
    noise = normal(6, 4)
    whole = heavy_tailed(noise, 3.0, seed=9)
    assert torch.equal(whole[2:], heavy_tailed(noise[2:], 3.0, seed=sample_seeds(9, 4, first=2)))


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="D > 0"):
        heavy_tailed(normal(2, 2), 0.0)
    with pytest.raises(InputError, match="seeds for a batch"):
        heavy_tailed(normal(2, 2), 1.0, seed=[1])

"""Ensembles against closed forms and against sums written out."""

import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.metrics import crps, ensemble_error, ensemble_spread, rank_histogram, spread_skill, warning_time


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_spread_and_error_are_those_of_their_definitions() -> None:
    members, truth = normal(5, 3, 2, 1, 8), normal(3, 2, 1, 8, seed=1)
    spread = ensemble_spread(members)[1, 0]
    by_hand = torch.stack([members[:, 1, 0, 0, i].std() ** 2 for i in range(8)]).mean().sqrt()
    torch.testing.assert_close(spread, by_hand)
    error = (members[:, 2, 1].mean(0) - truth[2, 1]).square().mean().sqrt()
    torch.testing.assert_close(ensemble_error(members, truth)[2, 1], error)


@pytest.mark.parametrize("members", [2, 5, 20])
def test_a_reliable_ensemble_has_ratio_one_and_flat_ranks(members: int) -> None:
    every = normal(members + 1, 4000, 1, 1, 16)
    assert spread_skill(every[1:], every[0]).item() == pytest.approx(1.0, abs=0.02)
    counts = rank_histogram(every[1:], every[0])[0].double()
    assert counts.sum() == 64000
    expected = 64000 / (members + 1)
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected)


def test_an_ensemble_that_is_too_sure_is_below_one() -> None:
    every = normal(9, 4000, 1, 1, 16)
    assert spread_skill(0.5 * every[1:], every[0]).item() < 0.55
    counts = rank_histogram(0.5 * every[1:], every[0])[0]
    assert counts[0] > 2 * counts[4] and counts[-1] > 2 * counts[4]


def test_crps_is_the_sum_over_pairs_and_that_of_a_normal_law() -> None:
    members, truth = normal(6, 2, 1, 1, 4), normal(2, 1, 1, 4, seed=1)
    pairs = sum((a - b).abs() for a in members for b in members) / (2 * 6 * 5)
    by_hand = ((members - truth).abs().mean(0) - pairs).mean((2, 3))
    torch.testing.assert_close(crps(members, truth), by_hand)
    # of N(0, 1) at y: y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt(pi); Gneiting and Raftery (2007), equation 21
    y = torch.tensor([0.0, 0.7, -2.0], dtype=torch.float64)
    law = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    closed = y * (2 * law.cdf(y) - 1) + 2 * law.log_prob(y).exp() - 1 / math.sqrt(math.pi)
    found = crps(normal(400000, 1, 1, 1, 1).expand(-1, 3, 1, 1, 1), y.reshape(3, 1, 1, 1))
    torch.testing.assert_close(found.flatten(), closed, rtol=0, atol=3e-3)


def test_fair_means_that_more_members_do_not_change_it() -> None:
    few, many = normal(2, 60000, 1, 1, 4), normal(12, 60000, 1, 1, 4, seed=1)
    truth = normal(60000, 1, 1, 4, seed=2)
    assert crps(few, truth).mean().item() == pytest.approx(crps(many, truth).mean().item(), abs=5e-3)


def test_the_warning_comes_where_members_part() -> None:
    x = torch.linspace(0, 2 * math.pi, 65, dtype=torch.float64)[:-1]
    shift = torch.arange(10.0, dtype=torch.float64)[:, None] / 10  # members drift apart by so much
    members = torch.stack([torch.sin(x - shift), torch.sin(x + shift)])[:, None, :, None]
    # correlation cos(2 shift) is below 0.8 from shift 0.4 on, the fifth step
    assert warning_time(members, 0.8, dt=0.5).tolist() == [2.0]


def test_bad_shapes_are_named() -> None:
    with pytest.raises(InputError, match="two members or more, found"):
        ensemble_spread(normal(1, 2, 2, 1, 4))
    with pytest.raises(InputError, match=r"has shape \[2, 2, 1, 4\], found \[2, 2, 1, 5\]"):
        crps(normal(3, 2, 2, 1, 4), normal(2, 2, 1, 5))

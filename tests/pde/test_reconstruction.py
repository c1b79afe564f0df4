"""Values inside a cell: published weights, exact polynomials, order, no new extrema."""

import math

import pytest
import torch

from sciode.pde.reconstruction import GAUSS, table, van_leer, weno5
from tests.order import measured_order


def test_weights_are_the_published_ones() -> None:
    candidates, linear = table(0.5)
    want = [[1 / 3, -7 / 6, 11 / 6], [-1 / 6, 5 / 6, 1 / 3], [1 / 3, 5 / 6, -1 / 6]]  # Shu (1997), Table 2.1
    torch.testing.assert_close(torch.tensor(candidates), torch.tensor(want), rtol=0, atol=1e-13)
    root = math.sqrt(3)
    want_linear = [(210 + root) / 1080, 11 / 18, (210 - root) / 1080]
    got = table(-GAUSS)[1]
    assert got == pytest.approx(want_linear, abs=1e-12)
    assert table(GAUSS)[1] == pytest.approx(want_linear[::-1], abs=1e-12)
    assert linear == pytest.approx([0.1, 0.6, 0.3], abs=1e-12)


@pytest.mark.parametrize("xi", [-0.5, -GAUSS, GAUSS, 0.5])
def test_weno_is_of_order_five_through_an_extremum(xi: float) -> None:
    errors = []
    for n in (40, 80, 160):
        edge = torch.arange(n + 1, dtype=torch.float64) / n
        average = -torch.cos(2 * math.pi * edge).diff() * n / (2 * math.pi)
        x = (torch.arange(n, dtype=torch.float64) + 0.5 + xi) / n
        want = torch.sin(2 * math.pi * x)[2:-2]
        errors.append((weno5(average, xi) - want).abs().max().item())
    assert 4.7 < measured_order(errors) < 6


def test_weno_does_not_ring_at_a_jump() -> None:
    step = torch.cat([torch.zeros(6), torch.ones(6)]).double()
    for xi in (-0.5, 0.5, GAUSS):
        value = weno5(step, xi)
        assert value.min() > -1e-6
        assert value.max() < 1 + 1e-6


def test_van_leer_stays_between_neighbours_and_meets_lines() -> None:
    q = torch.randn(50, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = van_leer(q)
    before, here, after = q[:, :-2], q[:, 1:-1], q[:, 2:]
    slack = 1e-15
    assert bool(
        (low >= torch.minimum(before, here) - slack).all() & (low <= torch.maximum(before, here) + slack).all()
    )
    assert bool(
        (high >= torch.minimum(here, after) - slack).all() & (high <= torch.maximum(here, after) + slack).all()
    )
    line = 3.0 * torch.arange(6, dtype=torch.float64)
    low, high = van_leer(line)
    torch.testing.assert_close(high - low, torch.full((4,), 3.0, dtype=torch.float64))


def test_axes_are_chosen_by_dim() -> None:
    q = torch.randn(2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for function in (lambda q, dim: weno5(q, 0.5, dim), lambda q, dim: van_leer(q, dim)[0]):
        assert torch.equal(function(q, 1), function(q.transpose(1, 2), 2).transpose(1, 2))

"""Smoothness against the precision written out, on other grids, and where fronts are let be."""

import pytest
import torch

from sciode.constraints import LinearConstraint, integral, smooth
from sciode.core.errors import InputError


def grid(n: int) -> torch.Tensor:
    return torch.linspace(0, 1, n, dtype=torch.float64)


@pytest.mark.parametrize("order", [1, 2])
def test_the_update_adds_a_precision(order: int) -> None:
    n, scale = 21, 3.0
    x, step = grid(n), 1 / 20
    draw = torch.Generator().manual_seed(0)
    mean = torch.randn(n, dtype=torch.float64, generator=draw)
    variance = torch.rand(n, dtype=torch.float64, generator=draw) + 0.1
    rows = torch.eye(n, dtype=torch.float64).diff(n=order, dim=0) / step**order
    precision = (1 / variance).diag() + step / scale**2 * rows.mT @ rows
    want = torch.linalg.solve(precision, mean / variance)
    got, after = smooth([x], scale, order).condition(mean, variance)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)
    torch.testing.assert_close(after.diagonal(), torch.linalg.inv(precision).diagonal(), rtol=0, atol=1e-9)


def test_the_prior_is_the_same_on_a_finer_grid() -> None:
    ends = []
    for n in (51, 101, 201):
        x = grid(n)
        # A prediction of equal information on any grid: variance over the cell.
        got, _ = smooth([x], 5.0).condition((x > 0.5).double(), torch.full((n,), 0.01 * (n - 1)).double())
        ends.append(float(got[(n - 1) // 4]))
    assert abs(ends[2] - ends[1]) < 0.5 * abs(ends[1] - ends[0]) + 1e-4
    assert abs(ends[2] - ends[0]) < 0.02


def test_total_variation_keeps_a_front_and_removes_noise() -> None:
    x = grid(101)
    clean = (x < 0.4).double()
    noisy = clean + 0.1 * torch.randn(101, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    variance = torch.full((101,), 0.01, dtype=torch.float64)
    flat, _ = smooth([x], 0.05, 1).condition(noisy, variance)
    tv = noisy
    for _ in range(10):
        tv, _ = smooth([x], 0.05, 1, around=tv).condition(noisy, variance)
    jump = [float(u[35:39].mean() - u[43:47].mean()) for u in (flat, tv)]
    assert jump[1] > jump[0] + 0.1
    assert float((tv - clean).square().mean()) < 0.5 * float((noisy - clean).square().mean())
    assert float((tv - clean).square().mean()) < float((flat - clean).square().mean())


def test_a_conserved_total_survives_after_smoothing() -> None:
    x = grid(41)
    mean, cov = smooth([x], 5.0).condition(torch.sin(7 * x), torch.full((41,), 0.1, dtype=torch.float64))
    law = LinearConstraint(integral([x]), torch.tensor([0.25], dtype=torch.float64))
    after, both = law.condition(mean, cov)
    assert float(law.residual(after).abs()) < 1e-15
    assert float((both.diagonal() - cov.diagonal()).max()) <= 1e-15
    draws = both.sample((10,), torch.Generator().manual_seed(0))
    assert float(law.residual(after + draws).abs().max()) < 1e-14


def test_a_plane_is_smoothed_along_both_axes() -> None:
    noise = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got, _ = smooth([grid(12), grid(12)], 1.0, 1).condition(noise.flatten(), torch.ones(144, dtype=torch.float64))
    got = got.reshape(12, 12)
    assert float(got.diff(dim=0).square().mean()) < 0.1 * float(noise.diff(dim=0).square().mean())
    assert float(got.diff(dim=1).square().mean()) < 0.1 * float(noise.diff(dim=1).square().mean())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: smooth([grid(5)], 0.0), "scale of a derivative"),
        (lambda: smooth([grid(5)], 1.0, 3), "order 1 or 2"),
        (lambda: smooth([grid(5) ** 2], 1.0), "equal rising steps"),
        (lambda: smooth([grid(70), grid(70)], 1.0), "at most 4096, found 4900"),
        (lambda: smooth([grid(5)], 1.0, around=torch.zeros(6)), r"a field on this grid is \[5\]"),
    ],
)
def test_bad_input_is_named(call: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()  # type: ignore[operator]

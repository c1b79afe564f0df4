"""Quadratures against exact integrals, balances of boundary fluxes, and grids that are not theirs."""

import math

import pytest
import torch

from sciode.constraints import LinearConstraint, balance, conserving, gauss_nodes, integral, quadrature
from sciode.core.errors import InputError, UnknownName

EDGES = torch.tensor([0.0, 0.1, 0.35, 0.4, 1.0], dtype=torch.float64)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2


@pytest.mark.parametrize(("rule", "order"), [("trapezoid", 2), ("midpoint", 2)])
def test_rules_converge_at_their_order(rule: str, order: int) -> None:
    errors = []
    for n in (20, 40, 80):
        ends = torch.linspace(0, 1, n + 1, dtype=torch.float64)
        x = ends if rule == "trapezoid" else (ends[1:] + ends[:-1]) / 2
        errors.append(abs(float(quadrature(x, rule) @ torch.exp(x)) - (math.e - 1)))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.05)


def test_gauss_is_exact_to_its_degree() -> None:
    x = gauss_nodes(5, -1.0, 3.0)
    weights = quadrature(x, "gauss", (-1.0, 3.0))
    for degree in range(10):
        assert float(weights @ x**degree) == pytest.approx(
            (3 ** (degree + 1) - (-1) ** (degree + 1)) / (degree + 1)
        )
    assert abs(float(weights @ x**10) - (3**11 + 1) / 11) > 1e-3


def test_periodic_is_exact_for_waves() -> None:
    x = torch.arange(8, dtype=torch.float64) / 8
    wave = 2 + torch.cos(2 * math.pi * 3 * x)
    assert float(quadrature(x, "periodic") @ wave) == pytest.approx(2.0, abs=1e-15)


def test_cells_of_any_width_sum_averages_exactly() -> None:
    weights = quadrature(MIDDLES, "cells", (0.0, 1.0))
    torch.testing.assert_close(weights, EDGES.diff(), rtol=0, atol=1e-15)
    averages = (EDGES[1:] ** 3 - EDGES[:-1] ** 3) / (3 * EDGES.diff())  # of x^2
    assert float(weights @ averages) == pytest.approx(1 / 3, abs=1e-15)


def test_rows_integrate_channels_over_a_plane() -> None:
    x, y = torch.linspace(0, 1, 5), torch.linspace(0, 2, 9)
    u = torch.stack([x[:, None] + 0 * y, 1 + 0 * x[:, None] * y, x[:, None] * y])[None].double()
    rows = integral([x, y], channels=3)
    assert (rows @ u.flatten()).tolist() == pytest.approx([1.0, 2.0, 1.0])
    assert (integral([x, y], channels=3, of=[2]) @ u.flatten()).tolist() == pytest.approx([1.0])
    half = torch.zeros(5, 9, dtype=torch.float64)
    half[:, :4] = 1.0
    part = integral([x, y], channels=3, of=[1], density=half)
    assert float(part @ u.flatten()) == pytest.approx(float(quadrature(y)[:4].sum()))


def test_a_balance_is_the_mass_that_fluxes_leave() -> None:
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    got = balance(torch.tensor([1.0, 2.0]), t, torch.stack([torch.cos(t), 2 * t]))
    torch.testing.assert_close(got[0], 1 + torch.sin(t), rtol=0, atol=1e-7)
    torch.testing.assert_close(got[1], 2 + t**2, rtol=0, atol=1e-12)


def test_what_a_state_has_is_kept() -> None:
    u = torch.rand(3, 2, 8, generator=torch.Generator().manual_seed(0))
    law = conserving(integral([torch.linspace(0, 1, 8)], channels=2), u)
    later = u + torch.rand(3, 2, 8, generator=torch.Generator().manual_seed(1))
    assert float(law.residual(u).abs().max()) == 0.0
    assert float(law.residual(later).abs().min()) > 0.1
    assert float(law.residual(law.project(later)).abs().max()) < 1e-7


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: quadrature(torch.tensor([0.0, 2.0, 1.0])), "nodes must rise: 1 follows 2 at 1"),
        (lambda: quadrature(torch.tensor([0.0, float("nan")])), "two finite nodes"),
        (lambda: quadrature(torch.tensor([0.0, 0.1, 1.0]), "periodic"), "equal steps"),
        (lambda: quadrature(torch.tensor([0.0, 1.0]), "gauss"), "gauss needs bounds"),
        (lambda: quadrature(torch.tensor([0.0, 1.0]), "gauss", (0.0, 1.0)), "not the 2 Gauss-Legendre nodes"),
        (lambda: quadrature(MIDDLES, "cells", (0.0, 1.5)), "not the middles of cells from 0 to 1.5"),
        (lambda: quadrature(torch.arange(4) / 4, "periodic", (0.0, 2.0)), "make a period of 1"),
        (lambda: integral([MIDDLES], of=[1]), "channel 1 is not among 1"),
        (lambda: integral([MIDDLES], density=torch.ones(3)), "a density on this grid"),
        (lambda: integral([]), "takes axes"),
        (lambda: balance(0.0, torch.tensor([0.0, 0.0]), torch.zeros(2)), "rising times"),
        (lambda: balance(0.0, torch.tensor([0.0, 1.0]), torch.tensor([0.0, float("inf")])), "NaN or infinity"),
        (lambda: LinearConstraint(integral([MIDDLES]), torch.zeros(1)).project(torch.zeros(2, 5)), "4 unknowns"),
    ],
)
def test_grids_that_do_not_fit_are_refused(call: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()  # type: ignore[operator]


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="trapezoid"):
        quadrature(MIDDLES, "trapezoidal")


@pytest.mark.parametrize("n", [20, 50, 100, 101, 300, 1000])
def test_grids_of_float32_are_grids(n: int) -> None:
    x = torch.arange(n) / n
    assert quadrature(x, "periodic").sum().item() == pytest.approx(1.0, rel=1e-5)
    assert quadrature(x + 0.5 / n, "cells", (0.0, 1.0)).tolist() == pytest.approx(n * [1 / n], rel=1e-6)


def test_what_is_kept_has_its_gradient() -> None:
    u0 = torch.rand(2, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rows = integral([torch.arange(8) / 8], "periodic")
    assert torch.autograd.gradcheck(lambda u: conserving(rows, u).project(torch.zeros_like(u)), (u0,))
    assert conserving(rows, torch.zeros(0, 1, 8)).project(torch.zeros(0, 1, 8)).shape == (0, 1, 8)

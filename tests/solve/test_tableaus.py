"""Every tableau against Butcher's order conditions, and every exponential one against its classical parent."""

import math

import pytest
import torch

from sciode.solve import Diagonal, RungeKutta, Term, solve, tableaus
from sciode.solve.tableau import classical, number
from tests.order import density, trees, weight

PARENTS = {
    "etd1": "euler",
    "etd2": "heun",
    "dpm2": "midpoint",
    "ho3": "heun3",
    "krogstad4": "rk4",
    "coxmatthews4": "rk4",
}


@pytest.mark.parametrize("name", tableaus.TABLEAUS)
def test_order_conditions_at_zero(name: str) -> None:
    table = tableaus.TABLEAUS[name]
    a, b, c = (torch.tensor(part, dtype=torch.float64) for part in table.at_zero())
    torch.testing.assert_close(a.sum(1), c, rtol=0, atol=1e-14)
    for order in range(1, table.order + 1):
        for tree in trees(order):
            # Tsitouras' coefficients are decimals of size 12, those of DOPRI8 published fractions.
            assert weight(a, b, tree) == pytest.approx(1 / density(tree), abs=3e-14 if order > 3 else 1e-14), tree
    if table.order < 5:
        assert any(abs(weight(a, b, t) - 1 / density(t)) > 1e-4 for t in trees(table.order + 1)), (
            "order understated"
        )


@pytest.mark.parametrize("name", [n for n, t in tableaus.TABLEAUS.items() if t.embedded is not None])
def test_embedded_update_is_one_order_lower(name: str) -> None:
    table = tableaus.TABLEAUS[name]
    a = torch.tensor(table.at_zero()[0], dtype=torch.float64)
    b = torch.tensor([number(entry) for entry in table.embedded], dtype=torch.float64)
    for order in range(1, table.order):
        for tree in trees(order):
            assert weight(a, b, tree) == pytest.approx(1 / density(tree), abs=3e-14)


def test_count_of_rooted_trees() -> None:
    assert [len(list(trees(n))) for n in range(1, 8)] == [1, 1, 2, 4, 9, 20, 48]


@pytest.mark.parametrize(("child", "parent"), PARENTS.items())
def test_exponential_tableau_at_zero_is_its_parent(child: str, parent: str) -> None:
    for got, want in zip(tableaus.TABLEAUS[child].at_zero(), tableaus.TABLEAUS[parent].at_zero(), strict=True):
        torch.testing.assert_close(torch.tensor(got), torch.tensor(want), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("child", "parent"), PARENTS.items())
@pytest.mark.parametrize("linear", [None, Diagonal(0.0), Diagonal(torch.zeros(2, dtype=torch.float64))])
def test_steps_at_zero_are_the_parents_steps(child: str, parent: str, linear: Diagonal | None) -> None:
    def drift(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([y[:, 1] * torch.cos(s), -(y[:, 0] ** 3)], dim=1)

    x0 = torch.tensor([[1.0, 0.3], [-0.4, 2.0]], dtype=torch.float64)
    t = torch.linspace(0, 1, 5)
    a = solve(Term(drift, linear), x0, t, solver=RungeKutta(tableaus.TABLEAUS[child]), dt=0.1).y
    b = solve(Term(drift), x0, t, solver=RungeKutta(tableaus.TABLEAUS[parent]), dt=0.1).y
    torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", tableaus.TABLEAUS)
def test_a_linear_equation_is_solved_exactly_by_every_method(name: str) -> None:
    rate = torch.tensor([-3.0, -0.1, 1.0], dtype=torch.float64)
    x0 = torch.ones(2, 3, dtype=torch.float64)
    y = solve(
        Term(lambda s, y: 0 * y, Diagonal(rate)),
        x0,
        [0.0, 2.0],
        solver=RungeKutta(tableaus.TABLEAUS[name]),
        dt=1.0,
    ).y
    torch.testing.assert_close(y[:, 1], torch.exp(2 * rate).expand(2, 3), rtol=1e-14, atol=0)


def test_malformed_tableau_is_refused() -> None:
    with pytest.raises(ValueError, match="rows of length"):
        classical([0, 1], [[], []], [1, 0], order=1)
    assert math.isfinite(number(tableaus.KROGSTAD4.update[0]))


def test_ssprk3_is_a_mean_of_euler_steps() -> None:
    """In Shu and Osher's form no stage weighs an Euler step below zero: what one keeps, the method keeps."""
    y, h = torch.tensor([[0.4, -1.1]], dtype=torch.float64), 0.3

    def euler_step(y: torch.Tensor) -> torch.Tensor:
        return y + h * torch.sin(3 * y)

    half = 0.75 * y + 0.25 * euler_step(euler_step(y))
    want = y / 3 + 2 / 3 * euler_step(half)
    term = Term(lambda s, y: torch.sin(3 * y))
    got = solve(term, y, [0.0, h], solver=RungeKutta(tableaus.SSPRK3), dt=h).y[:, 1]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-15)

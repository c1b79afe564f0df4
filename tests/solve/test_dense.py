"""Dense output: its order, agreement at the ends of steps, no further evaluations, gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import burgers
from sciode.solve import Ladder, Pid, RungeKutta, Term, solve, tableaus
from sciode.solve.dense import dense, embedded_order, real_stability
from tests.order import density, trees, weight

ORDERS = {"heun": 2, "bosh3": 3, "dopri5": 4, "tsit5": 4, "dopri8": 5, "rk4": 3}
X0 = torch.tensor([[1.0, 0.3], [-0.4, 1.2]], dtype=torch.float64)


def pendulum(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0])], dim=1)


@pytest.mark.parametrize("name", ORDERS)
def test_continuous_order_conditions_hold_at_every_place(name: str) -> None:
    """Against the trees of the tests, which share no code with those of the library."""
    table = tableaus.TABLEAUS[name]
    extension = dense(table)
    assert extension.order == ORDERS[name]
    a, b, _ = (torch.tensor(part, dtype=torch.float64) for part in table.at_zero())
    for theta in (0.2, 0.5, 0.9, 1.0):
        weights = torch.from_numpy(theta ** np.arange(1, len(extension.beta) + 1) @ extension.beta)
        for order in range(1, extension.order + 1):
            for tree in trees(order):
                assert weight(a, weights, tree) == pytest.approx(theta**order / density(tree), abs=1e-9)
        if theta == 1.0:
            torch.testing.assert_close(weights, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["bosh3", "dopri5", "tsit5"])
def test_the_slope_is_continuous_between_steps(name: str) -> None:
    beta = dense(tableaus.TABLEAUS[name]).beta
    first, last = beta[0], np.arange(1, len(beta) + 1) @ beta
    np.testing.assert_allclose(first, np.eye(len(first))[0], atol=1e-10)
    np.testing.assert_allclose(last, np.eye(len(last))[-1], atol=1e-10)


def test_embedded_orders_and_stability_limits() -> None:
    assert [embedded_order(tableaus.TABLEAUS[n]) for n in ("bosh3", "dopri5", "tsit5", "dopri8")] == [2, 4, 4, 7]
    assert [embedded_order(tableaus.TABLEAUS[n]) for n in ("etd2", "ho3", "krogstad43")] == [1, 2, 3]
    assert real_stability(tableaus.EULER) == pytest.approx(2.0, abs=1e-3)
    assert real_stability(tableaus.DOPRI5) == pytest.approx(3.307, abs=1e-2)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("name", ["bosh3", "dopri5", "tsit5"])
def test_a_solution_may_be_asked_later(name: str, per_sample: bool) -> None:
    times = torch.linspace(0, 4, 50, dtype=torch.float64)
    control = Pid(rtol=1e-7, atol=1e-8, per_sample=per_sample)
    solver = RungeKutta(tableaus.TABLEAUS[name])
    calls = 0

    def drift(s: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return pendulum(s, y)

    kept = solve(Term(drift), X0, [0.0, 4.0], solver=solver, controller=control, dense=True)
    before = calls
    later = kept(times)
    assert calls == before
    now = solve(Term(pendulum), X0, times, solver=solver, controller=control).y
    torch.testing.assert_close(later, now, rtol=0, atol=1e-12)
    torch.testing.assert_close(later[:, 0], X0, rtol=0, atol=1e-14)
    exact = solve(Term(pendulum), X0, times, controller=Pid(rtol=1e-12, atol=1e-12)).y
    assert (later - exact).abs().max() < 2e-5 if name == "bosh3" else 1e-6


def test_asked_times_cost_no_evaluations() -> None:
    control = Pid(rtol=1e-7, atol=1e-8)
    few = solve(Term(pendulum), X0, [0.0, 4.0], controller=control).stats
    many = solve(Term(pendulum), X0, torch.linspace(0, 4, 1000, dtype=torch.float64), controller=control).stats
    assert few.evaluations == many.evaluations and few.steps == many.steps


def test_backward_solves_and_times_of_each_sample() -> None:
    control = Pid(rtol=1e-9, atol=1e-10, per_sample=True)
    times = torch.tensor([[0.0, 3.0], [2.0, -1.0]], dtype=torch.float64)
    kept = solve(Term(pendulum), X0, times, controller=control, dense=True)
    asked = torch.tensor([[0.5, 2.9], [1.5, -0.9]], dtype=torch.float64)
    for i in range(2):
        alone = solve(
            Term(pendulum), X0[i : i + 1], [times[i, 0], *asked[i]], controller=Pid(rtol=1e-11, atol=1e-12)
        )
        torch.testing.assert_close(kept(asked)[i], alone.y[0, 1:], rtol=0, atol=1e-7)


@pytest.mark.parametrize("control", [Pid, Ladder])
def test_exponential_pairs_interpolate_under_the_exact_linear_flow(control: type) -> None:
    x = torch.arange(32, dtype=torch.float64) / 32
    u0 = (torch.sin(2 * torch.pi * x) + 0.5)[None, None]
    term = burgers(32, viscosity=0.05)
    times = torch.linspace(0, 0.3, 13, dtype=torch.float64)
    kept = solve(term, u0, [0.0, 0.3], controller=control(rtol=1e-6, atol=1e-7), dense=True)
    want = solve(term, u0, times, dt=1e-3).y
    assert (kept(times) - want).abs().max() < 1e-4
    assert kept.stats.steps < 60


def test_gradients_pass_through_interpolated_states() -> None:
    x0 = X0[:1].clone().requires_grad_()

    def inside(x: Tensor) -> Tensor:
        kept = solve(Term(pendulum), x, [0.0, 1.0], controller=Pid(rtol=1e-9, atol=1e-9), dense=True)
        return kept([0.21, 0.77])

    assert torch.autograd.gradcheck(inside, (x0,), atol=1e-6)


def test_bad_input_is_named() -> None:
    kept = solve(Term(pendulum), X0, [0.0, 1.0], controller=Pid(), dense=True)
    with pytest.raises(InputError, match=r"t = 1\.5 lies outside"):
        kept([0.5, 1.5])
    with pytest.raises(InputError, match="dense=True"):
        solve(Term(pendulum), X0, [0.0, 1.0], controller=Pid())([0.5])

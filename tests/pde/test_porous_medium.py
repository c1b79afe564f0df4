"""Closed forms against their equations and quadrature, finite volumes against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import CLOSED, end_fluxes, porous_medium, power, switched
from sciode.processes import RESIDUALS
from sciode.solve import solve

# family, parameter, times, where the solution is smooth
SMOOTH = [
    ("heat", 2.0, 0.3, (0.0, 1.0)),
    ("porous_medium", 1.0, 0.5, (0.0, 0.45)),
    ("porous_medium", 3.0, 0.5, (0.0, 0.45)),
    ("stefan", 0.6, 0.05, (0.02, 0.2)),
]


def value(x: float) -> Tensor:
    return torch.tensor([x], dtype=torch.float64)


@pytest.mark.parametrize(("name", "parameter", "time", "part"), SMOOTH)
def test_closed_forms_solve_their_equation(
    name: str, parameter: float, time: float, part: tuple[float, float]
) -> None:
    problem, v = CLOSED[name], value(parameter)
    x = (problem.length * torch.linspace(*part, 50, dtype=torch.float64)).requires_grad_()
    t = torch.full((50, 1), time, dtype=torch.float64).requires_grad_()
    # each point has a time of its own, so that derivatives come point by point
    u = problem.solution(x[:, None], t, v)[:, 0]
    rate, slope = (torch.autograd.grad(u.sum(), at, create_graph=True)[0].flatten() for at in (t, x))
    bend = torch.autograd.grad(slope.sum(), x, create_graph=True)[0] if slope.requires_grad else 0 * x
    left = RESIDUALS[name](u, rate, slope, bend, v)
    assert left.abs().max().item() < 1e-9 * (1 + rate.abs().max().item())


@pytest.mark.parametrize("name", CLOSED)
def test_masses_are_the_integrals(name: str) -> None:
    problem, times = CLOSED[name], torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    times = times * (0.1 if name in ("stefan", "linear_step") else 0.9)
    parameter = value(0.6 if name == "stefan" else 2.0)
    edges = torch.linspace(0, problem.length, 11, dtype=torch.float64)
    fine = torch.linspace(0, problem.length, 200001, dtype=torch.float64)
    u = problem.states(fine, times, parameter)[0]
    want = torch.cumulative_trapezoid(u, fine)[:, 19999::20000].diff(prepend=torch.zeros(3, 1).double(), dim=1)
    got = problem.averages_over(edges, times, parameter)[0] * edges.diff()
    torch.testing.assert_close(got, want, rtol=0, atol=5e-6)  # a front inside a cell costs half of one
    torch.testing.assert_close(got.sum(1), problem.total(times, parameter)[0], rtol=0, atol=1e-14)


def test_masses_are_the_published_ones() -> None:
    t = torch.tensor([0.5], dtype=torch.float64)
    for m in (1.0, 3.0, 6.0):
        want = m ** (1 + 1 / m) / (m + 1) * 0.5 ** (1 + 1 / m)
        assert CLOSED["porous_medium"].total(t, value(m)).item() == pytest.approx(want, rel=1e-14)
    front = CLOSED["stefan"].front
    assert front is not None
    for level, alpha in ((0.5, 1.2401), (0.6, 1.0513)):
        assert front(torch.ones(1), value(level)).item() == pytest.approx(alpha, abs=5e-5)
        slope = (1 - level) / math.erf(alpha / 2)
        want = 2 * slope * math.sqrt(0.05 / math.pi)
        got = CLOSED["stefan"].total(torch.tensor([0.05], dtype=torch.float64), value(level)).item()
        assert got == pytest.approx(want, rel=1e-4)


def test_the_stefan_front_has_its_height() -> None:
    problem, t, level = CLOSED["stefan"], torch.tensor([0.04], dtype=torch.float64), value(0.6)
    assert problem.front is not None
    at = problem.front(t, level)
    x = torch.cat([at - 1e-9, at + 1e-9])
    assert problem.states(x, t, level)[0, 0].tolist() == pytest.approx([0.6, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "parameter", "bad"),
    [("stefan", 1.5, "threshold"), ("porous_medium", -1.0, "exponent"), ("heat", float("nan"), "conductivity")],
)
def test_parameters_out_of_bounds_are_named(name: str, parameter: float, bad: str) -> None:
    with pytest.raises(InputError, match=f"{bad} lies between"):
        CLOSED[name].states(torch.zeros(2), torch.zeros(1), value(parameter))


def error(exponent: float, points: int) -> tuple[float, Tensor]:
    """Return the mean error of cell averages at t = 0.5, the front well inside, and the solution."""
    problem = CLOSED["porous_medium"]
    v = value(exponent)
    edges = torch.linspace(0, 1, points + 1, dtype=torch.float64)
    times = torch.tensor([0.2, 0.5], dtype=torch.float64)
    exact = problem.averages_over(edges, times, v)[0]
    term = porous_medium(points, power(exponent), left=lambda t: (exponent * t) ** (1 / exponent))
    u = solve(term, exact[:1][None], times.tolist(), dt=0.2 / points**2).y
    assert isinstance(u, Tensor)
    return float((u[0, -1, 0] - exact[1]).abs().mean()), u


@pytest.mark.parametrize(("exponent", "order"), [(1.0, 1.0), (3.0, 0.8)])
def test_finite_volumes_converge_to_the_closed_form(exponent: float, order: float) -> None:
    errors = [error(exponent, n)[0] for n in (12, 24, 48)]
    assert math.log2(errors[0] / errors[2]) / 2 > order
    assert errors[2] < 3e-3


def test_finite_volumes_follow_a_melting_front() -> None:
    problem, n, level = CLOSED["stefan"], 100, value(0.6)
    edges = torch.linspace(0, 1, n + 1, dtype=torch.float64)
    times = torch.tensor([0.005, 0.02], dtype=torch.float64)
    exact = problem.averages_over(edges, times, level)[0]
    term = porous_medium(n, switched(0.6), left=lambda t: torch.ones((), dtype=torch.float64))
    u = solve(term, exact[:1][None], times.tolist(), dt=0.3 / n**2).y
    assert isinstance(u, Tensor)
    assert float((u[0, -1, 0] - exact[1]).abs().mean()) < 0.01


def test_mass_changes_by_the_ends_alone() -> None:
    u = torch.rand(3, 1, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    left = lambda t: torch.full((), 0.7, dtype=torch.float64)  # noqa: E731
    for ends in ((None, None), (left, None), (left, left)):
        term = porous_medium(20, power(2.0), *ends)
        rate = term.drift(torch.tensor(0.1), u)
        assert isinstance(rate, Tensor)
        first, last = end_fluxes(torch.tensor(0.1), u, power(2.0), *ends)
        torch.testing.assert_close(rate.sum(-1) / 20, (first - last)[..., 0], rtol=0, atol=1e-12)


def test_gradients_agree_with_differences() -> None:
    term = porous_medium(6, power(2.0), left=lambda t: torch.ones((), dtype=torch.float64))
    u = torch.rand(1, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.autograd.gradcheck(lambda u: term.drift(torch.tensor(0.0), u), (u.requires_grad_(),))


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="two cells or more"):
        porous_medium(1, power(1.0))
    with pytest.raises(InputError, match="not negative"):
        power(-1.0)
    with pytest.raises(InputError, match="somewhere positive"):
        switched(0.5, high=0.0)

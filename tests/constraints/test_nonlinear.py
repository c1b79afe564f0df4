"""Nearest states on curved laws and within bounds, against scipy; gradients; laws that cannot be met."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from sciode.constraints import Bounded, LinearConstraint, NonlinearConstraint
from sciode.core.errors import InputError


def state(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def energy_and_mean(u: Tensor) -> Tensor:
    flat = u.flatten(1)
    return torch.stack([flat.square().mean(1), flat.mean(1)], dim=1)


def enstrophy(u: Tensor) -> Tensor:
    return (u - u.roll(1, -1)).square().flatten(1).sum(1, keepdim=True)


LAWS = {
    "energy and mean": (energy_and_mean, torch.tensor([1.5, 0.2], dtype=torch.float64)),
    "enstrophy": (enstrophy, torch.tensor([8.0], dtype=torch.float64)),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_nearest_state_is_scipys(name: str) -> None:
    function, value = LAWS[name]
    law = NonlinearConstraint(function, value, tolerance=1e-12, iterations=200)
    u = state(1, 1, 8)
    near = law.project(u)
    assert float(law.residual(near).abs().max()) < 1e-11
    start = u.flatten().numpy()

    def gap(x: np.ndarray) -> np.ndarray:
        return law.residual(torch.from_numpy(x).reshape(1, 1, 8)).flatten().numpy()

    found = minimize(
        lambda x: ((x - start) ** 2).sum(), near.flatten().numpy() + 0.05, method="SLSQP",
        constraints=[{"type": "eq", "fun": gap}], options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    torch.testing.assert_close(near.flatten(), torch.from_numpy(found.x), rtol=0, atol=1e-5)


def test_a_sphere_is_met_along_the_ray() -> None:
    law = NonlinearConstraint(lambda u: u.square().flatten(1).sum(1, keepdim=True), torch.tensor([4.0]))
    u = state(5, 2, 3)
    want = 2 * u / u.flatten(1).norm(dim=1)[:, None, None]
    torch.testing.assert_close(law.project(u), want, rtol=0, atol=1e-9)


def test_variance_says_what_may_move() -> None:
    law = NonlinearConstraint(lambda u: u.square().flatten(1).sum(1, keepdim=True), torch.tensor([30.0]))
    u = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    moved = law.project(u, variance=torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))
    assert moved.tolist()[0] == pytest.approx([1.0, 20**0.5, 3.0], abs=1e-9)


def test_float32_meets_the_law_to_its_round_off() -> None:
    law = NonlinearConstraint(*LAWS["energy and mean"])
    near = law.project(state(4, 1, 64).float())
    assert near.dtype == torch.float32
    assert float(law.residual(near.double()).abs().max()) < 1e-6


@pytest.mark.parametrize("name", LAWS)
def test_gradients_agree_with_differences(name: str) -> None:
    function, value = LAWS[name]
    law = NonlinearConstraint(function, value, tolerance=1e-12, iterations=200)
    assert torch.autograd.gradcheck(law.project, (state(2, 1, 6).requires_grad_(),))


def test_a_law_out_of_reach_is_named() -> None:
    law = NonlinearConstraint(lambda u: u.square().flatten(1).mean(1, keepdim=True), torch.tensor([-1.0]))
    with pytest.raises(InputError, match=r"row 0 of the law is missed by .* in sample \d after 200 iterations"):
        law.project(state(2, 1, 4))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: NonlinearConstraint(enstrophy, torch.tensor([float("nan")])), "a value is finite"),
        (lambda: NonlinearConstraint(enstrophy, torch.ones(1), tolerance=0.0), "tolerance is above zero"),
        (lambda: NonlinearConstraint(enstrophy, torch.ones(2)).project(state(1, 1, 4)), "m = 2, found"),
        (lambda: Bounded(mass(4), low=1.0, high=1.0), "low < high"),
        (
            lambda: Bounded(mass(4), low=1.0).project(state(2, 4)),
            r"no state of sample \d that lies between 1 and inf",
        ),
    ],
)
def test_bad_input_is_named(call: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()  # type: ignore[operator]


def mass(n: int, rows: int = 1) -> LinearConstraint:
    operator = torch.rand(rows, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) / n
    return LinearConstraint(operator, torch.full((rows,), 0.3, dtype=torch.float64))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("high", [float("inf"), 1.2])
def test_the_nearest_state_within_bounds_is_scipys(rows: int, high: float) -> None:
    law, u = mass(12, rows), state(3, 12)
    near = Bounded(law, 0.0, high).project(u)
    assert float(near.min()) >= 0.0 and float(near.max()) <= high
    assert float(law.residual(near).abs().max()) < 1e-12
    g, b = law.operator.numpy(), law.value.numpy()
    for i in range(3):
        start = u[i].numpy()
        found = minimize(
            lambda x, s=start: ((x - s) ** 2).sum(), np.full(12, 0.5), jac=lambda x, s=start: 2 * (x - s),
            bounds=[(0, None if high == float("inf") else high)] * 12,
            constraints=[{"type": "eq", "fun": lambda x: g @ x - b, "jac": lambda x: g}],
            options={"ftol": 1e-15, "maxiter": 1000},
        )  # fmt: skip
        torch.testing.assert_close(near[i], torch.from_numpy(found.x), rtol=0, atol=1e-6)


def test_bounded_gradients_agree_with_differences() -> None:
    assert torch.autograd.gradcheck(Bounded(mass(6, 2)).project, (state(2, 6, seed=1).requires_grad_(),))


def test_a_positive_state_of_the_right_mass_stays() -> None:
    law = mass(6)
    u = torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    there = Bounded(law).project(u)
    torch.testing.assert_close(Bounded(law).project(there), there, rtol=0, atol=1e-13)

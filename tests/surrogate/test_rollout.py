import warnings

import pytest
import torch
from torch import Tensor

from sciode.constraints import LinearConstraint, balance, conserving, integral
from sciode.core.errors import InputError
from sciode.surrogate import LeadTimeWarning, UNet, rollout


def decay(u: Tensor, dt: Tensor) -> Tensor:
    return u * torch.exp(-dt).view(-1, *(1,) * (u.ndim - 1))


class ZeroMean:
    def project(self, u: Tensor) -> Tensor:
        return u - u.mean(-1, keepdim=True)


@pytest.mark.parametrize("grad", [False, True])
def test_equals_a_loop_by_hand(grad: bool) -> None:
    torch.manual_seed(0)
    model, u = UNet(1, 1, width=4, depth=1), torch.randn(3, 1, 16)
    dt = torch.tensor([0.1, 0.2, 0.3])
    with torch.set_grad_enabled(grad):
        path = rollout(model, u, 4, dt)
    assert path.requires_grad == grad
    assert path.shape == (3, 4, 1, 16)
    with torch.no_grad():
        for step in range(4):
            u = model(u, dt)
            assert torch.equal(path[:, step], u)


@pytest.mark.parametrize("dt", [0.5, torch.tensor(0.5), torch.full((2,), 0.5, dtype=torch.float64)])
def test_lead_time_in_any_form(dt: float | Tensor) -> None:
    path = rollout(decay, torch.ones(2, 1, 4, dtype=torch.float64), 3, dt)
    expected = torch.exp(-0.5 * torch.arange(1, 4)).double()
    assert torch.allclose(path[0, :, 0, 0], expected, rtol=1e-6)
    assert torch.allclose(path[1], path[0])


def test_gradient_goes_through_every_step() -> None:
    u = torch.ones(1, 1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(rollout(decay, u, 3, 0.1)[:, -1].sum(), u)
    assert torch.allclose(gradient, torch.exp(torch.tensor(-0.3)).expand(1, 1, 4))


def test_constraint_after_each_step() -> None:
    path = rollout(lambda u, dt: u + 1, torch.rand(2, 1, 8), 3, 0.1, constraint=ZeroMean())
    assert path.mean(-1).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("u0", "steps", "dt", "message"),
    [
        (torch.zeros(4, 8), 1, 0.1, "b c"),
        (torch.zeros(4, 1, 8), 0, 0.1, "at least 1 step"),
        (torch.zeros(4, 1, 8), 1, torch.ones(3), "one for each of 4"),
        (torch.tensor([[[0.0]], [[float("nan")]]]), 1, 0.1, "first in sample 1"),
    ],
)
def test_errors(u0: Tensor, steps: int, dt: float | Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rollout(decay, u0, steps, dt)


def test_direct_and_mixed_rollouts_ask_for_longer_leads() -> None:
    """A model that adds the lead reaches the same states all ways; what it is asked for differs."""
    asked: list[float] = []

    def shift(u: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        asked.append(dt[0].item())
        return u + dt.view(-1, 1, 1)

    u0 = torch.zeros(2, 1, 4, dtype=torch.float64)
    want = 0.5 * torch.arange(1, 8, dtype=torch.float64).view(1, 7, 1, 1).expand(2, 7, 1, 4)
    leads = {1: [1] * 7, 3: [1, 2, 3, 1, 2, 3, 1], 7: [1, 2, 3, 4, 5, 6, 7], 20: [1, 2, 3, 4, 5, 6, 7]}
    for jump, steps in leads.items():
        asked.clear()
        with torch.no_grad():
            assert torch.allclose(rollout(shift, u0, 7, 0.5, jump=jump), want)
        assert asked == [0.5 * k for k in steps]
        assert torch.allclose(rollout(shift, u0, 7, 0.5, jump=jump), want)
    with pytest.raises(InputError, match="jump=0"):
        rollout(shift, u0, 7, 0.5, jump=0)


def test_leads_beyond_the_training_are_warned_of_once() -> None:
    model, u0 = UNet(1, 1, width=4, depth=1), torch.zeros(2, 1, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rollout(model, u0, 3, 9.0)  # nothing is known of its training
        model.longest_lead.fill_(0.5)
        rollout(model, u0, 6, 0.25, jump=2)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(3):
            rollout(model, u0, 6, 0.25, jump=3)
    assert len(found) == 1 and found[0].category is LeadTimeWarning
    assert "up to 0.5, asked for 0.75" in str(found[0].message)


def test_laws_that_change_from_step_to_step() -> None:
    rows = integral([torch.arange(8) / 8], "periodic")
    totals = balance(1.0, torch.arange(5) * 0.1, torch.full((5,), 2.0))[1:]
    laws = [LinearConstraint(rows, total[None]) for total in totals]
    path = rollout(decay, torch.rand(3, 1, 8, generator=torch.Generator().manual_seed(0)), 4, 0.1, constraint=laws)
    assert torch.allclose(path.mean(-1)[..., 0].double(), totals.expand(3, -1), atol=1e-6)
    with pytest.raises(InputError, match="a rollout of 5 steps takes as many constraints, got 4"):
        rollout(decay, torch.ones(1, 1, 8), 5, 0.1, constraint=laws)


def test_a_conserved_total_does_not_drift_in_long_rollouts() -> None:
    torch.manual_seed(0)
    model, u = UNet(1, 1, width=4, depth=1).eval(), torch.randn(3, 1, 16)
    law = conserving(integral([torch.arange(16) / 16], "periodic"), u)
    with torch.no_grad():
        free, held = rollout(model, u, 200, 0.1), rollout(model, u, 200, 0.1, constraint=law)
    total = u.double().mean(-1)[:, None]
    assert float((held.double().mean(-1) - total).abs().max()) < 1e-7 * max(1.0, float(held.abs().max()))
    assert float((free.double().mean(-1) - total).abs().max()) > 1e-2

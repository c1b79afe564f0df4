"""The Fokker--Planck residual: zero for a density that diffuses, and a measure of the gap between ODE and SDE."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.generative import EDM, VP, LinearPath, Potential, Schedule, SubVP, denoiser_of, presets, residual
from tests.generative.laws import mixture

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("schedule", [VP(), SubVP(), EDM(), LinearPath()])
def test_an_exact_density_leaves_no_residual(schedule: Schedule) -> None:
    law = mixture(schedule, dimension=3, modes=4)
    tau = torch.linspace(0.05, 0.95, 20, dtype=torch.float64) * schedule.begin
    t = schedule.at(tau)

    def potential(x: Tensor, t: Tensor) -> Tensor:
        rows = [law.log_prob(x[i : i + 1], t[i]) for i in range(len(x))]
        return torch.cat(rows)

    x = X * schedule.sigma(t)[:, None].clamp(min=1.0)
    scale = residual(lambda x, t: 1.1 * potential(x, t), schedule, x, t).abs()
    assert (residual(potential, schedule, x, t).abs() / (1.0 + scale)).max() < 1e-9
    assert scale.max() > 1e-3


def test_probes_are_right_on_average() -> None:
    def potential(x: Tensor, t: Tensor) -> Tensor:
        return torch.sin(x).sum(1) * x[:, 0] * t

    t = torch.full((20,), 0.4, dtype=torch.float64)
    exact = residual(potential, VP(), X, t)
    runs = [
        residual(potential, VP(), X, t, probes=1, generator=torch.Generator().manual_seed(k)) for k in range(400)
    ]
    made = torch.stack(runs)
    error = made.std(0) / 20.0
    assert ((made.mean(0) - exact).abs() < 4.5 * error + 1e-12).all()


def spread_at_the_end(scale: float, eta: float, steps: int = 3000) -> float:
    """Return the variance that sampling ends with when the score of N(0, c) is (1 + scale) times too large.

    The denoiser is linear, x0 = k x, so that a row maps the variance exactly.
    """
    schedule, c = VP(), 0.3
    plan = presets.dpm_solver_pp(schedule, 1, steps, eta=eta).plan
    alpha, sigma = schedule.alpha(plan.times), schedule.sigma(plan.times)
    gain = (1.0 - (1.0 + scale) * sigma**2 / (alpha**2 * c + sigma**2)) / alpha
    variance = 1.0
    for row, k in zip(plan.rows, gain.tolist(), strict=True):
        ((weight, _),) = row.weights
        variance = (row.carry + weight * k) ** 2 * variance + row.noise**2  # type: ignore[operator]
    return variance


def test_a_wrong_score_opens_a_gap_linear_in_its_error() -> None:
    exact = spread_at_the_end(0.0, 0.0) - spread_at_the_end(0.0, 1.0)
    gaps = [spread_at_the_end(e, 0.0) - spread_at_the_end(e, 1.0) - exact for e in (0.002, 0.004, 0.008)]
    assert abs(exact) < 0.1 * abs(gaps[0])
    assert np.allclose(np.diff(np.log(np.abs(gaps))) / np.log(2.0), 1.0, atol=0.08)


def test_the_residual_sees_a_wrong_score() -> None:
    t = VP().at(torch.full((20,), 0.5, dtype=torch.float64))

    def potential(scale: float) -> Potential:
        def u(x: Tensor, t: Tensor) -> Tensor:
            v = 0.3 * VP().alpha(t) ** 2 + VP().sigma(t) ** 2
            return (1.0 + scale) * (-0.5 * (x**2).sum(1) / v - 1.5 * torch.log(v))

        return u

    sizes = [residual(potential(e), VP(), X, t).square().mean().sqrt().item() for e in (0.01, 0.02)]
    assert sizes[1] / sizes[0] == pytest.approx(2.0, rel=0.05)


def test_a_potential_can_learn_to_lower_it() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1)).double()

    def potential(x: Tensor, t: Tensor) -> Tensor:
        return net(torch.cat([x, t[:, None]], 1))[:, 0] - 0.5 * (x**2).sum(1)

    t = torch.linspace(0.1, 0.9, 20, dtype=torch.float64)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    sizes = []
    for _ in range(60):
        loss = residual(potential, VP(), X, t).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        sizes.append(loss.item())
    assert sizes[-1] < 0.1 * sizes[0]


def test_the_denoiser_of_a_potential_is_that_of_its_law() -> None:
    schedule = VP()
    law = mixture(schedule, dimension=3)
    denoise = denoiser_of(lambda x, t: law.log_prob(x, t[0]), schedule)
    for tau in (0.01, 0.3, 0.9):
        t = schedule.at(tau)
        assert (denoise(X, t) - law(X, t)).abs().max() < 1e-8
    sampler = presets.unipc(schedule, 2, 8)
    assert (sampler.sample(denoise, X) - sampler.sample(law, X)).abs().max() < 1e-7


def test_bad_input_is_refused() -> None:
    t = torch.full((20,), 0.5, dtype=torch.float64)
    with pytest.raises(InputError, match="returns"):
        residual(lambda x, t: x.sum(), VP(), X, t)
    with pytest.raises(InputError, match="probes"):
        residual(lambda x, t: x.flatten(1).sum(1), VP(), torch.zeros(20, 9, 9).double(), t)

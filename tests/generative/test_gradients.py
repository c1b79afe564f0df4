"""Gradients through samplers, inversion, and sampling that is undone."""

import math

import pytest
import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.generative import EDM, VP, Denoiser, LinearPath, MeanReverting, Prediction, SubVP, presets
from sciode.solve import Checkpointed, Continuous, Direct, ReversibleAdjoint
from tests.generative.families import EVERY
from tests.generative.laws import gaussian, gaussian_flow, mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("adjoint", [Direct(), Checkpointed(), Continuous(), Continuous("backsolve")])
@pytest.mark.parametrize("name", ["unipc-3", "dpm-3", "rhoRK4"])
def test_the_jacobian_of_a_gaussian(name: str, adjoint: Direct) -> None:
    law = gaussian(SCHEDULE, torch.full((8,), 0.5, dtype=torch.float64), 0.25)
    sampler = EVERY[name](SCHEDULE, 90, spacing="lam", end=1e-3)
    noise = NOISE.clone().requires_grad_()
    if isinstance(adjoint, Continuous) and adjoint.resolve == "backsolve" and sampler.coordinates.name == "data":
        pytest.skip("the way back in data coordinates is not damped")
    sampler.sample(law, noise, adjoint=adjoint).sum().backward()
    t0, t1 = sampler.grid.t[[0, -1]].tolist()
    spread = [SCHEDULE.alpha(t) ** 2 * 0.25 + SCHEDULE.sigma(t) ** 2 for t in (t0, t1)]
    assert noise.grad is not None
    assert (noise.grad - torch.sqrt(spread[1] / spread[0])).abs().max() < 5e-4


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(9, 16), nn.Tanh(), nn.Linear(16, 8)).double()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.layers(torch.cat([x, label[:, None]], 1))


@pytest.mark.parametrize("adjoint", [Direct(), Checkpointed(), Continuous()])
def test_gradients_of_parameters_against_differences(adjoint: Direct) -> None:
    denoise = Denoiser(Network(), SCHEDULE, Prediction.DATA)
    sampler = presets.dpm_solver(SCHEDULE, 3, 150, "lam", end=1e-2)
    loss = sampler.sample(denoise, NOISE, adjoint=adjoint).square().sum()
    weight = next(iter(denoise.parameters()))
    (slope,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        values = []
        for h in (1e-5, -1e-5):
            weight[2, 3] += h
            values.append(sampler.sample(denoise, NOISE).square().sum().item())
            weight[2, 3] -= h
    exact = isinstance(adjoint, Direct | Checkpointed)
    assert slope[2, 3].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-7 if exact else 1e-2)


def test_the_continuous_adjoint_nears_the_gradient_of_the_flow() -> None:
    def slope(steps: int, adjoint: Direct) -> Tensor:
        noise = NOISE.clone().requires_grad_()
        presets.dpm_solver(SCHEDULE, 3, steps, "lam", end=1e-3).sample(
            LAW, noise, adjoint=adjoint
        ).sum().backward()
        assert noise.grad is not None
        return noise.grad

    fine = slope(1200, Direct())
    errors = [(slope(steps, Continuous()) - fine).abs().max().item() for steps in (60, 120, 240)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@pytest.mark.parametrize("name", EVERY)
def test_inversion_is_the_way_back(name: str) -> None:
    def error(steps: int) -> float:
        sampler = EVERY[name](SCHEDULE, steps, spacing="lam", end=1e-2)
        return (sampler.invert(LAW, sampler.sample(LAW, NOISE)) - NOISE).abs().max().item()

    coarse, fine = error(60), error(240)
    assert fine < 0.15
    assert fine < 0.4 * coarse


@pytest.mark.parametrize("schedule", [VP(), SubVP(), EDM(), LinearPath(start=0.999, final=1e-3)])
def test_inversion_of_a_gaussian_has_a_closed_form(schedule: VP) -> None:
    law = gaussian(schedule, torch.full((8,), 0.5, dtype=torch.float64), 0.25)
    sampler = presets.unipc(schedule, 3, 100, "lam")
    t0, t1 = sampler.grid.t[[0, -1]].tolist()
    x0 = gaussian_flow(law, sampler.prior(NOISE), t0, t1)
    assert (sampler.invert(law, x0) - NOISE).abs().max() < 2e-3


def test_inversion_around_a_centre() -> None:
    mu = torch.linspace(-1, 1, 8, dtype=torch.float64)
    schedule = MeanReverting(mu)
    sampler = presets.mr_sampler(schedule, 2, 200)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return mu + 0.3 * torch.tanh(x - mu)

    assert (sampler.invert(denoise, sampler.sample(denoise, NOISE)) - NOISE).abs().max() < 1e-2


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("schedule", [VP(), EDM(), MeanReverting(torch.ones(8, dtype=torch.float64))])
def test_reversible_sampling_is_undone_to_round_off(order: int, schedule: VP) -> None:
    sampler = presets.reversible(schedule, order, 12, "lam", coupling=0.99)
    centre = 0.0 if schedule.centre is None else schedule.centre

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return centre + torch.tanh(x - centre)

    pair = sampler.sample_pair(denoise, NOISE)
    assert torch.allclose(pair[0], sampler.sample(denoise, NOISE), atol=1e-9)
    assert (sampler.undo(denoise, pair) - NOISE).abs().max() < 1e-8
    assert (pair[0] - pair[1]).abs().max() > 1e-6  # it is the pair that is undone, not the sample


@pytest.mark.parametrize(("order", "least", "most"), [(1, 0.8, 1.3), (2, 1.7, 2.7), (3, 2.5, 3.6)])
def test_reversible_sampling_has_its_order(order: int, least: float, most: float) -> None:
    exact = LAW.flow(NOISE, 0.0, SCHEDULE.at(1e-2).item())
    errors = []
    for steps in (40, 160):
        x0 = presets.reversible(SCHEDULE, order, steps, "lam", end=1e-2).sample(LAW, NOISE)
        errors.append((x0 - exact).pow(2).mean().sqrt().item())
    assert least < math.log2(errors[0] / errors[1]) / 2 < most


def test_the_reversible_adjoint_is_the_direct_gradient() -> None:
    sampler = presets.reversible(SCHEDULE, 2, 15, "lam", end=1e-2)
    denoise = Denoiser(Network(), SCHEDULE, Prediction.DATA)
    found = []
    for adjoint in (Direct(), ReversibleAdjoint()):
        noise = NOISE.clone().requires_grad_()
        loss = sampler.sample(denoise, noise, adjoint=adjoint).square().sum()
        found.append(torch.autograd.grad(loss, (noise, *denoise.parameters())))
    for direct, reversed_ in zip(*found, strict=True):
        assert torch.allclose(direct, reversed_, rtol=1e-7, atol=1e-9)


def test_what_cannot_be_differentiated_is_refused() -> None:
    with pytest.raises(InputError, match="above zero noise"):
        presets.dpm_solver(SCHEDULE, 2, 6, end="zero").sample(LAW, NOISE, adjoint=Continuous())
    with pytest.raises(InputError, match="hooks"):
        presets.dpm_solver(SCHEDULE, 2, 6).sample(LAW, NOISE, adjoint=Continuous(), hooks=[lambda t, x: x])
    with pytest.raises(InputError, match="Checkpointed"):
        presets.ddim(SCHEDULE, 6, eta=1.0).sample(LAW, NOISE, adjoint=Continuous())
    with pytest.raises(InputError, match="end > 0"):
        presets.reversible(SCHEDULE, 2, 6, end="zero")

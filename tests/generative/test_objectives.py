"""Training objectives: closed-form minima, gradients, and a small model that learns."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.data import Channelwise, open_trajectories, split, write_trajectories
from sciode.generative import (
    EDM,
    VP,
    Denoiser,
    LinearPath,
    LogNormalTimes,
    MeanReverting,
    Prediction,
    Schedule,
    UniformTimes,
    denoising,
    flow_matching,
    potential_matching,
    presets,
)
from sciode.train import DenoisingTask, fit

F64 = torch.float64
VARIANCE = 0.3


def at_time(tau: float) -> Any:
    return lambda schedule, count, generator: schedule.at(torch.full((count,), tau, dtype=F64))


def best_network(schedule: Schedule, prediction: Prediction, tau: float, sigma_data: float) -> Any:
    """Return the linear network whose denoiser is exact for N(0, VARIANCE), and its loss, in closed form.

    Derived from the joint Gaussian law of (x0, eps) alone, not from the conversions under test.
    """
    t = schedule.at(tau)
    a, s = schedule.alpha(t).item(), schedule.sigma(t).item()
    total = a**2 * VARIANCE + s**2
    d = sigma_data
    rho = s / a
    # the target is p x0 + q eps
    p, q = {
        Prediction.NOISE: (0.0, 1.0),
        Prediction.DATA: (1.0, 0.0),
        Prediction.VELOCITY: (-s, a),
        Prediction.SCORE: (0.0, -1.0 / s),
        Prediction.FLOW: (-1.0, 1.0),
        Prediction.EDM: (rho / (d * math.hypot(rho, d)), -d / math.hypot(rho, d)),
    }[prediction]
    slope = (p * a * VARIANCE + q * s) / total
    least = p**2 * VARIANCE + q**2 - slope**2 * total
    scale = a * math.hypot(rho, d) if prediction is Prediction.EDM else 1.0  # the network sees x / scale
    weight = s**2 if prediction is Prediction.SCORE else 1.0
    return (lambda x, label: slope * scale * x), weight * least


@pytest.mark.parametrize("prediction", list(Prediction))
@pytest.mark.parametrize(("schedule", "tau"), [(VP(), 0.4), (EDM(), 0.7), (LinearPath(), 0.6)])
def test_the_exact_denoiser_has_the_least_loss(schedule: Schedule, tau: float, prediction: Prediction) -> None:
    network, least = best_network(schedule, prediction, tau, sigma_data=0.8)
    x0 = math.sqrt(VARIANCE) * torch.randn(200_000, 1, dtype=F64, generator=torch.Generator().manual_seed(1))

    def losses(factor: float) -> Tensor:
        denoiser = Denoiser(lambda x, label: factor * network(x, label), schedule, prediction, sigma_data=0.8)
        generator = torch.Generator().manual_seed(2)
        return denoising(denoiser, x0, times=at_time(tau), generator=generator)

    found = losses(1.0)
    assert abs(found.mean().item() - least) < 4 * found.std().item() / math.sqrt(len(found))
    assert losses(1.05).mean() > found.mean()
    assert losses(0.95).mean() > found.mean()


def test_the_loss_of_edm_is_the_published_one() -> None:
    """lambda(sigma) |D(x; sigma) - x0|^2 with lambda = (sigma^2 + d^2) / (sigma d)^2."""
    d, schedule = 0.5, EDM()
    denoiser = Denoiser(lambda x, label: torch.sin(3 * x) * label[:, None], schedule, Prediction.EDM, sigma_data=d)
    x0, noise = torch.randn(64, 5, dtype=F64), torch.randn(64, 5, dtype=F64)
    found = denoising(denoiser, x0, noise=noise, generator=torch.Generator().manual_seed(4))
    t = LogNormalTimes()(schedule, 64, torch.Generator().manual_seed(4))
    sigma = schedule.sigma(t)[:, None]
    away = denoiser(x0 + sigma * noise, t) - x0
    weight = (sigma**2 + d**2) / (sigma * d) ** 2
    torch.testing.assert_close(found, (weight * away**2).mean(1), rtol=1e-10, atol=1e-12)


def test_flow_matching_is_the_distance_from_noise_minus_data() -> None:
    x0, noise = torch.randn(16, 3, dtype=F64), torch.randn(16, 3, dtype=F64)
    seen: list[Tensor] = []

    def network(x: Tensor, label: Tensor) -> Tensor:
        seen.extend([x, label])
        return torch.cos(x)

    found = flow_matching(Denoiser(network, LinearPath(), Prediction.FLOW), x0, noise=noise)
    x, tau = seen[0], seen[1][:, None]
    torch.testing.assert_close(x, (1 - tau) * x0 + tau * noise)
    torch.testing.assert_close(found, (torch.cos(x) - (noise - x0)).square().mean(1))


def test_data_around_a_centre_are_learnt_around_it() -> None:
    schedule = MeanReverting(torch.tensor([2.0, -1.0], dtype=F64), sigma_inf=0.5)
    x0, noise = torch.randn(8, 2, dtype=F64), torch.randn(8, 2, dtype=F64)
    denoiser = Denoiser(lambda x, label: noise, schedule, Prediction.NOISE)
    assert denoising(denoiser, x0, noise=noise).abs().max() == 0
    t = schedule.at(torch.full((8,), 0.3, dtype=F64))
    torch.testing.assert_close(denoiser(schedule.marginal(x0, noise, t), t), x0)


@pytest.mark.parametrize("prediction", list(Prediction))
def test_gradients_are_those_of_differences(prediction: Prediction) -> None:
    weight = torch.tensor(0.3, dtype=F64, requires_grad=True)
    denoiser = Denoiser(lambda x, label: torch.tanh(weight * x), VP(), prediction)
    x0 = torch.randn(6, 4, dtype=F64, generator=torch.Generator().manual_seed(0))

    def loss(value: Tensor) -> Tensor:
        nonlocal weight
        weight = value
        return denoising(denoiser, x0, generator=torch.Generator().manual_seed(7)).mean()

    assert torch.autograd.gradcheck(loss, torch.tensor(0.3, dtype=F64, requires_grad=True))


def test_a_task_with_heavy_tails_adds_students_noise() -> None:
    seen: list[Tensor] = []
    model = Plane(EDM(), Prediction.DATA)
    model.denoiser = Denoiser(lambda x, label: seen.append(x) or x, EDM(), Prediction.DATA)
    assert repr(DenoisingTask(extra=3.0)) == "DenoisingTask(times=None, extra=3.0)"
    torch.manual_seed(0)
    task = DenoisingTask(times=UniformTimes(1.0 + 1e-9, 1.0), extra=3.0)
    task.losses(model, torch.zeros(20_000, 1, 2, 1), torch.ones(20_000))
    # |x|^2 / 2 follows F(2, 3): P(F > f) = (1 + 2 f / 3)^(-3/2)
    square = seen[0].flatten(1).square().sum(1) / 2
    for f in (0.5, 2.0, 20.0):
        part = (1 + 2 * f / 3) ** -1.5
        assert abs((square > f).double().mean().item() - part) < 4 * math.sqrt(part / 20_000)


def test_the_residual_joins_the_loss_of_a_potential() -> None:
    schedule = VP()
    x0 = 0.5 * torch.randn(4000, 2, dtype=F64, generator=torch.Generator().manual_seed(0))

    def scaled(factor: float) -> Any:
        def potential(x: Tensor, t: Tensor) -> Tensor:
            total = 0.25 * schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2
            return factor * (-0.5 * (x**2).sum(1) / total - torch.log(total))

        return potential

    def loss(factor: float, weight: float) -> float:
        generator = torch.Generator().manual_seed(1)
        return potential_matching(scaled(factor), schedule, x0, weight=weight, generator=generator).mean().item()

    assert loss(1.0, 1.0) == pytest.approx(loss(1.0, 0.0), abs=1e-10)  # the exact law leaves none
    gap = loss(1.1, 1.0) - loss(1.1, 0.0)
    assert gap > 1e-3 and loss(1.1, 2.0) - loss(1.1, 0.0) == pytest.approx(2 * gap)
    assert loss(1.0, 0.0) < min(loss(1.1, 0.0), loss(0.9, 0.0))
    with pytest.raises(InputError, match="found -1"):
        loss(1.0, -1.0)


def test_laws_of_times() -> None:
    generator = torch.Generator().manual_seed(0)
    level = EDM().sigma(LogNormalTimes()(EDM(), 50_000, generator)).log()
    assert abs(level.mean().item() + 1.2) < 4 * 1.2 / math.sqrt(50_000)
    assert abs(level.std().item() - 1.2) < 0.02
    tau = VP().tau(UniformTimes()(VP(), 50_000, generator))
    assert tau.min() >= VP().end and tau.max() <= VP().begin
    assert abs(tau.mean().item() - 0.5005) < 4 * 0.2885 / math.sqrt(50_000)
    clipped = VP().lam(LogNormalTimes(mean=0.0, std=50.0)(VP(), 100, generator))
    assert torch.isfinite(clipped).all() and clipped.max() <= VP().lam(VP().at(VP().end)) + 1e-9


def test_bad_input() -> None:
    good = Denoiser(lambda x, label: x, VP(), Prediction.NOISE)
    with pytest.raises(InputError, match=r"'b ...'"):
        denoising(good, torch.zeros(3))
    with pytest.raises(InputError, match=r"shape of the data, \[3, 2\], found \[2, 2\]"):
        denoising(good, torch.zeros(3, 2), noise=torch.zeros(2, 2))
    with pytest.raises(InputError, match=r"found VP and Prediction\.NOISE"):
        flow_matching(good, torch.zeros(3, 2))
    with pytest.raises(InputError, match="positive, found 0"):
        LogNormalTimes(std=0.0)


class Plane(nn.Module):
    """A perceptron that denoises points of the plane."""

    def __init__(self, schedule: Schedule, prediction: Prediction) -> None:
        super().__init__()
        self.config = {"prediction": prediction.value}
        self.normaliser = Channelwise(2)
        self.layers = nn.Sequential(nn.Linear(8, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2))
        self.denoiser = Denoiser(self.network, schedule, prediction, sigma_data=1.0)

    def network(self, x: Tensor, label: Tensor) -> Tensor:
        waves = [f(k * label) for k in (1.0, 3.0) for f in (torch.sin, torch.cos)]
        flat = torch.cat([x.flatten(1), torch.stack([label, label**2, *waves], 1)], 1)
        return self.layers(flat).view_as(x)


def plane_file(folder: Path) -> Any:
    """Write 20 runs of 100 points from four narrow Gaussians, as states of two channels on one point."""
    generator = torch.Generator().manual_seed(3)
    points = four(2000, generator).reshape(20, 100, 2, 1)
    path = write_trajectories(
        folder / "four.hdf5",
        "well",
        source=[points],
        shape=points.shape,
        fields=["a", "b"],
        times=torch.arange(100.0),
        grid=[[0.0]],
        lengths=[1.0],
    )
    return open_trajectories(path)


def four(count: int, generator: torch.Generator) -> Tensor:
    centres = torch.tensor([[3.0, 0.0], [-1.0, 2.0], [-1.0, -2.0], [0.5, 0.2]])
    chosen = torch.randint(4, (count,), generator=generator)
    return centres[chosen] + 0.2 * torch.randn(count, 2, generator=generator)


def energy_distance(a: Tensor, b: Tensor) -> float:
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


@pytest.mark.parametrize(
    ("schedule", "prediction", "make"),
    [
        (EDM(), Prediction.EDM, lambda s: presets.dpm_solver_pp(s, order=2, steps=10, begin=20.0)),
        (LinearPath(), Prediction.FLOW, lambda s: presets.euler(s, steps=10)),
    ],
    ids=["edm", "flow"],
)
def test_a_small_model_beats_the_gaussian_of_the_same_moments(
    schedule: Schedule, prediction: Prediction, make: Any, tmp_path: Path
) -> None:
    data = plane_file(tmp_path)
    torch.manual_seed(0)
    model = Plane(schedule, prediction)
    ids = split(data)
    settings: dict[str, Any] = {"steps": 700, "batch": 200, "learning_rate": 1e-2, "ema": 0.99}
    fit(model, data, split=ids, task=DenoisingTask(), device="cpu", validate_every=8, quiet=True, **settings)
    generator = torch.Generator().manual_seed(5)
    truth = four(2000, generator)
    sampler = make(schedule)
    assert sampler.evaluations == 10
    noise = torch.randn(2000, 2, 1, generator=generator)
    with torch.no_grad():
        made = model.normaliser.restore(sampler.sample(model.denoiser, noise)).flatten(1)
    seen = data[ids.train].reshape(-1, 2)
    root = torch.linalg.cholesky(torch.cov(seen.T))
    gaussian = seen.mean(0) + torch.randn(2000, 2, generator=generator) @ root.T
    distance, baseline = energy_distance(made, truth), energy_distance(gaussian, truth)
    print(f"{prediction}: {distance:.4f}, Gaussian {baseline:.4f}")
    assert distance < 0.4 * baseline


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sciode.train.run import Run

    data = plane_file(tmp_path)

    def train(folder: str) -> Plane:
        torch.manual_seed(0)
        model = Plane(EDM(), Prediction.EDM)
        fit(model, data, task=DenoisingTask(), epochs=3, batch=200, directory=tmp_path / folder, quiet=True)
        return model

    whole = train("whole")
    original = Run._step

    def dying(self: Run, *rest: Any) -> None:
        if self.at.step == 13:
            raise KeyboardInterrupt
        original(self, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "_step", dying)
        train("killed")
    again = train("killed")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    with pytest.raises(InputError, match="the saved run differs in loss"):
        model = Plane(EDM(), Prediction.EDM)
        task = DenoisingTask(times=UniformTimes())
        fit(model, data, task=task, epochs=3, batch=200, directory=tmp_path / "killed", quiet=True)


def test_a_task_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    data, model = plane_file(tmp_path), Plane(EDM(), Prediction.EDM)
    with pytest.raises(InputError, match="leave them out"):
        fit(model, data, task=DenoisingTask(), unroll=2)
    with pytest.raises(InputError, match="no attribute 'config'"):
        fit(nn.Linear(2, 2), data, task=DenoisingTask())

"""One contract for all models: every prediction is the same denoiser."""

import math

import pytest
import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.generative import (
    EDM,
    VP,
    Denoiser,
    LinearPath,
    MeanReverting,
    Prediction,
    Schedule,
    discrete_label,
    presets,
)
from tests.generative.laws import mixture

SCHEDULES: dict[str, Schedule] = {
    "vp": VP(),
    "edm": EDM(),
    "linear": LinearPath(start=0.999, final=1e-3),
    "mean reverting": MeanReverting(torch.linspace(0, 1, 8, dtype=torch.float64)),
}
X = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
DATA_SPREAD = 0.5


def network_for(prediction: Prediction, schedule: Schedule, t: Tensor) -> Denoiser:
    """Return the network that a perfect denoiser of the mixture would have had to learn, as a Denoiser."""
    law = mixture(schedule)
    centre = 0.0 if schedule.centre is None else schedule.centre
    alpha, sigma = schedule.alpha(t).reshape(-1, 1), schedule.sigma(t).reshape(-1, 1)

    def network(x: Tensor, label: Tensor) -> Tensor:
        if prediction is Prediction.EDM:
            x = x * torch.sqrt((sigma / alpha) ** 2 + DATA_SPREAD**2) * alpha
        x = x - centre if prediction is not Prediction.EDM else x
        x0 = law(x, t)
        eps = (x - alpha * x0) / sigma
        match prediction:
            case Prediction.DATA:
                return x0 + centre
            case Prediction.NOISE:
                return eps
            case Prediction.SCORE:
                return -eps / sigma
            case Prediction.VELOCITY:
                return alpha * eps - sigma * x0
            case Prediction.FLOW:
                return eps - x0
        rho = sigma / alpha
        skip = DATA_SPREAD**2 / (rho**2 + DATA_SPREAD**2)
        return (x0 - skip * x / alpha) / (rho * DATA_SPREAD / torch.sqrt(rho**2 + DATA_SPREAD**2))

    return Denoiser(network, schedule, prediction, sigma_data=DATA_SPREAD)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", Prediction)
@pytest.mark.parametrize("each", [False, True])
def test_every_prediction_gives_the_same_data_and_noise(prediction: Prediction, schedule: str, each: bool) -> None:
    path = SCHEDULES[schedule]
    taus = torch.tensor([0.3, 0.5, 0.9] if each else [0.5], dtype=torch.float64) * path.begin
    t = path.at(taus if each else taus[0])
    centre = 0.0 if path.centre is None else path.centre
    x = X + centre
    if prediction is Prediction.EDM and path.centre is not None:
        pytest.skip("EDM's network sees x itself, and its law here is that of x - mu")
    wanted = mixture(path)(X, t) + centre
    denoise = network_for(prediction, path, t)
    assert (denoise(x, t) - wanted).abs().max() < 1e-12
    alpha, sigma = path.alpha(t).reshape(-1, 1), path.sigma(t).reshape(-1, 1)
    eps = (X - alpha * (wanted - centre)) / sigma
    assert (denoise.noise(x, t) - eps).abs().max() < 1e-11


@pytest.mark.parametrize("prediction", Prediction)
def test_samplers_do_not_care_what_a_network_predicts(prediction: Prediction) -> None:
    schedule = VP()
    law = mixture(schedule)
    wanted = presets.unipc(schedule, 2, 8).sample(law, X)

    def network(x: Tensor, label: Tensor) -> Tensor:
        t = schedule.at(-0.25 * 0 + label[0]) if prediction is not Prediction.EDM else schedule.time(-4 * label[0])
        return network_for(prediction, schedule, t).network(x, label)

    denoise = Denoiser(network, schedule, prediction, sigma_data=DATA_SPREAD)
    assert (presets.unipc(schedule, 2, 8).sample(denoise, X) - wanted).abs().max() < 1e-9


def test_labels() -> None:
    seen: list[Tensor] = []

    def network(x: Tensor, label: Tensor) -> Tensor:
        seen.append(label)
        return x

    t = VP().at(0.25)
    x = torch.ones(4, 2)
    Denoiser(network, VP(), Prediction.NOISE)(x, t)
    Denoiser(network, VP(), Prediction.NOISE, label=discrete_label(1000))(x, t)
    Denoiser(network, EDM(), Prediction.EDM)(x, EDM().at(math.exp(2.0)))
    assert [label.shape for label in seen] == [torch.Size([4])] * 3
    assert [label.dtype for label in seen] == [torch.float32] * 3
    assert [round(label[0].item(), 5) for label in seen] == [0.25, 249.0, 0.5]


def test_it_is_a_module() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(8, 8)

        def forward(self, x: Tensor, label: Tensor) -> Tensor:
            return self.line(x)

    denoise = Denoiser(Network(), VP(), Prediction.NOISE)
    assert len(list(denoise.parameters())) == 2
    assert set(denoise.state_dict()) == {"network.line.weight", "network.line.bias"}
    presets.ddim(VP(), 3).sample(denoise, X.float()).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in denoise.parameters())


@pytest.mark.parametrize("prediction", [Prediction.NOISE, Prediction.SCORE])
def test_noise_says_nothing_where_there_is_no_signal(prediction: Prediction) -> None:
    denoise = Denoiser(lambda x, label: x, LinearPath(), prediction)
    with pytest.raises(InputError, match="begin later"):
        presets.dpm_solver_pp(LinearPath(), 2, 5).sample(denoise, X)
    presets.dpm_solver_pp(LinearPath(), 2, 5, begin=0.99).sample(denoise, X)


def test_a_score_at_zero_noise_is_refused() -> None:
    denoise = Denoiser(lambda x, label: x, LinearPath(), Prediction.SCORE)
    with pytest.raises(InputError, match="SCORE"):
        denoise.check(torch.tensor([0.5, 1.0], dtype=torch.float64))


def test_a_denoiser_of_another_schedule_is_refused() -> None:
    denoise = Denoiser(lambda x, label: x, EDM(), Prediction.NOISE)
    with pytest.raises(InputError, match="build both from one schedule"):
        presets.ddim(VP(), 5).sample(denoise, X)


def test_a_prediction_must_be_one() -> None:
    with pytest.raises(InputError, match=r"Prediction\.NOISE"):
        Denoiser(lambda x, label: x, VP(), "noise")  # type: ignore[arg-type]

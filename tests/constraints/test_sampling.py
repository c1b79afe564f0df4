"""Samples under a law: the law itself, their moments, and rejection sampling."""

import pytest
import torch
from torch import Tensor

from sciode.constraints import Conditional, Dense, LinearConstraint, Towards
from sciode.core.errors import InputError
from sciode.generative import VP, presets

N = 6
SCHEDULE = VP()
LAW = LinearConstraint(torch.full((1, N), 1 / N), torch.tensor([0.6], dtype=torch.float64))


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian() -> tuple[Tensor, Tensor]:
    a = torch.randn(N, N, dtype=torch.float64, generator=draw(1))
    return 0.3 * torch.randn(N, dtype=torch.float64, generator=draw(2)), a @ a.mT / N + 0.1 * torch.eye(N).double()


def levels(t: Tensor) -> tuple[Tensor, Tensor]:
    return SCHEDULE.alpha(t.double()).reshape(-1)[:1], SCHEDULE.sigma(t.double()).reshape(-1)[:1]


def exact(mean: Tensor, cov: Tensor):
    def denoise(x: Tensor, t: Tensor) -> Tensor:
        a, s = levels(t)
        gain = a * cov @ torch.linalg.inv(a**2 * cov + s**2 * torch.eye(N).double())
        return (mean + (x.flatten(1).double() - a * mean) @ gain.mT).reshape(x.shape).to(x.dtype)

    return denoise


def sample(denoise, count: int, dtype=torch.float64, steps: int = 40, **changes) -> Tensor:
    noise = torch.randn(count, 1, N, dtype=dtype, generator=draw(3))
    return presets.dpm_solver_pp(SCHEDULE, 2, steps, end="zero").sample(denoise, noise, **changes).flatten(1)


def test_samples_have_the_conditional_distribution() -> None:
    mean, cov = gaussian()
    x = sample(exact(mean, cov), 20000, guidance=[Conditional(LAW, SCHEDULE)])
    assert float(LAW.residual(x).abs().max()) < 1e-14
    want, after = LAW.condition(mean, Dense(cov))
    both = after.apply(torch.eye(N, dtype=torch.float64))
    assert float(((x.mean(0) - want) / (both.diagonal() / 20000).sqrt()).abs().max()) < 4.0
    scale = both.diagonal().sqrt()
    assert float(((torch.cov(x.mT) - both) / torch.outer(scale, scale)).abs().max()) < 0.04


def test_free_directions_agree_with_rejection_sampling() -> None:
    mean, cov = gaussian()
    many = mean + torch.randn(400000, N, dtype=torch.float64, generator=draw(5)) @ torch.linalg.cholesky(cov).mT
    kept = many[LAW.residual(many)[:, 0].abs() < 0.01]
    ours = sample(exact(mean, cov), 4000, guidance=[Conditional(LAW, SCHEDULE)])
    free = torch.linalg.svd(LAW.operator).Vh[1:].mT  # orthogonal to the law
    a, b = kept @ free, ours @ free
    apart = (a.mean(0) - b.mean(0)) / (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    assert float(apart.square().mean().sqrt()) < 2.0
    # the standard error of a Gaussian's variance is sqrt(2 / n) of it
    wide = (a.var(0) / b.var(0)).log() / (2 / len(a) + 2 / len(b)) ** 0.5
    assert float(wide.square().mean().sqrt()) < 2.0
    plain = sample(exact(mean, cov), 4000, guidance=[Conditional(LAW, SCHEDULE, "identity")]) @ free
    biased = (a.mean(0) - plain.mean(0)) / (a.var(0) / len(a) + plain.var(0) / len(plain)).sqrt()
    assert float(biased.abs().max()) > 10.0  # what the nearest state in place of the likeliest one costs


def test_a_noisy_observation_is_met_in_part() -> None:
    mean, cov = gaussian()
    soft = LinearConstraint(LAW.operator, LAW.value, slack=0.3)
    x = sample(exact(mean, cov), 20000, guidance=[Conditional(soft, SCHEDULE)])
    want, after = soft.condition(mean, Dense(cov))
    assert float(((x.mean(0) - want) / (after.diagonal() / 20000).sqrt()).abs().max()) < 4.0
    assert x.var(0).tolist() == pytest.approx(after.diagonal().tolist(), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("how", ["posterior", "identity", "hook"])
def test_the_law_holds_to_round_off(dtype: torch.dtype, how: str) -> None:
    changes = (
        {"hooks": [Towards(LAW, SCHEDULE)]} if how == "hook" else {"guidance": [Conditional(LAW, SCHEDULE, how)]}
    )
    x = sample(exact(*gaussian()), 50, dtype, **changes)
    assert x.dtype == dtype
    assert float(LAW.residual(x).abs().max()) < (1e-14 if dtype == torch.float64 else 2e-7)


def test_a_hook_leaves_noise_alone() -> None:
    x = torch.randn(3, 1, N, dtype=torch.float64, generator=draw(0))
    at = [Towards(LAW, SCHEDULE)(torch.tensor(t), x) for t in (0.0, 0.5, 1.0)]
    moved = [float((y - x).norm()) for y in at]
    assert moved[0] < 1e-4 * moved[2] and moved[0] < moved[1]


def test_gradients_pass_through_the_guidance() -> None:
    guided = Conditional(LAW, SCHEDULE)(lambda x, t: torch.tanh(x))
    x = torch.randn(2, 1, N, dtype=torch.float64, generator=draw(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: guided(x, torch.tensor(0.5, dtype=torch.float64)), (x,))


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InputError, match="'posterior' or 'identity'"):
        Conditional(LAW, SCHEDULE, "euclid")

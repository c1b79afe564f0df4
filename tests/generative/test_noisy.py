"""Samplers with noise: their laws on Gaussian data, exactly where rows are linear."""

import math

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.generative import VE, VP, Denoiser, LinearPath, Prediction, Sampler, presets, sample_seeds
from tests.generative.laws import gaussian, mixture
from tests.generative.moments import gaps, spread

SCHEDULE = VP()
C = 0.3


def exact(sampler: Sampler) -> float:
    """Return the variance of the marginal where sampling ends, the same for every strength of the noise."""
    t = sampler.grid.t[-1]
    return (sampler.schedule.alpha(t) ** 2 * C + sampler.schedule.sigma(t) ** 2).item()


@pytest.mark.parametrize(("order", "form"), [(1, None), (2, None), (2, "taylor")])
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_weak_order_with_noise(order: int, form: str | None, eta: float) -> None:
    def errors(count: int) -> tuple[float, float]:
        sampler = presets.dpm_solver_pp(SCHEDULE, order, count, "lam", 0.3, 1e-2, form=form, eta=eta, final="keep")
        return gaps(sampler, 0.7, C, 3.0, eta)

    coarse, fine = errors(160), errors(640)
    if eta == 1.0:  # the means of x0 do not move, whatever the mean of the state: nothing to get wrong
        assert max(coarse[0], fine[0]) < 1e-13
    else:
        assert order - 0.1 < math.log2(coarse[0] / fine[0]) / 2 < order + 0.1
    assert order - 0.1 < math.log2(coarse[1] / fine[1]) / 2 < order + 0.1


@pytest.mark.parametrize("order", [1, 2, 3])
def test_noise_that_vanishes_leaves_the_equation_without(order: int) -> None:
    law = mixture(SCHEDULE)
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = presets.dpm_solver_pp(SCHEDULE, order, 12).sample(law, noise)
    assert torch.equal(plain, presets.dpm_solver_pp(SCHEDULE, order, 12, eta=[0.0] * 12).sample(law, noise))
    far, near = (
        (presets.dpm_solver_pp(SCHEDULE, order, 12, eta=eta).sample(law, noise, seed=1) - plain).norm()
        for eta in (1e-8, 1e-10)
    )
    assert far / near == pytest.approx(10.0, rel=0.02)  # a sample moves by the size of the noise, sqrt(eta)


def test_ddim_with_noise_is_the_posterior_of_ddpm() -> None:
    sampler = presets.ddim(SCHEDULE, 20, "time", eta=1.0)
    grid = sampler.grid
    for i, row in enumerate(sampler.plan.rows):
        a = grid.alpha[i] / grid.alpha[i + 1]
        beta = 1.0 - a**2
        s0, s1 = grid.sigma[i] ** 2, grid.sigma[i + 1] ** 2
        ((weight, _),) = row.weights
        assert row.carry == pytest.approx((a * s1 / s0).item(), rel=1e-9)
        assert weight == pytest.approx((grid.alpha[i + 1] * beta / s0).item(), rel=1e-9)
        assert row.noise == pytest.approx(torch.sqrt(beta * s1 / s0).item(), rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("order", [1, 2])
def test_interpolants_keep_their_marginals(epsilon: float, order: int) -> None:
    path = LinearPath(start=0.99, final=0.2)
    begin = path.alpha(path.at(0.99)).item() ** 2 * C + path.sigma(path.at(0.99)).item() ** 2

    def error(count: int) -> float:
        sampler = presets.interpolant_sde(path, order, count, "lam", epsilon=epsilon)
        return abs(spread(sampler, C, begin) - exact(sampler))

    assert error(800) < 6e-3 / order**2
    assert math.log2(error(100) / error(400)) / 2 > 0.8 * order


def test_interpolants_with_a_diffusion_that_falls_with_the_noise() -> None:
    path = LinearPath(start=0.99, final=0.01)
    begin = path.alpha(path.at(0.99)).item() ** 2 * C + path.sigma(path.at(0.99)).item() ** 2
    sampler = presets.interpolant_sde(path, 2, 400, "lam", epsilon=lambda t: t * (1 - t))
    assert spread(sampler, C, begin) == pytest.approx(exact(sampler), rel=2e-3)
    with pytest.raises(InputError, match="epsilon"):
        presets.interpolant_sde(path, epsilon=-1.0)


@pytest.mark.parametrize("predictor", ["reverse_diffusion", "ancestral", "euler_maruyama"])
@pytest.mark.parametrize("schedule", [VP(), VE(0.01, 10.0)])
def test_predictors_near_the_law_of_the_data(predictor: str, schedule: VP | VE) -> None:
    def error(count: int) -> float:
        sampler = presets.predictor_corrector(schedule, count, predictor=predictor, corrector="none")
        start = schedule.prior_std(sampler.grid.t[0]).item() ** 2
        # the last step leaves its noise out: so must what it is held against
        return abs(spread(sampler, C, start) - C)

    assert error(2000) < 0.02 * C
    assert error(2000) < max(0.6 * error(500), 1e-3 * C)


@pytest.mark.parametrize("schedule", [VP(), VE(0.01, 10.0)])
def test_the_ancestral_mean_is_that_of_ddpm(schedule: VP | VE) -> None:
    sampler = presets.predictor_corrector(schedule, 12, predictor="ancestral", corrector="none")
    grid = sampler.grid
    for i, row in enumerate(sampler.plan.rows):
        # E[x_t | x_s, x0] with x0 the denoiser's, and N = -eps
        a = (grid.alpha[i] / grid.alpha[i + 1]).item()
        s, t = (grid.sigma[i].item() ** 2, grid.sigma[i + 1].item() ** 2)
        ((weight, _),) = row.weights
        of_x0 = grid.alpha[i + 1].item() * (s - a**2 * t) / s
        carry = a * t / s + of_x0 / grid.alpha[i].item()
        assert carry == pytest.approx(1.0 if row.carry is None else row.carry, rel=1e-9)
        assert weight == pytest.approx(of_x0 * math.sqrt(s) / grid.alpha[i].item(), rel=1e-9)


@pytest.mark.parametrize("norm", ["sample", "batch"])
def test_langevin_steps_keep_the_law(norm: str) -> None:
    law = gaussian(SCHEDULE, torch.zeros(64, dtype=torch.float64), C)
    noise = torch.randn(400, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sampler = presets.predictor_corrector(SCHEDULE, 150, end=1e-2, snr=0.1, norm=norm)
    assert sampler.evaluations == 300
    x0 = sampler.sample(law, noise, seed=3)
    assert abs(x0.mean()) < 5 * math.sqrt(C / x0.numel())
    # discretisation of 150 steps, and the step's own bias, leave a few per cent
    assert x0.var().item() == pytest.approx(C, rel=0.08)


def test_predictor_corrector_samples_do_not_depend_on_their_batch() -> None:
    law = mixture(SCHEDULE)
    noise = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sampler = presets.predictor_corrector(SCHEDULE, 12)
    whole = sampler.sample(law, noise, seed=7)
    assert torch.allclose(whole[2:], sampler.sample(law, noise[2:], seed=sample_seeds(7, 4, first=2)), rtol=1e-12)
    published = presets.predictor_corrector(SCHEDULE, 12, norm="batch")
    other = published.sample(law, noise[2:], seed=sample_seeds(7, 4, first=2))
    assert not torch.allclose(published.sample(law, noise, seed=7)[2:], other)


def test_a_score_of_zero_moves_nothing() -> None:
    sampler = presets.predictor_corrector(SCHEDULE, 5, predictor="none", corrector_steps=2)
    assert sampler.evaluations == 10
    x = torch.ones(3, 8, dtype=torch.float64)
    silent = Denoiser(lambda x, label: torch.zeros_like(x), SCHEDULE, Prediction.NOISE)
    assert torch.equal(sampler.sample(silent, x), x)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UnknownName, match="ancestral"):
        presets.predictor_corrector(SCHEDULE, predictor="ancestrl")
    with pytest.raises(InputError, match="nothing would be done"):
        presets.predictor_corrector(SCHEDULE, predictor="none", corrector="none")
    with pytest.raises(InputError, match="corrector_steps"):
        presets.predictor_corrector(SCHEDULE, corrector_steps=1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="snr"):
        presets.predictor_corrector(SCHEDULE, snr=0.0)
    with pytest.raises(InputError, match="some signal"):
        presets.predictor_corrector(LinearPath())
    with pytest.raises(InputError, match="no way back"):
        presets.predictor_corrector(SCHEDULE, 3).invert(mixture(SCHEDULE), torch.zeros(1, 8))

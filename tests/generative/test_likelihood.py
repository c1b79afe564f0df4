"""Likelihoods against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative import EDM, VP, LinearPath, bits_per_dimension, presets
from tests.generative.laws import Mixture, gaussian, mixture

SCHEDULE = VP()
SAMPLER = presets.ddim(SCHEDULE, 10, end=1e-3)
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def drawn(law: Mixture, count: int, seed: int = 0) -> Tensor:
    """Draw states of the law at the end of the grid."""
    stream = torch.Generator().manual_seed(seed)
    d = law.centres.shape[1]
    which = torch.randint(len(law.centres), (count,), generator=stream)
    x0 = law.centres[which] + math.sqrt(law.variance) * torch.randn(count, d, generator=stream).double()
    return law.schedule.marginal(x0, torch.randn(count, d, generator=stream).double(), SAMPLER.grid.t[-1])


def test_a_gaussian_has_its_closed_form() -> None:
    law = gaussian(SCHEDULE, torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64), 0.25)
    x = drawn(law, 20)
    terminal = SAMPLER.grid.t[0]
    found = SAMPLER.log_prob(law, x, prior=lambda z: law.log_prob(z, terminal), **TIGHT)
    assert (found - law.log_prob(x, SAMPLER.grid.t[-1])).abs().max() < 1e-7


def test_a_mixture_has_its_closed_form_under_the_true_terminal_law() -> None:
    law = mixture(SCHEDULE)
    x = drawn(law, 16)
    terminal = SAMPLER.grid.t[0]
    exact = law.log_prob(x, SAMPLER.grid.t[-1])
    found = SAMPLER.log_prob(law, x, prior=lambda z: law.log_prob(z, terminal), **TIGHT)
    assert (found - exact).abs().max() < 1e-6
    # what sampling draws from is not quite that law, and the likelihood under it differs by what that costs
    standard = SAMPLER.log_prob(law, x, **TIGHT)
    assert 1e-4 < (standard - exact).abs().max() < 0.1


def test_it_does_not_depend_on_the_batch_or_the_sampler() -> None:
    law = mixture(SCHEDULE)
    x = drawn(law, 6)
    whole = SAMPLER.log_prob(law, x)
    assert torch.allclose(whole[2:], SAMPLER.log_prob(law, x[2:]), rtol=1e-12)
    assert torch.equal(whole, presets.unipc(SCHEDULE, 3, 7, "quadratic", end=1e-3).log_prob(law, x))


@pytest.mark.parametrize("schedule", [EDM(sigma_max=40.0), LinearPath(start=0.999, final=1e-3)])
def test_other_schedules(schedule: EDM | LinearPath) -> None:
    law = mixture(schedule, dimension=2)
    sampler = presets.ddim(schedule, 5)
    stream = torch.Generator().manual_seed(1)
    x = law.centres[:3] + 0.2 * torch.randn(3, 2, generator=stream).double()
    terminal = sampler.grid.t[0]
    found = sampler.log_prob(law, x, prior=lambda z: law.log_prob(z, terminal), **TIGHT)
    assert (found - law.log_prob(x, sampler.grid.t[-1])).abs().max() < 1e-5


def test_probes_are_unbiased_and_exact_for_isotropic_data() -> None:
    round_ = gaussian(SCHEDULE, torch.zeros(4, dtype=torch.float64), 0.3)
    x = drawn(round_, 5)
    assert torch.allclose(SAMPLER.log_prob(round_, x, probes=1), SAMPLER.log_prob(round_, x), atol=1e-4)
    law = mixture(SCHEDULE, dimension=4)
    x = drawn(law, 1)
    exact = SAMPLER.log_prob(law, x)
    many = SAMPLER.log_prob(law, x.repeat(600, 1), probes=1, seed=3)
    assert many.std() > 1e-3
    assert (many.mean() - exact).abs() < 4.0 * many.std() / math.sqrt(600)


def test_its_gradient_is_the_score() -> None:
    law = mixture(SCHEDULE, dimension=3)
    x = drawn(law, 3).requires_grad_()
    terminal = SAMPLER.grid.t[0]
    SAMPLER.log_prob(law, x, prior=lambda z: law.log_prob(z, terminal), rtol=1e-7, atol=1e-7).sum().backward()
    t = SAMPLER.grid.t[-1]
    with torch.no_grad():
        score = (SCHEDULE.alpha(t) * law(x, t) - x) / SCHEDULE.sigma(t) ** 2
    assert x.grad is not None
    assert (x.grad - score).abs().max() < 1e-3 * score.abs().max()


def test_bits() -> None:
    uniform = torch.full((2,), -6 * math.log(256.0))  # every level of six elements alike
    assert torch.allclose(bits_per_dimension(uniform, 6), torch.tensor(8.0))


def test_bad_input_is_refused() -> None:
    law = mixture(SCHEDULE)
    x = drawn(law, 2)
    with pytest.raises(InputError, match="finite lam"):
        presets.ddim(SCHEDULE, 5, end="zero").log_prob(law, x)
    with pytest.raises(InputError, match="probes"):
        SAMPLER.log_prob(law, x, probes=0)
    with pytest.raises(InputError, match="NaN"):
        SAMPLER.log_prob(law, x * math.nan)

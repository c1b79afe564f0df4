"""Schedules: exact inverses, conventions, and the error messages."""

import math

import mpmath
import pytest
import torch

from sciode.core.errors import InputError
from sciode.generative import EDM, VE, VP, Cosine, LinearPath, MeanReverting, Schedule, SubVP, Tabulated

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
SCHEDULES: dict[str, Schedule] = {
    "vp": VP(),
    "vp steep": VP(0.01, 40.0),
    "vp constant": VP(2.0, 2.0),
    "subvp": SubVP(),
    "cosine": Cosine(),
    "ve": VE(),
    "edm": EDM(),
    "linear": LinearPath(start=0.999, final=1e-4),
    "mean reverting": MeanReverting(torch.tensor(1.5), sigma_inf=0.7),
    "tabulated": Tabulated(torch.cumprod(1 - BETAS, 0)),
}


@pytest.mark.parametrize("name", SCHEDULES)
class TestSchedule:
    """What holds for every schedule."""

    def test_time_is_the_inverse_of_lam(self, name: str) -> None:
        schedule = SCHEDULES[name]
        tau = torch.logspace(math.log10(max(schedule.end, 1e-5)), math.log10(schedule.begin), 400).double()
        t = schedule.at(tau.clamp(max=schedule.begin))
        lam = schedule.lam(t)
        assert (schedule.time(lam) - t).abs().max() < 5e-15
        # near the data t is close to one and says little: the diffusion time keeps its relative accuracy
        assert (schedule.lam(schedule.time(lam)) - lam).abs().max() < 1e-9
        assert (schedule.diffusion_time(lam) / schedule.tau(t) - 1.0).abs().max() < 1e-9

    def test_diffusion_time_and_library_time_are_inverse(self, name: str) -> None:
        schedule = SCHEDULES[name]
        tau = torch.linspace(schedule.end, schedule.begin, 50, dtype=torch.float64)
        assert (schedule.tau(schedule.at(tau)) - tau).abs().max() < 1e-15 * max(1.0, schedule.horizon)
        assert schedule.at(schedule.horizon).item() == 0.0

    def test_lam_is_the_ratio_and_increases(self, name: str) -> None:
        schedule = SCHEDULES[name]
        t = schedule.at(torch.linspace(schedule.begin, schedule.end, 300, dtype=torch.float64))
        lam = schedule.lam(t)
        assert (lam - torch.log(schedule.alpha(t) / schedule.sigma(t))).abs().max() < 1e-9
        assert (lam.diff() > 0).all()

    def test_velocity_is_the_derivative_of_the_marginal(self, name: str) -> None:
        schedule = SCHEDULES[name]
        t = schedule.at(torch.linspace(0.1, 0.9, 7, dtype=torch.float64) * schedule.begin + 4e-4)
        h = 1e-6
        x0, noise = torch.tensor(0.7, dtype=torch.float64), torch.tensor(-1.2, dtype=torch.float64)

        def marginal(at: torch.Tensor) -> torch.Tensor:
            return schedule.alpha(at) * x0 + schedule.sigma(at) * noise

        a, b = schedule.velocity(t)
        slope = (marginal(t + h) - marginal(t - h)) / (2 * h)
        assert ((a * marginal(t) + b * x0) - slope).abs().max() < 1e-6 * slope.abs().max()

    def test_marginal_is_centred(self, name: str) -> None:
        schedule = SCHEDULES[name]
        t = torch.tensor([0.2, 0.8], dtype=torch.float64)
        x0, noise = torch.full((2, 3), 2.0).double(), torch.full((2, 3), -1.0).double()
        centre = 0.0 if schedule.centre is None else 1.5
        wanted = centre + schedule.alpha(t)[:, None] * (x0 - centre) + schedule.sigma(t)[:, None] * noise
        assert torch.allclose(schedule.marginal(x0, noise, t), wanted)

    def test_it_agrees_with_itself_alone(self, name: str) -> None:
        for other, schedule in SCHEDULES.items():
            assert SCHEDULES[name].agrees(schedule) == (name == other)


def test_vp_in_fifty_digits() -> None:
    mpmath.mp.dps = 50
    schedule = VP(0.1, 20.0)
    for tau in (1e-5, 1e-3, 0.3, 1.0):
        total = mpmath.mpf(tau) * (mpmath.mpf("0.1") + mpmath.mpf(tau) * (20 - mpmath.mpf("0.1")) / 2)
        lam = -total / 2 - mpmath.log(mpmath.sqrt(1 - mpmath.exp(-total)))
        at = torch.tensor(tau, dtype=torch.float64)
        found = (schedule.log_alpha_at(at) - schedule.log_sigma_at(at)).item()
        assert abs(found - float(lam)) < 2e-14 * max(1.0, abs(float(lam)))


def test_subvp_spread_is_one_minus_alpha_squared() -> None:
    t = torch.linspace(0.0, 0.999, 20, dtype=torch.float64)
    assert torch.allclose(SubVP().sigma(t), 1 - SubVP().alpha(t) ** 2, rtol=1e-12)


def test_tabulated_holds_the_table() -> None:
    table = torch.cumprod(1 - BETAS, 0)
    schedule = Tabulated(table)
    tau = torch.arange(1, 1001, dtype=torch.float64) / 1000
    assert (schedule.alpha(schedule.at(tau)) ** 2 - table).abs().max() < 1e-13


def test_mean_reverting_is_its_forward_equation() -> None:
    # d sigma^2 / dtau = -2 theta sigma^2 + 2 theta sigma_inf^2, d log alpha / dtau = -theta
    schedule = MeanReverting(torch.zeros(1), theta_min=0.3, theta_max=4.0, sigma_inf=0.6)
    tau = torch.linspace(0.1, 0.9, 5, dtype=torch.float64, requires_grad=True)
    theta = 0.3 + tau.detach() * 3.7
    (rate,) = torch.autograd.grad(schedule.log_alpha_at(tau).sum(), tau)
    assert torch.allclose(-rate, theta)
    variance = torch.exp(2 * schedule.log_sigma_at(tau))
    (growth,) = torch.autograd.grad(variance.sum(), tau)
    assert torch.allclose(growth, 2 * theta * (0.36 - variance.detach()))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: VP(-0.1, 20.0), "beta_min"),
        (lambda: VP(2.0, 1.0), "beta_min <= beta_max"),
        (lambda: VE(2.0, 1.0), "sigma_min < sigma_max"),
        (lambda: EDM(0.0, 80.0), "0 < sigma_min"),
        (lambda: Cosine(start=1.0), "start < 1"),
        (lambda: Tabulated(torch.tensor([0.5, 0.6])), "decrease"),
        (lambda: Tabulated(torch.tensor([1.5, 0.6])), "within"),
        (lambda: MeanReverting(torch.tensor(math.nan)), "NaN"),
        (lambda: MeanReverting(torch.tensor(0.0), sigma_inf=0.0), "sigma_inf"),
    ],
)
def test_bad_schedules_are_refused(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()  # type: ignore[operator]

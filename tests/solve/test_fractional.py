import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special

from sciode.core.errors import InputError
from sciode.solve import (
    EulerMaruyama,
    ExponentialEulerMaruyama,
    Milstein,
    Noise,
    StochasticHeun,
    Term,
    fractional,
    solve,
)
from sciode.solve.fractional import fit, lower_gamma, scaled_upper_gamma

F64 = torch.float64


def geometric(modes: int, largest: float) -> torch.Tensor:
    """The rates of the ICLR 2024 paper: symmetric about 1 in the logarithm."""
    return torch.logspace(-math.log10(largest), math.log10(largest), modes, dtype=F64)


@pytest.mark.parametrize("a", [0.55, 1.0, 1.45, 2.4])
def test_incomplete_gamma_functions_and_their_derivatives_in_the_order(a):
    x = torch.tensor([1e-4, 0.03, 0.7, 4.9, 5.1, 12.0, 49.0, 51.0, 400.0], dtype=F64)
    torch.testing.assert_close(lower_gamma(torch.tensor(a), x), torch.special.gammainc(torch.full_like(x, a), x))
    wanted = special.gammaincc(a, x.numpy()) * np.exp(x.numpy())
    torch.testing.assert_close(scaled_upper_gamma(torch.tensor(a, dtype=F64), x), torch.from_numpy(wanted))
    order = torch.tensor(a, dtype=F64, requires_grad=True)
    for function in (lower_gamma, scaled_upper_gamma):
        assert torch.autograd.gradcheck(lambda o, f=function: f(o, x[:6]), (order,), rtol=1e-5)


def kernel_product(hurst: float, rate: float, t: float) -> float:
    """E B(t) Y(t) of type II: the integral of kernel and exponential."""
    scale = special.gamma(hurst + 0.5)
    value, _ = integrate.quad(
        lambda u: math.exp(-rate * u), 0.0, t, weight="alg", wvar=(hurst - 0.5, 0.0), epsabs=1e-14, epsrel=1e-13
    )
    return value / scale


@pytest.mark.parametrize("hurst", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_weights_against_brute_force_quadrature(hurst):
    rates, horizon = geometric(4, 10.0), 2.0
    g = rates.numpy()
    nodes, wts = np.polynomial.legendre.leggauss(60)
    # t = T u^3 takes the singularity of t^(H + 1/2) out of the outer integral.
    u = 0.5 * (nodes + 1.0)
    t, dt = horizon * u**3, horizon * 3.0 * u**2 * 0.5 * wts
    b = np.array([sum(w * kernel_product(hurst, rate, s) for s, w in zip(t, dt, strict=True)) for rate in g])
    sums = g[:, None] + g
    A = sum(w * (1.0 - np.exp(-sums * s)) / sums for s, w in zip(t, dt, strict=True))
    np.testing.assert_allclose(fit(hurst, rates, horizon).weights.numpy(), np.linalg.solve(A, b), rtol=1e-8)
    # The system is ill-conditioned; its sides agree to round-off.
    total = horizon ** (2 * hurst + 1) / (2 * hurst * (2 * hurst + 1) * special.gamma(hurst + 0.5) ** 2)
    omega = fit(hurst, rates, horizon).weights.numpy()
    assert np.abs(A @ omega - b).max() < 1e-10 * np.abs(b).max()
    assert fit(hurst, rates, horizon).error.item() == pytest.approx(1.0 - b @ omega / total, abs=1e-10)


@pytest.mark.parametrize("hurst", [0.2, 0.6])
def test_two_sided_weights_against_quadrature(hurst):
    """E (B(t))(Y(t) - Y(0)) with both paths from the infinite past."""
    rates, horizon = geometric(3, 5.0), 1.5
    g, power = rates.numpy(), hurst - 0.5

    def product(rate: float, t: float) -> float:
        scale = special.gamma(hurst + 0.5)
        recent, _ = integrate.quad(lambda u: math.exp(-rate * u), 0.0, t, weight="alg", wvar=(power, 0.0))

        def old(u: float) -> float:
            past = u**power * math.expm1(power * math.log1p(t / u))
            return past * math.expm1(-rate * t) * math.exp(-rate * u)

        split = min(1.0, t)
        near = lambda v: old(v**4) * 4 * v**3  # noqa: E731
        early, _ = integrate.quad(near, 0.0, split**0.25, epsabs=1e-13)
        ends = np.geomspace(split, 60.0 / rate, 8)
        late = sum(integrate.quad(old, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(ends))
        return (recent + early + late) / scale

    nodes, wts = np.polynomial.legendre.leggauss(40)
    u = 0.5 * (nodes + 1.0)
    t, dt = horizon * u**3, horizon * 3.0 * u**2 * 0.5 * wts
    b = np.array([sum(w * product(rate, s) for s, w in zip(t, dt, strict=True)) for rate in g])
    omega = fit(hurst, rates, horizon, two_sided=True).weights.numpy()
    sums = g[:, None] + g
    A = sum(w * (2.0 - np.exp(-g[:, None] * s) - np.exp(-g * s)) / sums for s, w in zip(t, dt, strict=True))
    np.testing.assert_allclose(A @ omega, b, rtol=1e-9)


@pytest.mark.parametrize(
    ("two_sided", "horizon", "published"),
    [
        (True, 6.0, [0.22, 0.018, 0.073, 0.27, 0.71]),
        (True, 2.0, [0.27, 0.013, 0.025, 0.15, 0.58]),
        (False, 6.0, [0.17, 0.003, 1e-5, 6e-5, 1e-4]),
        (False, 2.0, [0.21, 0.006, 5e-9, 6e-5, 2e-5]),
    ],
)
def test_approximation_errors_of_five_modes_up_to_twenty(two_sided, horizon, published):
    rates = geometric(5, 20.0)
    errors = [fit(H, rates, horizon, two_sided).error.item() for H in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert errors == pytest.approx(published, rel=0.25)


@pytest.mark.parametrize("two_sided", [False, True])
def test_weights_are_differentiable_in_the_hurst_index(two_sided):
    hurst = torch.tensor(0.37, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: fit(h, geometric(4, 15.0), 2.0, two_sided).weights, (hurst,))


def riemann_liouville(hurst: float, s: float, t: float) -> float:
    s, t = min(s, t), max(s, t)
    factor = (hurst + 0.5) * special.gamma(hurst + 0.5) ** 2
    return s ** (hurst + 0.5) * t ** (hurst - 0.5) / factor * special.hyp2f1(0.5 - hurst, 1.0, hurst + 1.5, s / t)


def white(amplitude: float = 1.0, calculus: str = "ito") -> Noise:
    return Noise(lambda s, y: amplitude * torch.ones_like(y), "additive", seed=5, calculus=calculus)


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.75])
def test_simulated_paths_have_the_covariance_of_type_two(hurst):
    """Steps of 0.25 against rates up to 200: the modes are exact whatever the step."""
    driven = fractional(Term(lambda s, y: 0.0 * y, noise=white()), hurst, modes=7, dt=0.01)
    start = driven.enter(torch.zeros(40000, 1, dtype=F64))
    times = [0.0, 0.25, 0.5, 1.0]
    x, _ = solve(driven.term, start, times, solver=ExponentialEulerMaruyama(), dt=0.25).y
    found = (x[:, 1:, 0].T @ x[:, 1:, 0]) / len(x)
    wanted = torch.tensor([[riemann_liouville(hurst, s, t) for t in times[1:]] for s in times[1:]], dtype=F64)
    deviation = (wanted.diag()[:, None] * wanted.diag() + wanted**2).div(len(x)).sqrt()
    assert ((found - wanted).abs() < 4.0 * deviation + 0.02 * wanted).all()


def test_two_sided_noise_has_the_variance_of_its_kernel():
    driven = fractional(Term(lambda s, y: 0.0 * y, noise=white()), 0.4, modes=9, dt=0.005, two_sided=True)
    start = driven.enter(torch.zeros(20000, 1, dtype=F64), seed=1)
    x, _ = solve(driven.term, start, [0.0, 0.5, 1.0], solver=ExponentialEulerMaruyama(), dt=0.5).y
    for t, column in ((0.5, 1), (1.0, 2)):
        variance = t**0.8 / (math.gamma(1.8) * math.sin(0.4 * math.pi))
        assert x[:, column].square().mean().item() == pytest.approx(variance, rel=0.05)


def test_exponential_and_plain_euler_agree_where_the_step_resolves_the_modes():
    def run(solver, dt, calculus="ito"):
        term = Term(lambda s, y: -torch.sin(y), noise=white(0.5, calculus))
        driven = fractional(term, 0.35, modes=4, dt=0.1)
        start = driven.enter(torch.full((20000, 1), 0.3, dtype=F64))
        return solve(driven.term, start, [0.0, 1.0], solver=solver, dt=dt).y[0][:, 1]

    exact = run(ExponentialEulerMaruyama(), 1 / 64)
    for solver, calculus in ((EulerMaruyama(), "ito"), (StochasticHeun(), "stratonovich")):
        other = run(solver, 1 / 128, calculus)
        assert other.mean().item() == pytest.approx(exact.mean().item(), abs=0.012)
        assert other.var().item() == pytest.approx(exact.var().item(), rel=0.04)


def test_a_coarse_path_is_the_fine_one():
    driven = fractional(Term(lambda s, y: 0.0 * y, noise=white()), 0.7)
    start = driven.enter(torch.zeros(3, 2, dtype=F64))
    ends = []
    for factor in (1, 4, 16):
        noise = driven.term.noise.coarsen(factor)
        term = driven.term.__class__(driven.term.drift, driven.term.linear, noise)
        ends.append(solve(term, start, [0.0, 1.0], solver=ExponentialEulerMaruyama(), dt=factor / 64).y)
    for x, modes in ends[1:]:
        torch.testing.assert_close(x, ends[0][0][:, :])
        torch.testing.assert_close(modes, ends[0][1])


def test_the_path_is_differentiable_in_the_hurst_index():
    def end(hurst: torch.Tensor) -> torch.Tensor:
        driven = fractional(Term(lambda s, y: -y, noise=white()), hurst, modes=3)
        start = driven.enter(torch.zeros(2, 1, dtype=F64))
        return solve(driven.term, start, [0.0, 0.5], solver=ExponentialEulerMaruyama(), dt=0.1).y[0][:, 1]

    assert torch.autograd.gradcheck(end, (torch.tensor(0.6, dtype=F64, requires_grad=True),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(hurst=1.2), "between 0 and 1"),
        (dict(modes=0), "modes"),
        (dict(horizon=-1.0), "horizon"),
        (dict(dt=3.0), "dt"),
        (dict(rates=torch.tensor([1.0, -2.0])), "positive"),
        (dict(term=Term(lambda s, y: -y)), "no noise"),
        (dict(term=Term(lambda s, y: -y, noise=Noise(lambda s, y: y, "scalar"))), "scalar"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = dict(term=Term(lambda s, y: -y, noise=white()), hurst=0.4) | change
    with pytest.raises(InputError, match=message):
        fractional(**given)


def test_a_solver_without_fractional_noise_says_so():
    driven = fractional(Term(lambda s, y: -y, noise=white()), 0.4)
    with pytest.raises(InputError, match="Milstein takes additive, diagonal, scalar noise, found fractional"):
        solve(driven.term, driven.enter(torch.zeros(1, 1)), [0.0, 1.0], solver=Milstein(), dt=0.1)

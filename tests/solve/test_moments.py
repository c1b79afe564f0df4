"""Moment rules: classical numbers, published samplers, independent quadrature, infinite steps."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from sciode.core.errors import InputError
from sciode.solve import EXACT, HALVED, MIDPOINT, PLMS, TRAPEZOID, Exact, Frozen, Quadrature
from sciode.solve.moments import Span, moments
from sciode.solve.phi import scaled_phi

BASHFORTH = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24],
             [1901 / 720, -2774 / 720, 2616 / 720, -1274 / 720, 251 / 720]]  # fmt: skip
MOULTON = [[1 / 2, 1 / 2], [5 / 12, 8 / 12, -1 / 12], [9 / 24, 19 / 24, -5 / 24, 1 / 24],
           [251 / 720, 646 / 720, -264 / 720, 106 / 720, -19 / 720]]  # fmt: skip
GRID = (0.0, -0.7, -1.9, -2.3)


def equal(nodes: int, first: float = 0.0) -> tuple[float, ...]:
    return tuple(first - i for i in range(nodes))


@pytest.mark.parametrize("want", BASHFORTH)
def test_adams_bashforth_numbers_at_rest(want: list[float]) -> None:
    assert EXACT.weights(None, Span(1.0, equal(len(want)))) == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize("want", MOULTON)
def test_adams_moulton_numbers_at_rest(want: list[float]) -> None:
    assert EXACT.weights(None, Span(1.0, equal(len(want), 1.0))) == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize("h", [1e-3, 0.3, 2.5, 40.0])
@pytest.mark.parametrize("r", [0.4, 1.0, 3.0])
def test_dpm_solver_pp_2m_is_the_exponential_adams_method_of_the_data_chart(h: float, r: float) -> None:
    # x_t / alpha_t = e^-h x_s / alpha_s + d_0 D_n + d_1 (D_n - D_{n-1}) / h_prev
    d0 = -math.expm1(-h)
    d1 = scaled_phi(2, 1.0, torch.tensor(-1.0), h).item() * h  # h - 1 + e^-h, without its cancellation
    span = Span(h, (0.0, -r))
    got = EXACT.weights(-1.0, span)
    assert got == pytest.approx([d0 + d1 / (r * h), -d1 / (r * h)], rel=2e-15, abs=1e-15)
    midpoint = MIDPOINT.weights(-1.0, span)
    assert midpoint == pytest.approx([d0 * (1 + 1 / (2 * r)), -d0 / (2 * r)], rel=2e-15)
    assert EXACT.carry(-1.0, span) == math.exp(-h)


def published_3m(h: float, h0: float, h1: float, m: list[float]) -> float:
    """Return what DPM-Solver++(3M) adds to e^-h y, in the paper's letters."""
    r0, r1 = h0 / h, h1 / h
    d1_0, d1_1 = (m[0] - m[1]) / r0, (m[1] - m[2]) / r1
    d1 = d1_0 + r0 / (r0 + r1) * (d1_0 - d1_1)
    d2 = (d1_0 - d1_1) / (r0 + r1)
    phi_1 = math.expm1(-h)
    phi_2 = phi_1 / h + 1.0
    phi_3 = phi_2 / h - 0.5
    return -phi_1 * m[0] + phi_2 * d1 - phi_3 * d2


def test_published_3m_halves_the_second_difference() -> None:
    h, h0, h1 = 0.8, 0.5, 0.9
    got = HALVED.weights(-1.0, Span(h, (0.0, -h0 / h, -(h0 + h1) / h)))
    want = [published_3m(h, h0, h1, [float(i == j) for i in range(3)]) for j in range(3)]
    assert got == pytest.approx(want, abs=1e-14)
    assert HALVED.weights(-1.0, Span(h, (0.0, -0.5))) == MIDPOINT.weights(-1.0, Span(h, (0.0, -0.5)))


def unipc(z: float, nodes: list[float], big: float) -> list[float]:
    """Return the weights of [m_0, m at nodes] in UniPC's equation (9), data form, of the state y = x / alpha."""
    n = len(nodes)
    psi, value = [], math.expm1(z) / z - 1.0
    for k in range(1, n + 1):
        psi.append(math.factorial(k) * value / big)
        value = value / z - 1.0 / math.factorial(k + 1)
    matrix = np.vander(np.array(nodes), n, increasing=True).T
    rho = [0.5] if n == 1 else np.linalg.solve(matrix, np.array(psi))
    outer = [-big * p / r for p, r in zip(rho, nodes, strict=True)]
    return [-math.expm1(z) - sum(outer), *outer]


@pytest.mark.parametrize(("rule", "big"), [(MIDPOINT, math.expm1), (TRAPEZOID, lambda z: z)])
@pytest.mark.parametrize("nodes", [[-0.8], [1.0], [-0.8, -1.7], [1.0, -0.8], [1.0, -0.8, -1.7]])
def test_unipc_predictors_and_correctors(rule: Exact, big: object, nodes: list[float]) -> None:
    h = 0.6
    ordered = sorted([0.0, *nodes], reverse=True)
    got = dict(zip(ordered, rule.weights(-1.0, Span(h, tuple(ordered))), strict=True))
    want = dict(zip([0.0, *nodes], unipc(-h, nodes, big(-h)), strict=True))
    assert got == pytest.approx(want, abs=2e-14)


@pytest.mark.parametrize("z", [-1e4, -30.0, -2.1, -1.9, -0.5, -1e-9, 0.0, 0.7, 5.0, 1.5j, -0.3 + 2j, -20 + 30j])
def test_numbers_and_tensors_have_the_same_moments(z: complex) -> None:
    got = moments(z, 1.0, 6)
    want = moments(torch.tensor(z, dtype=torch.complex128 if isinstance(z, complex) else torch.float64), 1.0, 6)
    for a, b in zip(got, want, strict=True):
        assert abs(a - b.item()) <= 2e-14 * abs(b.item())


@pytest.mark.parametrize("rate", [-4.0, 1.5, -1.0 + 2.0j])
def test_weights_integrate_the_interpolant(rate: complex) -> None:
    h = 0.4
    for j, b in enumerate(EXACT.weights(rate, Span(h, GRID))):

        def integrand(u: float, part: str, j: int = j) -> float:
            basis = math.prod((u - r) / (GRID[j] - r) for i, r in enumerate(GRID) if i != j)
            return getattr(complex(np.exp((1 - u) * h * rate) * basis * h), part)

        want = complex(quad(integrand, 0, 1, ("real",))[0], quad(integrand, 0, 1, ("imag",))[0])
        assert abs(b - want) < 1e-13


def test_high_order_on_a_ragged_grid_against_exact_arithmetic() -> None:
    nodes = (0.0, -0.11, -1.3, -1.35, -4.0, -4.5, -6.125, -9.0)
    got = EXACT.weights(None, Span(1.0, nodes))
    exact = [Fraction(r) for r in nodes]
    for j, b in enumerate(got):
        line = [Fraction(1)]  # coefficients of the Lagrange polynomial
        for i, r in enumerate(exact):
            if i != j:
                shifted = [Fraction(0), *line]
                line = [(a - r * c) / (exact[j] - r) for a, c in zip(shifted, [*line, Fraction(0)], strict=True)]
        want = sum(c / (k + 1) for k, c in enumerate(line))
        assert b == pytest.approx(float(want), rel=1e-12)


def test_an_infinite_step_is_finite_and_first_order() -> None:
    last = Span(math.inf, (0.0,))
    for rule in (EXACT, MIDPOINT, PLMS, Quadrature(clock=torch.exp)):
        assert rule.carry(-1.0, last) == 0.0
        assert rule.weights(-2.0, last) == [0.5]
    rates = torch.tensor([-1.0, -4.0 + 3.0j])
    assert EXACT.carry(rates, last).tolist() == [0.0, 0.0]
    torch.testing.assert_close(EXACT.weights(rates, last)[0], -1.0 / rates.to(torch.complex128))
    assert EXACT.weights(1.0, Span(-math.inf, (0.0,))) == [-1.0]
    for rate in (None, 0.0, 1.0, torch.tensor([-1.0, 0.0])):
        with pytest.raises(InputError, match=r"Re\(h L\) < 0"):
            EXACT.weights(rate, last)
    with pytest.raises(InputError, match="one slope"):
        EXACT.weights(-1.0, Span(math.inf, (0.0, -0.0)))
    with pytest.raises(InputError, match="end at a finite time"):
        Quadrature(rate=lambda s: -s).weights(None, Span(math.inf, (0.0,), 0.0))


@pytest.mark.parametrize("rate", [None, -3.0, -1.0 + 4.0j, torch.tensor([[-5.0], [0.5]], dtype=torch.float64)])
def test_quadrature_reproduces_the_exact_rule(rate: object) -> None:
    span = Span(0.9, GRID, 0.2)
    got, want = Quadrature().weights(rate, span), EXACT.weights(rate, span)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=0, atol=1e-13)
    assert isinstance(got[0], float | complex) or isinstance(rate, torch.Tensor)
    if rate is not None:  # the same linear part, as one that might vary
        constant = torch.as_tensor(rate).to(torch.complex128 if isinstance(rate, complex) else torch.float64)
        ours = Quadrature(rate=lambda s: constant.expand(len(s), *constant.shape))
        pairs = zip(ours.weights(None, span), want, strict=True)
        for a, b in [*pairs, (ours.carry(None, span), EXACT.carry(rate, span))]:
            torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=0, atol=1e-13)


def test_quadrature_of_a_varying_rate_against_scipy() -> None:
    start, h, nodes = 0.3, 0.7, (0.0, -0.6)
    rule = Quadrature(rate=lambda s: -torch.stack([s**2, torch.exp(s)], dim=-1), clock=lambda s: s**3)
    integrals = [lambda s: -(s**3) / 3, lambda s: -math.exp(s)]
    end = start + h
    for i, integral in enumerate(integrals):
        carry = math.exp(-0.5 * h + integral(end) - integral(start))
        assert rule.carry(-0.5, Span(h, nodes, start))[i].item() == pytest.approx(carry, rel=1e-13)
        tau = [(start + h * r) ** 3 for r in nodes]
        for j in range(2):

            def integrand(s: float, i: int = i, j: int = j, tau: list[float] = tau) -> float:
                decay = math.exp(-0.5 * (end - s) + integrals[i](end) - integrals[i](s))
                return decay * (s**3 - tau[1 - j]) / (tau[j] - tau[1 - j])

            got = rule.weights(-0.5, Span(h, nodes, start))[j][i].item()
            assert got == pytest.approx(quad(integrand, start, end, epsabs=1e-14)[0], abs=1e-12)


def test_deis_coefficients_by_an_integral_over_time() -> None:
    # C_j = int Psi(t_end, t) beta / (2 sigma) l_j(t) dt of the eps-prediction, VP with linear beta, in x itself.
    low, high = 0.1, 20.0

    def log_alpha(t: float) -> float:
        return -(high - low) * t**2 / 4 - low * t / 2

    def lam(t: float) -> float:
        return log_alpha(t) - 0.5 * math.log(-math.expm1(2 * log_alpha(t)))

    def time(s: torch.Tensor) -> torch.Tensor:
        part = 2 * (high - low) * torch.nn.functional.softplus(-2 * s)
        return part / ((torch.sqrt(low**2 + part) + low) * (high - low))

    times = [0.30, 0.42, 0.55, 0.60]  # where the step goes, and where slopes are known, newest first
    s = [lam(t) for t in times]
    h = s[0] - s[1]
    nodes = tuple((v - s[1]) / h for v in s[1:])
    rule = Quadrature(clock=time)
    # The noise chart: y = x / sigma, L = +1, N = -eps.
    sigma = math.sqrt(-math.expm1(2 * log_alpha(times[0])))
    got = [-b * sigma for b in rule.weights(1.0, Span(h, nodes, s[1]))]

    def integrand(t: float, j: int) -> float:
        beta = low + (high - low) * t
        transfer = math.exp(log_alpha(times[0]) - log_alpha(t))
        known = times[1:]
        basis = math.prod((t - v) / (known[j] - v) for i, v in enumerate(known) if i != j)
        return transfer * beta / (2 * math.sqrt(-math.expm1(2 * log_alpha(t)))) * basis

    want = [quad(integrand, times[1], times[0], (j,), epsabs=1e-14)[0] for j in range(3)]
    assert got == pytest.approx(want, abs=1e-10)
    twice = Quadrature(clock=time, points=48).weights(1.0, Span(h, nodes, s[1]))
    assert [-b * sigma for b in twice] == pytest.approx(got, abs=1e-12)


def test_frozen_numbers_are_the_classical_ones_on_every_grid() -> None:
    for count in range(1, 5):
        assert PLMS.weights(None, Span(1.0, GRID[:count])) == pytest.approx(BASHFORTH[count - 1], abs=1e-15)
    damped = PLMS.weights(-1.0, Span(0.5, GRID[:2]))
    assert damped == pytest.approx([-math.expm1(-0.5) * w for w in BASHFORTH[1]])
    with pytest.raises(InputError, match="no corrector"):
        PLMS.weights(None, Span(1.0, (1.0, 0.0)))
    with pytest.raises(InputError, match="rows for 4"):
        PLMS.weights(None, Span(1.0, equal(5)))
    with pytest.raises(InputError, match="sum 1"):
        Frozen(((1.0,), (1.0, -1.0)))
    with pytest.raises(InputError, match="points"):
        Quadrature(points=0)

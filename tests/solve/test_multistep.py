"""Exponential Adams methods: orders with their starters, published samplers, gradients, invariances, bad input."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import burgers, kuramoto_sivashinsky
from sciode.solve import (
    EXACT,
    HALVED,
    MIDPOINT,
    PLMS,
    Adams,
    Checkpointed,
    Compiled,
    Diagonal,
    MomentRule,
    Noise,
    Quadrature,
    RungeKutta,
    Save,
    Solver,
    Term,
    solve,
    tableaus,
)
from sciode.solve.moments import Span
from sciode.solve.phi import phi
from tests.order import errors_under_halving, measured_order
from tests.solve.counting import Counting, per_step
from tests.solve.test_solve import X0, pendulum, reference

KINDS = [(p, c) for c in (False, True) for p in range(1 + c, 7)]


def final(term: Term, x0: Tensor, t: list[float], solver: Solver, dt: float = math.inf) -> Tensor:
    y = solve(term, x0, t, solver=solver, dt=dt, save=Save.END).y
    assert isinstance(y, Tensor)
    return y


@pytest.mark.parametrize(("order", "corrector"), [*KINDS, (8, False), (8, True)])
def test_order_on_a_forced_pendulum_against_scipy(order: int, corrector: bool) -> None:
    want = reference([0.0, 2.0])[:, -1]
    dt = {1: 0.02, 2: 0.02, 3: 0.02, 4: 0.02, 8: 0.0625}.get(order, 0.05)
    errors = errors_under_halving(
        lambda h: final(Term(pendulum), X0, [0.0, 2.0], Adams(order, corrector), h), dt, want, 2
    )
    slack = 1.1 if order == 8 else 0.3  # near round-off
    assert measured_order(errors) == pytest.approx(order, abs=slack), errors


SEMILINEAR = Term(lambda s, y: y.flip(1) ** 2 + torch.sin(2 * s) + 0 * y, Diagonal(-2.0))


@pytest.mark.parametrize(("order", "corrector"), KINDS)
@pytest.mark.parametrize("back", [False, True])
def test_order_beside_a_linear_part_on_a_ragged_grid(order: int, corrector: bool, back: bool) -> None:
    term = SEMILINEAR if not back else Term(SEMILINEAR.drift, Diagonal(1.5))
    x0 = torch.tensor([[0.4, 0.2], [0.1, -0.3]], dtype=torch.float64)
    ends = (1.0, 0.0) if back else (0.0, 1.0)
    want = final(term, x0, list(ends), RungeKutta(tableaus.DOPRI8), 1 / 64)

    def run(h: float) -> Tensor:
        count = round(1 / h)
        u = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        grid = u + 0.1 * torch.sin(2 * math.pi * u)
        t = ends[0] + (ends[1] - ends[0]) * grid
        return final(term, x0, t.tolist(), Adams(order, corrector))

    errors = errors_under_halving(run, 1 / 96, want, 1)
    assert measured_order(errors) == pytest.approx(order, abs=0.45), errors


@pytest.mark.parametrize(("order", "corrector"), [(2, False), (3, False), (4, False), (3, True), (4, True)])
@pytest.mark.parametrize("equation", ["kuramoto_sivashinsky", "burgers"])
def test_order_on_stiff_partial_differential_equations(order: int, corrector: bool, equation: str) -> None:
    if equation == "burgers":
        term, length, dt = burgers(64, viscosity=0.05), 1.0, 0.005
    else:
        term, length, dt = kuramoto_sivashinsky(64, length=22.0), 22.0, 0.05
    x = torch.arange(64, dtype=torch.float64) * length / 64
    wave = 2 * math.pi * x / length
    x0 = torch.stack([torch.cos(wave) + 0.4 * torch.sin(2 * wave), 0.7 * torch.sin(wave)])[:, None]
    want = final(term, x0, [0.0, 32 * dt], RungeKutta(tableaus.KROGSTAD4), dt / 16)
    errors = errors_under_halving(
        lambda h: final(term, x0, [0.0, 32 * dt], Adams(order, corrector), h), dt / 2, want, 1
    )
    assert measured_order(errors) == pytest.approx(order, abs=0.35), errors


MEANS = torch.tensor([[-1.0, 0.4, 0.2], [0.8, -0.6, 0.5]], dtype=torch.float64)
SPREAD = 0.35


def denoised(lam: Tensor, y: Tensor) -> Tensor:
    """Return E[x0 | y] for y = x0 + e^-lam eps, x0 from two Gaussians of one spread."""
    noise = torch.exp(-2 * lam)
    gap = y[:, None] - MEANS.to(y)
    share = torch.softmax(-(gap**2).sum(-1) / (2 * (SPREAD**2 + noise)), dim=1)
    posterior = MEANS.to(y) + SPREAD**2 / (SPREAD**2 + noise) * gap
    return (share[..., None] * posterior).sum(1)


DIFFUSION = Term(denoised, Diagonal(-1.0))
NOISE = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * math.e**1.5


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (Adams(2), 2),
        (Adams(3), 3),
        (Adams(4), 4),
        (Adams(3, corrector=True), 3),
        (Adams(2, rule=MIDPOINT), 2),
        (Adams(3, rule=HALVED), 2),  # the published third-order multistep sampler
        (Adams(2, rule=Quadrature(clock=lambda s: torch.exp(-s))), 2),
        (Adams(3, rule=Quadrature(clock=torch.sigmoid)), 3),
    ],
)
def test_order_on_the_diffusion_equation_of_a_gaussian_mixture(solver: Adams, order: int) -> None:
    span = [-1.5, 1.5]
    want = final(DIFFUSION, NOISE, span, RungeKutta(tableaus.DOPRI8), 1 / 100)
    errors = errors_under_halving(lambda h: final(DIFFUSION, NOISE, span, solver, h), 1 / 40, want, 2)
    assert measured_order(errors) == pytest.approx(order, abs=0.25), errors


def ramp(order: int, steps: int) -> tuple[int, ...]:
    return (*(min(i + 1, order) for i in range(steps - 1)), 1)


GRID = [*torch.linspace(-1.5, 2.5, 11, dtype=torch.float64).add(0.02).tolist(), math.inf]


def test_dpm_solver_pp_2m_to_zero_noise_as_published() -> None:
    """Algorithm 2 of arXiv:2211.01095 for alpha = sigmoid-like VP coefficients, ending on the denoised state."""
    lam = torch.tensor(GRID, dtype=torch.float64)
    alpha, sigma = torch.sigmoid(2 * lam).sqrt(), torch.sigmoid(-2 * lam).sqrt()
    x = NOISE * alpha[0]
    models: list[Tensor] = []
    for i in range(len(lam) - 1):
        models.append(denoised(lam[i], x / alpha[i]))
        h = lam[i + 1] - lam[i]
        estimate = models[-1]
        if 0 < i < len(lam) - 2:
            r = (lam[i] - lam[i - 1]) / h
            estimate = (1 + 1 / (2 * r)) * models[-1] - models[-2] / (2 * r)
        x = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * torch.expm1(-h) * estimate
    solver = Adams(2, rule=MIDPOINT, orders=ramp(2, len(GRID) - 1))
    # solve() takes finite times; a chart's clock may end at infinity.
    got = final(Term(denoised, Diagonal(-1.0), chart=Clock()), NOISE, [*GRID[:-1], 100.0], solver)
    torch.testing.assert_close(got, x, rtol=0, atol=1e-14)


class Clock:
    """The time itself, but 100 stands for infinity."""

    def clock(self, t: Tensor) -> Tensor:
        return torch.where(t == 100.0, math.inf, t)

    def time(self, s: Tensor) -> Tensor:
        return torch.where(torch.isinf(s), 100.0, s)

    def enter(self, x: Tensor, s: Tensor) -> Tensor:
        return x

    def leave(self, y: Tensor, s: Tensor) -> Tensor:
        return y


def test_unipc_as_published() -> None:
    """The corrected state of UniPC-2, B(h) = e^h - 1, kept apart step by step; NFE = steps."""
    lam = GRID[:-1]
    y, models, h, calls = NOISE, [], 0.0, 0

    def combined(rule: MomentRule, base: Tensor, h: float, r: list[float], ks: list[Tensor]) -> Tensor:
        weights = rule.weights(-1.0, Span(h, tuple(r)))
        return math.exp(-h) * base + sum(w * k for w, k in zip(weights, ks, strict=True))

    corrected = y
    orders = ramp(2, len(lam) - 1)
    for i in range(len(lam) - 1):
        new = denoised(torch.tensor(lam[i], dtype=torch.float64), y)
        if i > 0:
            r = [1.0, 0.0, *([(lam[i - 2] - lam[i - 1]) / h] if orders[i - 1] == 2 else [])]
            corrected = combined(MIDPOINT, corrected, h, r, [new, *models[: orders[i - 1]]])
        models = [new, *models][:2]
        h = lam[i + 1] - lam[i]
        r = [0.0, (lam[i - 1] - lam[i]) / h][: orders[i]]
        y = combined(MIDPOINT, corrected, h, r, models[: orders[i]])

    def counted(s: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return denoised(s, y)

    solver = Adams(3, corrector=True, rule=MIDPOINT, orders=orders)
    got = final(Term(counted, Diagonal(-1.0)), NOISE, lam, solver)
    torch.testing.assert_close(got, y, rtol=0, atol=1e-13)
    assert calls == len(lam) - 1


def test_a_corrector_makes_a_better_step() -> None:
    want = reference([0.0, 2.0])[:, -1]
    for order in (2, 3, 4):
        ends = [final(Term(pendulum), X0, [0.0, 2.0], Adams(order, c), 0.02) for c in (False, True)]
        assert (ends[1] - want).abs().max() < (ends[0] - want).abs().max()


def test_plms_is_adams_bashforth_where_steps_are_equal() -> None:
    span = [-1.0, 1.0]
    start = RungeKutta(tableaus.RK4)
    classical = Term(lambda s, y: denoised(s, y) - y)
    got = final(classical, NOISE, span, Adams(4, rule=PLMS, starter=start), 0.1)
    want = final(classical, NOISE, span, Adams(4, starter=start), 0.1)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-13)
    beside = final(DIFFUSION, NOISE, span, Adams(4, rule=PLMS, orders=(1, 2, 3, *[4] * 17)), 0.1)
    assert 1e-8 < (beside - want).abs().max() < 1e-2


@pytest.mark.parametrize("corrector", [False, True])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_exact_for_linear_equations_with_polynomial_forcing(order: int, corrector: bool) -> None:
    rate = torch.tensor([-30.0, -0.2, 0.7, 0.0], dtype=torch.float64)
    degree = order - 1 - corrector  # what the prediction interpolates
    term = Term(lambda s, y: s**degree + 0 * y, Diagonal(rate))
    x0 = torch.ones(2, 4, dtype=torch.float64)
    grid = [0.0, 0.2, 0.33, 0.4, 0.7, 0.75, 1.0]
    got = final(term, x0, grid, Adams(order, corrector, orders=(1,) * 6 if degree == 0 else None))
    want = phi(0, rate) * x0 + math.factorial(degree) * phi(degree + 1, rate)
    tolerance = 1e-13 if degree == 0 else 1e-3  # the Runge--Kutta starter is exact for lower degrees only
    torch.testing.assert_close(got, want.expand(2, 4), rtol=tolerance, atol=tolerance)


def test_a_varying_rate_is_integrated_exactly_and_known_to_the_starter() -> None:
    def rate(s: Tensor) -> Tensor:
        return torch.stack([-2 * s, torch.cos(s)], dim=-1)

    x0 = torch.ones(3, 2, dtype=torch.float64)
    rule = Quadrature(rate=rate)
    free = Term(lambda s, y: 0 * y)
    want = torch.exp(torch.tensor([-1.0, math.sin(1.0)], dtype=torch.float64)).expand(3, 2)
    got = final(free, x0, [0.0, 1.0], Adams(2, rule=rule, orders=(1, 2)), 0.5)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-14)

    forced = Term(lambda s, y: torch.sin(3 * s) * y.flip(1))
    whole = Term(lambda s, y: forced.drift(s, y) + rate(s[None])[0] * y)
    want = final(whole, x0, [0.0, 1.0], RungeKutta(tableaus.DOPRI8), 1 / 64)
    errors = errors_under_halving(lambda h: final(forced, x0, [0.0, 1.0], Adams(3, rule=rule), h), 1 / 16, want, 2)
    assert measured_order(errors) == pytest.approx(3, abs=0.3), errors


@pytest.mark.parametrize("corrector", [False, True])
def test_gradients_agree_with_finite_differences(corrector: bool) -> None:
    rate = torch.tensor([-2.0, -0.3], dtype=torch.float64, requires_grad=True)
    gain = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    scalar = torch.tensor(-1.3, dtype=torch.float64, requires_grad=True)
    x0 = torch.tensor([[0.3, -0.6]], dtype=torch.float64, requires_grad=True)

    def run(x0: Tensor, gain: Tensor, rate: Tensor) -> Tensor:
        term = Term(lambda s, y: gain * torch.sin(y.flip(1) + s), Diagonal(rate))
        return solve(term, x0, [0.0, 0.2, 0.5, 0.6, 0.9], solver=Adams(3, corrector), dt=0.25).y

    assert torch.autograd.gradcheck(run, (x0, gain, rate))
    assert torch.autograd.gradcheck(run, (x0, gain, scalar))


def test_checkpointed_gradients_are_the_same() -> None:
    x0 = X0.clone().requires_grad_()
    found = []
    for adjoint in (None, Checkpointed(3)):
        extra = {} if adjoint is None else {"adjoint": adjoint}
        y = solve(Term(pendulum), x0, [0.0, 1.0], solver=Adams(4, True), dt=0.1, **extra).y
        found.append(torch.autograd.grad(y[:, -1].square().sum(), x0)[0])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-15)


def test_compiled_chunks_are_the_same() -> None:
    term = Term(lambda s, y: torch.sin(y.flip(1) + s), Diagonal(-1.0))
    want = final(term, X0, [0.0, 2.0], Adams(3, True), 0.1)
    got = solve(term, X0, [0.0, 2.0], solver=Adams(3, True), dt=0.1, capture=Compiled(4, backend="eager")).y[:, -1]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("corrector", [False, True])
def test_a_step_costs_few_kernels_and_no_wait(corrector: bool) -> None:
    def run(counting: Counting, size: int) -> int:
        t = torch.linspace(0, 1, size + 1, dtype=torch.float64) ** 1.5
        term = Term(counting.without(lambda s, y: -y), Diagonal(-1.0))
        return solve(term, X0, t, solver=Adams(2, corrector), dt=math.inf, save=Save.END).stats.steps

    kernels, waits, kinds = per_step(run, (20, 60))
    assert kernels <= 3 + 1e-9, kinds
    assert waits == 0


def test_float32_states_are_float32_and_close() -> None:
    for corrector in (False, True):
        want = final(DIFFUSION, NOISE, GRID[:-1], Adams(3, corrector))
        got = final(DIFFUSION, NOISE.float(), GRID[:-1], Adams(3, corrector))
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), want, rtol=0, atol=5e-6)


def test_states_of_several_tensors_and_of_several_kinds() -> None:
    y0 = (X0, torch.tensor([[1.0 + 0.5j], [0.2j]], dtype=torch.complex128), X0[:, :1].float())
    rates = (-1.0, torch.tensor([-0.5]), -2.0)

    def drift(s: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return y[0].flip(1), 1j * y[1], torch.cos(y[2])

    together = solve(Term(drift, Diagonal(rates)), y0, [0.0, 1.0], solver=Adams(3, True), dt=0.1).y
    for i, part in enumerate(y0):

        def alone(s: Tensor, y: Tensor, i: int = i) -> Tensor:
            state = [torch.zeros_like(p) for p in y0]
            state[i] = y
            return drift(s, tuple(state))[i]

        want = solve(Term(alone, Diagonal(rates[i])), part, [0.0, 1.0], solver=Adams(3, True), dt=0.1).y
        torch.testing.assert_close(together[i], want, rtol=0, atol=0)


def test_a_complex_linear_part_turns() -> None:
    y0 = torch.ones(2, 1, dtype=torch.complex128)
    term = Term(lambda s, y: 0 * y, Diagonal(3j))
    for rate in (3j, torch.tensor([3j])):
        got = final(Term(term.drift, Diagonal(rate)), y0, [0.0, 1.0], Adams(2), 0.1)
        torch.testing.assert_close(got, torch.exp(torch.tensor(3j, dtype=torch.complex128)).expand(2, 1))
        with pytest.raises(InputError, match="complex state"):
            final(Term(term.drift, Diagonal(rate)), y0.real, [0.0, 1.0], Adams(2), 0.1)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    whole = final(DIFFUSION, NOISE, GRID[:-1], Adams(3, True))
    parts = torch.cat([final(DIFFUSION, part, GRID[:-1], Adams(3, True)) for part in NOISE.split(2)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-15)


def test_hooks_are_seen_by_the_next_step() -> None:
    term = Term(lambda s, y: torch.ones_like(y))
    got = solve(term, X0, [0.0, 1.0], solver=Adams(3, True), dt=0.25, hooks=[lambda s, y: y + s]).y[:, -1]
    torch.testing.assert_close(got, X0 + 1.0 + 0.25 + 0.5 + 0.75 + 1.0)


def test_bad_input() -> None:
    for order, corrector in ((0, False), (9, False), (1, True), (2.0, False)):
        with pytest.raises(InputError, match="order"):
            Adams(order, corrector)
    with pytest.raises(InputError, match="spoils"):
        Adams(4, starter=RungeKutta(tableaus.HEUN))
    with pytest.raises(InputError, match="entries 1 to 2, found 3 at 1"):
        Adams(2, orders=(1, 3))
    with pytest.raises(InputError, match="3 entries for a solve of 10 steps"):
        solve(Term(pendulum), X0, [0.0, 1.0], solver=Adams(2, orders=(1, 2, 2)), dt=0.1)
    with pytest.raises(InputError, match="noise"):
        noisy = Term(pendulum, noise=Noise(lambda s, y: 0.1 * y))
        solve(noisy, X0, [0.0, 1.0], solver=Adams(2), dt=0.1)
    assert Adams(2, rule=EXACT) == Adams()

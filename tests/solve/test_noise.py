"""Noise as a path: its drivers, its coarsening, and the exact Ornstein--Uhlenbeck increments."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sciode.core.errors import InputError
from sciode.solve import (
    BrownianTree,
    Diagonal,
    EulerMaruyama,
    ExponentialEulerMaruyama,
    Field,
    FixedLoop,
    Fourier,
    Generator,
    Noise,
    Path,
    StochasticRungeKutta,
    Term,
    solve,
)
from sciode.solve.driver import factor
from sciode.solve.increment import Needs, join
from sciode.solve.phi import phi
from sciode.solve.steps import Steps, even

F64 = torch.float64


def identity(s, y):
    return torch.ones_like(y)


@pytest.mark.parametrize("shape", [(5, 3), (300, 200)])
def test_any_step_can_be_drawn_again_in_any_order(shape):
    steps, y = even([0.0, 1.0], 1 / 64), torch.zeros(*shape)
    noise, needs = Noise(identity, "additive", seed=9), Needs(area=True)
    forth = noise.source(y, steps, needs)
    made = [forth(i) for i in range(64)]
    again = noise.source(y, steps, needs)
    for i in (63, 2, 40, 2, 0):
        assert torch.equal(again(i).W, made[i].W) and torch.equal(again(i).H, made[i].H)
    assert torch.equal(noise.source(y, steps)(17).W, made[17].W)  # the same path, with the area or without
    assert not torch.equal(made[0].W, made[1].W)
    assert not torch.equal(Noise(identity, "additive", seed=10).source(y, steps)(0).W, made[0].W)


@pytest.mark.parametrize("uneven", [False, True])
def test_law_of_the_increments_of_a_grid(uneven):
    sizes = np.linspace(0.01, 0.03, 50) if uneven else np.full(50, 0.02)
    steps = Steps(np.concatenate([[0.0], sizes.cumsum()[:-1]]), sizes, (0, 50))
    source = Noise(identity, "additive", seed=1).source(torch.zeros(400, 1, dtype=F64), steps, Needs(area=True))
    W = torch.stack([source(i).W / math.sqrt(h) for i, h in enumerate(sizes)])
    H = torch.stack([source(i).H / math.sqrt(h / 12) for i, h in enumerate(sizes)])
    for sample in (W, H):
        assert stats.kstest(sample.reshape(-1).numpy(), "norm").pvalue > 1e-3
    assert abs(torch.corrcoef(torch.stack([W.reshape(-1), H.reshape(-1)]))[0, 1].item()) < 4 / math.sqrt(20000)


def test_a_coarse_step_holds_what_its_fine_steps_hold():
    """W adds; the area comes from the integral of the path, here summed by hand; X from variation of constants."""
    rate, h = -3.0, 1 / 32
    needs = Needs(area=True, rates=(torch.tensor(rate, dtype=F64),))
    noise, y = Noise(identity, "additive", seed=2), torch.zeros(4, 2, dtype=F64)
    fine = noise.source(y, even([0.0, 1.0], h), needs)
    coarse = noise.coarsen(8).source(y, even([0.0, 1.0], 8 * h), needs)
    for index in range(4):
        position, integral, X = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(y)
        for j in range(8 * index, 8 * index + 8):
            part = fine(j)
            integral = integral + h * (position + 0.5 * part.W + part.H)
            position = position + part.W
            X = math.exp(rate * h) * X + part.X
        made = coarse(index)
        torch.testing.assert_close(made.W, position)
        torch.testing.assert_close(made.H, integral / (8 * h) - 0.5 * position)
        torch.testing.assert_close(made.X, X)


def test_coarsening_twice_is_coarsening_once():
    noise, y = Noise(identity, "additive", seed=2), torch.zeros(4, 2, dtype=F64)
    steps, needs = even([0.0, 1.0], 1 / 2), Needs(area=True)
    twice, once = noise.coarsen(4).coarsen(2).source(y, steps, needs), noise.coarsen(8).source(y, steps, needs)
    torch.testing.assert_close(twice(1).W, once(1).W)
    torch.testing.assert_close(twice(1).H, once(1).H)


def test_a_given_path_is_what_the_solver_sees():
    W = torch.randn(8, 2, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    H = 0.1 * W.flip(0)
    term = Term(lambda s, y: 0.0 * y, noise=Noise(identity, "additive", driver=Path(W)))
    y = solve(term, torch.zeros(2, 3, dtype=F64), [0.0, 1.0], solver=EulerMaruyama(), dt=1 / 8).y[:, 1]
    torch.testing.assert_close(y, W.sum(0))
    coarse = Path(W, H).coarsen(4, 1 / 8)
    joined = join([Path(W, H).grid(W[0], even([0.0, 1.0], 1 / 8), 0, Needs())(i) for i in range(4)], [1 / 8] * 4)
    torch.testing.assert_close(coarse.W[0], joined.W)
    torch.testing.assert_close(coarse.H[0], joined.H)


@pytest.mark.parametrize(
    ("driver", "solver", "dt", "message"),
    [
        (Path(torch.zeros(4, 2, 3)), EulerMaruyama(), 0.5, "these steps need"),
        (Path(torch.zeros(2, 2, 3)), StochasticRungeKutta(), 0.5, "Levy area"),
    ],
)
def test_a_path_that_does_not_fit_is_refused(driver, solver, dt, message):
    term = Term(lambda s, y: -y, noise=Noise(identity, "additive", driver=driver))
    with pytest.raises(InputError, match=message):
        solve(term, torch.zeros(2, 3), [0.0, 1.0], solver=solver, dt=dt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kind="diagnoal"), "unknown kind of noise 'diagnoal'; did you mean 'diagonal'"),
        (dict(calculus="itoo"), "did you mean 'ito'"),
        (dict(kind="general"), "needs size="),
        (dict(kind="general", size=0), "needs size="),
        (dict(kind="diagonal", size=3), "size is for general noise"),
        (dict(kind="fractional"), "made by sciode.solve.fractional"),
        (dict(driver="tree"), "driver takes an object"),
    ],
)
def test_bad_noise_is_refused_where_it_is_made(arguments, message):
    with pytest.raises(InputError, match=message):
        Noise(identity, **arguments)
    with pytest.raises(InputError, match="function"):
        Noise(0.1)


@pytest.mark.parametrize(
    ("kind", "size", "value"),
    [
        ("diagonal", None, torch.ones(3)),
        ("additive", None, torch.ones(2, 3, dtype=F64)),
        ("scalar", None, torch.ones(2, 3, 1)),
        ("general", 4, torch.ones(2, 3, 5)),
        ("diagonal", None, (torch.ones(2, 3),) * 2),
    ],
)
def test_an_amplitude_of_the_wrong_shape_or_type_is_refused_at_the_first_step(kind, size, value):
    term = Term(lambda s, y: -y, noise=Noise(lambda s, y: value, kind, size=size))
    with pytest.raises(InputError, match="the amplitude"):
        solve(term, torch.zeros(2, 3), [0.0, 1.0], solver=EulerMaruyama(), dt=0.5)


# --- exact Ornstein--Uhlenbeck increments ---


def test_a_linear_equation_is_solved_in_one_step_as_in_many():
    noise = Noise(lambda s, y: 0.5 * torch.ones_like(y), "additive", seed=3)
    rate = torch.tensor([-1.0, -40.0, 0.3], dtype=F64)
    start = torch.ones(6, 3, dtype=F64)
    ends = []
    for count in (64, 8, 1):
        term = Term(lambda s, y: 0.0 * y, Diagonal(rate), noise.coarsen(64 // count))
        ends.append(solve(term, start, [0.0, 1.0], solver=ExponentialEulerMaruyama(), dt=1 / count).y[:, 1])
    torch.testing.assert_close(ends[1], ends[0])
    torch.testing.assert_close(ends[2], ends[0])


def test_mean_and_variance_of_the_exact_increment_with_growth():
    """g(s) = e^(kappa s): the variance against the integral in closed form."""
    rate, kappa, h = -1.3, -0.6, 0.8
    noise = Noise(lambda s, y: torch.exp(kappa * s) * torch.ones_like(y), "additive", growth=kappa)
    term = Term(lambda s, y: torch.full_like(y, 0.4), Diagonal(rate), noise)
    start = torch.full((50000, 1), 2.0, dtype=F64)
    y = solve(term, start, [0.0, h], solver=ExponentialEulerMaruyama(), dt=h).y[:, 1]
    mean = 2.0 * math.exp(rate * h) + 0.4 * math.expm1(rate * h) / rate
    variance = (math.exp(2 * kappa * h) - math.exp(2 * rate * h)) / (2 * (kappa - rate))
    assert y.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 50000))
    assert y.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / 50000))


def test_an_infinite_last_step_is_finite():
    noise = Noise(lambda s, y: torch.exp(-s) * torch.ones_like(y), "additive", growth=-1.0)
    term = Term(lambda s, y: torch.full_like(y, 0.7), Diagonal(-2.0), noise)
    steps = Steps(np.array([0.0, 1.0]), np.array([1.0, math.inf]), (0, 2))
    (y,) = FixedLoop(ExponentialEulerMaruyama(), term, steps).states(torch.ones(3, 1, dtype=F64))
    torch.testing.assert_close(y, torch.full((3, 1), 0.35, dtype=F64))


def test_joint_increments_have_their_covariance():
    rates, h = -torch.tensor([0.3, 2.0, 60.0], dtype=F64), 0.05
    every = torch.cat([torch.zeros(1, dtype=F64), rates])
    wanted = h * phi(1, (every[:, None] + every) * h)
    root = factor(rates, h)
    torch.testing.assert_close(root @ root.mT, wanted, rtol=0.0, atol=1e-15)
    source = Generator().grid(torch.zeros(60000, 1, dtype=F64), even([0.0, h], h), 0, Needs(False, (rates,), True))
    made = source(0)
    numbers = torch.cat([made.W[..., None], made.X], dim=-1)[:, 0]
    torch.testing.assert_close(numbers.T @ numbers / 60000, wanted, rtol=0.0, atol=0.03 * h)


@pytest.mark.parametrize("points", [(16,), (8, 6)])
@pytest.mark.parametrize("driver", [Generator(), BrownianTree(depth=8)])
def test_stationary_variance_of_every_mode_of_a_stochastic_heat_equation(points, driver):
    """du = (nu Laplacian - 1) u ds + sigma dW: E |u_k|^2 = n sigma^2 / (2 (1 + nu k^2)) for n points."""
    axes = [torch.fft.fftfreq(n, 1.0 / n, dtype=F64) for n in points[:-1]]
    axes.append(torch.arange(points[-1] // 2 + 1, dtype=F64))
    rate = -1.0 - 0.3 * sum(k**2 for k in torch.meshgrid(*axes, indexing="ij"))
    noise = Noise(lambda s, y: 0.8 * torch.ones_like(y.real), "additive", driver=Field(Fourier(points), driver))
    chart = Fourier(points)
    term = Term(lambda s, y: torch.zeros_like(y), Diagonal(rate), noise, chart)
    solution = solve(
        term, torch.zeros(4000, 1, *points, dtype=F64), [0.0, 4.0, 8.0], solver=ExponentialEulerMaruyama(), dt=2.0
    )
    field = solution.y[:, 2]
    modes = chart.enter(field)[:, 0]
    wanted = math.prod(points) * 0.64 / (-2.0 * rate)
    ratio = modes.abs().square().mean(0) / wanted
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.0, atol=4.5 * math.sqrt(2 / 4000))
    # One field only: the noise has the symmetry of a real field, so leaving and entering changes nothing.
    raw = term.noise.path(chart.enter(field[:3]), 0.0, 1.0).increment(0.0, 1.0).W
    torch.testing.assert_close(chart.enter(chart.leave(raw)), raw)


def test_a_field_coarsens_with_its_modes():
    chart, rate = Fourier((8,)), -torch.arange(5, dtype=F64)
    noise = Noise(lambda s, y: torch.ones_like(y), "additive", driver=Field(chart))
    ends = []
    for count in (16, 2):
        term = Term(lambda s, y: torch.zeros_like(y), Diagonal(rate), noise.coarsen(16 // count), chart)
        start = torch.zeros(3, 1, 8, dtype=F64)
        ends.append(solve(term, start, [0.0, 1.0], solver=ExponentialEulerMaruyama(), dt=1 / count).y[:, 1])
    torch.testing.assert_close(*ends)


def test_damping_far_beyond_the_step_does_no_harm():
    """Multiplicative noise on a stiff linear part: Euler-Maruyama would leave for infinity."""
    noise = Noise(lambda s, y: 0.1 * torch.cos(y), "diagonal")
    term = Term(lambda s, y: torch.sin(y), Diagonal(-500.0), noise)
    start = torch.ones(100, 2, dtype=F64)
    y = solve(term, start, [0.0, 1.0], solver=ExponentialEulerMaruyama(), dt=0.05).y[:, 1]
    assert y.var().item() == pytest.approx(0.01 / 1000.0, rel=0.4)
    blown = solve(term, start, [0.0, 1.0], solver=EulerMaruyama(), dt=0.05).y[:, 1]
    assert not blown.abs().max().item() < 1e3

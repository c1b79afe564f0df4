"""The combustor against its eigenvalues, its describing function and its stationary covariance."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import solve_continuous_lyapunov
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import Combustor, thermoacoustic
from sciode.solve import StochasticRungeKutta, solve, stochastic_tableaus

QUIET = Combustor(noise=0.0)
STEP = 4e-5


def run(mode: Combustor, gain, y: Tensor, times, dt: float = STEP, seed: int = 0) -> Tensor:
    found = solve(
        thermoacoustic(mode, gain, seed), y, times, solver=StochasticRungeKutta(stochastic_tableaus.SRA3), dt=dt
    ).y
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("ratio", [0.5, 1.5])
def test_small_states_grow_at_the_eigenvalue(ratio: float) -> None:
    gain = ratio * QUIET.critical_gain()
    start = torch.from_numpy(np.linalg.eig(QUIET.matrix(gain))[1])
    values = np.linalg.eigvals(QUIET.matrix(gain))
    which = int(np.abs(values.imag - QUIET.omega).argmin())
    y = 1e-9 * start[:, which].real[None]
    period = 2 * math.pi / values[which].imag
    path = run(QUIET, gain, y, [0.0, 40 * period], dt=period / 60)
    grown = math.log(float(path[0, 1].norm() / path[0, 0].norm())) / (40 * period)
    assert grown == pytest.approx(values[which].real, abs=0.03 * QUIET.damping)


def test_the_limit_cycle_is_the_describing_functions() -> None:
    gain = 2.0 * QUIET.critical_gain()
    y = QUIET.at_rest(1)
    y[0, 0] = 0.1
    path = run(QUIET, gain, y, torch.linspace(0.0, 0.4, 2001).tolist())
    reached = float(path[0, -500:, 1].abs().max())
    # The flame's gain at amplitude q of its input, over that at zero: (2 / pi q) int tanh(q sin) sin.
    phase = np.linspace(0, math.pi, 2001)
    late = 1 / abs((1 + 1j * QUIET.omega * QUIET.lag / QUIET.stages) ** QUIET.stages)

    def left(amplitude: float) -> float:
        q = late * amplitude / QUIET.saturation
        return 2 / (math.pi * q) * np.trapezoid(np.tanh(q * np.sin(phase)) * np.sin(phase), phase) - 0.5

    low, high = 1e-3, 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if left(middle) > 0 else (low, middle)
    assert reached == pytest.approx(low, rel=0.03)


def test_noise_below_onset_has_its_stationary_variance() -> None:
    mode = Combustor(noise=0.02)
    gain = 0.3 * mode.critical_gain()
    a = mode.matrix(gain)
    noise = np.zeros_like(a)
    noise[1, 1] = mode.noise**2
    want = solve_continuous_lyapunov(a, -noise)
    path = run(mode, gain, mode.at_rest(400), torch.linspace(0.0, 0.4, 41).tolist(), dt=5e-5, seed=3)
    got = path[:, 25:].reshape(-1, path.shape[-1])
    assert got[:, 0].var().item() == pytest.approx(want[0, 0], rel=0.08)
    assert got[:, 1].var().item() == pytest.approx(want[1, 1], rel=0.08)


def test_every_sample_has_its_own_gain_and_the_seed_repeats() -> None:
    mode = Combustor()
    critical = mode.critical_gain()

    def gain(t: Tensor) -> Tensor:
        return critical * torch.stack([torch.full((), 0.3), 0.3 + 10.0 * t])

    path = run(mode, gain, mode.at_rest(2), torch.linspace(0.0, 0.3, 301).tolist(), seed=1)
    calm, loud = path[:, -60:, 0].abs().amax(1)
    assert loud > 3 * calm
    short = [run(mode, gain, mode.at_rest(2), [0.0, 0.01], seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(short[0], short[1]) and not torch.equal(short[0], short[2])


def test_gradients_agree_with_differences() -> None:
    term = thermoacoustic(Combustor(), 60.0)
    y = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: term.drift(torch.tensor(0.0), y), (y,))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Combustor(frequency=0.0), "frequency of a combustor"),
        (lambda: Combustor(stages=0), "stages are at least 1"),
        (lambda: Combustor(lag=1.25e-3, stages=40).critical_gain(), "damps a mode of 400 Hz"),
    ],
)
def test_bad_input_is_named(call, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()

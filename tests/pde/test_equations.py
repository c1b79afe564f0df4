"""Each equation against a closed form or an independent integration, and what it conserves."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import (
    EQUATIONS,
    advection,
    burgers,
    exact,
    fisher_kpp,
    fitzhugh_nagumo,
    initial,
    kdv,
    kuramoto_sivashinsky,
    navier_stokes,
    velocity,
)
from sciode.solve import solve
from sciode.spectral import Grid, resample

PI = math.pi


def line(points: int, length: float) -> Tensor:
    return length * torch.arange(points, dtype=torch.float64) / points


def test_advection_is_a_translation_to_round_off() -> None:
    x = line(48, 3.0)
    profile = torch.exp(torch.sin(2 * PI * x / 3.0))
    y = solve(advection(48, 3.0, velocity=0.7), profile[None, None], [0.0, 1.0, 9.0], dt=0.5).y
    for i, t in enumerate((1.0, 9.0), start=1):
        want = torch.exp(torch.sin(2 * PI * (x - 0.7 * t) / 3.0))
        torch.testing.assert_close(y[0, i, 0], want, rtol=0, atol=2e-13)


def test_burgers_is_cole_hopf() -> None:
    x, nu = line(128, 1.0), 0.02
    u0 = exact.cole_hopf(x, 0.0, nu)[None, None]
    y = solve(burgers(128, viscosity=nu), u0, [0.0, 0.5, 1.0], dt=0.0025).y
    for i, t in enumerate((0.5, 1.0), start=1):
        torch.testing.assert_close(y[0, i, 0], exact.cole_hopf(x, t, nu), rtol=0, atol=1e-11)


def test_the_heat_part_decays_exactly() -> None:
    # Small enough that the quadratic term is below round-off: only diffusion is left.
    x, nu = line(32, 1.0), 0.1
    u0 = 1e-12 * torch.sin(2 * PI * 3 * x)
    y = solve(burgers(32, viscosity=nu), u0[None, None], [0.0, 0.2], dt=0.2).y[0, 1, 0]
    torch.testing.assert_close(y, u0 * math.exp(-nu * (6 * PI) ** 2 * 0.2), rtol=0, atol=1e-22)


def test_kdv_soliton_keeps_its_shape() -> None:
    x = line(256, 32.0)
    y = solve(kdv(256), exact.kdv_soliton(x, 0.0, 2.0)[None, None], [0.0, 5.0], dt=0.002).y[0, 1, 0]
    torch.testing.assert_close(y, exact.kdv_soliton(x, 5.0, 2.0), rtol=0, atol=2e-8)


def test_two_kdv_solitons_pass_through_each_other() -> None:
    length, (fast, slow) = 64.0, (3.0, 1.0)
    x = line(256, length)
    start = exact.kdv_soliton(x, -8.0, fast, length) + exact.kdv_soliton(x, 4.0, slow, length)
    y = solve(kdv(256, length), start[None, None], [0.0, 24.0], dt=0.005).y[0, 1, 0]
    fine = resample(y, [4096])
    # The collision pushes the fast one ahead by (1/kappa_1) log((kappa_1 + kappa_2) / (kappa_1 - kappa_2)).
    kappa = math.sqrt(fast) / 2, math.sqrt(slow) / 2
    shift = math.log((kappa[0] + kappa[1]) / (kappa[0] - kappa[1])) / kappa[0]
    want = (length / 2 + fast * (24.0 - 8.0) + shift) % length
    assert fine.max().item() == pytest.approx(fast / 2, abs=1e-3)
    assert fine.argmax().item() * length / 4096 == pytest.approx(want, abs=0.03)


def test_fisher_follows_the_travelling_wave() -> None:
    length, points = 160.0, 512
    x = line(points, length) - length / 2
    start = exact.fisher_wave(x.abs() - 20.0, 0.0)  # two fronts, far from each other and from the wrap
    y = solve(fisher_kpp(points, length, 1.0, 1.0), start[None, None], [0.0, 8.0], dt=0.02).y[0, 1, 0]
    torch.testing.assert_close(y, exact.fisher_wave(x.abs() - 20.0, 8.0), rtol=0, atol=2e-6)


def test_fitzhugh_nagumo_diffusion_meets_the_walls() -> None:
    n, length = 24, 2.0
    x = (torch.arange(n, dtype=torch.float64) + 0.5) * length / n
    mode = torch.cos(PI * 2 * x / length)[:, None] * torch.cos(PI * x / length)[None, :]
    rate = fitzhugh_nagumo(n, length).linear.rate
    term = fitzhugh_nagumo(n, length)
    eigenvalues = -((2 * PI / length) ** 2 + (PI / length) ** 2) * torch.tensor([1e-3, 5e-3], dtype=torch.float64)
    spectrum = term.chart.enter(mode.expand(1, 2, n, n))
    torch.testing.assert_close(rate * spectrum[0], eigenvalues[:, None, None] * spectrum[0], rtol=0, atol=1e-12)


def test_fitzhugh_nagumo_against_a_finite_volume_method() -> None:
    n, length = 32, 2.0
    h, k, (du, dv) = length / n, 5e-3, (1e-3, 5e-3)
    centre = (torch.arange(n, dtype=torch.float64) + 0.5) * h
    bump = torch.exp(-8 * ((centre[:, None] - 0.7) ** 2 + (centre[None, :] - 1.3) ** 2))
    u0 = torch.stack([bump, 0.2 * bump])[None]

    def right(t: float, y: np.ndarray) -> np.ndarray:
        u, v = y.reshape(2, n, n)

        def laplacian(w: np.ndarray) -> np.ndarray:
            p = np.pad(w, 1, mode="edge")
            return (p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * w) / h**2

        return np.stack([du * laplacian(u) + u - u**3 - k - v, dv * laplacian(v) + u - v]).ravel()

    want = solve_ivp(right, (0, 2), u0.numpy().ravel(), "RK45", [2.0], rtol=1e-9, atol=1e-11).y.reshape(2, n, n)
    got = solve(fitzhugh_nagumo(n, length), u0, [0.0, 2.0], dt=0.02).y[0, 1]
    # The reference is second order in h; a quarter of its h^2 error scale is left at this resolution.
    assert (got - torch.tensor(want)).abs().max().item() < 5e-3
    assert (torch.tensor(want) - u0[0]).abs().max().item() > 0.3


def test_a_uniform_fitzhugh_nagumo_state_is_its_ode() -> None:
    u0 = torch.tensor([0.6, -0.3], dtype=torch.float64)[None, :, None, None].expand(1, 2, 16, 16)
    got = solve(fitzhugh_nagumo(16), u0, [0.0, 3.0], dt=0.02).y[0, 1, :, 3, 5]

    def right(t: float, y: np.ndarray) -> list[float]:
        return [y[0] - y[0] ** 3 - 5e-3 - y[1], y[0] - y[1]]

    want = solve_ivp(right, (0, 3), [0.6, -0.3], "DOP853", [3.0], rtol=1e-12, atol=1e-13).y[:, 0]
    torch.testing.assert_close(got, torch.tensor(want), rtol=0, atol=1e-8)


@pytest.mark.parametrize("waves", [1, 3])
def test_taylor_green_decays_exactly(waves: int) -> None:
    w0 = exact.taylor_green(24, 0.0, 0.05, waves)[None, None]
    got = solve(navier_stokes(24, viscosity=0.05), w0, [0.0, 2.0], dt=0.1).y[0, 1, 0]
    torch.testing.assert_close(got, exact.taylor_green(24, 2.0, 0.05, waves), rtol=0, atol=1e-12)


def test_laminar_kolmogorov_flow_is_steady() -> None:
    nu, drag, q, f = 0.1, 0.2, 4, 1.0
    y = line(32, 2 * PI)
    laminar = (-f * q * torch.cos(q * y) / (nu * q * q + drag)).expand(1, 1, 32, 32)
    got = solve(navier_stokes(32, viscosity=nu, drag=drag, forcing=f), laminar, [0.0, 1.0], dt=0.05).y[:, 1]
    torch.testing.assert_close(got, laminar, rtol=0, atol=1e-12)
    rest = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    spun = solve(navier_stokes(32, viscosity=nu, drag=drag, forcing=f), rest, [0.0, 60.0], dt=0.1).y[:, 1]
    torch.testing.assert_close(spun, laminar, rtol=0, atol=1e-9)


def _random_vorticity(points: int, highest: int = 5) -> Tensor:
    grid = Grid((points, points), (2 * PI, 2 * PI))
    w = initial.smooth_noise(grid, torch.Generator().manual_seed(3), highest=highest)
    return (w - w.mean())[None]


def test_navier_stokes_against_its_advective_form() -> None:
    n = 32
    w0 = _random_vorticity(n)
    k = np.fft.fftfreq(n, 1 / n)
    kx, ky = np.meshgrid(k, k, indexing="ij")
    square = kx**2 + ky**2
    square[0, 0] = 1
    mask = (abs(kx) < n / 3) & (abs(ky) < n / 3)

    def right(t: float, y: np.ndarray) -> np.ndarray:
        hat = np.fft.fft2(y.reshape(n, n))
        psi = hat / square
        u, v = np.fft.ifft2(1j * ky * psi).real, np.fft.ifft2(-1j * kx * psi).real
        wx, wy = np.fft.ifft2(1j * kx * hat).real, np.fft.ifft2(1j * ky * hat).real
        advection = np.fft.fft2(u * wx + v * wy) * mask
        return np.fft.ifft2(-advection - 0.02 * square * hat).real.ravel()

    want = solve_ivp(right, (0, 0.5), w0.numpy().ravel(), "DOP853", [0.5], rtol=1e-11, atol=1e-12).y.reshape(n, n)
    got = solve(navier_stokes(n, viscosity=0.02), w0, [0.0, 0.5], dt=0.005).y[0, 1, 0]
    torch.testing.assert_close(got, torch.tensor(want), rtol=0, atol=1e-8)


def test_inviscid_flow_keeps_vorticity_enstrophy_and_energy() -> None:
    w0 = _random_vorticity(48)
    y = solve(navier_stokes(48, viscosity=0.0), w0, [0.0, 1.0], dt=0.005).y[0]
    energy = [velocity(w[None]).square().mean().item() for w in y]
    enstrophy = y.square().mean(dim=(1, 2, 3)).tolist()
    assert abs(y[1].mean().item()) < 1e-15
    assert enstrophy[1] == pytest.approx(enstrophy[0], rel=1e-9)
    assert energy[1] == pytest.approx(energy[0], rel=1e-9)


def test_velocity_has_the_vorticity_and_no_divergence() -> None:
    w = _random_vorticity(32)
    grid = Grid((32, 32), (2 * PI, 2 * PI))
    hat = torch.fft.rfft2(velocity(w))
    curl = torch.fft.irfft2(grid.derivative(0) * hat[:, 1] - grid.derivative(1) * hat[:, 0], s=(32, 32))
    divergence = torch.fft.irfft2(grid.derivative(0) * hat[:, 0] + grid.derivative(1) * hat[:, 1], s=(32, 32))
    torch.testing.assert_close(curl, w[:, 0], rtol=0, atol=1e-12)
    assert divergence.abs().max().item() < 1e-12


@pytest.mark.parametrize(
    ("term", "length"), [(burgers(64, viscosity=0.02), 1.0), (kuramoto_sivashinsky(64), 22.0), (kdv(64), 32.0)]
)
def test_conservation_laws_keep_the_mean(term, length: float) -> None:  # type: ignore[no-untyped-def]
    u0 = 0.3 + initial.wave_packet(Grid((64,), (length,)), torch.Generator().manual_seed(0))
    y = solve(term, u0[None], [0.0, 0.5, 1.0], dt=0.005).y
    torch.testing.assert_close(y.mean(dim=-1), torch.full((1, 3, 1), 0.3, dtype=torch.float64), rtol=0, atol=1e-14)


def test_kdv_keeps_momentum_and_energy_to_the_order_of_the_step() -> None:
    grid = Grid((64,), (32.0,))
    u0 = initial.wave_packet(grid, torch.Generator().manual_seed(0))[None]

    def drifts(dt: float) -> tuple[float, float]:
        y = solve(kdv(64), u0, [0.0, 2.0], dt=dt).y[0, :, 0]
        slope = torch.fft.irfft(torch.fft.rfft(y) * grid.derivative(0), n=64)
        momentum, energy = y.square().mean(-1), (0.5 * slope.square() - y**3).mean(-1)
        return tuple(abs((q[1] / q[0] - 1).item()) for q in (momentum, energy))

    for coarse, fine in zip(drifts(0.004), drifts(0.002), strict=True):
        assert fine < 1e-6
        assert coarse / fine > 2**3.5


def test_inviscid_burgers_keeps_its_energy_before_the_shock() -> None:
    u0 = torch.sin(2 * PI * line(96, 1.0))[None, None]
    y = solve(burgers(96, viscosity=0.0), u0, [0.0, 0.1], dt=0.001).y
    energy = y.square().mean(dim=(2, 3))[0].tolist()
    assert energy[1] == pytest.approx(energy[0], rel=1e-10)


def test_burgers_energy_decays() -> None:
    u0 = torch.sin(2 * PI * line(128, 1.0))[None, None]
    y = solve(burgers(128, viscosity=0.01), u0, torch.linspace(0, 1, 11), dt=0.005).y
    assert bool((y.square().mean(dim=(2, 3)).diff() < 0).all())


def test_kuramoto_sivashinsky_small_waves_grow_at_their_rate() -> None:
    x = line(64, 22.0)
    for mode in (1, 2, 3, 5):
        k = 2 * PI * mode / 22.0
        u0 = 1e-9 * torch.cos(k * x)[None, None]
        y = solve(kuramoto_sivashinsky(64), u0, [0.0, 2.0], dt=0.1).y
        torch.testing.assert_close(y[:, 1], u0 * math.exp(2.0 * (k**2 - k**4)), rtol=0, atol=1e-15)


def test_kuramoto_sivashinsky_against_scipy() -> None:
    n, length = 48, 22.0
    k = 2 * PI * np.fft.rfftfreq(n, length / n)
    u0 = initial.wave_packet(Grid((n,), (length,)), torch.Generator().manual_seed(5))[None]
    derivative = 1j * k
    derivative[-1] = 0
    mask = k < 2 / 3 * PI * n / length * (1 - 1e-9)

    def right(t: float, y: np.ndarray) -> np.ndarray:
        hat = np.fft.rfft(y)
        square = np.fft.rfft(y * y)
        return np.fft.irfft((k**2 - k**4) * hat - 0.5 * derivative * mask * square, n)

    want = solve_ivp(right, (0, 5), u0.numpy().ravel(), "Radau", [5.0], rtol=1e-10, atol=1e-12).y[:, 0]
    got = solve(kuramoto_sivashinsky(n, length), u0, [0.0, 5.0], dt=0.01).y[0, 1, 0]
    torch.testing.assert_close(got, torch.tensor(want), rtol=0, atol=1e-7)


def at_rest(name: str, around: Tensor) -> Tensor:
    """The state ``"b c *n"`` that small waves are put on: a gas or water of density or depth 1, else nothing."""
    kind = EQUATIONS[name]
    level = {"density": 1.0, "depth": 1.0, "energy": 2.5} if kind.averages else {}
    values = torch.tensor([level.get(field, 0.0) for field in kind.fields], dtype=around.dtype)
    return values.view(-1, *(1,) * kind.dimensions).expand_as(around)


@pytest.mark.parametrize("name", EQUATIONS)
def test_halving_the_step_changes_nothing_visible(name: str) -> None:
    kind = EQUATIONS[name]
    points = 32 if kind.dimensions == 1 else 16
    grid = Grid((points,) * kind.dimensions, (kind.length,) * kind.dimensions)
    waves = initial.smooth_noise(grid, torch.Generator().manual_seed(0), fields=len(kind.fields), highest=3)[None]
    u0 = at_rest(name, waves) + (0.01 if kind.averages else 0.5) * waves
    term = kind.build(points=points, length=kind.length)
    fast = name in ("allen_cahn", "wave") or kind.averages  # of those on a box of side 1
    step = 0.0005 if fast else 0.002
    coarse, fine = (solve(term, u0, [0.0, 0.1], dt=dt).y for dt in (step, step / 2))
    assert coarse.shape == (1, 2, len(kind.fields), *grid.points)
    torch.testing.assert_close(coarse, fine, rtol=0, atol=1e-6)


def test_a_finer_grid_gives_the_same_solution() -> None:
    u0 = torch.sin(2 * PI * line(64, 1.0))[None, None]
    coarse = solve(burgers(64, viscosity=0.05), u0, [0.0, 0.3], dt=0.005).y
    fine = solve(burgers(192, viscosity=0.05), resample(u0, [192]), [0.0, 0.3], dt=0.005).y
    torch.testing.assert_close(fine[..., ::3], coarse, rtol=0, atol=1e-9)


def test_three_halves_padding_is_what_the_two_thirds_rule_amounts_to() -> None:
    """With 2/3 of the modes filled, the dealiased product has no alias: compare with an oversampled product."""
    n, kept = 48, 15
    generator = torch.Generator().manual_seed(0)
    hat = torch.zeros(1, 1, n // 2 + 1, dtype=torch.complex128)
    hat[..., 1:kept] = torch.randn(1, 1, kept - 1, dtype=torch.complex128, generator=generator)
    drift = burgers(n).drift(torch.tensor(0.0), hat)
    fine = resample(torch.fft.irfft(hat, n=n), [4 * n])
    product = torch.fft.rfft(resample(fine * fine, [n]))
    grid = Grid((n,), (1.0,))
    want = -0.5 * grid.derivative(0) * product * grid.dealias()
    torch.testing.assert_close(drift, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bad", [{"points": 2}, {"length": -1.0}, {"length": math.nan}])
def test_impossible_grids_are_refused(bad: dict) -> None:
    with pytest.raises(InputError):
        burgers(**bad)


@pytest.mark.parametrize("name", EQUATIONS)
def test_gradients_flow_also_after_a_solve_in_inference_mode(name: str) -> None:
    kind = EQUATIONS[name]
    points = 18
    shape = (1, len(kind.fields), *(points,) * kind.dimensions)
    noise = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u0 = at_rest(name, noise) + (0.01 if kind.averages else 0.1) * noise
    with torch.inference_mode():
        term = kind.build(points=points, length=kind.length)
        solve(term, u0, [0.0, 0.01], dt=0.01)
    u0.requires_grad_()
    solve(term, u0, [0.0, 0.01], dt=0.01).y[:, 1].square().sum().backward()
    assert u0.grad is not None
    assert bool(u0.grad.isfinite().all())
    assert u0.grad.abs().max() > 0


@pytest.mark.parametrize("gradient", [False, True])
def test_the_quadratic_drift_is_its_formula_and_leaves_its_argument_alone(gradient: bool) -> None:
    grid = Grid((24,), (2.0,))
    u = torch.randn(3, 1, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.fft.rfft(u).requires_grad_(gradient)
    before = y.detach().clone()
    got = burgers(24, 2.0).drift(torch.tensor(0.0), y)
    want = -0.5 * grid.derivative(0) * grid.dealias() * torch.fft.rfft(u * u)
    torch.testing.assert_close(got.detach(), want, rtol=0, atol=1e-13)
    assert torch.equal(y.detach(), before)
    if gradient:
        assert torch.autograd.gradcheck(
            lambda v: burgers(24, 2.0).drift(torch.tensor(0.0), torch.fft.rfft(v)), (u.requires_grad_(),)
        )

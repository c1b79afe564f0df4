"""Flow by its velocity: closed forms, what it conserves, and the tracer it carries."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import (
    divergence,
    exact,
    incompressible_flow,
    navier_stokes,
    project,
    tracer_flow,
    velocity,
    vorticity,
)
from sciode.pde.initial import smooth_noise
from sciode.pde.initial_flow import flow_brownian
from sciode.solve import solve
from sciode.spectral import Grid
from tests.order import errors_under_halving, measured_order

PI = math.pi


def flow(points: int = 32, seed: int = 0, highest: int = 5) -> Tensor:
    return flow_brownian(Grid((points, points), (1.0, 1.0)), torch.Generator().manual_seed(seed), highest=highest)[
        None
    ]


def energy(u: Tensor) -> Tensor:
    return 0.5 * u.square().sum(-3).mean((-2, -1))


def enstrophy(u: Tensor) -> Tensor:
    return 0.5 * vorticity(u).square().mean((-3, -2, -1))


@pytest.mark.parametrize("waves", [1, 2])
def test_taylor_green_decays_exactly(waves: int) -> None:
    u0, u1 = (velocity(exact.taylor_green(24, t, 0.05, waves)[None, None]) for t in (0.0, 2.0))
    got = solve(incompressible_flow(24, 2 * PI, 0.05), u0, [0.0, 2.0], dt=0.1).y[:, 1]
    torch.testing.assert_close(got, u1, rtol=0, atol=1e-12)


def test_it_is_the_vorticity_form_in_other_variables() -> None:
    u0 = flow()
    got = solve(incompressible_flow(32, viscosity=2e-3), u0, [0.0, 0.3], dt=0.005).y[:, 1]
    want = solve(navier_stokes(32, 1.0, viscosity=2e-3), vorticity(u0), [0.0, 0.3], dt=0.005).y[:, 1]
    torch.testing.assert_close(vorticity(got), want, rtol=0, atol=1e-7)
    assert (got - u0).abs().max() > 0.1


def test_divergence_stays_zero_and_the_mean_flow_stays() -> None:
    u0 = flow() + torch.tensor([0.3, -0.2], dtype=torch.float64)[:, None, None]
    y = solve(incompressible_flow(32), u0, [0.0, 0.25, 0.5], dt=0.01).y
    assert divergence(y).abs().max() < 1e-12
    torch.testing.assert_close(y.mean((-2, -1)), u0.mean((-2, -1))[:, None].expand(1, 3, 2), rtol=0, atol=1e-14)
    assert (y[:, 2] - y[:, 0]).abs().max() > 0.1


def test_without_viscosity_energy_and_enstrophy_are_conserved_up_to_the_time_step() -> None:
    u0 = 0.3 * flow()
    drifts = []
    for dt in (0.02, 0.01, 0.005):
        y = solve(incompressible_flow(32, viscosity=0.0), u0, [0.0, 0.4], dt=dt).y
        drifts.append([(f(y)[0, 1] / f(y)[0, 0] - 1).abs().item() for f in (energy, enstrophy)])
    assert max(drifts[-1]) < 1e-6
    assert all(a > 12 * b for a, b in zip(drifts[0], drifts[1], strict=True))  # fourth order or better


def test_energy_falls_at_the_rate_of_enstrophy() -> None:
    nu, dt = 5e-3, 1e-3
    y = solve(incompressible_flow(32, viscosity=nu), flow(), [0.0, dt, 2 * dt], dt=dt / 4).y[0]
    rate = (energy(y)[2] - energy(y)[0]) / (2 * dt)
    assert rate.item() == pytest.approx(-2 * nu * enstrophy(y)[1].item(), rel=1e-5)


@pytest.mark.parametrize(("mx", "my"), [(0, 4), (1, 1), (2, -1)])
def test_laminar_kolmogorov_flow_is_the_closed_form(mx: int, my: int) -> None:
    nu, drag, f = 0.02, 0.1, 0.5
    x, y = Grid((32, 32), (1.0, 1.0)).coordinates()
    q = 2 * PI * torch.tensor([mx, my], dtype=torch.float64)
    along = torch.tensor([1.0, 0.0]) - q * q[0] / q.dot(q)
    profile = f / (nu * q.dot(q) + drag) * torch.sin(q[0] * x + q[1] * y)
    laminar = (along[:, None, None] * profile)[None]
    term = incompressible_flow(32, 1.0, nu, drag, f, mx, my)
    got = solve(term, laminar, [0.0, 1.0], dt=0.05).y[:, 1]
    torch.testing.assert_close(got, laminar, rtol=0, atol=1e-13)
    half = solve(term, torch.zeros_like(laminar), [0.0, 0.5], dt=0.05).y[:, 1]
    spun_up = 1 - math.exp(-0.5 * (nu * q.dot(q).item() + drag))
    torch.testing.assert_close(half, spun_up * laminar, rtol=0, atol=1e-13)


def test_time_order_is_four() -> None:
    term, u0 = incompressible_flow(16), flow(16, highest=4)

    def run(dt: float) -> Tensor:
        return solve(term, u0, [0.0, 0.2], dt=dt).y[:, 1]

    errors = errors_under_halving(run, 0.02, run(0.02 / 32))
    assert measured_order(errors) == pytest.approx(4.0, abs=0.25)


def test_a_uniform_flow_carries_the_tracer_exactly() -> None:
    n, speed, t = 32, torch.tensor([0.5, -0.25], dtype=torch.float64), 0.8
    x, y = Grid((n, n), (1.0, 1.0)).coordinates()

    def tracer(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(torch.sin(2 * PI * x) * torch.cos(2 * PI * y))

    start = torch.cat([speed[:, None, None].expand(2, n, n), tracer(x, y)[None]])[None]
    end = solve(tracer_flow(n, diffusivity=0.0), start, [0.0, t], dt=0.002).y[0, 1]
    torch.testing.assert_close(end[2], tracer(x - speed[0] * t, y - speed[1] * t), rtol=0, atol=1e-7)
    torch.testing.assert_close(end[:2], start[0, :2], rtol=0, atol=1e-14)


def test_tracer_mass_is_conserved_its_square_decays_and_it_does_not_act_on_the_flow() -> None:
    u0, n = flow(), 32
    c0 = 1.0 + 0.2 * smooth_noise(Grid((n, n), (1.0, 1.0)), torch.Generator().manual_seed(1))[None]
    y = solve(tracer_flow(n, diffusivity=1e-3), torch.cat([u0, c0], 1), [0.0, 0.1, 0.2, 0.3], dt=0.01).y[0]
    mass = y[:, 2].mean((-2, -1))
    torch.testing.assert_close(mass, mass[0].expand(4), rtol=1e-14, atol=0)
    assert bool((y[:, 2].square().mean((-2, -1)).diff() < 0).all())
    alone = solve(incompressible_flow(n), u0, [0.0, 0.1, 0.2, 0.3], dt=0.01).y[0]
    torch.testing.assert_close(y[:, :2], alone, rtol=0, atol=1e-13)


def test_projection_is_one_and_vorticity_comes_back() -> None:
    field = torch.randn(2, 2, 16, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    once = project(field, (1.0, 2.0))
    assert divergence(once, (1.0, 2.0)).abs().max() < 1e-12
    torch.testing.assert_close(project(once, (1.0, 2.0)), once, rtol=0, atol=1e-14)
    u = flow()
    torch.testing.assert_close(velocity(vorticity(u), 1.0), u, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_gradients_flow(dtype: torch.dtype) -> None:
    u0 = flow(16, highest=3).to(dtype).requires_grad_()
    y = solve(incompressible_flow(16), u0, [0.0, 0.02], dt=0.01).y
    y.square().sum().backward()
    assert y.dtype == dtype
    assert u0.grad is not None and bool(u0.grad.isfinite().all()) and u0.grad.abs().max() > 0


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"whole waves.*0.5"):
        incompressible_flow(32, forcing=1.0, forcing_y=0.5)
    with pytest.raises(InputError, match="more than 36 points"):
        incompressible_flow(32, forcing=1.0, forcing_y=12)
    with pytest.raises(InputError, match="other than 0"):
        incompressible_flow(32, forcing=1.0, forcing_x=2, forcing_y=0)
    with pytest.raises(InputError, match=r"\[1, 8, 8\].*channels 0 and 1"):
        vorticity(torch.zeros(1, 8, 8))

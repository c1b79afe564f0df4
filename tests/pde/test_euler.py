"""Compressible flow: exact solutions, order, conservation, positivity, symmetry, gradients, bad input."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError, UnknownName
from sciode.pde.euler import euler, euler_step, pressure, to_conserved, to_primitive
from sciode.pde.exact_riemann import exact_riemann
from sciode.solve import RungeKutta, Save, solve, tableaus
from tests.order import measured_order

SSP = RungeKutta(tableaus.SSPRK3)
SCHEMES = ("muscl", "weno5")
SOD = (1.0, 0.0, 1.0), (0.125, 0.0, 0.1)


def advance(term, u: Tensor, end: float, dt: float) -> Tensor:  # type: ignore[no-untyped-def]
    y = solve(term, u, [0.0, end], solver=SSP, dt=dt, save=Save.END).y
    assert isinstance(y, Tensor)
    return y


def centres(n: int, length: float = 1.0) -> Tensor:
    return (torch.arange(n, dtype=torch.float64) + 0.5) * (length / n)


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Gases of smooth random fields, "b c *n": a few long waves about a state of speed below one."""
    generator = torch.Generator().manual_seed(seed)
    waves = torch.fft.rfftn(
        torch.randn(shape, dtype=torch.float64, generator=generator), dim=tuple(range(2, len(shape)))
    )
    for axis in range(2, len(shape)):
        n = waves.shape[axis]
        k = torch.arange(n) if axis == len(shape) - 1 else torch.fft.fftfreq(n, 1 / n).abs()
        waves = waves * (k <= 2).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    field = torch.fft.irfftn(waves, s=shape[2:], dim=tuple(range(2, len(shape))))
    w = 0.3 * field / field.abs().max()
    w[:, [0, -1]] += 1.0
    return to_conserved(w)


def averages(function, n: int, length: float) -> Tensor:  # type: ignore[no-untyped-def]
    """Average a field of the plane over cells, by Gauss's rule with four points per axis."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    middle, total = centres(n, length), torch.zeros(())
    for a, wa in zip(nodes, weights, strict=True):
        for b, wb in zip(nodes, weights, strict=True):
            half = 0.5 * length / n
            x, y = torch.meshgrid(middle + a * half, middle + b * half, indexing="ij")
            total = total + 0.25 * wa * wb * function(x - length / 2, y - length / 2)
    return total


def vortex(x: Tensor, y: Tensor) -> Tensor:
    """Shu's isentropic vortex, at rest in a flow of velocity (1, 1)."""
    f = 5.0 / (2 * math.pi) * torch.exp(0.5 * (1 - x**2 - y**2))
    temperature = 1 - 0.4 / 2.8 * f**2
    density = temperature**2.5
    return to_conserved(torch.stack([density, 1 - f * y, 1 + f * x, density * temperature])[None])


@pytest.mark.parametrize(
    ("left", "right", "p", "u"),
    [
        (SOD[0], SOD[1], 0.30313, 0.92745),
        ((1.0, -2.0, 0.4), (1.0, 2.0, 0.4), 0.00189, 0.0),
        ((1.0, 0.0, 1000.0), (1.0, 0.0, 0.01), 460.894, 19.5975),
        ((1.0, 0.0, 0.01), (1.0, 0.0, 100.0), 46.0950, -6.19633),
        ((5.99924, 19.5975, 460.894), (5.99242, -6.19633, 46.0950), 1691.64, 8.68975),
    ],
)
def test_the_exact_solution_has_toros_values(left: tuple, right: tuple, p: float, u: float) -> None:
    """The five tests of Toro's Table 4.2, between the waves: a rounded table."""
    w = exact_riemann(left, right, torch.tensor([u * (1 - 1e-9) - 1e-12], dtype=torch.float64))[:, 0]
    assert w[1].item() == pytest.approx(u, rel=2e-5, abs=1e-12)
    assert w[2].item() == pytest.approx(p, rel=3e-3 if p < 0.01 else 2e-5)


def test_the_exact_solution_meets_rankine_and_hugoniot() -> None:
    left, right = (1.0, 0.0, 1000.0), (1.0, 0.0, 0.01)
    xi = torch.linspace(-60, 60, 24001, dtype=torch.float64)
    u = to_conserved(exact_riemann(left, right, xi).T[..., None])[:, :, 0]
    jumps = (u[1:] - u[:-1]).abs()[:, 2]
    at = int(jumps[xi[1:] > 21].argmax()) + int((xi[1:] <= 21).sum())  # the shock is the fastest wave
    behind, ahead = u[at], u[at + 1]

    def flux(v: Tensor) -> Tensor:
        p = pressure(v[None, :, None])[0, 0]
        return torch.stack([v[1], v[1] ** 2 / v[0] + p, (v[2] + p) * v[1] / v[0]])

    speed = (flux(behind) - flux(ahead)) / (behind - ahead)
    torch.testing.assert_close(speed, speed[0].expand(3), rtol=1e-9, atol=0)
    assert abs(speed[0].item() - xi[at].item()) < 0.01


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sod_converges_to_the_exact_solution_at_about_first_order(scheme: str) -> None:
    errors = []
    for n in (50, 100, 200):
        x = centres(n)
        start = torch.where(
            x < 0.5, torch.tensor(SOD[0]).double()[:, None], torch.tensor(SOD[1]).double()[:, None]
        )
        u = to_conserved(start[None])
        got = to_primitive(advance(euler(n, reconstruction=scheme, boundary="outflow"), u, 0.2, 0.2 / n))
        errors.append((got[0] - exact_riemann(*SOD, (x - 0.5) / 0.2)).abs().mean(1))
    density = [e[0].item() for e in errors]
    assert density[0] < 0.014
    assert density[-1] < 0.0045
    assert measured_order(density) > 0.75
    assert bool((torch.stack(errors).diff(dim=0) < 0).all())


@pytest.mark.parametrize(("scheme", "lowest"), [("muscl", 1.7), ("weno5", 3.6)])
def test_order_on_the_isentropic_vortex(scheme: str, lowest: float) -> None:
    errors = []
    for n in (24, 48):
        u = averages(vortex, n, 10.0)
        got = advance(euler((n, n), 10.0, reconstruction=scheme), u, 0.5, 0.5 / n)
        want = averages(lambda x, y: vortex(x - 0.5, y - 0.5), n, 10.0)
        errors.append((got - want).abs().mean().item())
    assert measured_order(errors) > lowest


@pytest.mark.parametrize(("scheme", "lowest"), [("muscl", 1.7), ("weno5", 4.7)])
def test_order_of_a_moving_density_wave(scheme: str, lowest: float) -> None:
    errors = []
    for n in (20, 40):
        edge = torch.arange(n + 1, dtype=torch.float64) / n
        density = 1 - 0.2 / (2 * math.pi) * n * torch.cos(2 * math.pi * edge).diff()  # averages of 1 + sin / 5
        one = torch.ones_like(density)
        u = to_conserved(torch.stack([density, one, one])[None])
        # Steps so short that the error of time does not show.
        got = advance(euler(n, reconstruction=scheme), u, 0.25, 0.3 / n**1.67)
        want = torch.roll(u, n // 4, dims=-1)
        errors.append((got - want).abs().mean().item())
    assert measured_order(errors) > lowest


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", [(3, 3, 40), (2, 4, 16, 12)])
def test_a_periodic_box_keeps_everything(scheme: str, shape: tuple) -> None:
    u = smooth(*shape)
    term = euler(shape[2:], tuple(0.1 * n for n in shape[2:]), reconstruction=scheme)
    after = advance(term, u, 0.5, 0.02)
    space = tuple(range(2, u.dim()))
    torch.testing.assert_close(after.mean(space), u.mean(space), rtol=0, atol=1e-14)
    assert (after - u).abs().max() > 0.05


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_blast_beyond_mach_ten_stays_positive(scheme: str) -> None:
    between = exact_riemann((1.0, 0.0, 1000.0), (1.0, 0.0, 0.01), torch.zeros(1, dtype=torch.float64))[2].item()
    mach = math.sqrt(1 + 2.4 / 2.8 * (between / 0.01 - 1))
    assert mach > 10
    n = 24
    x, y = torch.meshgrid(centres(n), centres(n), indexing="ij")
    inside = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1**2
    one = torch.ones_like(x)
    p = torch.where(inside, 1000.0 * one, 0.01 * one)
    u = to_conserved(torch.stack([one, 0 * one, 0 * one, p])[None])
    y_ = solve(
        euler((n, n), reconstruction=scheme),
        u,
        torch.linspace(0, 0.01, 6, dtype=torch.float64),
        solver=SSP,
        dt=euler_step(u, cfl=0.2),
    ).y
    assert isinstance(y_, Tensor)
    assert y_.isfinite().all()
    assert y_[0, :, 0].min() > 0
    assert pressure(y_[0]).min() > 0
    assert y_[0, -1, 0].min() < 0.5  # the gas behind the shock has thinned out


def test_the_limiter_is_what_keeps_a_near_vacuum_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two streams that part: without the limiter the fifth-order values go below zero."""
    from sciode.pde.euler import Gas

    n = 100
    x = centres(n)
    one = torch.ones_like(x)
    u = to_conserved(torch.stack([one, torch.where(x < 0.5, -2.0, 2.0).double(), 0.05 * one])[None])
    term = euler(n, reconstruction="weno5", boundary="outflow")
    dt = euler_step(u, cfl=1 / 12)
    with_it = advance(term, u, 0.1, dt)
    assert with_it[:, 0].min() > 0
    assert pressure(with_it).min() > 0
    monkeypatch.setattr(Gas, "limit", lambda self, faces, mean: faces)
    without = advance(term, u, 0.1, dt)
    assert not bool((without.isfinite().all()) & (without[:, 0].min() > 0) & (pressure(without).min() > 0))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_mirror_and_a_turn_commute_with_the_flow(scheme: str) -> None:
    u = smooth(1, 4, 16, 16)
    term = euler((16, 16), reconstruction=scheme)
    mirrored = u.flip(2) * torch.tensor([1.0, -1.0, 1.0, 1.0]).double()[:, None, None]
    exchanged = u.transpose(2, 3)[:, [0, 2, 1, 3]]
    after = advance(term, u, 0.05, 0.005)
    want = after.flip(2) * torch.tensor([1.0, -1.0, 1.0, 1.0]).double()[:, None, None]
    torch.testing.assert_close(advance(term, mirrored, 0.05, 0.005), want, rtol=0, atol=1e-13)
    got = advance(term, exchanged, 0.05, 0.005)
    torch.testing.assert_close(got, after.transpose(2, 3)[:, [0, 2, 1, 3]], rtol=0, atol=1e-13)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_line_in_the_plane_is_the_line(scheme: str) -> None:
    line = smooth(1, 3, 24)
    plane = torch.cat([line[:, :2], 0 * line[:, :1], line[:, 2:]], dim=1)[..., None].expand(1, 4, 24, 8)
    along = advance(euler((24, 8), (1.0, 0.3), reconstruction=scheme), plane, 0.05, 0.005)
    want = advance(euler(24, reconstruction=scheme), line, 0.05, 0.005)
    torch.testing.assert_close(along[:, [0, 1, 3], :, 5], want, rtol=0, atol=1e-13)
    assert along[:, 2].abs().max() < 1e-14


@pytest.mark.parametrize("scheme", SCHEMES)
def test_samples_do_not_know_their_batch(scheme: str) -> None:
    u = smooth(3, 4, 12, 12)
    term = euler((12, 12), reconstruction=scheme)
    whole, alone = advance(term, u, 0.05, 0.01), advance(term, u[1:2], 0.05, 0.01)
    torch.testing.assert_close(whole[1:2], alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("boundary", ["periodic", "outflow"])
def test_a_free_stream_is_preserved(scheme: str, boundary: str) -> None:
    w = torch.tensor([1.2, 0.7, -0.4, 2.0]).double()[None, :, None, None].expand(2, 4, 8, 9)
    u = to_conserved(w)
    after = advance(euler((8, 9), reconstruction=scheme, boundary=boundary), u, 0.3, 0.01)
    torch.testing.assert_close(after, u, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 4, 6, 6)])
def test_gradients_are_those_of_finite_differences(scheme: str, shape: tuple) -> None:
    drift = euler(shape[2:], reconstruction=scheme).drift
    u, s = smooth(*shape, seed=3), torch.tensor(0.0)
    direction = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    leaf = u.clone().requires_grad_()
    (drift(s, leaf) * weight).sum().backward()  # type: ignore[operator]
    got = (leaf.grad * direction).sum().item()  # type: ignore[operator]
    h = 1e-6
    ahead, back = ((drift(s, u + e * direction) * weight).sum().item() for e in (h, -h))  # type: ignore[operator]
    assert got == pytest.approx((ahead - back) / (2 * h), rel=1e-5)


def test_gradients_are_finite_at_a_state_at_rest() -> None:
    for scheme in SCHEMES:
        u = to_conserved(torch.tensor([1.0, 0.0, 1.0]).double()[None, :, None].expand(1, 3, 8)).requires_grad_()
        advance(euler(8, reconstruction=scheme), u, 0.1, 0.02).square().sum().backward()
        assert u.grad is not None
        assert bool(u.grad.isfinite().all())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_float32_follows_float64(scheme: str) -> None:
    u = smooth(1, 4, 16, 16)
    term = euler((16, 16), reconstruction=scheme)
    low = advance(term, u.float(), 0.1, 0.01)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), advance(term, u, 0.1, 0.01), rtol=0, atol=1e-4)


def test_variables_come_back() -> None:
    u = smooth(2, 4, 8, 8)
    torch.testing.assert_close(to_conserved(to_primitive(u)), u, rtol=0, atol=1e-15)


def test_the_step_scales_with_the_grid_and_the_courant_number() -> None:
    w = torch.tensor([1.4, 2.0, -1.0, 1.0]).double()[None, :, None, None].expand(1, 4, 10, 20)
    step = euler_step(to_conserved(w), (1.0, 4.0), cfl=0.6)
    assert step == pytest.approx(0.6 / (3.0 / 0.1 + 2.0 / 0.2))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: euler(64, gamma=1.0), InputError, "gamma must be a number above 1.* found 1.0"),
        (lambda: euler(64, gamma=math.nan), InputError, "found nan"),
        (lambda: euler(5), InputError, r"at least 6 cells per axis, found \(5,\); use more"),
        (lambda: euler((8, 8, 8)), InputError, "one or two axes"),
        (lambda: euler(8, length=-1.0), InputError, "positive and finite, found .*-1.0"),
        (lambda: euler(8, reconstruction="weno"), UnknownName, "did you mean 'weno5'"),
        (lambda: euler(8, boundary="wall"), UnknownName, "unknown boundary 'wall'"),
        (lambda: advance(euler(8), torch.ones(2, 4, 8), 0.1, 0.1), InputError, r"\[b, 3, 8\], found \[2, 4, 8\]"),
        (lambda: advance(euler(8), torch.ones(2, 3, 9), 0.1, 0.1), InputError, r"\[b, 3, 8\], found \[2, 3, 9\]"),
        (lambda: advance(euler(8), torch.full((1, 3, 8), math.nan), 0.1, 0.1), InputError, "NaN"),
        (lambda: euler_step(torch.full((1, 3, 8), math.nan)), InputError, "density .* sample 0 has nan at cell"),
        (lambda: euler_step(torch.ones(1, 5, 8)), InputError, r"'b 3 \*n', found \[1, 5, 8\]"),
        (lambda: euler_step(smooth(1, 3, 8), cfl=0.0), InputError, "cfl must be .* found 0.0"),
        (lambda: exact_riemann((1, 0, -1), (1, 0, 1), torch.zeros(1)), InputError, r"found \(1, 0, -1\)"),
        (lambda: exact_riemann((1, -20, 1), (1, 20, 1), torch.zeros(1)), InputError, "vacuum"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], match: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=match):
        call()


def test_a_pressure_below_zero_is_named_with_its_sample() -> None:
    u = smooth(2, 3, 8)
    u[1, 2, 4] = 0.0
    with pytest.raises(InputError, match=r"pressure must be positive.* sample 1 has -.* at cell \[4\]"):
        euler_step(u)

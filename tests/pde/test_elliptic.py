"""Steady problems against manufactured solutions, with their orders."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import darcy, helmholtz, poisson
from sciode.pde.elliptic import _darcy_matrix
from tests.order import measured_order

PI = math.pi


def nodes(n: int) -> tuple[Tensor, Tensor]:
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    return torch.meshgrid(x, x, indexing="ij")


def cells(n: int) -> tuple[Tensor, Tensor]:
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.meshgrid(x, x, indexing="ij")


def bubble(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """u = x(1-x) e^x sin(pi y) and its -Delta u; the source does not vanish on the border."""
    u = x * (1 - x) * torch.exp(x) * torch.sin(PI * y)
    curved = (-3 * x - x * x) * torch.exp(x) * torch.sin(PI * y)
    return u, PI**2 * u - curved


def test_poisson_is_fourth_order() -> None:
    errors = []
    for n in (9, 17, 33, 65):
        u, f = bubble(*nodes(n))
        errors.append((poisson(f) - u).abs().max().item())
    assert measured_order(errors) == pytest.approx(4.0, abs=0.1)


def test_poisson_on_a_longer_side_in_batches_and_float32() -> None:
    u, f = bubble(*nodes(33))
    got = poisson(torch.stack([f, -2 * f])[:, None] / 9, length=3.0)
    torch.testing.assert_close(got[:, 0], torch.stack([u, -2 * u]), rtol=0, atol=1e-5)
    single = poisson(f.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), u, rtol=0, atol=1e-5)
    assert torch.autograd.gradcheck(lambda f: poisson(f), (torch.randn(5, 5).double().requires_grad_(),))


def test_helmholtz_is_second_order() -> None:
    errors = []
    for n in (17, 33, 65):
        x, y = nodes(n)
        u, minus_laplacian = bubble(x, y)
        u, a = u + 1 + x * y, 1 + 0.5 * torch.sin(3 * x + y)  # x y and 1 have no Laplacian
        f = minus_laplacian - 7.0**2 * a * u
        got = helmholtz(a[None, None], u[None, None], f[None, None], frequency=7.0)
        errors.append((got[0, 0] - u).abs().max().item())
    assert measured_order(errors) == pytest.approx(2.0, abs=0.15)


def test_helmholtz_at_frequency_zero_with_a_linear_border_is_linear_and_samples_are_apart() -> None:
    x, y = nodes(17)
    border = torch.stack([x + 2 * y, torch.ones_like(x)])[:, None]
    got = helmholtz(torch.ones_like(border), border, frequency=0.0)
    torch.testing.assert_close(got, border, rtol=0, atol=1e-13)


def test_darcy_is_second_order_in_a_smooth_medium() -> None:
    errors = []
    for n in (16, 32, 64):
        x, y = cells(n)
        u = torch.sin(PI * x) * torch.sin(2 * PI * y)
        a = torch.exp(x + 0.5 * y)
        ux, uy = PI * torch.cos(PI * x) * torch.sin(2 * PI * y), 2 * PI * torch.sin(PI * x) * torch.cos(2 * PI * y)
        f = a * (5 * PI**2 * u - ux - 0.5 * uy)
        errors.append((darcy(a[None, None], f[None, None])[0, 0] - u).abs().max().item())
    assert measured_order(errors) == pytest.approx(2.0, abs=0.15)


def test_darcy_across_a_jump_conserves_the_flux() -> None:
    x, y = cells(24)
    a = torch.where(x + 0.3 * y < 0.6, 0.1, 1.0)
    u = darcy(a[None, None], 3.0)[0, 0]
    walls = [(a[0], u[0]), (a[-1], u[-1]), (a[:, 0], u[:, 0]), (a[:, -1], u[:, -1])]
    outflow = sum((2 * medium * value).sum().item() for medium, value in walls)
    assert outflow == pytest.approx(3.0, rel=1e-12)
    assert u.min() > 0
    matrix = _darcy_matrix(a.numpy())
    assert abs(matrix - matrix.T).max() == 0
    torch.testing.assert_close(darcy(10 * a[None, None], 3.0)[0, 0], u / 10)


def test_layers_across_the_flow_meet_the_closed_form() -> None:
    """A source that depends on x alone makes the middle of a strip of many samples one-dimensional."""
    # In one dimension -(a u')' = 0 between jumps: flux continuous. Here by symmetry in y of a manufactured u.
    x, y = cells(48)
    a = torch.where(x < 0.5, 1.0, 4.0)
    # u = sin(pi y) w(x), w'' with a w' continuous at 1/2: w = x (1 - x) (x - 1/2) / a.
    w = x * (1 - x) * (x - 0.5) / a
    curved = (3 - 6 * x) / a
    u = w * torch.sin(PI * y)
    f = -a * curved * torch.sin(PI * y) + a * PI**2 * u
    assert (darcy(a[None, None], f[None, None])[0, 0] - u).abs().max() < 2e-4


def test_bad_input_is_named() -> None:
    good = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    with pytest.raises(InputError, match=r"source is real.*\[8, 6\]"):
        poisson(torch.ones(8, 6))
    with pytest.raises(InputError, match=r"positive, found -1"):
        poisson(good, length=-1.0)
    with pytest.raises(InputError, match=r"'b 1 n n'.*\[8, 8\]"):
        darcy(good[0, 0])
    with pytest.raises(InputError, match=r"positive everywhere, found -2"):
        darcy(-2 * good)
    with pytest.raises(InputError, match=r"border has the shape.*\[1, 1, 8, 8\].*\[1, 1, 9, 9\]"):
        helmholtz(good, torch.ones(1, 1, 9, 9))
    with pytest.raises(InputError, match=r"number or has the shape.*\[8\]"):
        darcy(good, torch.ones(8))
    h = 1 / 7
    # omega^2 is then the first eigenvalue of the discrete Laplacian.
    resonance = math.sqrt(8 / h**2) * math.sin(PI * h / 2)
    with pytest.raises(InputError, match="change the frequency"):
        helmholtz(good, good, frequency=resonance)

"""phi-functions against 60-digit arithmetic."""

import math

import mpmath
import pytest
import torch

from sciode.solve import phi, scaled_phi


def exact(order: int, z: complex) -> complex:
    """phi by its own Taylor series near zero and by its definition elsewhere, in 80 digits."""
    with mpmath.workdps(80):
        z = mpmath.mpmathify(z)
        if abs(z) < 1:
            return complex(mpmath.nsum(lambda j: z**j / mpmath.factorial(j + order), [0, 60]))
        head = mpmath.fsum(z**j / mpmath.factorial(j) for j in range(order))
        return complex((mpmath.exp(z) - head) / z**order)


POINTS = [-1e4, -745.0, -50.0, -7.3, -3.0, -2.0001, -1.9999, -1.0001, -0.9999, -0.3, -1e-3, -1e-9, 0.0,
          1e-12, 1e-5, 0.1, 0.9999, 1.0001, 1.9999, 2.0001, 5.0, 40.0, 300.0]  # fmt: skip


@pytest.mark.parametrize("order", range(5))
def test_real_arguments_to_1e14(order: int) -> None:
    got = phi(order, torch.tensor(POINTS, dtype=torch.float64))
    for z, value in zip(POINTS, got.tolist(), strict=True):
        want = exact(order, z).real
        assert abs(value - want) <= 1e-14 * abs(want), (order, z, value, want)


@pytest.mark.parametrize("order", range(5))
def test_complex_arguments_to_1e14(order: int) -> None:
    radii = [1e-6, 0.3, 0.97, 1.03, 1.9, 2.1, 4.0, 11.0, 80.0, 1e3]
    angles = [0.4, 1.2, 1.5707, 2.0, 2.7, -1.1, -2.2]
    points = [r * complex(math.cos(a), math.sin(a)) for r in radii for a in angles if r * math.cos(a) < 300]
    got = phi(order, torch.tensor(points, dtype=torch.complex128))
    for z, value in zip(points, got.tolist(), strict=True):
        want = exact(order, z)
        assert abs(value - want) <= 1e-14 * abs(want), (order, z, value, want)


@pytest.mark.parametrize("order", range(5))
def test_a_dense_sweep_has_no_weak_spot(order: int) -> None:
    z = torch.cat([-torch.logspace(-8, 4, 150), torch.logspace(-8, math.log10(300), 100)]).double()
    for point, value in zip(z.tolist(), phi(order, z).tolist(), strict=True):
        want = exact(order, point).real
        assert abs(value - want) <= 1e-14 * abs(want) + 5e-324, (point, value, want)  # the smallest denormal


def test_recurrence_holds() -> None:
    z = torch.linspace(-30, 5, 71, dtype=torch.float64)
    z = z[z != 0]
    for k in range(4):
        torch.testing.assert_close(phi(k + 1, z) * z, phi(k, z) - 1 / math.factorial(k), rtol=1e-12, atol=1e-13)


def test_float32_input_is_computed_in_float64() -> None:
    assert phi(2, torch.tensor([0.5])).dtype == torch.float64
    assert phi(2, torch.tensor([0.5j])).dtype == torch.complex128


@pytest.mark.parametrize("order", [0, 1, 3])
def test_gradient_everywhere_even_at_zero(order: int) -> None:
    z = torch.tensor([-40.0, -2.5, -1e-4, 0.0, 0.7, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: phi(order, x), (z,))


def test_infinite_step_is_the_limit() -> None:
    rate = torch.tensor([-1.0, -3.0], dtype=torch.float64)
    for order in (1, 2, 3):
        far = scaled_phi(order, 0.5, rate, 1e12)
        torch.testing.assert_close(scaled_phi(order, 0.5, rate, math.inf), far, rtol=1e-10, atol=0)
    assert scaled_phi(0, 1.0, rate, math.inf).tolist() == [0.0, 0.0]

"""GMRES, Jacobians, and the linear systems of Newton's method, against dense linear algebra."""

import pytest
import torch
from torch import Tensor

from sciode.solve import DenseNewton, NewtonKrylov
from sciode.solve.jacobian import dense, pull, push
from sciode.solve.krylov import gmres

F64 = torch.float64


def systems(batch: int, n: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    return torch.randn(batch, n, n, dtype=F64, generator=g) + n * torch.eye(n), torch.randn(
        batch, n, dtype=F64, generator=g
    )


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_gmres_solves_every_sample(n: int) -> None:
    A, b = systems(4, n)
    b[2] = 0.0
    found = gmres(lambda v: torch.einsum("bij,bj->bi", A, v), b, 1e-13, n)
    torch.testing.assert_close(found.x, torch.linalg.solve(A, b), rtol=1e-10, atol=1e-12)


def test_gmres_reports_its_residual_and_stops_at_the_tolerance() -> None:
    A, b = systems(3, 40)
    calls = []

    def apply(v: Tensor) -> Tensor:
        calls.append(1)
        return torch.einsum("bij,bj->bi", A, v)

    found = gmres(apply, b, 1e-4, 40)
    residual = (b - torch.einsum("bij,bj->bi", A, found.x)).norm(dim=1) / b.norm(dim=1)
    torch.testing.assert_close(residual, found.residual, rtol=1e-6, atol=1e-14)
    assert bool((residual <= 1e-4).all()) and len(calls) < 20


def test_gmres_ends_a_sample_whose_space_is_exhausted() -> None:
    """The right side is an eigenvector of one sample and not of the other."""
    A = torch.diag_embed(torch.tensor([[2.0, 3.0, 5.0], [2.0, 3.0, 5.0]], dtype=F64))
    b = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=F64)
    found = gmres(lambda v: torch.einsum("bij,bj->bi", A, v), b, 1e-14, 3)
    torch.testing.assert_close(found.x, torch.linalg.solve(A, b), rtol=1e-13, atol=1e-15)


def test_a_good_preconditioner_leaves_one_vector() -> None:
    A, b = systems(2, 12)
    inverse = torch.linalg.inv(A)
    found = gmres(
        lambda v: torch.einsum("bij,bj->bi", A, v), b, 1e-12, 1, lambda v: torch.einsum("bij,bj->bi", inverse, v)
    )
    torch.testing.assert_close(found.x, torch.linalg.solve(A, b), rtol=1e-10, atol=1e-12)


def test_jacobians_agree() -> None:
    A, y = systems(3, 5)

    def f(x: Tensor) -> Tensor:
        return torch.sin(torch.einsum("bij,bj->bi", A, x))

    J = dense(f, y)
    want = torch.cos(torch.einsum("bij,bj->bi", A, y))[:, :, None] * A
    torch.testing.assert_close(J, want)
    torch.testing.assert_close(push(f, y)(y), torch.einsum("bij,bj->bi", want, y))
    torch.testing.assert_close(pull(f, y)(y), torch.einsum("bij,bi->bj", want, y))


@pytest.mark.parametrize("newton", [DenseNewton(), NewtonKrylov(forcing=1e-12)], ids=["dense", "krylov"])
@pytest.mark.parametrize("sigma", [0.3, torch.tensor([[0.3], [0.0], [-0.1]], dtype=F64)], ids=["shared", "each"])
def test_linear_systems_of_a_stage(newton: DenseNewton | NewtonKrylov, sigma: float | Tensor) -> None:
    A, y = systems(3, 6)
    rate = -torch.arange(6, dtype=F64).expand(3, 6)

    def f(x: Tensor) -> Tensor:
        return torch.sin(torch.einsum("bij,bj->bi", A, x)) + rate * x

    scale = sigma[:, :, None] if isinstance(sigma, Tensor) else sigma
    M = torch.eye(6, dtype=F64) - scale * dense(f, y)
    ready = newton.prepare(f, y, sigma, rate)
    torch.testing.assert_close(newton.increment(ready, f, y, sigma, y), torch.linalg.solve(M, y))
    torch.testing.assert_close(newton.transposed(f, y, sigma, rate, y), torch.linalg.solve(M.mT, y))

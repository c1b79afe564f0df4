"""The update against Gaussian conditioning written out, its exact limit, and what it refuses."""

import pytest
import torch
from torch import Tensor

from sciode.constraints import Covariance, Dense, Diagonal, LinearConstraint, LowRank, Product
from sciode.core.errors import InputError

N, M = 7, 3


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix() -> Tensor:
    a = torch.randn(N, N, dtype=torch.float64, generator=draw(1))
    return a @ a.mT


def kinds() -> dict[str, tuple[Covariance, Tensor]]:
    variance = torch.rand(N, dtype=torch.float64, generator=draw(2)) + 0.1
    factor = torch.randn(N, 2, dtype=torch.float64, generator=draw(3))
    members = torch.randn(20, N, dtype=torch.float64, generator=draw(4))
    dense = matrix()
    return {
        "diagonal": (Diagonal(variance), variance.diag()),
        "low rank": (LowRank(variance, factor), variance.diag() + factor @ factor.mT),
        "ensemble": (LowRank.of_ensemble(members), torch.cov(members.mT)),
        "dense": (Dense(dense), dense),
        "product": (
            Product(lambda rows: rows @ dense, dense.diagonal(), lambda z: z @ torch.linalg.cholesky(dense).mT),
            dense,
        ),
    }


def law(slack: float = 0.0) -> LinearConstraint:
    rows = torch.randn(M, N, dtype=torch.float64, generator=draw(5))
    return LinearConstraint(rows, torch.randn(M, dtype=torch.float64, generator=draw(6)), slack)


@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize("slack", [0.0, 0.3])
def test_the_update_is_gaussian_conditioning(name: str, slack: float) -> None:
    covariance, dense = kinds()[name]
    mean = torch.randn(4, N, dtype=torch.float64, generator=draw(7))
    constraint = law(slack)
    rows, value = constraint.operator, constraint.value
    inner = torch.linalg.inv(rows @ dense @ rows.mT + slack**2 * torch.eye(M, dtype=torch.float64))
    gain = dense @ rows.mT @ inner
    after, posterior = constraint.condition(mean, covariance)
    torch.testing.assert_close(after, mean - (mean @ rows.mT - value) @ gain.mT, rtol=0, atol=1e-10)
    want = dense - gain @ rows @ dense
    eye = torch.eye(N, dtype=torch.float64)
    torch.testing.assert_close(posterior.apply(eye), want, rtol=0, atol=1e-10)
    torch.testing.assert_close(posterior.diagonal(), want.diagonal(), rtol=0, atol=1e-10)
    if not slack:
        assert float(constraint.residual(after).abs().max()) < 1e-12


@pytest.mark.parametrize("name", ["diagonal", "low rank", "dense", "product"])
@pytest.mark.parametrize("slack", [0.0, 0.3])
def test_draws_have_the_covariance_and_keep_the_law(name: str, slack: float) -> None:
    covariance, _ = kinds()[name]
    constraint = law(slack)
    mean, posterior = constraint.condition(torch.zeros(N, dtype=torch.float64), covariance)
    draws = posterior.sample((40000,), draw(8))
    want = posterior.apply(torch.eye(N, dtype=torch.float64))
    sizes = posterior.diagonal().sqrt()
    scale = torch.outer(sizes, sizes).clamp_min(1e-12)
    assert float(((torch.cov(draws.mT) - want) / scale).abs().max()) < 0.05
    if not slack:
        assert float(constraint.residual(mean + draws[:100]).abs().max()) < 1e-12


def test_small_slack_tends_to_the_exact_limit() -> None:
    covariance, _ = kinds()["dense"]
    mean = torch.randn(N, dtype=torch.float64, generator=draw(7))
    exact, _ = law().condition(mean, covariance)
    gaps = [float((law(s).condition(mean, covariance)[0] - exact).abs().max()) for s in (1e-1, 1e-2, 1e-3)]
    assert gaps[1] < 0.02 * gaps[0] and gaps[2] < 0.02 * gaps[1]  # as the square


@pytest.mark.parametrize("shape", [(3, N), (3, 1, N), (2, 2, 3, 3)])
def test_projection_is_the_nearest_state(shape: tuple[int, ...]) -> None:
    n = shape[-1] if len(shape) == 2 else torch.Size(shape[1:]).numel()
    rows = torch.randn(2, n, dtype=torch.float64, generator=draw(5))
    constraint = LinearConstraint(rows, torch.tensor([1.0, -2.0], dtype=torch.float64))
    u = torch.randn(shape, dtype=torch.float64, generator=draw(7))
    near = constraint.project(u)
    assert near.shape == u.shape
    assert float(constraint.residual(near).abs().max()) < 1e-12
    moved = (near - u).reshape(len(u), n)
    along = torch.linalg.lstsq(rows.mT, moved.mT).solution
    torch.testing.assert_close(rows.mT @ along, moved.mT, rtol=0, atol=1e-12)  # along the rows alone
    torch.testing.assert_close(constraint.project(near), near, rtol=0, atol=1e-12)


def test_float32_conserves_to_its_round_off() -> None:
    n = 40000
    rows = torch.full((1, n), 1.0 / n)
    constraint = LinearConstraint(rows, torch.tensor([3.0]))
    u = 3 + torch.randn(5, n, generator=draw(7))
    assert float(constraint.residual(constraint.project(u)).abs().max()) < 3e-7
    after, _ = constraint.condition(u, torch.rand(n, generator=draw(1)) + 0.1)
    assert after.dtype == torch.float32
    assert float(constraint.residual(after).abs().max()) < 3e-7


def test_corrections_go_where_the_variance_is() -> None:
    variance = torch.zeros(N, dtype=torch.float64)
    variance[2:4] = torch.tensor([1.0, 3.0])
    mass = LinearConstraint(torch.ones(1, N, dtype=torch.float64), torch.tensor([4.0], dtype=torch.float64))
    mean, posterior = mass.condition(torch.zeros(N, dtype=torch.float64), variance)
    assert mean.tolist() == pytest.approx([0, 0, 1, 3, 0, 0, 0], abs=1e-14)
    assert posterior.diagonal().tolist() == pytest.approx([0, 0, 0.75, 0.75, 0, 0, 0], abs=1e-14)


def test_gradients_agree_with_differences() -> None:
    constraint = law()

    def both(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        after, posterior = constraint.condition(mean, variance)
        return after, posterior.diagonal()

    mean = torch.randn(2, N, dtype=torch.float64, generator=draw(7), requires_grad=True)
    variance = (torch.rand(2, N, dtype=torch.float64, generator=draw(8)) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(both, (mean, variance))
    assert torch.autograd.gradcheck(constraint.project, (mean,))


def test_values_and_variances_may_differ_by_sample() -> None:
    rows = law().operator
    value = torch.randn(4, M, dtype=torch.float64, generator=draw(9))
    variance = torch.rand(4, N, dtype=torch.float64, generator=draw(2)) + 0.1
    mean = torch.randn(4, N, dtype=torch.float64, generator=draw(7))
    whole, posterior = LinearConstraint(rows, value).condition(mean, variance)
    for i in range(4):
        one, own = LinearConstraint(rows, value[i]).condition(mean[i], variance[i])
        torch.testing.assert_close(whole[i], one, rtol=0, atol=1e-12)
        torch.testing.assert_close(posterior.diagonal()[i], own.diagonal(), rtol=0, atol=1e-12)


def test_rows_that_say_the_same_are_taken_once() -> None:
    rows, value = law().operator, law().value
    twice = LinearConstraint(torch.cat([rows, rows[:1] + rows[1:2]]), torch.cat([value, value[:1] + value[1:2]]))
    mean, covariance = torch.randn(N, dtype=torch.float64, generator=draw(7)), kinds()["dense"][0]
    once, _ = law().condition(mean, covariance)
    torch.testing.assert_close(twice.condition(mean, covariance)[0], once, rtol=0, atol=1e-8)


def test_rows_that_disagree_are_named() -> None:
    rows, value = law().operator, law().value
    gap = f"{1 / (2**0.5 * rows[1].norm()):.3g}"
    with pytest.raises(
        InputError, match=rf"rows \[1, 3\] depend on each other and their values disagree, by {gap}"
    ):
        LinearConstraint(torch.cat([rows, rows[1:2]]), torch.cat([value, value[1:2] + 1.0]))


def test_a_mean_that_cannot_move_is_named() -> None:
    rows = torch.zeros(2, N, dtype=torch.float64)
    rows[0, 0], rows[1, 1] = 1.0, 1.0
    variance = torch.ones(N, dtype=torch.float64)
    variance[1] = 0.0
    stuck = LinearConstraint(rows, torch.ones(2, dtype=torch.float64))
    with pytest.raises(InputError, match="row 1 is missed by 1, but the prediction has no variance"):
        stuck.condition(torch.zeros(N, dtype=torch.float64), variance)
    there = torch.zeros(N, dtype=torch.float64)
    there[1] = 1.0
    assert stuck.condition(there, variance)[0][:2].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Diagonal(torch.tensor([1.0, -2.0])), r"no negative variance: found -2 at \(1,\)"),
        (
            lambda: Dense(torch.tensor([[1.0, 2.0], [2.0, 1.0]])),
            "not positive semidefinite: its smallest eigenvalue is -1",
        ),
        (lambda: Dense(torch.tensor([[1.0, 0.5], [0.0, 1.0]])), "not symmetric"),
        (lambda: LinearConstraint(torch.zeros(1, 3), torch.zeros(1)), "row 0 of the operator is zero"),
        (lambda: LinearConstraint(torch.ones(2, 3), torch.zeros(1)), "2 rows take as many values"),
        (lambda: LinearConstraint(torch.ones(1, 3), torch.zeros(1), -1.0), "slack is a standard deviation"),
        (lambda: law().residual(torch.zeros(5)), "on 7 unknowns, found a state of shape"),
        (
            lambda: law().condition(torch.zeros(N), Diagonal(torch.ones(5))),
            "covariance of 5 unknowns does not fit a mean of 7",
        ),
        (lambda: LowRank.of_ensemble(torch.zeros(1, 3)), "two members or more"),
    ],
)
def test_bad_input_is_named(make: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        make()  # type: ignore[operator]


def test_a_state_may_have_a_shape() -> None:
    rows = torch.randn(2, 6, dtype=torch.float64, generator=draw(5))
    u = torch.randn(4, 5, 2, 3, dtype=torch.float64, generator=draw(7))
    value = torch.randn(4, 1, 2, dtype=torch.float64, generator=draw(6))
    shaped, flat = LinearConstraint(rows, value, shape=(2, 3)), LinearConstraint(rows, value)
    assert shaped.residual(u).shape == (4, 5, 2)
    torch.testing.assert_close(shaped.project(u), flat.project(u.flatten(2)).reshape(u.shape), rtol=0, atol=0)
    after, posterior = shaped.condition(u, u.square())
    assert after.shape == u.shape and posterior.diagonal().shape == (4, 5, 6)
    assert float(shaped.residual(after).abs().max()) < 1e-13
    torch.testing.assert_close(shaped.flat().project(u.flatten(2)), flat.project(u.flatten(2)), rtol=0, atol=0)


def test_values_that_would_mix_samples_are_refused() -> None:
    each = LinearConstraint(torch.ones(1, 6), torch.ones(4, 1))
    assert each.project(torch.zeros(4, 6)).shape == (4, 6)
    assert each.project(torch.zeros(4, 2, 3)).shape == (4, 2, 3)
    with pytest.raises(InputError, match="say what one state is with shape="):
        each.project(torch.zeros(4, 1, 6))  # a batch of 4 by 1, or 4 states of one channel?
    with pytest.raises(InputError, match=r"no law of states of shape \(2, 2\)"):
        LinearConstraint(torch.ones(1, 6), torch.ones(1), shape=(2, 2))
    with pytest.raises(InputError, match=r"states of shape \[2, 3\]"):
        LinearConstraint(torch.ones(1, 6), torch.ones(1), shape=(2, 3)).project(torch.zeros(4, 6))


def test_nearly_dependent_rows_are_met_to_round_off() -> None:
    rows = law().operator
    close = torch.cat([rows, rows[:1] + 1e-4 * torch.randn(1, N, dtype=torch.float64, generator=draw(11))])
    constraint = LinearConstraint(close, torch.tensor([0.3, -0.2, 0.5, 0.3], dtype=torch.float64))
    mean, covariance = torch.randn(N, dtype=torch.float64, generator=draw(7)), kinds()["dense"][0]
    after, posterior = constraint.condition(mean, covariance)
    size = float(after.abs().max())
    assert float(constraint.residual(after).abs().max()) < 1e-14 * max(1.0, size)
    assert float(constraint.residual(constraint.project(mean)).abs().max()) < 1e-14 * max(1.0, size)
    draws = posterior.sample((50,), draw(1))
    assert float(constraint.residual(after + draws).abs().max()) < 1e-13 * max(1.0, size)


def test_a_law_moves_between_devices() -> None:
    elsewhere = law().to("cpu")
    assert torch.equal(elsewhere.operator, law().operator)
    with pytest.raises(InputError, match="the law is on cpu, the state on meta"):
        law().project(torch.zeros(2, N, device="meta"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_agrees_with_the_cpu(dtype: torch.dtype) -> None:
    mean = torch.randn(4, N, dtype=dtype, generator=draw(7))
    variance = torch.rand(4, N, dtype=dtype, generator=draw(2)) + 0.1
    here, posterior = law().condition(mean, variance)
    there, other = law().to("cuda").condition(mean.cuda(), variance.cuda())
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=tolerance)
    torch.testing.assert_close(other.diagonal().cpu(), posterior.diagonal(), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("rows", "value", "variance"),
    [
        ([[1.0, 1, 0, 0], [0, 0, 1, 1]], [1e6, 1.0], [1.0, 1, 0, 0]),
        ([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], [1e6, 0.0, 0.9], [1.0, 1, 1, 1]),
        ([[1.0, 1, 1, 1], [1, 1, 1, 1]], [1e-10, 9e-10], [1.0, 1, 1, 1]),
    ],
)
def test_conflicts_do_not_hide_behind_other_rows(rows: list, value: list, variance: list) -> None:
    with pytest.raises(InputError, match=r"is missed by|values disagree"):
        LinearConstraint(torch.tensor(rows).double(), torch.tensor(value).double()).condition(
            torch.zeros(4, dtype=torch.float64), torch.tensor(variance).double()
        )


def test_another_value_of_a_law_already_met_is_refused() -> None:
    for seed in range(20):
        rows = torch.rand(1, 201, dtype=torch.float64, generator=draw(seed))
        mean, variance = torch.rand(2, 201, dtype=torch.float64, generator=draw(100 + seed))
        after, posterior = LinearConstraint(rows, torch.ones(1).double()).condition(mean, variance)
        same, _ = LinearConstraint(rows, torch.ones(1).double()).condition(after, posterior)
        torch.testing.assert_close(same, after, rtol=0, atol=1e-12)
        with pytest.raises(InputError, match="row 0 is missed by 1"):
            LinearConstraint(rows, 2 * torch.ones(1).double()).condition(after, posterior)


def test_a_projection_is_no_least_squares_whatever_the_slack() -> None:
    with pytest.raises(InputError, match="values disagree"):
        LinearConstraint(torch.ones(2, 3), torch.tensor([1.0, 2.0]), 0.1).project(torch.zeros(3))


def test_a_row_that_cannot_move_has_a_gradient() -> None:
    rows = torch.eye(3, dtype=torch.float64)[:2]
    variance = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    mean, _ = LinearConstraint(rows, torch.tensor([0.0, 1.0]).double()).condition(torch.ones(3).double(), variance)
    mean.sum().backward()
    assert variance.grad is not None and bool(variance.grad.isfinite().all())

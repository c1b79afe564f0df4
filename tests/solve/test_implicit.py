"""Implicit methods: order conditions, stability, orders, stiff references, gradients, refusals, bad input."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciode.core.errors import InputError
from sciode.solve import (
    IMPLICIT_EULER,
    KVAERNO3,
    KVAERNO5,
    TR_BDF2,
    Dense,
    Diagonal,
    Fourier,
    Gmres,
    Implicit,
    ImplicitTableau,
    Newton,
    Noise,
    Pid,
    RungeKutta,
    Status,
    Term,
    solve,
    tableaus,
)
from sciode.solve.jacobian import Shifted, jacobian
from sciode.solve.krylov import gmres
from tests.order import density, errors_under_halving, measured_order, trees, weight
from tests.problems import STIFF, STIFF_ENDS, brusselator, robertson, van_der_pol

TABLES = {"euler": IMPLICIT_EULER, "tr_bdf2": TR_BDF2, "kvaerno3": KVAERNO3, "kvaerno5": KVAERNO5}
EXACT = {"rtol": 1e-13, "atol": 1e-14}
D = torch.float64


def square(table: ImplicitTableau) -> Tensor:
    matrix = torch.zeros(len(table.matrix), len(table.matrix), dtype=D)
    for i, row in enumerate(table.matrix):
        matrix[i, : i + 1] = torch.tensor(row, dtype=D)
    return matrix


@pytest.mark.parametrize("name", TABLES)
def test_order_conditions(name: str) -> None:
    table = TABLES[name]
    matrix = square(table)
    torch.testing.assert_close(matrix.sum(1), torch.tensor(table.nodes, dtype=D), rtol=0, atol=1e-14)
    pairs = [(matrix[-1], table.order)]
    if table.embedded is not None:
        pairs.append((torch.tensor(table.embedded, dtype=D), table.embedded_order))
    for update, order in pairs:
        for size in range(1, order + 1):
            for tree in trees(size):
                assert weight(matrix, update, tree) == pytest.approx(1 / density(tree), abs=1e-15)
        assert max(abs(weight(matrix, update, t) - 1 / density(t)) for t in trees(order + 1)) > 1e-4


@pytest.mark.parametrize("name", TABLES)
def test_l_stable(name: str) -> None:
    matrix = square(TABLES[name]).to(torch.complex128)
    eye, one = torch.eye(len(matrix)), torch.ones(len(matrix), dtype=torch.complex128)

    def stability(z: complex) -> float:
        return abs(1 + z * (matrix[-1] @ torch.linalg.solve(eye - z * matrix, one)).item())

    # R is analytic in the left half plane, so its largest value there lies on the imaginary axis.
    assert max(stability(1j * x) for x in np.geomspace(1e-3, 1e6, 400)) <= 1 + 1e-12
    assert stability(-1e8) < 1e-6 and stability(1e8j) < 1e-6


def forced(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * s)], dim=1)


X0 = torch.tensor([[1.0, 0.3], [-0.4, 1.2]], dtype=D)


@pytest.mark.parametrize(("name", "linear"), [*((n, Dense()) for n in TABLES), ("kvaerno5", Gmres())])
def test_order_on_a_forced_pendulum(name: str, linear: Dense | Gmres) -> None:
    table = TABLES[name]
    want = solve(Term(forced), X0, [0.0, 2.0], solver=RungeKutta(tableaus.DOPRI8), controller=Pid(1e-13, 1e-14)).y[
        :, -1
    ]

    def run(dt: float) -> Tensor:
        return solve(Term(forced), X0, [0.0, 2.0], solver=Implicit(table, Newton(linear, **EXACT)), dt=dt).y[:, -1]

    errors = errors_under_halving(run, 0.4 if table.order == 5 else 0.1, want, 2)
    assert measured_order(errors) == pytest.approx(table.order, abs=0.25), errors


@pytest.mark.parametrize("name", ["tr_bdf2", "kvaerno3", "kvaerno5"])
def test_stiff_components_do_not_disturb(name: str) -> None:
    """Prothero and Robinson: y' = -k (y - cos s) - sin s, exact solution cos s, for any k."""
    for k in (1e2, 1e5, 1e8):
        term = Term(lambda s, y, k=k: -k * (y - torch.cos(s)) - torch.sin(s))
        x0 = torch.ones(1, 1, dtype=D)
        y = solve(term, x0, [0.0, 1.0], solver=Implicit(TABLES[name]), dt=0.05).y[0, -1, 0]
        assert abs(y - np.cos(1.0)) < 2e-4


def radau(name: str, rtol: float = 1e-10) -> Tensor:
    problem = STIFF[name]

    def drift(s: float, y: np.ndarray) -> np.ndarray:
        return problem.drift(torch.tensor(s, dtype=D), torch.from_numpy(y)).numpy()

    result = solve_ivp(drift, (0, problem.end), problem.y0, "Radau", rtol=rtol, atol=1e-14)
    return torch.from_numpy(result.y[:, -1])


@pytest.mark.parametrize(
    ("name", "table", "rtol", "linear", "bound"),
    [
        ("robertson", KVAERNO5, 1e-6, Dense(), 1e-5),
        ("robertson", KVAERNO3, 1e-5, Dense(), 3e-5),
        pytest.param("robertson", KVAERNO5, 1e-5, Gmres(), 1e-4, marks=pytest.mark.slow),
        ("hires", KVAERNO5, 1e-6, Dense(), 1e-5),
        pytest.param("oregonator", KVAERNO5, 1e-5, Dense(), 3e-3, marks=pytest.mark.slow),
        pytest.param("brusselator", KVAERNO5, 1e-5, Gmres(), 1e-4, marks=pytest.mark.slow),
    ],
)
def test_stiff_problems_against_radau(
    name: str, table: ImplicitTableau, rtol: float, linear: Dense | Gmres, bound: float
) -> None:
    problem = STIFF[name]
    want = radau(name, 1e-8) if name == "brusselator" else torch.tensor(STIFF_ENDS[name], dtype=D)
    with torch.no_grad():
        solution = solve(
            Term(problem.drift),
            problem.x0(),
            [0.0, problem.end],
            solver=Implicit(table, Newton(linear)),
            controller=Pid(rtol=rtol, atol=rtol * 1e-4),
        )
    assert solution.message == ""
    assert ((solution.y[0, -1] - want).abs() / (want.abs() + 1e-6 * want.abs().max())).max() < bound
    if name == "robertson":
        assert abs(solution.y[0, -1].sum() - 1) < 1e-13


@pytest.mark.slow
@pytest.mark.parametrize("name", STIFF_ENDS)
def test_kept_references_are_those_of_radau(name: str) -> None:
    torch.testing.assert_close(torch.tensor(STIFF_ENDS[name], dtype=D), radau(name), rtol=2e-7, atol=0)


@pytest.mark.slow
def test_van_der_pol_over_a_full_relaxation() -> None:
    problem, want = STIFF["van_der_pol"], torch.tensor(STIFF_ENDS["van_der_pol"], dtype=D)
    solution = solve(
        Term(problem.drift),
        problem.x0(),
        [0.0, problem.end],
        solver=Implicit(),
        controller=Pid(rtol=1e-7, atol=1e-9),
    )
    assert ((solution.y[0, -1] - want) / want).abs().max() < 3e-5


def test_each_sample_has_its_own_steps_and_no_mates() -> None:
    mu = torch.tensor([1.0, 30.0, 100.0], dtype=D)
    x0 = torch.tensor([[2.0, 0.0]], dtype=D).expand(3, -1)
    own = Pid(rtol=1e-6, atol=1e-8, per_sample=True)

    def run(index: slice, controller: Pid = own) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found = solve(
                Term(van_der_pol(mu[index])),
                x0[index],
                [0.0, 5.0, 20.0],
                solver=Implicit(),
                controller=controller,
            )
        return found.y, found.stats.accepted

    y, steps = run(slice(0, 3))
    assert len(set(steps.tolist())) == 3
    for i in range(3):
        alone, count = run(slice(i, i + 1))
        assert torch.equal(alone[0], y[i]) and count[0] == steps[i]
    tight = run(slice(0, 3), Pid(rtol=1e-9, atol=1e-11))[0]
    torch.testing.assert_close(y, tight, rtol=1e-4, atol=1e-4)


def test_linear_part_and_charts_are_implicit_too() -> None:
    """Fisher's equation in a Fourier chart, its diffusion in L, and as plain method of lines in drift alone."""
    n = 16
    k = 2 * torch.pi * torch.fft.rfftfreq(n, 1 / n, dtype=D)
    chart = Fourier((n,))

    def react(s: Tensor, y: Tensor) -> Tensor:
        u = chart.leave(y)
        return chart.enter(u * (1 - u))

    u0 = 0.5 + 0.4 * torch.sin(2 * torch.pi * torch.arange(n, dtype=D) / n)[None, None]
    rate = -0.1 * k**2
    semilinear = Term(react, Diagonal(rate), chart=chart)
    want = solve(semilinear, u0, [0.0, 1.0], dt=1e-3).y[:, -1]
    for linear in (Dense(), Gmres()):
        got = solve(
            semilinear, u0, [0.0, 1.0], solver=Implicit(newton=Newton(linear)), controller=Pid(1e-8, 1e-10)
        )
        torch.testing.assert_close(got.y[:, -1], want, rtol=1e-6, atol=1e-7)


def test_tuples_and_single_precision() -> None:
    def drift(s: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        a, b = y
        return -100 * (a - b.sum(-1, keepdim=True)), -b

    x0 = (torch.zeros(2, 1), torch.ones(2, 3))
    y = solve(Term(drift), x0, [0.0, 1.0], solver=Implicit(), controller=Pid(rtol=1e-4, atol=1e-5)).y
    torch.testing.assert_close(
        y[1][:, 1], torch.full((2, 3), np.exp(-1.0), dtype=torch.float32), rtol=1e-3, atol=0
    )
    exact = 3 * 100 / 99 * np.exp(-1.0)
    torch.testing.assert_close(y[0][:, 1], torch.full((2, 1), exact, dtype=torch.float32), rtol=1e-3, atol=0)


THETA = torch.randn(3, 3, dtype=D, generator=torch.Generator().manual_seed(1))
START = torch.randn(2, 3, dtype=D, generator=torch.Generator().manual_seed(2))


def learned(theta: Tensor, k: Tensor) -> Term:
    return Term(
        lambda s, y: (
            torch.tanh(y @ theta.T) * torch.cos(s).reshape(-1, 1) - k * (y - 0.3 * torch.sin(y.roll(1, -1)))
        )
    )


def end(linear: Dense | Gmres, theta: Tensor, k: Tensor, x0: Tensor, derivatives: int = 1) -> Tensor:
    solver = Implicit(KVAERNO3, Newton(linear, derivatives=derivatives, **EXACT))
    return (solve(learned(theta, k), x0, [0.0, 0.4], solver=solver, dt=0.2).y[:, -1] ** 2).sum()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    return (
        THETA.clone().requires_grad_(),
        torch.tensor(8.0, dtype=D, requires_grad=True),
        START.clone().requires_grad_(),
    )


@pytest.mark.parametrize("linear", [Dense(), Gmres()], ids=["dense", "gmres"])
def test_gradients_against_finite_differences(linear: Dense | Gmres) -> None:
    assert torch.autograd.gradcheck(lambda *a: end(linear, *a), inputs(), eps=1e-5, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("linear", [Dense(), Gmres()], ids=["dense", "gmres"])
def test_second_derivatives_against_finite_differences(linear: Dense | Gmres) -> None:
    theta, k, x0 = inputs()
    vectors = [torch.randn(p.shape, dtype=D, generator=torch.Generator().manual_seed(7)) for p in (theta, k, x0)]

    def slope(shift: float) -> tuple[Tensor, ...]:
        moved = [(p + shift * v).detach().requires_grad_() for p, v in zip((theta, k, x0), vectors, strict=True)]
        return torch.autograd.grad(end(linear, *moved), moved)

    first = torch.autograd.grad(end(linear, theta, k, x0, 2), (theta, k, x0), create_graph=True)
    second = torch.autograd.grad(sum((g * v).sum() for g, v in zip(first, vectors, strict=True)), (theta, k, x0))
    for got, up, down in zip(second, slope(1e-5), slope(-1e-5), strict=True):
        torch.testing.assert_close(got, (up - down) / 2e-5, rtol=1e-6, atol=1e-9)
    again = torch.autograd.grad(end(linear, theta, k, x0), (theta, k, x0), create_graph=True)
    with pytest.raises(InputError, match="derivatives=2"):
        torch.autograd.grad(again[1], theta)


def test_gradients_equal_those_of_unrolled_iterations() -> None:
    """Backward Euler, Newton's iterations written out and differentiated through."""
    theta, k, x0 = inputs()
    term, h = learned(theta, k), 0.1

    def unrolled(y: Tensor) -> Tensor:
        for step in range(2):
            s, old = torch.tensor((step + 1) * h, dtype=D), y
            for _ in range(12):
                gap = y - old - h * term.drift(s, y)
                block = torch.stack([jacobian(term.drift, s, y.detach())[i] for i in range(2)])
                y = y - torch.linalg.solve(torch.eye(3, dtype=D) - h * block, gap[..., None])[..., 0]
        return y

    solver = Implicit(IMPLICIT_EULER, Newton(Dense(), **EXACT))
    want = torch.autograd.grad((unrolled(x0) ** 2).sum(), (theta, k, x0))
    value = solve(term, x0, [0.0, 2 * h], solver=solver, dt=h).y[:, -1]
    got = torch.autograd.grad((value**2).sum(), (theta, k, x0))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("own", [False, True])
def test_gradients_under_step_control(own: bool) -> None:
    theta, k, x0 = inputs()
    values = []
    for solver, controller in [
        (Implicit(), Pid(rtol=1e-9, atol=1e-11, per_sample=own)),
        (RungeKutta(tableaus.DOPRI8), Pid(rtol=1e-12, atol=1e-13)),
    ]:
        y = solve(learned(theta, k), x0, [0.0, 0.2, 0.4], solver=solver, controller=controller).y
        values.append(torch.autograd.grad((y[:, 1:] ** 2).sum(), (theta, k, x0)))
    for got, want in zip(*values, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def test_gradient_of_robertson_in_its_rates() -> None:
    rates = torch.tensor([0.04, 3e7, 1e4], dtype=D, requires_grad=True)

    def run(rates: Tensor) -> Tensor:
        def drift(s: Tensor, y: Tensor) -> Tensor:
            p, q, r = y.unbind(-1)
            slow, fast, back = rates[0] * p, rates[1] * q**2, rates[2] * q * r
            return torch.stack([back - slow, slow - back - fast, fast], dim=-1)

        x0 = torch.tensor([[1.0, 0.0, 0.0]], dtype=D)
        return solve(Term(drift), x0, [0.0, 40.0], solver=Implicit(), controller=Pid(1e-9, 1e-13)).y[0, -1, 2]

    (got,) = torch.autograd.grad(run(rates), rates)
    for i in range(3):
        move = torch.zeros(3, dtype=D)
        move[i] = 1e-3 * rates[i].item()
        with torch.no_grad():
            want = (run(rates + move) - run(rates - move)) / (2 * move[i])
        assert got[i] == pytest.approx(want.item(), rel=1e-4)


def test_forward_mode_is_not_required_of_the_drift() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] ** 2 * g

    x0 = torch.ones(1, 2, dtype=D)
    a = solve(Term(lambda s, y: -Cube.apply(y)), x0, [0.0, 1.0], solver=Implicit(newton=Newton(Gmres())), dt=0.1).y
    torch.testing.assert_close(a[:, -1], x0 / 3**0.5, rtol=1e-6, atol=0)


def test_gmres_against_a_direct_solver() -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn(5, 12, 12, dtype=D, generator=generator) + 6 * torch.eye(12, dtype=D)
    right = torch.randn(5, 12, dtype=D, generator=generator)
    right[2] = 0
    matrix[3] = torch.eye(12)  # exhausted after one vector
    x, residual = gmres(lambda v: torch.einsum("bij,bj->bi", matrix, v), right, 1e-14, 12, 4)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, right), rtol=1e-11, atol=1e-12)
    assert residual.max() < 1e-12


def test_restarts_reach_what_one_space_does_not() -> None:
    drift = brusselator(20)
    y = torch.rand(2, 40, dtype=D, generator=torch.Generator().manual_seed(4))
    right = torch.rand(2, 40, dtype=D, generator=torch.Generator().manual_seed(5))
    system = Shifted(drift, torch.zeros((), dtype=D), y, 0.05)
    for transposed in (False, True):
        exact = Dense().invert(system, right, lambda v, t: v, transposed)
        got = Gmres(size=10).invert(system, right, lambda v, t: v, transposed)
        torch.testing.assert_close(got, exact, rtol=1e-8, atol=1e-10)


def test_failure_of_newton_is_a_status_and_spares_the_others() -> None:
    def drift(s: Tensor, y: Tensor) -> Tensor:
        return torch.where(s > 0.5, torch.full_like(y, torch.nan), -y) if False else torch.where(y > 5, y**40, -y)

    x0 = torch.tensor([[1.0], [1e9]], dtype=D)
    found = solve(Term(drift), x0, [0.0, 1.0], solver=Implicit(), dt=0.1)
    assert found.status.tolist() == [Status.OK, Status.NON_FINITE]
    assert found.y[0, -1, 0] == pytest.approx(np.exp(-1.0), rel=1e-6)


def test_bad_input() -> None:
    x0 = torch.ones(1, 3, dtype=D)
    with pytest.raises(InputError, match="no noise"):
        noise = Noise(lambda s, y: y, kind="diagonal", seed=1)
        Implicit().start(Term(robertson, noise=noise), (torch.zeros(()),), x0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="derivative of the drift"):
        solve(Term(lambda s, y: -y.detach()), x0, [0.0, 1.0], solver=Implicit(), dt=0.1)
    with pytest.raises(InputError, match="derivative"):
        solve(Term(lambda s, y: torch.tensor(-y.numpy())), x0, [0.0, 1.0], solver=Implicit(), dt=0.1)
    with pytest.raises(InputError, match="no error estimate"):
        solve(Term(robertson), x0, [0.0, 1.0], solver=Implicit(IMPLICIT_EULER), controller=Pid())
    with pytest.raises(InputError, match="complex"):
        solve(Term(robertson, Diagonal(1j)), x0, [0.0, 1.0], solver=Implicit(), dt=0.1)
    with pytest.raises(InputError, match="fraction"):
        Newton(fraction=2.0)
    with pytest.raises(InputError, match="rtol"):
        Gmres(rtol=0.0)
    with pytest.raises(InputError, match="diagonal"):
        ImplicitTableau(((0.0,), (0.5, 0.5), (0.3, 0.3, 0.4)), order=1)

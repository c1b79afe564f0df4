"""The loop and the stepper: orders, independent references, gradients, invariances, bad input."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import burgers, kuramoto_sivashinsky, navier_stokes
from sciode.solve import At, Diagonal, RungeKutta, Status, Term, solve, tableaus
from tests.order import errors_under_halving, measured_order

ALL = list(tableaus.TABLEAUS.items())


def pendulum(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * s)], dim=1)


X0 = torch.tensor([[1.0, 0.3], [-0.4, 1.2]], dtype=torch.float64)


def reference(t: list[float]) -> Tensor:
    def right(s: float, y: np.ndarray) -> list[float]:
        return [y[1], -math.sin(y[0]) + 0.2 * math.cos(3 * s)]

    rows = [solve_ivp(right, (t[0], t[-1]), x, "DOP853", t, rtol=1e-13, atol=1e-14).y.T for x in X0.numpy()]
    return torch.tensor(np.stack(rows))


@pytest.mark.parametrize(("name", "table"), ALL)
def test_order_on_a_forced_pendulum_against_scipy(name: str, table: tableaus.Tableau) -> None:
    want = reference([0.0, 1.0, 2.0])

    def run(dt: float) -> Tensor:
        return solve(Term(pendulum), X0, [0.0, 1.0, 2.0], solver=RungeKutta(table), dt=dt).y

    errors = errors_under_halving(run, *{5: (0.125, want, 2), 8: (0.5, want, 1)}.get(table.order, (0.05, want)))
    # Tsitouras' fifth-order error terms are so small that the sixth-order ones still show at these steps.
    slack = 0.7 if name == "tsit5" else 0.25
    assert measured_order(errors) == pytest.approx(table.order, abs=slack), errors


@pytest.mark.parametrize("name", ["euler", "rk4", "dopri5"])
def test_same_steps_as_torchdiffeq(name: str) -> None:
    torchdiffeq = pytest.importorskip("torchdiffeq")
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    table, theirs = {"euler": (tableaus.EULER, "euler"), "rk4": (tableaus.RK4, "rk4"),
                     "dopri5": (tableaus.DOPRI5, "dopri5")}[name]  # fmt: skip
    got = solve(Term(pendulum), X0, t, solver=RungeKutta(table), dt=0.1 if name == "euler" else 0.001).y
    options = {} if name == "euler" else {"rtol": 1e-12, "atol": 1e-12}
    if name == "rk4":
        options = {"options": {"step_size": 0.001}}
    want = torchdiffeq.odeint(pendulum, X0, t, method=theirs, **options).transpose(0, 1)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-14 if name == "euler" else 1e-9)


@pytest.mark.parametrize("name", ["krogstad4", "coxmatthews4", "etd1", "etd2", "dpm2", "ho3"])
def test_exponential_orders_on_burgers(name: str) -> None:
    table = tableaus.TABLEAUS[name]
    u0 = torch.sin(2 * torch.pi * torch.arange(64, dtype=torch.float64) / 64)[None, None] + 0.5
    term = burgers(64, viscosity=0.03)

    def run(dt: float, table: tableaus.Tableau = table) -> Tensor:
        return solve(term, u0, [0.0, 0.2], solver=RungeKutta(table), dt=dt).y[:, 1]

    want = run(0.2 / 2560, tableaus.KROGSTAD4)
    start = 0.2 / (40 if table.order == 4 else 80)
    errors = errors_under_halving(run, start, want)
    assert measured_order(errors) == pytest.approx(table.order, abs=0.2), errors


@pytest.mark.parametrize("name", ["krogstad4", "coxmatthews4", "ho3"])
def test_orders_on_kuramoto_sivashinsky(name: str) -> None:
    """Among them HO3, which is DPM-Solver-3: a diffusion sampler's tableau solves a PDE at its order."""
    table = tableaus.TABLEAUS[name]
    x = 22.0 * torch.arange(32, dtype=torch.float64) / 32
    k = 2 * torch.pi / 22.0
    u0 = (torch.cos(k * x) + 0.3 * torch.sin(2 * k * x + 1))[None, None]
    term = kuramoto_sivashinsky(32, 22.0)  # a finer grid is stiffer: order reduction hides the order

    def run(dt: float, table: tableaus.Tableau = table) -> Tensor:
        return solve(term, u0, [0.0, 4.0], solver=RungeKutta(table), dt=dt).y[:, 1]

    want = run(4.0 / 5120, tableaus.KROGSTAD4)
    errors = errors_under_halving(run, 4.0 / 120, want)
    assert measured_order(errors) == pytest.approx(table.order, abs=0.2), errors


def test_lawson_form_of_a_classical_method_keeps_its_order() -> None:
    term = Term(lambda s, y: torch.sin(y), Diagonal(torch.tensor([-2.0, -5.0], dtype=torch.float64)))
    want = solve(term, X0, [0.0, 1.0], dt=1e-3).y

    def run(dt: float) -> Tensor:
        return solve(term, X0, [0.0, 1.0], solver=RungeKutta(tableaus.RK4), dt=dt).y

    errors = errors_under_halving(run, 0.1, want)
    assert measured_order(errors) == pytest.approx(4, abs=0.2), errors


def test_backward_undoes_forward() -> None:
    end = solve(Term(pendulum), X0, [0.0, 1.0], dt=0.01).y[:, 1]
    back = solve(Term(pendulum), end, [1.0, 0.0], dt=0.01).y[:, 1]
    torch.testing.assert_close(back, X0, rtol=0, atol=1e-8)


def test_asked_times_are_hit_whatever_their_spacing() -> None:
    t = [0.0, 0.013, 0.5, 0.77, 2.0]
    got = solve(Term(pendulum), X0, t, dt=0.01)
    torch.testing.assert_close(got.y, reference(t), rtol=0, atol=1e-8)
    assert got.t.tolist() == t
    assert got.stats.steps == sum(math.ceil(gap / 0.01 - 1e-9) for gap in np.diff(t))
    assert got.stats.evaluations == 4 * got.stats.steps


def test_first_row_is_the_initial_state_to_the_bit() -> None:
    u0 = torch.randn(2, 1, 32)
    assert torch.equal(solve(burgers(32), u0, [0.0, 0.01], dt=0.01).y[:, 0], u0)
    assert torch.equal(solve(burgers(32), u0, [0.0]).y, u0[:, None])


def test_equal_gaps_share_one_plan() -> None:
    calls = []

    class Counting(RungeKutta):
        def plan(self, linear, h, y, past=()):  # type: ignore[no-untyped-def]
            calls.append(h)
            return super().plan(linear, h, y)

    t = torch.linspace(0, 3, 301, dtype=torch.float64)  # gaps differ in their last bits
    solve(burgers(32), torch.zeros(1, 1, 32), t, solver=Counting(tableaus.KROGSTAD4), dt=0.01)
    assert len(calls) == 1


def test_batch_is_only_a_batch() -> None:
    u0 = torch.randn(5, 1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = solve(burgers(32, viscosity=0.05), u0, [0.0, 0.1], dt=0.01).y
    single = torch.cat([solve(burgers(32, viscosity=0.05), u[None], [0.0, 0.1], dt=0.01).y for u in u0])
    torch.testing.assert_close(whole, single, rtol=0, atol=1e-14)


def test_batch_mates_change_no_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    u0 = torch.randn(4, 1, 32, dtype=torch.float64, generator=generator)
    other = torch.cat([u0[:1], torch.randn(3, 1, 32, dtype=torch.float64, generator=generator)])
    a, b = (solve(burgers(32, viscosity=0.05), u, [0.0, 0.1], dt=0.01).y[0] for u in (u0, other))
    assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_dtype_is_kept_and_close(dtype: torch.dtype) -> None:
    term = Term(lambda s, y: -(y * y) + 0.1 * s, Diagonal(-1.0))
    x0 = torch.tensor([[0.5, 0.2]])
    got = solve(term, x0.to(dtype), [0.0, 1.0], dt=0.05).y
    want = solve(term, x0.to(torch.complex128), [0.0, 1.0], dt=0.05).y
    assert got.dtype == dtype
    single = dtype in (torch.float32, torch.complex64)
    torch.testing.assert_close(got.to(torch.complex128), want, rtol=1e-6 if single else 1e-13, atol=1e-7)


def test_float32_pde_follows_float64() -> None:
    u0 = torch.sin(2 * torch.pi * torch.arange(64, dtype=torch.float64) / 64)[None, None]
    a = solve(burgers(64, viscosity=0.05), u0, [0.0, 0.3], dt=0.005).y
    b = solve(burgers(64, viscosity=0.05), u0.float(), [0.0, 0.3], dt=0.005).y
    assert b.dtype == torch.float32
    torch.testing.assert_close(b.double(), a, rtol=0, atol=3e-6)


def test_tuple_states_are_integrated_leaf_by_leaf() -> None:
    def drift(s: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return y[1], -y[0]

    x0 = (torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64))
    p, q = solve(Term(drift), x0, [0.0, 1.0], solver=RungeKutta(tableaus.DOPRI5), dt=0.05).y
    torch.testing.assert_close(p[:, 1], torch.full((3, 2), math.cos(1.0), dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(q[:, 1], torch.full((3, 2), -math.sin(1.0), dtype=torch.float64), atol=1e-9, rtol=0)
    damped = solve(Term(lambda s, y: (0 * y[0], 0 * y[1]), Diagonal((-1.0, 2.0))), x0, [0.0, 1.0], dt=1.0).y
    torch.testing.assert_close(damped[0][:, 1], x0[0] * math.exp(-1.0))


def test_gradients_agree_with_finite_differences() -> None:
    u0 = torch.randn(2, 1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    term = burgers(12, viscosity=0.05)
    assert torch.autograd.gradcheck(lambda u: solve(term, u, [0.0, 0.02, 0.05], dt=0.01).y, (u0,))


def test_gradients_in_the_drift_and_in_the_linear_part() -> None:
    x0 = torch.tensor([[0.4, -0.2]], dtype=torch.float64)
    gain = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([-1.0, -30.0], dtype=torch.float64, requires_grad=True)

    def end(gain: Tensor, rate: Tensor) -> Tensor:
        return solve(Term(lambda s, y: gain * torch.tanh(y) + s, Diagonal(rate)), x0, [0.0, 0.5], dt=0.1).y

    assert torch.autograd.gradcheck(end, (gain, rate))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_real_fft_layouts_in_one_two_and_three_dimensions(dims: int) -> None:
    from sciode.solve import Fourier
    from sciode.spectral import Grid

    points = (12, 10, 8)[:dims]
    grid = Grid(points, (1.0,) * dims)
    term = Term(lambda s, y: torch.zeros_like(y), Diagonal(0.01 * grid.laplacian), chart=Fourier(points))
    phase = sum(2 * torch.pi * x for x in grid.coordinates())
    u0 = torch.cos(phase).expand(2, 3, *points)
    u = solve(term, u0, [0.0, 1.0], dt=0.5).y
    decay = math.exp(-0.01 * dims * (2 * math.pi) ** 2)
    torch.testing.assert_close(u[:, 1], decay * u0, rtol=0, atol=1e-13)


def test_status_names_the_sample_that_blew_up() -> None:
    x0 = torch.tensor([[0.1], [50.0]], dtype=torch.float64)
    got = solve(Term(lambda s, y: y**3), x0, [0.0, 1.0], dt=0.1)
    assert got.status.tolist() == [Status.OK, Status.NON_FINITE]


def test_step_of_infinite_length_returns_the_frozen_slope() -> None:
    linear = Diagonal(torch.tensor([-1.0], dtype=torch.float64))
    solver = RungeKutta(tableaus.ETD1)
    y = torch.tensor([[3.0]], dtype=torch.float64)
    term = Term(lambda s, y: torch.full_like(y, 0.25), linear)
    end, _ = solver.step(term, At([torch.tensor(0.0)]), y, None, solver.plan(linear, math.inf, y))
    assert end.item() == 0.25


@pytest.mark.parametrize(
    ("x0", "t", "dt", "match"),
    [
        (torch.zeros(2, 1, 32), [0.0, 1.0], None, "dt="),
        (torch.zeros(2, 1, 32), [0.0, 1.0], -0.1, "positive"),
        (torch.zeros(2, 1, 32), [0.0, 1.0], math.nan, "positive"),
        (torch.zeros(2, 1, 32), [0.0, 1.0, 0.5], 0.1, r"t\[1\] = 1, t\[2\] = 0.5"),
        (torch.zeros(2, 1, 32), [0.0, 0.0], 0.1, "without repeats"),
        (torch.zeros(2, 1, 32), [0.0, math.nan], 0.1, "NaN"),
        (torch.zeros(2, 1, 32), [[0.0, 1.0]], 0.1, r"\[1, 2\]"),
        (torch.zeros(2, 1, 30), [0.0, 1.0], 0.1, "b c 32"),
        (torch.zeros(32), [0.0, 1.0], 0.1, "b c 32"),
        (torch.zeros(2, 1, 32, dtype=torch.int64), [0.0, 1.0], 0.1, "floating-point"),
        (torch.full((2, 1, 32), math.nan), [0.0, 1.0], 0.1, "sample 0"),
        (torch.zeros(2, 1, 32, dtype=torch.complex64), [0.0, 1.0], 0.1, "real state"),
    ],
)
def test_bad_input_is_named(x0: Tensor, t: list, dt: float | None, match: str) -> None:
    with pytest.raises(InputError, match=match):
        solve(burgers(32), x0, t, dt=dt)


def test_the_adjoint_of_a_linear_part_is_minus_its_conjugate() -> None:
    assert Diagonal(1.0 + 2.0j).adjoint() == Diagonal(-1.0 + 2.0j)
    rate = torch.tensor([1j, 2.0 + 1j])
    first, second = Diagonal((rate, 3.0)).adjoint().rate
    assert torch.equal(first, -rate.conj())
    assert second == -3.0


def test_bad_terms_are_named() -> None:
    with pytest.raises(InputError, match="drift returned"):
        solve(Term(lambda s, y: y[:1]), X0, [0.0, 1.0], dt=0.1)
    with pytest.raises(InputError, match="does not broadcast"):
        solve(Term(pendulum, Diagonal(torch.zeros(3))), X0, [0.0, 1.0], dt=0.1)
    with pytest.raises(InputError, match="complex linear part"):
        solve(Term(pendulum, Diagonal(1j)), X0, [0.0, 1.0], dt=0.1)
    with pytest.raises(InputError, match="1 rates"):
        solve(Term(lambda s, y: y, Diagonal(1.0)), (X0, X0), [0.0, 1.0], dt=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_agrees_with_the_cpu(dtype: torch.dtype) -> None:
    u0 = torch.randn(3, 1, 32, 32, dtype=dtype, generator=torch.Generator().manual_seed(0))
    term = navier_stokes(32, viscosity=0.01, forcing=1.0)
    cpu = solve(term, u0, [0.0, 0.1], dt=0.01).y
    gpu = solve(term, u0.cuda(), [0.0, 0.1], dt=0.01).y
    torch.testing.assert_close(gpu.cpu(), cpu, rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-4)

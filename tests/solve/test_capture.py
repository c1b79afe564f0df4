"""Units of steps: the same numbers as eager steps, made once, differentiable, refused where they cannot serve."""

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.trees import fill, split
from sciode.pde import kuramoto_sivashinsky
from sciode.solve import (
    Adams,
    Compiled,
    CudaGraph,
    Diagonal,
    EulerMaruyama,
    ExponentialEulerMaruyama,
    Implicit,
    Milstein,
    Noise,
    Reversible,
    ReversibleHeun,
    RungeKutta,
    Solver,
    StochasticHeun,
    StochasticRungeKutta,
    Term,
    solve,
    stochastic_tableaus,
    tableaus,
)
from sciode.solve.capture import Chunks

# "aot_eager" traces and differentiates as the default backend does, but makes no kernels: seconds, not minutes.
TRACED = "aot_eager"
X0 = torch.tensor([[0.3, -0.2], [1.0, 0.4], [-0.7, 0.9]], dtype=torch.float64)
TIMES = [0.0, 0.5, 1.13]


def pendulum(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * s)], dim=1)


def close(got: Tensor, want: Tensor) -> None:
    assert (got - want).abs().max() <= 1e-14 * want.abs().max()


@pytest.mark.parametrize(
    ("table", "linear"),
    [
        (tableaus.RK4, None),
        (tableaus.KROGSTAD4, Diagonal(torch.tensor([-1.0, -3.0], dtype=torch.float64))),
        (tableaus.ETD2, Diagonal(-1.0)),
    ],
    ids=["rk4", "krogstad4", "etd2"],
)
def test_traced_agrees_with_eager(table: tableaus.Tableau, linear: Diagonal | None) -> None:
    term = Term(pendulum, linear)
    want = solve(term, X0, TIMES, solver=RungeKutta(table), dt=0.02)
    got = solve(term, X0, TIMES, solver=RungeKutta(table), dt=0.02, capture=Compiled(3, TRACED))
    close(got.y, want.y)
    assert got.stats.steps == want.stats.steps
    assert got.stats.evaluations == want.stats.evaluations


def test_compiled_kernels_agree_with_eager() -> None:
    term = Term(pendulum)
    want = solve(term, X0, TIMES, solver=RungeKutta(tableaus.MIDPOINT), dt=0.02)
    got = solve(term, X0, TIMES, solver=RungeKutta(tableaus.MIDPOINT), dt=0.02, capture=Compiled(2))
    close(got.y, want.y)


def test_complex_states_and_tensors_in_the_plan() -> None:
    u0 = torch.cos(2 * torch.pi * torch.arange(32, dtype=torch.float64) / 32).expand(2, 1, 32)
    term = kuramoto_sivashinsky(points=32, length=22.0)
    want = solve(term, u0, [0.0, 1.0], dt=0.05)
    close(solve(term, u0, [0.0, 1.0], dt=0.05, capture=Compiled(4, TRACED)).y, want.y)


def test_hooks_and_tuples() -> None:
    def drift(s: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return -y[1], y[0] * s

    def damp(s: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return y[0], y[1] * (1 - 0.01 * s)

    arguments = {"solver": RungeKutta(tableaus.HEUN), "dt": 0.02, "hooks": (damp,)}
    x0 = (X0, X0.flip(0))
    want = solve(Term(drift), x0, TIMES, **arguments)
    got = solve(Term(drift), x0, TIMES, capture=Compiled(4, TRACED), **arguments)
    for a, b in zip(got.y, want.y, strict=True):
        close(a, b)


@pytest.mark.parametrize(
    ("solver", "kind"),
    [
        (EulerMaruyama(), "general"),
        (Milstein(), "diagonal"),
        (StochasticHeun(), "scalar"),
        (StochasticRungeKutta(stochastic_tableaus.SRI1), "diagonal"),
        (ReversibleHeun(), "diagonal"),
        (ExponentialEulerMaruyama(), "additive"),
        (Reversible(RungeKutta(tableaus.RK4)), None),
        (Adams(3), None),
        (Adams(3, corrector=True), None),
    ],
    ids=lambda value: type(value).__name__ if value is not None and not isinstance(value, str) else str(value),
)
def test_every_kind_of_solver_with_noise_and_memory(solver: Solver, kind: str | None) -> None:
    scale = torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.1, 0.3]], dtype=torch.float64)

    def amplitude(s: Tensor, y: Tensor) -> Tensor:
        if kind == "general":
            return scale * y[..., None]
        return torch.full_like(y, 0.2) if kind == "additive" else 0.2 * torch.cos(y)

    noise = None
    if kind is not None:
        calculus = "stratonovich" if isinstance(solver, StochasticHeun | ReversibleHeun) else "ito"
        noise = Noise(amplitude, kind=kind, seed=2, calculus=calculus, size=3 if kind == "general" else None)  # type: ignore[arg-type]
    linear = Diagonal(-1.0) if kind == "additive" else None
    term = Term(pendulum, linear, noise)
    want = solve(term, X0, TIMES, solver=solver, dt=0.05)
    got = solve(term, X0, TIMES, solver=solver, dt=0.05, capture=Compiled(2, "eager"))
    close(got.y, want.y)
    assert got.stats.evaluations == want.stats.evaluations


def test_a_second_solve_makes_nothing_anew() -> None:
    made = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        made.append(graph)
        return graph

    capture = Compiled(4, backend)  # type: ignore[arg-type]
    rate = torch.tensor([-1.0, -3.0], dtype=torch.float64)
    term = Term(pendulum, Diagonal(rate))
    for start in (X0, 2 * X0):
        want = solve(term, start, TIMES, dt=0.02)
        # A new solver object with the same table is the same method; the second end uses the same two plans.
        got = solve(term, start, TIMES, solver=RungeKutta(tableaus.KROGSTAD4), dt=0.02, capture=capture)
        close(got.y, want.y)
        first = len(made) if start is X0 else first
    assert 0 < len(made) == first <= 4
    solve(Term(lambda s, y: -y), X0, TIMES, dt=0.02, capture=capture)
    assert len(made) > first


def test_a_new_shape_is_a_new_unit_and_many_units_fit() -> None:
    capture = Compiled(1, "eager")
    for batch in range(1, 10):  # more than the compiler keeps for one function
        x0 = torch.linspace(0, 1, 2 * batch, dtype=torch.float64).reshape(batch, 2)
        want = solve(Term(pendulum), x0, [0.0, 0.3], dt=0.05)
        close(solve(Term(pendulum), x0, [0.0, 0.3], dt=0.05, capture=capture).y, want.y)


def test_gradients_go_through() -> None:
    def gradients(capture: Compiled | None) -> tuple[Tensor, ...]:
        x0 = X0.clone().requires_grad_()
        weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        rate = torch.tensor([-0.5, -1.5], dtype=torch.float64, requires_grad=True)
        term = Term(lambda s, y: torch.tanh(weight * y.flip(1)), Diagonal(rate))
        y = solve(term, x0, TIMES, dt=0.04, capture=capture).y
        return torch.autograd.grad((y**2).sum(), (x0, weight, rate))

    for got, want in zip(gradients(Compiled(3, TRACED)), gradients(None), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-14)


def test_units_depend_on_the_grid_alone() -> None:
    chunks = Chunks(["start", *["same"] * 11, "odd"], steps=4)
    assert [chunks.length(i, 13) for i in (0, 1, 2, 6, 9, 12)] == [0, 0, 4, 4, 1, 0]
    assert chunks.length(2, 5) == 1  # an asked time cuts the unit


def test_trees_come_back() -> None:
    shared = torch.ones(2)
    tree = (1.0, [shared, None], (shared, torch.zeros(1)))
    found: list[Tensor] = []
    back = fill(split(tree, found), found)
    assert len(found) == 2
    assert back[1][0] is shared and back[2][0] is shared and back[0] == 1.0


@pytest.mark.parametrize(
    "make", [lambda: Compiled(steps=0), lambda: CudaGraph(steps=0), lambda: CudaGraph(warmups=0)]
)
def test_counts_are_checked(make: object) -> None:
    with pytest.raises(InputError, match="at least one"):
        make()  # type: ignore[operator]


def test_implicit_methods_are_refused() -> None:
    with pytest.raises(InputError, match="explicit methods"):
        solve(Term(pendulum), X0, [0.0, 1.0], solver=Implicit(), dt=0.1, capture=Compiled())


def test_graphs_need_a_gpu_state() -> None:
    with pytest.raises(InputError, match="found cpu"):
        solve(Term(pendulum), X0, [0.0, 1.0], dt=0.1, capture=CudaGraph())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnGpu:
    def test_graph_agrees_with_eager(self) -> None:
        x0 = X0.cuda()
        capture = CudaGraph(4)
        term = Term(pendulum, Diagonal(torch.tensor([-1.0, -3.0], dtype=torch.float64, device="cuda")))
        with torch.no_grad():
            for start in (x0, 2 * x0):
                want = solve(term, start, TIMES, dt=0.02)
                close(solve(term, start, TIMES, dt=0.02, capture=capture).y, want.y)

    def test_graph_agrees_with_eager_in_a_fourier_chart(self) -> None:
        u0 = torch.cos(2 * torch.pi * torch.arange(32, device="cuda") / 32).expand(2, 1, 32)
        term = kuramoto_sivashinsky(points=32, length=22.0)
        with torch.inference_mode():
            want = solve(term, u0, [0.0, 2.0], dt=0.05).y
            got = solve(term, u0, [0.0, 2.0], dt=0.05, capture=CudaGraph(4)).y
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)

    def test_gradients_are_refused(self) -> None:
        with pytest.raises(InputError, match="gradients"):
            solve(Term(pendulum), X0.cuda().requires_grad_(), [0.0, 1.0], dt=0.1, capture=CudaGraph())

"""All ways to a gradient, against each other and against finite differences; what they refuse; what they hold."""

import gc
from collections.abc import Callable, Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves
from sciode.pde import burgers, kuramoto_sivashinsky
from sciode.solve import (
    Adams,
    Adjoint,
    Checkpointed,
    Continuous,
    Diagonal,
    Direct,
    FixedLoop,
    Pid,
    Reversible,
    ReversibleAdjoint,
    RungeKutta,
    Solver,
    Term,
    solve,
    tableaus,
)
from sciode.solve.checkpointed import best_segment
from sciode.solve.steps import even
from tests.order import errors_under_halving, measured_order

D = torch.float64
RK4 = RungeKutta(tableaus.RK4)
KROGSTAD4 = RungeKutta(tableaus.KROGSTAD4)
TIMES = [0.0, 0.3, 1.0]

Gradients = list[Tensor]
Problem = Callable[..., Gradients]


def network(width: int, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(width, 12), nn.Tanh(), nn.Linear(12, width)).to(D)


def normal(*shape: int, dtype: torch.dtype = D, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def loss_of_all_rows(y: State) -> Tensor:
    """A loss that sees every asked time, each with another weight."""
    total = torch.zeros((), dtype=D)
    for part in leaves(y):
        weights = torch.arange(1, part.shape[1] + 1, dtype=D).reshape(1, -1, *([1] * (part.dim() - 2)))
        total = total + (weights * (part.abs() ** 2 + 0.3 * part.real)).sum()
    return total


def gradients(
    term: Term, x0: State, inputs: Sequence[Tensor], solver: Solver, adjoint: Adjoint, finer: int
) -> Gradients:
    y = solve(term, x0, TIMES, solver=solver, dt=0.05 / finer, adjoint=adjoint).y
    return list(torch.autograd.grad(loss_of_all_rows(y), inputs))


def neural(solver: Solver, adjoint: Adjoint, finer: int = 1) -> Gradients:
    net, x0 = network(3), normal(5, 3)
    parameters = tuple(net.parameters())
    term = Term(lambda s, y: net(y) * torch.cos(s), parameters=parameters)
    return gradients(term, x0, [x0, *parameters], solver, adjoint, finer)


def semilinear(solver: Solver, adjoint: Adjoint, finer: int = 1) -> Gradients:
    net, x0 = network(3), normal(5, 3)
    rate = torch.tensor([-3.0, -1.0, 0.5], dtype=D, requires_grad=True)
    parameters = tuple(net.parameters())
    term = Term(lambda s, y: net(y), Diagonal(rate), parameters=parameters)
    return gradients(term, x0, [x0, rate, *parameters], solver, adjoint, finer)


def oscillators(solver: Solver, adjoint: Adjoint, finer: int = 1) -> Gradients:
    """Complex state, complex learned rates, and a drift that is not holomorphic."""
    x0 = normal(4, 3, dtype=torch.complex128)
    coupling = normal(3, 3, dtype=torch.complex128, seed=2)
    rate = torch.tensor([-1.0 + 2j, 0.3 - 1j, 2j], dtype=torch.complex128, requires_grad=True)
    term = Term(lambda s, y: 0.3 * y.conj() @ coupling + y.abs() * y.real, Diagonal(rate), parameters=(coupling,))
    return gradients(term, x0, [x0, coupling, rate], solver, adjoint, finer)


def burgers_in_fourier_space(solver: Solver, adjoint: Adjoint, finer: int = 1) -> Gradients:
    u0 = (torch.sin(2 * torch.pi * torch.arange(32, dtype=D) / 32)[None, None] + 0.5).requires_grad_()
    y = solve(burgers(32, viscosity=5e-4), u0, [0.0, 0.1, 0.25], solver=solver, dt=0.01 / finer, adjoint=adjoint).y
    return list(torch.autograd.grad((y**3).mean() + (y[:, 1] ** 2).sum(), [u0]))


def pair(solver: Solver, adjoint: Adjoint, finer: int = 1) -> Gradients:
    """A tuple state with a rate for each part, one learned; a tensor that is no leaf among the parameters."""
    net, x0, v0 = network(2), normal(3, 2), normal(3, 2, seed=5)
    rate, source = torch.tensor(-0.7, dtype=D, requires_grad=True), normal(2, seed=7)
    force = 2.0 * source
    parameters = (*net.parameters(), force)
    term = Term(lambda s, y: (y[1].clone(), net(y[0]) + force), Diagonal((0.0, rate)), parameters=parameters)
    return gradients(term, (x0, v0), [x0, v0, rate, source, *net.parameters()], solver, adjoint, finer)


PROBLEMS: list[Problem] = [neural, semilinear, oscillators, burgers_in_fourier_space, pair]
SOLVERS: list[Solver] = [RK4, KROGSTAD4]
ONCE: list[Adjoint] = [ReversibleAdjoint(), Continuous(), Continuous("backsolve")]


def assert_same(got: Gradients, want: Gradients, tolerance: float) -> None:
    for a, b in zip(got, want, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("segment", [None, 1, 3, 100])
def test_checkpoints_change_no_gradient(problem: Problem, solver: Solver, segment: int | None) -> None:
    assert_same(problem(solver, Checkpointed(segment)), problem(solver, Direct()), 1e-14)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("base", SOLVERS)
def test_reversible_adjoint_is_exact(problem: Problem, base: Solver) -> None:
    solver = Reversible(base)
    assert_same(problem(solver, ReversibleAdjoint()), problem(solver, Direct()), 1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("resolve", ["stored", "backsolve"])
def test_continuous_adjoint_converges_with_the_order_of_the_solver(
    problem: Problem, solver: Solver, resolve: Literal["stored", "backsolve"]
) -> None:
    """Against the discrete gradient, which differs by what the forward solve itself errs: the order is common."""
    coarse, fine = (
        max(
            ((a - b).abs().max() / b.abs().max()).item()
            for a, b in zip(problem(solver, Continuous(resolve), n), problem(solver, Direct(), n), strict=True)
        )
        for n in (1, 2)
    )
    assert fine < 2e-4
    assert coarse / fine > 2**3.5 or fine < 1e-10, (coarse, fine)


def test_stored_states_carry_the_adjoint_through_stiff_equations() -> None:
    """Rates of Kuramoto--Sivashinsky down to -6700: backward in time nothing of this could be integrated."""
    x = 22.0 * torch.arange(64, dtype=D) / 64
    u0 = (torch.cos(2 * torch.pi * x / 22) + 0.1 * torch.cos(6 * torch.pi * x / 22))[None, None].requires_grad_()

    def gradient(adjoint: Adjoint, dt: float) -> Tensor:
        term = kuramoto_sivashinsky(64, 22.0)
        y = solve(term, u0, [0.0, 1.0, 4.0], solver=KROGSTAD4, dt=dt, adjoint=adjoint).y
        return torch.autograd.grad((y**3).mean() + (y[:, 1] ** 2).mean(), u0)[0]

    want = gradient(Direct(), 0.0125)
    errors = errors_under_halving(lambda dt: gradient(Continuous(), dt), 0.2, want)
    assert errors[-1] < 1e-5 * want.abs().max()
    assert measured_order(errors) > 3.0, errors  # damped modes reduce the order 4 of the method


def test_backsolve_tells_when_the_state_is_lost() -> None:
    """A drift that damps, which no linear part tells: backward the state runs away."""
    x0 = normal(2, 2)
    y = solve(Term(lambda s, y: -30.0 * y), x0, [0.0, 1.0], solver=RK4, dt=0.05, adjoint=Continuous("backsolve")).y
    with pytest.warns(RuntimeWarning, match="off by"):
        torch.autograd.grad(y.sum(), x0)


def test_steps_and_solver_of_the_way_back_may_differ() -> None:
    net, x0 = network(3), normal(5, 3)
    parameters = tuple(net.parameters())
    term = Term(net_of(net), parameters=parameters)
    want = gradients(term, x0, [x0, *parameters], RK4, Direct(), 1)
    for resolve in ("stored", "backsolve"):
        way = Continuous(resolve, solver=RungeKutta(tableaus.DOPRI5), dt=0.1)  # type: ignore[arg-type]
        assert_same(gradients(term, x0, [x0, *parameters], RK4, way, 1), want, 1e-5)


@pytest.mark.parametrize("adjoint", [Checkpointed(), Continuous(), Continuous("backsolve"), ReversibleAdjoint()])
@pytest.mark.parametrize("linear", [False, True])
def test_step_control(adjoint: Adjoint, linear: bool) -> None:
    """Each takes the accepted steps again; the gradient is as good as the tolerance."""
    net, x0 = network(3), normal(5, 3)
    parameters = tuple(net.parameters())
    rate = Diagonal(torch.tensor([-0.5, 0.2, 0.0], dtype=D)) if linear else None
    term = Term(net_of(net), rate, parameters=parameters)
    table = tableaus.KROGSTAD43 if linear else tableaus.DOPRI5
    base = RungeKutta(table)
    solver = Reversible(base) if isinstance(adjoint, ReversibleAdjoint) else base
    inputs = [x0, *parameters]

    def gradient(solver: Solver, adjoint: Adjoint, **steps: object) -> Gradients:
        y = solve(term, x0, TIMES, solver=solver, adjoint=adjoint, **steps).y  # type: ignore[arg-type]
        return list(torch.autograd.grad(loss_of_all_rows(y), inputs))

    want = gradient(base, Direct(), dt=1e-2)
    got = gradient(solver, adjoint, controller=Pid(rtol=1e-8, atol=1e-10))
    assert_same(got, want, 1e-5 if isinstance(adjoint, ReversibleAdjoint) else 1e-6)


@pytest.mark.parametrize("problem", [semilinear, burgers_in_fourier_space])
def test_multistep_memory(problem: Problem) -> None:
    """Slopes that are remembered pass from segment to segment; the way back starts anew at every asked time."""
    solver = Adams(3)
    want = problem(solver, Direct())
    assert_same(problem(solver, Checkpointed(3)), want, 1e-14)
    assert_same(problem(solver, Continuous()), want, 1e-2)


@pytest.mark.parametrize("adjoint", [Checkpointed(), Continuous()])
def test_replayed_steps_stay_inside_the_stability_region(adjoint: Adjoint) -> None:
    """Outside, by a few per cent, the state errs by 1e-4 and its gradient by a factor of thousands."""
    n = 96
    x = torch.arange(n, dtype=D) / n
    u0 = (torch.sin(2 * torch.pi * x)[None] + 0.5).requires_grad_()

    def viscous_burgers(s: Tensor, y: State) -> State:
        assert isinstance(y, Tensor)
        left, right = y.roll(1, -1), y.roll(-1, -1)
        return 0.05 * n**2 * (left - 2 * y + right) - y * (right - left) * (n / 2)

    def gradient(adjoint: Adjoint, **steps: object) -> Tensor:
        solver = RungeKutta(tableaus.DOPRI5)
        y = solve(Term(viscous_burgers), u0, [0.0, 0.1], solver=solver, adjoint=adjoint, **steps).y  # type: ignore[arg-type]
        return torch.autograd.grad((y[:, 1] ** 2).sum(), u0)[0]

    want = gradient(Direct(), dt=2e-4)
    with pytest.warns(UserWarning, match="stability region"):
        got = gradient(adjoint, controller=Pid(rtol=1e-3, atol=1e-4))
    assert (got - want).norm() < 1e-3 * want.norm()


@pytest.mark.parametrize("adjoint", [Checkpointed(), Continuous(), ReversibleAdjoint()])
def test_what_cannot_be_replayed_is_refused(adjoint: Adjoint) -> None:
    x0, term = normal(2, 2), Term(lambda s, y: -y)
    solver = Reversible(RungeKutta(tableaus.DOPRI5)) if isinstance(adjoint, ReversibleAdjoint) else None
    with pytest.raises(InputError, match="which all samples must share"):
        solve(term, x0, TIMES, solver=solver, controller=Pid(per_sample=True), adjoint=adjoint)
    with pytest.raises(InputError, match="dense output go with adjoint=Direct"):
        solve(term, x0, TIMES, solver=solver, controller=Pid(), dense=True, adjoint=adjoint)


@pytest.mark.parametrize("adjoint", [Direct(), Checkpointed(), ReversibleAdjoint()])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_finite_differences(adjoint: Adjoint, start: float) -> None:
    net = network(2)
    parameters = tuple(net.parameters())
    solver = Reversible(RK4) if isinstance(adjoint, ReversibleAdjoint) else RK4

    def end(x0: Tensor, rate: Tensor, *_: Tensor) -> Tensor:
        term = Term(lambda s, y: net(y) * (1 + s), Diagonal(rate), parameters=parameters)
        return solve(term, x0, [start, 0.5, 1.0 - start], solver=solver, dt=0.1, adjoint=adjoint).y[:, 1:]

    rate = torch.tensor([0.5, -0.3], dtype=D, requires_grad=True)
    assert torch.autograd.gradcheck(end, (normal(2, 2), rate, *parameters), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("adjoint", [Direct(), Checkpointed(), Checkpointed(2)])
def test_second_derivatives(adjoint: Adjoint) -> None:
    weight = normal(2, 2, seed=3)

    def end(x0: Tensor, weight: Tensor) -> Tensor:
        return solve(
            Term(lambda s, y: torch.sin(y @ weight)), x0, [0.0, 0.5], solver=RK4, dt=0.1, adjoint=adjoint
        ).y

    assert torch.autograd.gradgradcheck(end, (normal(2, 2), weight))


@pytest.mark.parametrize("adjoint", ONCE)
@pytest.mark.parametrize("power", [1, 2])
def test_second_derivatives_are_refused_where_there_are_none(adjoint: Adjoint, power: int) -> None:
    """With a plain sum (power 1) the cotangent has no gradient: then autograd's own guard is silent."""
    x0 = normal(2, 2)
    y = solve(Term(lambda s, y: torch.sin(y)), x0, TIMES, solver=Reversible(RK4), dt=0.1, adjoint=adjoint).y
    (first,) = torch.autograd.grad((y[:, 1] ** power).sum(), x0, create_graph=True)
    with pytest.raises(InputError, match="cannot be differentiated twice"):
        torch.autograd.grad((first**2).sum() + (x0**2).sum(), x0)


@pytest.mark.parametrize("adjoint", ONCE)
def test_a_tensor_that_is_not_listed_is_refused(adjoint: Adjoint) -> None:
    net = network(2)
    some = tuple(net.parameters())[:2]
    with pytest.raises(InputError, match=rf"\[12\].*{type(adjoint).__name__}|{type(adjoint).__name__}"):
        solve(Term(net_of(net), parameters=some), normal(3, 2), TIMES, solver=Reversible(RK4), dt=0.1,
              adjoint=adjoint)  # fmt: skip
    fixed = network(2).requires_grad_(False)
    solve(Term(net_of(fixed)), normal(3, 2), TIMES, solver=Reversible(RK4), dt=0.1, adjoint=adjoint)


def net_of(net: nn.Module) -> Callable[[Tensor, State], State]:
    return lambda s, y: net(y)


def test_a_solver_that_cannot_undo_is_refused() -> None:
    with pytest.raises(InputError, match=r"ReversibleAdjoint needs .* found RungeKutta"):
        solve(Term(lambda s, y: y), normal(1, 2), TIMES, dt=0.1, adjoint=ReversibleAdjoint())


@pytest.mark.parametrize("adjoint", [ReversibleAdjoint(), Continuous("backsolve")])
def test_damped_equations_are_not_undone(adjoint: Adjoint) -> None:
    u0 = torch.zeros(1, 1, 64, dtype=D)
    with pytest.raises(InputError, match=f"{type(adjoint).__name__}.*multiplies errors by"):
        solve(
            kuramoto_sivashinsky(64, 22.0), u0, [0.0, 1.0], solver=Reversible(KROGSTAD4), dt=0.1, adjoint=adjoint
        )


@pytest.mark.parametrize("segment", [0, -1, 1.5, True])
def test_segments_are_whole_numbers(segment: object) -> None:
    with pytest.raises(InputError, match="segment"):
        Checkpointed(segment)  # type: ignore[arg-type]


@pytest.mark.parametrize("adjoint", [Direct(), Checkpointed(), Checkpointed(3), *ONCE])
@pytest.mark.parametrize("backward", [True, False])
def test_nothing_outlives_the_gradient(adjoint: Adjoint, backward: bool) -> None:
    """A cycle between a result and its graph would keep every state until the collector runs."""
    seen: list[StorageWeakRef] = []

    def drift(s: Tensor, y: State) -> State:
        slope = torch.tanh(y)
        seen.extend(StorageWeakRef(part.untyped_storage()) for part in (y, slope))
        return slope

    def run() -> None:
        x0 = normal(2, 2)
        y = solve(Term(drift), x0, TIMES, solver=Reversible(RK4), dt=0.1, adjoint=adjoint).y
        if backward:
            torch.autograd.grad(y.sum(), x0)
        seen.append(StorageWeakRef(y.untyped_storage()))

    run()  # what torch imports at its first use leaves cycles of its own
    gc.collect()
    seen.clear()
    gc.disable()
    try:
        run()
        assert len(seen) > 20 and sum(not ref.expired() for ref in seen) == 0
    finally:
        gc.enable()


def test_checkpoints_hold_little() -> None:
    """Of 64 steps: what is saved between the passes, counted; the peak is measured in the benchmarks."""
    net, x0 = network(8), normal(64, 8)

    def held(adjoint: Adjoint) -> int:
        saved: dict[int, int] = {}

        def note(part: Tensor) -> Tensor:
            saved[part.data_ptr()] = part.untyped_storage().nbytes()
            return part.detach()

        with torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
            solve(Term(net_of(net)), x0, [0.0, 1.0], solver=RK4, dt=1 / 64, adjoint=adjoint)
        return sum(saved.values())

    assert held(Checkpointed(64)) * 20 < held(Direct())


def test_the_best_segment_follows_the_sizes() -> None:
    """A network's record of a step is tens of states, the record of a product by a number next to nothing."""

    def best(term: Term, x0: Tensor, steps: int) -> int:
        loop = FixedLoop(RK4, term, even([0.0, 1.0], 1 / steps))
        return best_segment(loop, x0, loop.start(x0))

    net, x0 = network(8), normal(64, 8)
    state, units = 64 * 8, 4 * (64 * 8 + 64 * 12)  # each stage keeps the layers' inputs; the first is the state
    assert best(Term(net_of(net)), x0, 64) == round((64 * state / (units - state)) ** 0.5)
    assert best(Term(net_of(net)), x0, 6400) == round((6400 * state / (units - state)) ** 0.5)
    assert best(Term(lambda s, y: -y), x0, 10) == 10


def test_reversible_takes_hundreds_of_steps_back() -> None:
    solver, y = Reversible(KROGSTAD4), normal(4, 3).detach()
    term = Term(lambda s, y: torch.sin(y.roll(1, -1)) * torch.cos(s), Diagonal(torch.tensor([0.3, 0.0, -0.2])))
    plan = solver.plan(term.linear, 0.02, y)
    loop = FixedLoop(solver, term, even([0.0, 8.0], 0.02))
    state, memory = loop.advance(y, loop.start(y), 0, 400)
    for index in reversed(range(400)):
        state, memory = solver.undo(term, loop.at(index, y), state, memory, plan)
    torch.testing.assert_close(state, y, rtol=0, atol=1e-12)
    torch.testing.assert_close(memory, y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("table", [tableaus.EULER, tableaus.HEUN, tableaus.RK4, tableaus.KROGSTAD4])
def test_reversible_keeps_the_order_of_its_base(table: tableaus.Tableau) -> None:
    x0 = normal(3, 2).detach()
    rate = Diagonal(torch.tensor([-1.0, 0.4], dtype=D))
    term = Term(lambda s, y: torch.sin(y.flip(-1)) * torch.cos(3 * s), rate)
    want = solve(term, x0, [0.0, 1.0], dt=1e-3).y

    def run(dt: float) -> Tensor:
        return solve(term, x0, [0.0, 1.0], solver=Reversible(RungeKutta(table)), dt=dt).y

    errors = errors_under_halving(run, 0.02 if table.order < 4 else 0.1, want)
    assert measured_order(errors) == pytest.approx(table.order, abs=0.2), errors


def test_reversible_refuses_what_it_cannot_couple() -> None:
    with pytest.raises(InputError, match="coupling"):
        Reversible(RK4, coupling=1.5)
    with pytest.raises(InputError, match="finite"):
        Reversible(RK4).plan(None, float("inf"), torch.zeros(1, 1))

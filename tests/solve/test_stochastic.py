import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.solve import (
    BrownianTree,
    Checkpointed,
    Diagonal,
    Direct,
    EulerMaruyama,
    ExponentialEulerMaruyama,
    FixedLoop,
    Generator,
    Milstein,
    Noise,
    Path,
    Pid,
    ReversibleAdjoint,
    ReversibleHeun,
    RungeKutta,
    StochasticHeun,
    StochasticRungeKutta,
    Term,
    by_jvp,
    solve,
    stochastic_tableaus,
    tableaus,
)
from sciode.solve.steps import even
from tests.order import measured_order
from tests.solve.stochastic_problems import (
    GEOMETRIC,
    GEOMETRIC_STRATONOVICH,
    TANH,
    TANH_STRATONOVICH,
    strong_errors,
)

F64 = torch.float64
SRI1 = StochasticRungeKutta(stochastic_tableaus.SRI1)
SRI2 = StochasticRungeKutta(stochastic_tableaus.SRI2)
ITO = [(EulerMaruyama(), 0.5), (Milstein(), 1.0), (Milstein(by_jvp), 1.0), (SRI1, 1.5), (SRI2, 1.5)]
# Reversible Heun has order 1 where the noise commutes; proved is 1/2.
STRATONOVICH = [(Milstein(), 1.0), (Milstein(by_jvp), 1.0), (StochasticHeun(), 1.0), (ReversibleHeun(), 1.0)]
CASES = [(p, s, o) for p in (GEOMETRIC, TANH) for s, o in ITO] + [
    (p, s, o) for p in (GEOMETRIC_STRATONOVICH, TANH_STRATONOVICH) for s, o in STRATONOVICH
]


@pytest.mark.parametrize("kind", ["diagonal", "scalar"])
@pytest.mark.parametrize(("problem", "solver", "order"), CASES)
def test_strong_order_against_the_solution_on_the_same_path(problem, solver, order, kind):
    errors = strong_errors(problem, solver, kind)
    assert errors[-1] < errors[0]
    assert measured_order(errors) == pytest.approx(order, abs=0.16)


@pytest.mark.parametrize("kind", ["diagonal", "scalar"])
def test_exponential_and_plain_euler_are_one_method_without_a_linear_part(kind):
    a = strong_errors(GEOMETRIC, EulerMaruyama(), kind, halvings=1, batch=20)
    b = strong_errors(GEOMETRIC, ExponentialEulerMaruyama(), "diagonal", halvings=1, batch=20)
    assert a == pytest.approx(b)


DRIFT = Term(lambda s, y: torch.sin(2.0 * y) + torch.cos(s))
ADDITIVE = [
    (EulerMaruyama(), 1.0),
    (Milstein(), 1.0),
    (StochasticHeun(), 1.0),
    (ReversibleHeun(), 1.0),
    (ExponentialEulerMaruyama(), 1.0),
    (StochasticRungeKutta(stochastic_tableaus.SRA1), 1.5),
    (StochasticRungeKutta(stochastic_tableaus.SRA3), 1.5),
    (SRI1, 1.5),
    (SRI2, 1.5),
]


@pytest.mark.parametrize(("solver", "order"), ADDITIVE)
def test_strong_order_for_additive_noise(solver, order):
    """The reference is the same path on a grid 64 times finer than the finest, by SRA3."""

    def run(method, factor, dt):
        noise = Noise(lambda s, y: torch.cos(s) * torch.ones_like(y), "additive", seed=8).coarsen(factor)
        term = Term(DRIFT.drift, noise=noise)
        return solve(term, torch.zeros(500, 1, dtype=F64), [0.0, 1.0], solver=method, dt=dt).y[:, -1]

    reference = run(StochasticRungeKutta(stochastic_tableaus.SRA3), 1, 1 / 512)
    errors = [
        (run(solver, 512 // count, 1 / count) - reference).square().mean().sqrt().item() for count in (8, 16, 32)
    ]
    assert measured_order(errors) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("table", [stochastic_tableaus.SRI1, stochastic_tableaus.SRI2])
def test_order_conditions_of_strong_order_three_halves(table):
    """Roessler (2010), Theorem 5.1; the rows left out of the tables are those of stages that repeat."""
    stages, drifts = len(table.noise_nodes), len(table.drift_nodes)

    def matrix(rows, columns):
        return torch.tensor([[*row, *[0.0] * (columns - len(row))] for row in rows], dtype=F64)

    a, e = torch.tensor(table.drift, dtype=F64), torch.ones(stages, dtype=F64)
    A, B = matrix(table.drift_drift, drifts), matrix(table.drift_noise, stages)
    C, D = matrix(table.noise_drift, drifts), matrix(table.noise_noise, stages)
    ones, De, Ce, Be = torch.ones(drifts, dtype=F64), D @ e, C.sum(1), B @ e
    wanted = [  # for b1, b2, b3, b4
        (e, (1, 0, 0, 0)),
        (De, (0, 1, 0, 0)),
        (Ce, (1, 0, -1, 0)),
        (De**2, (1, 0, -1, 2)),
        (D @ De, (0, 0, 0, 1)),
    ]
    for vector, values in wanted:
        for row, value in zip(table.noise, values, strict=True):
            assert float(torch.tensor(row, dtype=F64) @ vector) == pytest.approx(value, abs=1e-14)
    assert float(a @ ones) == pytest.approx(1.0)
    assert float(a @ (A @ ones)) == pytest.approx(0.5)
    assert float(a @ Be) == pytest.approx(1.0)
    assert float(a @ Be**2) == pytest.approx(1.5)
    b1, _, b3, _ = (torch.tensor(row, dtype=F64) for row in table.noise)
    assert float(0.5 * b1 @ (C @ Be) + b3 @ (C @ Be) / 3.0) == pytest.approx(0.0, abs=1e-14)
    torch.testing.assert_close(A @ ones, torch.tensor(table.drift_nodes, dtype=F64))
    torch.testing.assert_close(Ce, torch.tensor(table.noise_nodes, dtype=F64))


@pytest.mark.parametrize("table", [stochastic_tableaus.SRA1, stochastic_tableaus.SRA3])
def test_order_conditions_for_additive_noise(table):
    """Roessler (2010), Theorem 5.2."""
    drifts, stages = len(table.drift_nodes), len(table.noise_nodes)
    a, c = torch.tensor(table.drift, dtype=F64), torch.tensor(table.drift_nodes, dtype=F64)
    nodes = torch.tensor(table.noise_nodes, dtype=F64)
    B = torch.tensor([[*row, *[0.0] * (stages - len(row))] for row in table.drift_noise], dtype=F64)
    b1, _, b3, _ = (torch.tensor(row, dtype=F64) for row in table.noise)
    values = [a.sum(), a @ B.sum(1), a @ c, a @ B.sum(1) ** 2, b1.sum(), b3.sum(), b1 @ nodes, b3 @ nodes]
    assert [float(v) for v in values] == pytest.approx([1.0, 1.0, 0.5, 1.5, 1.0, 0.0, 1.0, -1.0], abs=1e-14)
    assert len(table.drift_drift) == drifts


@pytest.mark.parametrize("solver", [EulerMaruyama(), Milstein(), SRI1])
def test_weak_order_one_or_more(solver):
    """E y(1) of geometric motion; the same path for all steps leaves little of the sampling error."""
    noise = Noise(lambda s, y: 0.3 * y, seed=2)
    start = torch.ones(40000, 1, dtype=F64)

    def run(count):
        term = Term(lambda s, y: 1.5 * y, noise=noise.coarsen(64 // count))
        return solve(term, start, [0.0, 1.0], solver=solver, dt=1.0 / count).y[:, -1]

    # Bias against the exact solution on the same path: its sampling error is that of a small difference.
    W = noise.coarsen(64).source(start, even([0.0, 1.0], 1.0))(0).W
    exact = torch.exp((1.5 - 0.045) + 0.3 * W)
    biases = [abs((run(count) - exact).mean().item()) for count in (4, 8, 16)]
    expected = 2.0 if solver is SRI1 else 1.0
    assert measured_order(biases) > expected - 0.2


def rotating(y):
    """Two Wiener processes that do not commute: G of shape [b, 2, 2]."""
    zero = torch.zeros_like(y[:, 0])
    return torch.stack(
        [torch.stack([0.4 + 0 * zero, -0.3 * y[:, 1]], 1), torch.stack([zero, 0.3 * y[:, 0]], 1)], 1
    )


@pytest.mark.parametrize(
    ("solver", "calculus"),
    [(EulerMaruyama(), "ito"), (StochasticHeun(), "stratonovich"), (ReversibleHeun(), "stratonovich")],
)
def test_general_noise_has_strong_order_one_half(solver, calculus):
    def run(count, fine=2048):
        noise = Noise(lambda s, y: rotating(y), "general", 6, calculus, size=2).coarsen(fine // count)
        term = Term(lambda s, y: -0.1 * y, noise=noise)
        return solve(term, torch.ones(400, 2, dtype=F64), [0.0, 1.0], solver=solver, dt=1.0 / count).y[:, -1]

    reference = run(2048)
    errors = [(run(count) - reference).square().mean().sqrt().item() for count in (16, 32, 64, 128)]
    assert measured_order(errors) == pytest.approx(0.5, abs=0.15)


def test_general_noise_that_is_diagonal_is_diagonal_noise():
    W = torch.randn(16, 5, 3, dtype=F64, generator=torch.Generator().manual_seed(0)) / 4.0
    start = torch.linspace(0.5, 1.5, 15, dtype=F64).reshape(5, 3)
    drift = Term(lambda s, y: -y).drift
    made = []
    for kind, amplitude, size in (
        ("diagonal", lambda s, y: 0.3 * y, None),
        ("general", lambda s, y: torch.diag_embed(0.3 * y), 3),
    ):
        noise = Noise(amplitude, kind, size=size, driver=Path(W))
        made.append(solve(Term(drift, noise=noise), start, [0.0, 1.0], solver=EulerMaruyama(), dt=1 / 16).y)
    torch.testing.assert_close(*made)


def test_the_two_calculi_agree_after_the_correction_of_the_drift():
    """Stratonovich drift f is Ito drift f + g g'/2: Ito SRI1 and Stratonovich Heun meet on one path."""
    start = torch.full((200, 1), 0.3, dtype=F64)
    amplitude = lambda s, y: 0.5 * torch.cos(y)  # noqa: E731
    other = Term(lambda s, y: -y, noise=Noise(amplitude, seed=1, calculus="stratonovich"))
    # g g'/2 = -0.125 cos y sin y = -0.0625 sin 2y
    ito = Term(lambda s, y: -y - 0.0625 * torch.sin(2 * y), noise=Noise(amplitude, seed=1))
    a = solve(ito, start, [0.0, 1.0], solver=SRI1, dt=1 / 512).y[:, 1]
    b = solve(other, start, [0.0, 1.0], solver=StochasticHeun(), dt=1 / 512).y[:, 1]
    assert (a - b).square().mean().sqrt().item() < 5e-4


def test_tuple_states_take_one_path_per_element_and_one_scalar_path_for_all():
    start = (torch.ones(4, 2, dtype=F64), torch.ones(4, 3, 2, dtype=F64))
    for kind in ("diagonal", "scalar", "general"):
        size = 2 if kind == "general" else None

        def amplitude(s, y, wide=size):
            return tuple(0.2 * part[..., None].expand(*part.shape, wide) if wide else 0.2 * part for part in y)

        term = Term(lambda s, y: tuple(-part for part in y), noise=Noise(amplitude, kind, size=size))
        x, z = solve(term, start, [0.0, 1.0], solver=EulerMaruyama(), dt=0.1).y
        assert x.shape == (4, 2, 2) and z.shape == (4, 2, 3, 2)
        same = torch.allclose(x[:, 1, :1], z[:, 1, :1, 0])
        assert same == (kind != "diagonal")


def test_a_complex_state_takes_circular_noise():
    start = torch.zeros(20000, 1, dtype=torch.complex128)
    noise = Noise(lambda s, y: torch.ones_like(y.real), "additive")
    term = Term(lambda s, y: -y, noise=noise)
    for solver in (EulerMaruyama(), StochasticHeun(), ReversibleHeun()):
        y = solve(term, start, [0.0, 0.5], solver=solver, dt=0.05).y[:, 1]
        assert y.abs().square().mean().item() == pytest.approx((1 - math.exp(-1.0)) / 2, rel=0.06)
        assert y.square().mean().abs().item() < 0.01


def test_a_linear_part_counts_as_drift():
    start = torch.ones(3, 2, dtype=F64)
    noise = Noise(lambda s, y: 0.2 * y, calculus="stratonovich")
    for solver in (StochasticHeun(), Milstein(), ReversibleHeun()):
        whole = solve(Term(lambda s, y: -0.7 * y, noise=noise), start, [0.0, 1.0], solver=solver, dt=0.1).y
        split = solve(Term(lambda s, y: 0 * y, Diagonal(-0.7), noise), start, [0.0, 1.0], solver=solver, dt=0.1).y
        torch.testing.assert_close(whole, split)


@pytest.mark.parametrize(
    ("solver", "table"),
    [
        (EulerMaruyama(), tableaus.EULER),
        (Milstein(), tableaus.EULER),
        (StochasticHeun(), tableaus.HEUN),
        (ExponentialEulerMaruyama(), tableaus.ETD1),
    ],
)
def test_without_noise_each_is_its_deterministic_method(solver, table):
    start = torch.linspace(0.5, 1.0, 4, dtype=F64).reshape(2, 2)
    term = Term(lambda s, y: torch.sin(y) + s)
    a = solve(term, start, [0.0, 1.0], solver=solver, dt=0.1).y
    torch.testing.assert_close(a, solve(term, start, [0.0, 1.0], solver=RungeKutta(table), dt=0.1).y)


@pytest.mark.parametrize(("table", "order"), [(stochastic_tableaus.SRI1, 2), (stochastic_tableaus.SRI2, 3)])
def test_deterministic_order_of_the_stochastic_tables(table, order):
    term, start = Term(lambda s, y: torch.cos(s) * y), torch.ones(1, 1, dtype=F64)
    errors = [
        (
            solve(term, start, [0.0, 1.0], solver=StochasticRungeKutta(table), dt=dt).y[0, 1]
            - math.exp(math.sin(1.0))
        )
        .abs()
        .item()
        for dt in (0.1, 0.05, 0.025)
    ]
    assert measured_order(errors) == pytest.approx(order, abs=0.2)


def test_reversible_heun_undoes_its_steps_to_round_off():
    solver = ReversibleHeun()
    noise = Noise(lambda s, y: 0.4 * torch.cos(y), calculus="stratonovich", seed=2)
    term = Term(lambda s, y: torch.sin(3.0 * y), Diagonal(-0.5), noise)
    y = start = torch.linspace(-1.0, 1.0, 6, dtype=F64).reshape(2, 3)
    loop = FixedLoop(solver, term, even([0.0, 1.0], 0.01))
    memory = first = loop.start(y)
    y, memory = loop.advance(y, memory, 0, 100)
    for index in reversed(range(100)):
        y, memory = solver.undo(term, loop.at(index, y), y, memory, loop.plan(index, y))
    torch.testing.assert_close(y, start, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(memory.z, first.z, rtol=0.0, atol=1e-12)


GRADIENTS = [
    (EulerMaruyama(), "ito"),
    (Milstein(), "ito"),
    (Milstein(by_jvp), "stratonovich"),
    (StochasticHeun(), "stratonovich"),
    (ReversibleHeun(), "stratonovich"),
    (SRI1, "ito"),
    (ExponentialEulerMaruyama(), "ito"),
]


@pytest.mark.parametrize(("solver", "calculus"), GRADIENTS)
def test_gradients_through_a_path_against_finite_differences(solver, calculus):
    def end(start, drift, spread, rate):
        noise = Noise(lambda s, y: spread * torch.cos(y), calculus=calculus, seed=7)
        term = Term(lambda s, y: drift * torch.sin(y), Diagonal(rate), noise)
        return solve(term, start, [0.0, 0.5], solver=solver, dt=0.1).y[:, 1]

    values = (torch.tensor([[0.3, -0.2]]), torch.tensor(0.7), torch.tensor(0.4), torch.tensor(-0.6))
    leaves = tuple(v.to(F64).requires_grad_() for v in values)
    assert torch.autograd.gradcheck(end, leaves)


@pytest.mark.parametrize(
    ("solver", "noise", "message"),
    [
        (
            Milstein(),
            dict(kind="general", size=2),
            "Milstein takes additive, diagonal, scalar noise, found general",
        ),
        (SRI1, dict(kind="general", size=2), "SRI1 takes additive, diagonal, scalar noise"),
        (StochasticRungeKutta(stochastic_tableaus.SRA1), dict(kind="diagonal"), "SRA1 takes additive noise"),
        (ExponentialEulerMaruyama(), dict(kind="scalar"), "ExponentialEulerMaruyama takes"),
        (EulerMaruyama(), dict(calculus="stratonovich"), "EulerMaruyama takes calculus='ito'"),
        (StochasticHeun(), dict(calculus="ito"), "StochasticHeun takes calculus='stratonovich'"),
        (RungeKutta(tableaus.RK4), dict(), "RungeKutta takes no noise"),
    ],
)
def test_noise_that_a_solver_cannot_take_is_refused(solver, noise, message):
    with pytest.raises(InputError, match=message):
        solve(
            Term(lambda s, y: -y, noise=Noise(lambda s, y: y, **noise)),
            torch.ones(2, 2),
            [0.0, 1.0],
            solver=solver,
            dt=0.1,
        )


def test_step_control_refuses_methods_that_see_no_noise():
    term = Term(lambda s, y: -y, noise=Noise(lambda s, y: y))
    for solver, message in (
        (RungeKutta(tableaus.DOPRI5), "takes no noise"),
        (EulerMaruyama(), "no error estimate"),
    ):
        with pytest.raises(InputError, match=message):
            solve(term, torch.ones(2, 2), [0.0, 1.0], solver=solver, controller=Pid(rtol=1e-3, atol=1e-3))


@pytest.mark.parametrize("solver", [Milstein(), SRI1])
def test_diagonal_noise_on_complex_states_is_refused_where_it_has_no_meaning(solver):
    term = Term(lambda s, y: -y, noise=Noise(lambda s, y: y))
    with pytest.raises(InputError, match="real states"):
        solve(term, torch.ones(2, 2, dtype=torch.complex128), [0.0, 1.0], solver=solver, dt=0.1)


@pytest.mark.parametrize("method", ["euler", "milstein", "srk"])
def test_against_torchsde_on_given_increments(method):
    """The same W and H to both: one result for Euler and Milstein, nearly one for two SRK methods."""
    torchsde = pytest.importorskip("torchsde")
    b, d, steps = 8, 3, 64
    draw = torch.Generator().manual_seed(1)
    W = torch.randn(steps, b, d, dtype=F64, generator=draw) / math.sqrt(steps)
    H = torch.randn(steps, b, d, dtype=F64, generator=draw) / math.sqrt(12 * steps)

    class System(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t, y):
            return torch.sin(y) - 0.3 * t

        def g(self, t, y):
            return 0.4 * torch.cos(y)

    class Given(torchsde.BaseBrownian):
        dtype, device, shape, levy_area_approximation = F64, torch.device("cpu"), (b, d), "space-time"

        def __call__(self, ta, tb=None, return_U=False, return_A=False):
            index = min(round(float(ta) * steps), steps - 1)
            area = (H[index] + 0.5 * W[index]) / steps
            return (W[index], area) if return_U else W[index]

        def __repr__(self):
            return "Given"

        size = display = __repr__

    start = torch.linspace(-1.0, 1.0, b * d, dtype=F64).reshape(b, d)
    times = torch.tensor([0.0, 1.0], dtype=F64)
    theirs = torchsde.sdeint(System(), start, times, bm=Given(), method=method, dt=1.0 / steps)[-1]
    solver = {"euler": EulerMaruyama(), "milstein": Milstein(by_jvp), "srk": SRI1}[method]
    term = Term(System().f, noise=Noise(System().g, driver=Path(W, H)))
    mine = solve(term, start, times, solver=solver, dt=1.0 / steps).y[:, 1]
    torch.testing.assert_close(mine, theirs, rtol=0.0, atol=1e-3 if method == "srk" else 1e-12)


def test_leaves_of_two_precisions_keep_theirs():
    start = (torch.ones(4, 2, dtype=F64), torch.ones(4, 3))
    noise = Noise(lambda s, y: tuple(0.2 * part for part in y))
    term = Term(lambda s, y: tuple(-part for part in y), noise=noise)
    for solver in (EulerMaruyama(), Milstein(), SRI1, ExponentialEulerMaruyama()):
        x, z = solve(term, start, [0.0, 1.0], solver=solver, dt=0.1).y
        assert x.dtype == F64 and z.dtype == torch.float32


@pytest.mark.parametrize(("adjoint", "solver"), [(Checkpointed(), SRI1), (ReversibleAdjoint(), ReversibleHeun())])
@pytest.mark.parametrize("driver", [Generator(), BrownianTree()])
def test_adjoints_that_run_steps_again_see_the_same_path(adjoint, solver, driver):
    calculus = "ito" if solver is SRI1 else "stratonovich"

    def gradients(way):
        start = torch.linspace(-1.0, 1.0, 6, dtype=F64).reshape(2, 3).requires_grad_()
        spread = torch.tensor(0.4, dtype=F64, requires_grad=True)
        noise = Noise(lambda s, y: spread * torch.cos(y), seed=3, calculus=calculus, driver=driver)
        term = Term(lambda s, y: torch.sin(2 * y), noise=noise, parameters=(spread,))
        y = solve(term, start, [0.0, 0.5, 1.0], solver=solver, dt=0.05, adjoint=way).y
        return torch.autograd.grad(y.square().sum(), (start, spread))

    for a, b in zip(gradients(adjoint), gradients(Direct()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)

"""A factor of the drift folded into the weights: the same numbers, the same gradients, fewer kernels."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.symbol import Symbol
from sciode.pde import burgers, fisher_kpp, kdv, kuramoto_sivashinsky
from sciode.solve import Checkpointed, Diagonal, FixedLoop, RungeKutta, Scaled, Term, solve, tableaus
from sciode.solve.loop import counted
from sciode.solve.steps import even

EQUATIONS = {
    "kuramoto_sivashinsky": kuramoto_sivashinsky(32, 22.0),
    "burgers": burgers(32, viscosity=0.02),
    "kdv": kdv(32),  # a complex rate
    "fisher_kpp": fisher_kpp(32, diffusion=0.01),  # a real factor
}
U0 = 0.4 + 0.2 * torch.randn(3, 1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def plain(term: Term) -> Term:
    """Return the same equation with a drift that does not tell its factor."""
    drift = term.drift
    return replace(term, drift=lambda s, y: drift(s, y))


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("table", [tableaus.KROGSTAD4, tableaus.COXMATTHEWS4, tableaus.HO3, tableaus.RK4])
def test_folding_changes_round_off_only(name: str, table: tableaus.Tableau) -> None:
    term, solver = EQUATIONS[name], RungeKutta(table)
    assert solver.folded(term).factor is not None
    assert solver.folded(plain(term)) is solver
    # The sum of the slopes is rounded once more or once less: the phase of a stiff mode shows that the most.
    folded = solve(term, U0, [0.0, 0.02, 0.05], solver=solver, dt=0.001).y
    want = solve(plain(term), U0, [0.0, 0.02, 0.05], solver=solver, dt=0.001).y
    torch.testing.assert_close(folded, want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("adjoint", [None, Checkpointed()])
def test_gradients_do_not_see_the_folding(adjoint: Checkpointed | None) -> None:
    kept: list[tuple[Tensor, ...]] = []
    for wrap in (lambda term: term, plain):
        u0 = U0.clone().requires_grad_()
        term = EQUATIONS["burgers"]
        rate = term.linear.rate.clone().requires_grad_()
        term = wrap(replace(term, linear=Diagonal(rate)))
        options = {} if adjoint is None else {"adjoint": adjoint}
        y = solve(term, u0, [0.0, 0.02, 0.05], dt=0.01, **options).y
        kept.append(torch.autograd.grad(y.square().sum(), (u0, rate)))
    for got, want in zip(*kept, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-13)


def test_a_learned_factor_keeps_its_gradient() -> None:
    def end(factor: Tensor) -> Tensor:
        term = Term(Scaled(lambda s, y: torch.tanh(y), Symbol(factor)), Diagonal(-1.0))
        return solve(term, torch.ones(2, 3, dtype=torch.float64), [0.0, 0.5], dt=0.1).y

    assert torch.autograd.gradcheck(end, (torch.randn(3, dtype=torch.float64, requires_grad=True),))


def test_counting_and_checking_keep_the_factor_known() -> None:
    term = EQUATIONS["burgers"]
    wrapped, calls = counted(term)
    wrapped = wrapped.checked()
    assert isinstance(wrapped.drift, Scaled)
    y = term.chart.enter(U0, None)
    s = torch.tensor(0.0, dtype=torch.float64)
    assert torch.equal(wrapped.drift(s, y), term.drift(s, y))
    wrapped.drift.inner(s, y)
    assert calls == [2]
    assert solve(term, U0, [0.0, 0.05], dt=0.01).stats.evaluations == 20


def test_a_loop_folds_for_its_own_term_only() -> None:
    solver = RungeKutta(tableaus.KROGSTAD4)
    loop = FixedLoop(solver, EQUATIONS["burgers"], even([0.0, 0.1], 0.05))
    assert loop.solver.factor is EQUATIONS["burgers"].drift.factor
    assert solver.factor is None
    assert RungeKutta(tableaus.RK4).folded(Term(EQUATIONS["burgers"].drift)).factor is None  # numbers stay numbers


def test_a_factor_that_does_not_fit_is_named() -> None:
    x0 = torch.ones(2, 3, dtype=torch.float64)
    for factor in (torch.ones(4), torch.ones(3, dtype=torch.complex128)):
        term = Term(Scaled(lambda s, y: y, Symbol(factor)), Diagonal(-1.0))
        with pytest.raises(InputError, match="factor"):
            solve(term, x0, [0.0, 1.0], dt=0.1)


def test_vectorised_gradients_of_the_quadratic_drift() -> None:
    # In-place squares must not be seen by function transforms.
    drift = burgers(16).drift
    s = torch.tensor(0.0)

    def energy(u: Tensor) -> Tensor:
        return drift(s, torch.fft.rfft(u)).abs().square().sum()

    u = torch.randn(4, 1, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    want = torch.stack([torch.autograd.grad(energy(x), x)[0] for x in u.clone().requires_grad_()])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(energy))(u), want)
    total = torch.func.grad(lambda x: torch.func.vmap(energy)(x).sum())(u)
    torch.testing.assert_close(total, want)
    _, tangent = torch.func.jvp(energy, (u[0],), (u[1],))
    torch.testing.assert_close(tangent, (want[0] * u[1]).sum())

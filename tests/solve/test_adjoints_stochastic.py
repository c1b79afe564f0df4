"""Gradients of stochastic equations: every adjoint sees the same path, forward and back."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.typing import State
from sciode.solve import (
    Adjoint,
    Checkpointed,
    Continuous,
    Diagonal,
    Direct,
    EulerMaruyama,
    ExponentialEulerMaruyama,
    Milstein,
    Noise,
    Pid,
    Reversible,
    ReversibleAdjoint,
    ReversibleHeun,
    Solver,
    StochasticHeun,
    Term,
    solve,
)

D = torch.float64
TIMES = [0.0, 0.4, 1.0]
Gradients = list[Tensor]


def networks() -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)).to(D), torch.randn(3, dtype=D)


def start() -> Tensor:
    return torch.randn(6, 3, dtype=D, generator=torch.Generator().manual_seed(4)).requires_grad_()


def neural(kind: str, calculus: str, solver: Solver, adjoint: Adjoint, dt: float = 0.02) -> Gradients:
    """A neural SDE with learned drift, amplitude and rates."""
    net, width = networks()
    width.requires_grad_()
    rate = torch.tensor([-1.0, -0.3, 0.2], dtype=D, requires_grad=True)

    def amplitude(s: Tensor, y: State) -> State:
        assert isinstance(y, Tensor)
        if kind == "additive":
            return (0.3 * width * torch.cos(s)).expand_as(y)
        diagonal = 0.3 * torch.sin(width * y)
        return torch.stack([diagonal, 0.1 * y.roll(1, -1) * width], dim=-1) if kind == "general" else diagonal

    noise = Noise(amplitude, kind=kind, seed=3, calculus=calculus, size=2 if kind == "general" else None)  # type: ignore[arg-type]
    x0, parameters = start(), (*net.parameters(), width)
    term = Term(lambda s, y: net(y), Diagonal(rate), noise, parameters=parameters)
    y = solve(term, x0, TIMES, solver=solver, dt=dt, adjoint=adjoint).y
    return list(torch.autograd.grad((y[:, 1] ** 2).sum() + y[:, 2].sin().sum(), [x0, rate, *parameters]))


def largest(got: Gradients, want: Gradients) -> float:
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(got, want, strict=True))


Solve = Callable[..., Gradients]
ITO: Solve = partial(neural, "diagonal", "ito")
DIAGONAL: Solve = partial(neural, "diagonal", "stratonovich")
GENERAL: Solve = partial(neural, "general", "stratonovich")
ADDITIVE: Solve = partial(neural, "additive", "ito")


@pytest.mark.parametrize(
    ("problem", "solver"),
    [(ITO, EulerMaruyama()), (ITO, Milstein()), (DIAGONAL, StochasticHeun()), (GENERAL, StochasticHeun()),
     (ADDITIVE, EulerMaruyama()), (GENERAL, ReversibleHeun())],
)  # fmt: skip
@pytest.mark.parametrize("segment", [None, 7])
def test_checkpoints_change_no_gradient(problem: Solve, solver: Solver, segment: int | None) -> None:
    assert largest(problem(solver, Checkpointed(segment)), problem(solver, Direct())) < 1e-14


@pytest.mark.parametrize(
    ("problem", "solver"),
    [(DIAGONAL, ReversibleHeun()), (GENERAL, ReversibleHeun()), (ADDITIVE, ReversibleHeun()),
     (DIAGONAL, Reversible(StochasticHeun())), (GENERAL, Reversible(StochasticHeun())),
     (ADDITIVE, Reversible(EulerMaruyama()))],
)  # fmt: skip
def test_reversible_adjoint_is_exact(problem: Solve, solver: Solver) -> None:
    assert largest(problem(solver, ReversibleAdjoint()), problem(solver, Direct())) < 1e-11


def test_reversible_adjoint_against_finite_differences() -> None:
    def end(x0: Tensor, width: Tensor) -> Tensor:
        noise = Noise(lambda s, y: torch.sin(width * y), calculus="stratonovich", seed=1)
        term = Term(lambda s, y: torch.cos(y) * width, noise=noise, parameters=(width,))
        return solve(term, x0, TIMES, solver=ReversibleHeun(), dt=0.1, adjoint=ReversibleAdjoint()).y

    width = torch.tensor([0.5, -0.3, 0.8], dtype=D, requires_grad=True)
    assert torch.autograd.gradcheck(end, (start()[:2].detach().requires_grad_(), width), rtol=1e-5, atol=1e-8)


def test_a_tensor_in_the_amplitude_must_be_listed() -> None:
    width = torch.ones(3, dtype=D, requires_grad=True)
    term = Term(lambda s, y: -y, noise=Noise(lambda s, y: width * y, calculus="stratonovich"))
    with pytest.raises(InputError, match=r"amplitude depends on a tensor \[3\]"):
        solve(term, start(), TIMES, solver=ReversibleHeun(), dt=0.1, adjoint=ReversibleAdjoint())


def test_reversible_refuses_ito_noise() -> None:
    with pytest.raises(InputError, match="Stratonovich calculus"):
        ITO(Reversible(EulerMaruyama()), ReversibleAdjoint())
    with pytest.raises(InputError, match="Ornstein-Uhlenbeck"):
        ADDITIVE(Reversible(ExponentialEulerMaruyama()), ReversibleAdjoint())


@pytest.mark.parametrize("problem", [DIAGONAL, GENERAL, ADDITIVE])
@pytest.mark.parametrize("resolve", ["stored", "backsolve"])
def test_continuous_adjoint_converges_along_the_path(problem: Solve, resolve: str) -> None:
    """To the gradient of the discrete solve: strong order 1/2 at least, so the error halves over four halvings."""
    adjoint = Continuous(resolve)  # type: ignore[arg-type]
    errors = [
        largest(problem(StochasticHeun(), adjoint, dt=dt), problem(StochasticHeun(), Direct(), dt=dt))
        for dt in (0.1, 0.1 / 16)
    ]
    assert errors[1] < 0.02 and errors[0] / errors[1] > 2.0, errors


@pytest.mark.parametrize("resolve", ["stored", "backsolve"])
def test_continuous_adjoint_of_scalar_geometric_motion(resolve: str) -> None:
    """dy = m y ds + v y o dW has dy/dm = s y and dy/dv = W y."""
    m, v = (torch.tensor(value, dtype=D, requires_grad=True) for value in (0.3, 0.5))
    noise = Noise(lambda s, y: v * y, calculus="stratonovich", seed=5)
    term = Term(lambda s, y: m * y, noise=noise, parameters=(m, v))
    x0 = torch.ones(4, 1, dtype=D, requires_grad=True)
    y = solve(term, x0, [0.0, 1.0], solver=StochasticHeun(), dt=2e-3, adjoint=Continuous(resolve)).y[:, 1]  # type: ignore[arg-type]
    W = (y.detach().log() - 0.3) / 0.5
    got = torch.autograd.grad(y.sum(), [x0, m, v])
    for a, b in zip(got, [y, y.sum(), (W * y).sum()], strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=5e-3, atol=5e-3)


def test_continuous_adjoint_refuses_ito_noise() -> None:
    with pytest.raises(InputError, match="Ito calculus"):
        ITO(EulerMaruyama(), Continuous())


@pytest.mark.parametrize("adjoint", [Checkpointed(), Continuous()])
def test_steps_found_under_control_see_the_same_path_again(adjoint: Adjoint) -> None:
    noise = Noise(lambda s, y: 0.2 * torch.sin(y), calculus="stratonovich", seed=2)
    term, x0 = Term(lambda s, y: torch.cos(y), noise=noise), start()

    def end(adjoint: Adjoint) -> tuple[Tensor, Tensor]:
        control = Pid(rtol=1e-2, atol=1e-2)
        y = solve(term, x0, [0.0, 1.0], solver=StochasticHeun(), controller=control, adjoint=adjoint).y[:, 1]
        return y, torch.autograd.grad(y.sum(), x0)[0]

    for got, want in zip(end(adjoint), end(Direct()), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12 if adjoint == Checkpointed() else 1e-2)

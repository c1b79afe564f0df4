"""The same call answered by torchdiffeq and torchsde: their answers against ours, and what they cannot do."""

import math
import sys

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError, MissingExtra, UnknownName
from sciode.core.random import derive_seed
from sciode.pde import burgers
from sciode.solve import (
    Compiled,
    Diagonal,
    Noise,
    Pid,
    RungeKutta,
    Status,
    Term,
    TorchDiffEq,
    TorchSDE,
    solve,
    tableaus,
)

X0 = torch.tensor([[0.3, -0.2], [1.0, 0.4], [-0.7, 0.9]], dtype=torch.float64)
TIMES = [0.0, 0.5, 1.13]


def pendulum(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * s)], dim=1)


# ---------------------------------------------------------------- torchdiffeq


@pytest.mark.parametrize(
    ("name", "table"), [("euler", tableaus.EULER), ("heun2", tableaus.HEUN), ("midpoint", tableaus.MIDPOINT)]
)
def test_fixed_steps_are_the_same_steps(name: str, table: tableaus.Tableau) -> None:
    ours = solve(Term(pendulum), X0, TIMES, solver=RungeKutta(table), dt=0.03)
    theirs = solve(Term(pendulum), X0, TIMES, solver=TorchDiffEq(name), dt=0.03)
    torch.testing.assert_close(theirs.y, ours.y, rtol=0, atol=1e-13)
    assert theirs.stats == ours.stats
    assert theirs.status.tolist() == [Status.OK] * 3
    assert theirs.reached.tolist() == ours.reached.tolist()


@pytest.mark.parametrize("name", ["dopri5", "dopri8", "bosh3"])
@pytest.mark.parametrize("times", [TIMES, TIMES[::-1]], ids=["forwards", "backwards"])
def test_adaptive_methods_agree(name: str, times: list[float]) -> None:
    ours = solve(Term(pendulum), X0, times, dt=0.005)
    theirs = solve(Term(pendulum), X0, times, solver=TorchDiffEq(name, rtol=1e-9, atol=1e-10))
    # torchdiffeq interpolates at all asked times, in dopri8 less exactly than it steps.
    torch.testing.assert_close(theirs.y, ours.y, rtol=0, atol=1e-6 if name != "dopri8" else 1e-4)
    assert theirs.stats.steps > 3 and theirs.stats.evaluations > theirs.stats.steps


def test_the_linear_part_is_added() -> None:
    rate = torch.tensor([-1.0, -3.0], dtype=torch.float64)
    term = Term(pendulum, Diagonal(rate))
    ours = solve(term, X0, TIMES, dt=0.005).y
    torch.testing.assert_close(solve(term, X0, TIMES, solver=TorchDiffEq()).y, ours, rtol=0, atol=1e-6)


def test_a_chart_with_complex_coordinates() -> None:
    u0 = torch.sin(2 * torch.pi * torch.arange(32, dtype=torch.float64) / 32).expand(2, 1, 32)
    term = burgers(32, viscosity=0.02)
    ours = solve(term, u0, [0.0, 0.1], dt=0.001).y
    theirs = solve(term, u0, [0.0, 0.1], solver=TorchDiffEq("dopri5", rtol=1e-7, atol=1e-8)).y
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


def test_tuples_of_real_and_complex_tensors() -> None:
    def drift(s: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return -y[1].real * s, 1j * y[1] + y[0]

    x0 = (X0, torch.complex(X0, X0.flip(0)))
    ours = solve(Term(drift), x0, TIMES, dt=0.005).y
    theirs = solve(Term(drift), x0, TIMES, solver=TorchDiffEq(rtol=1e-9, atol=1e-10)).y
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


def test_single_precision_stays_single() -> None:
    y = solve(Term(pendulum), X0.float(), TIMES, solver=TorchDiffEq(rtol=1e-5, atol=1e-6)).y
    assert y.dtype is torch.float32
    torch.testing.assert_close(y.double(), solve(Term(pendulum), X0, TIMES, dt=0.01).y, rtol=0, atol=1e-4)


def test_gradients_agree() -> None:
    def gradients(**arguments: object) -> tuple[Tensor, ...]:
        x0 = X0.clone().requires_grad_()
        weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        y = solve(Term(lambda s, y: torch.tanh(weight * y.flip(1))), x0, TIMES, **arguments).y  # type: ignore[arg-type]
        return torch.autograd.grad((y**2).sum(), (x0, weight))

    ours = gradients(solver=RungeKutta(tableaus.HEUN), dt=0.05)
    theirs = gradients(solver=TorchDiffEq("heun2"), dt=0.05)
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_when_torchdiffeq_gives_up_the_status_says_so() -> None:
    blow_up = Term(lambda s, y: y**2)  # infinite at s = 1
    solution = solve(blow_up, torch.ones(2, 1, dtype=torch.float64), [0.0, 2.0], solver=TorchDiffEq())
    assert set(solution.status.tolist()) <= {Status.MIN_STEP, Status.NON_FINITE}
    assert bool(solution.y[:, 1].isnan().all()) and "sample 0" in solution.message
    few = TorchDiffEq(options={"max_num_steps": 3})
    assert solve(Term(pendulum), X0, TIMES, solver=few).status.tolist() == [Status.MAX_STEPS] * 3


# ------------------------------------------------------------------- torchsde


def geometric(**arguments: object) -> Term:
    return Term(lambda s, y: 0.3 * y, noise=Noise(lambda s, y: 0.5 * y, seed=3, **arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "calculus"),
    [
        ("euler", "ito"),
        ("milstein", "ito"),
        ("srk", "ito"),
        ("heun", "stratonovich"),
        ("midpoint", "stratonovich"),
    ],
)
def test_moments_of_geometric_brownian_motion(method: str, calculus: str) -> None:
    x0 = torch.ones(4000, 1, dtype=torch.float64)
    y = solve(geometric(calculus=calculus), x0, [0.0, 0.5, 1.0], solver=TorchSDE(method), dt=0.02).y[:, 2, 0]
    drift = 0.3 if calculus == "ito" else 0.3 + 0.125
    mean, variance = math.exp(drift), math.exp(2 * drift) * (math.exp(0.25) - 1)
    # Four standard errors, and what the step of Euler's method adds.
    assert y.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 4000) + 0.01)
    assert y.log().mean().item() == pytest.approx(drift - 0.125, abs=4 * 0.5 / math.sqrt(4000) + 0.01)
    assert y.log().var().item() == pytest.approx(0.25, rel=4 * math.sqrt(2 / 4000) + 0.02)


@pytest.mark.parametrize("kind", ["diagonal", "additive", "scalar", "general"])
def test_one_euler_path_by_hand_for_each_kind(kind: str) -> None:
    """Our drift and amplitude on torchsde's own increments: shapes, kinds and the linear part are mapped right."""
    torchsde = pytest.importorskip("torchsde")
    matrix = torch.tensor([[0.1, 0.2, -0.1], [0.3, 0.0, 0.1]], dtype=torch.float64)

    def amplitude(s: Tensor, y: Tensor) -> Tensor:
        if kind == "general":
            return matrix * y[..., None]
        return 0.2 * torch.ones_like(y) if kind == "additive" else 0.2 * torch.cos(y)

    size = {"size": 3} if kind == "general" else {}
    noise = Noise(amplitude, kind=kind, seed=5, **size)  # type: ignore[arg-type]
    rate = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    h, steps, width = 0.05, 20, {"general": 3, "scalar": 1}.get(kind, 2)
    got = solve(Term(pendulum, Diagonal(rate), noise), X0, [0.0, h * steps], solver=TorchSDE("euler", dt=h)).y[
        :, 1
    ]

    path = torchsde.BrownianInterval(
        0.0, h * steps, size=(3, width), dtype=torch.float64, entropy=derive_seed(5, "torchsde"), dt=h
    )
    y, s = X0, torch.zeros((), dtype=torch.float64)
    for _ in range(steps):
        end = torch.clamp(s + h, max=h * steps)
        W = path(s, end)
        g = amplitude(s, y)
        push = torch.einsum("bdm,bm->bd", g, W) if kind == "general" else g * W
        y, s = y + (end - s) * (rate * y + pendulum(s, y)) + push, end
    torch.testing.assert_close(got, y, rtol=0, atol=1e-12)


def test_seeds_name_paths_and_tuples_pass() -> None:
    def drift(s: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return -y[0], y[0].sum(1)

    def run(seed: int) -> Tensor:
        noise = Noise(lambda s, y: (torch.ones_like(y[0]), 0.1 * y[1]), kind="diagonal", seed=seed)
        y = solve(Term(drift, noise=noise), (X0, X0[:, 0]), [0.0, 1.0], solver=TorchSDE("milstein"), dt=0.1).y
        assert y[0].shape == (3, 2, 2) and y[1].shape == (3, 2)
        return y[0]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_gradients_flow_through_torchsde() -> None:
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    term = Term(lambda s, y: -y, noise=Noise(lambda s, y: scale * torch.ones_like(y), kind="additive"))
    y = solve(term, X0, [0.0, 1.0], solver=TorchSDE("euler"), dt=0.1).y
    (got,) = torch.autograd.grad(y[:, 1].sum(), scale)
    with torch.no_grad():  # linear in the scale
        want = (
            y[:, 1] - solve(Term(lambda s, y: -y), X0, [0.0, 1.0], solver=TorchDiffEq("euler"), dt=0.1).y[:, 1]
        ) / scale
    torch.testing.assert_close(got, want.sum(), rtol=1e-10, atol=1e-12)


# -------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"solver": TorchDiffEq(), "controller": Pid()}, "cannot do controller="),
        ({"solver": TorchDiffEq(), "hooks": (lambda s, y: y,)}, "cannot do hooks="),
        ({"solver": TorchDiffEq(), "capture": Compiled()}, "cannot do capture="),
        ({"solver": TorchDiffEq(), "dense": True}, "cannot do dense="),
        ({"solver": TorchDiffEq("rk4")}, "needs dt=|give dt="),
        ({"solver": TorchSDE("euler", dt=0.1)}, "equations with noise"),
    ],
)
def test_what_they_cannot_do_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        solve(Term(pendulum), X0, TIMES, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("solver", "times", "dt", "words"),
    [
        (TorchDiffEq(), TIMES, None, "without noise"),
        (TorchSDE("euler"), TIMES, None, "dt > 0"),
        (TorchSDE("euler", dt=0.1), TIMES, 0.1, "given twice"),
        (TorchSDE("euler", dt=0.1), TIMES[::-1], None, "forwards"),
        (TorchSDE("midpoint", dt=0.1), TIMES, None, "torchsde refuses"),
    ],
)
def test_what_they_cannot_do_with_noise_is_refused(
    solver: TorchDiffEq | TorchSDE, times: list[float], dt: float | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        solve(geometric(), X0, times, solver=solver, dt=dt)


def test_complex_states_with_noise_are_refused() -> None:
    noise = Noise(lambda s, y: torch.ones_like(y), kind="additive")
    with pytest.raises(InputError, match="real states"):
        solve(Term(lambda s, y: -y, noise=noise), X0 + 0j, TIMES, solver=TorchSDE("euler"), dt=0.1)


def test_a_given_path_cannot_be_handed_over() -> None:
    noise = Noise(lambda s, y: y, seed=1).coarsen(2)
    with pytest.raises(InputError, match="path of its own"):
        solve(Term(lambda s, y: -y, noise=noise), X0, TIMES, solver=TorchSDE("euler"), dt=0.1)


def test_names_are_helped() -> None:
    with pytest.raises(UnknownName, match="did you mean 'dopri"):
        solve(Term(pendulum), X0, TIMES, solver=TorchDiffEq("dopr5"))
    with pytest.raises(UnknownName, match="did you mean 'milstein'"):
        solve(geometric(), X0, TIMES, solver=TorchSDE("milstien", dt=0.1))


@pytest.mark.parametrize("name", ["torchdiffeq", "torchsde"])
def test_a_missing_library_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    solver = TorchDiffEq() if name == "torchdiffeq" else TorchSDE("euler", dt=0.1)
    with pytest.raises(MissingExtra, match=f"pip install {name}"):
        solve(Term(pendulum) if name == "torchdiffeq" else geometric(), X0, TIMES, solver=solver)


def test_a_bad_drift_is_named_as_ever() -> None:
    with pytest.raises(InputError, match="drift returned"):
        solve(Term(lambda s, y: y[:, :1]), X0, TIMES, solver=TorchDiffEq())

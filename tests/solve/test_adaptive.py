"""Step control: accuracy against scipy, status, direction, spans, independence of the batch, the gradient trap."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde import burgers, kuramoto_sivashinsky
from sciode.solve import Diagonal, Ladder, Pid, RungeKutta, Status, Term, solve, tableaus

PAIRS = ["heun", "bosh3", "dopri5", "tsit5", "dopri8"]
X0 = torch.tensor([[1.0, 0.3], [-0.4, 1.2], [3.0, -2.0]], dtype=torch.float64)


RK4 = RungeKutta(tableaus.RK4)
TWO_ROWS = torch.tensor([[0.0, 1.0], [0.0, 2.0]])


def pendulum(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * s)], dim=1)


def reference(times: Tensor) -> Tensor:
    """Solve each sample by scipy; ``times`` [k] or [b, k]."""
    rows = []
    for x, t in zip(X0.numpy(), times.expand(3, -1).numpy(), strict=True):

        def right(s: float, y: list[float]) -> list[float]:
            return [y[1], -math.sin(y[0]) + 0.2 * math.cos(3 * s)]

        rows.append(solve_ivp(right, (t[0], t[-1]), x, "DOP853", t, rtol=1e-13, atol=1e-14).y.T)
    return torch.tensor(np.stack(rows))


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_tolerance_is_met_at_every_asked_time(name: str, per_sample: bool) -> None:
    times = torch.linspace(0, 6, 41, dtype=torch.float64)
    tolerance = 1e-6 if name in ("heun", "bosh3") else 1e-9
    control = Pid(rtol=tolerance, atol=tolerance, per_sample=per_sample)
    got = solve(Term(pendulum), X0, times, solver=RungeKutta(tableaus.TABLEAUS[name]), controller=control)
    assert got.status.tolist() == [Status.OK] * 3 and got.message == ""
    error = (got.y - reference(times)).abs().max().item()
    assert error < 100 * tolerance
    assert torch.equal(got.y[:, 0], X0) and got.reached.tolist() == [6.0] * 3


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_smaller_tolerance_gives_a_smaller_error(per_sample: bool) -> None:
    want = reference(torch.tensor([0.0, 6.0], dtype=torch.float64))[:, 1]
    errors = []
    for rtol in (1e-4, 1e-6, 1e-8, 1e-10):
        control = Pid(rtol=rtol, atol=rtol, per_sample=per_sample)
        errors.append(
            (solve(Term(pendulum), X0, [0.0, 6.0], controller=control).y[:, 1] - want).abs().max().item()
        )
    assert all(b < 0.1 * a for a, b in pairwise(errors)), errors


def test_evaluations_are_those_of_a_first_same_as_last_pair() -> None:
    calls = 0

    def drift(s: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return pendulum(s, y)

    got = solve(Term(drift), X0, [0.0, 3.0], controller=Pid(rtol=1e-8, atol=1e-8))
    tries = got.stats.steps + int(got.stats.rejected[0])
    assert got.stats.evaluations == calls
    assert 6 * tries <= calls <= 6 * tries + 3  # and the first slope, and the guess of the first step


@pytest.mark.parametrize("per_sample", [False, True])
def test_backward_undoes_forward(per_sample: bool) -> None:
    control = Pid(rtol=1e-11, atol=1e-12, per_sample=per_sample)
    end = solve(Term(pendulum), X0, [0.5, 3.0], controller=control).y[:, 1]
    back = solve(Term(pendulum), end, [3.0, 1.1, 0.5], controller=control).y[:, -1]
    torch.testing.assert_close(back, X0, rtol=0, atol=1e-9)


def test_each_sample_may_have_its_own_times_and_direction() -> None:
    def free(s: Tensor, y: Tensor) -> Tensor:
        return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.2 * torch.cos(3 * s)], dim=1)

    times = torch.tensor([[0.0, 1.0, 4.0], [1.0, 0.5, -2.0], [2.0, 2.1, 2.2]], dtype=torch.float64)
    control = Pid(rtol=1e-10, atol=1e-11, per_sample=True)
    got = solve(Term(free), X0, times, controller=control)
    torch.testing.assert_close(got.y, reference(times), rtol=0, atol=1e-8)
    assert got.reached.tolist() == times[:, -1].tolist()


def test_samples_with_their_own_steps_do_not_see_one_another() -> None:
    control = Pid(rtol=1e-7, atol=1e-8, per_sample=True)
    times = [0.0, 0.7, 2.0]

    def still(s: Tensor, y: Tensor) -> Tensor:
        return torch.stack([y[:, 1], -torch.sin(y[:, 0])], dim=1)

    whole = solve(Term(still), X0, times, controller=control)
    alone = [solve(Term(still), x[None], times, controller=control) for x in X0]
    assert torch.equal(whole.y, torch.cat([part.y for part in alone]))
    assert whole.stats.accepted.tolist() == [int(part.stats.accepted) for part in alone]


@pytest.mark.parametrize("end", [1e-6, 5.0, 20.0])
def test_steps_of_their_own_call_the_drift_hardly_more_than_they_need(end: float) -> None:
    """The host does not look after each step; looking every eight would waste seven tries at the end."""
    control = Pid(rtol=1e-6, atol=1e-8, per_sample=True)
    stats = solve(Term(pendulum), X0, [0.0, end], solver=RungeKutta(tableaus.DOPRI5), controller=control).stats
    assert stats.evaluations <= 3 + 6 * (stats.steps + 2)


def test_the_shared_step_serves_the_most_demanding_sample() -> None:
    """A root mean square over the batch would let 999 quiet samples hide a violent one."""
    x0 = torch.cat([torch.zeros(999, 1), torch.ones(1, 1)]).double()
    term = Term(lambda s, y: 30.0 * y * torch.cos(30.0 * s))
    got = solve(term, x0, [0.0, 2.0], controller=Pid(rtol=1e-6, atol=1e-9)).y[-1, 1]
    assert abs(got.item() / math.exp(math.sin(60.0)) - 1) < 1e-4


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_blow_up_ends_one_sample_and_keeps_the_others(per_sample: bool) -> None:
    x0 = torch.tensor([[0.1], [2.0], [0.2]], dtype=torch.float64)
    control = Pid(rtol=1e-8, atol=1e-10, per_sample=per_sample)
    got = solve(Term(lambda s, y: y**2), x0, [0.0, 0.2, 1.0], controller=control)
    assert got.status.tolist() == [Status.OK, Status.MIN_STEP, Status.OK]
    assert got.reached[1].item() == pytest.approx(0.5, abs=1e-4)
    assert got.y[1, 2].isnan().all() and not got.y[1, :2].isnan().any()
    torch.testing.assert_close(got.y[[0, 2], 2], x0[[0, 2]] / (1 - x0[[0, 2]]), rtol=1e-6, atol=0)
    assert "sample 1" in got.message and "t = 0.5" in got.message


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_drift_that_turns_nan_is_a_status(per_sample: bool) -> None:
    x0 = torch.tensor([[0.1], [2.0]], dtype=torch.float64)

    def drift(s: Tensor, y: Tensor) -> Tensor:
        late = (s > 0.5).view(-1, 1)
        return torch.where(late & (y > 1), torch.nan, y)

    got = solve(Term(drift), x0, [0.0, 1.0], controller=Pid(per_sample=per_sample))
    assert got.status.tolist() == [Status.OK, Status.NON_FINITE]
    assert got.reached[1].item() == pytest.approx(0.5, abs=1e-6)
    assert got.y[0, 1].item() == pytest.approx(0.1 * math.e, rel=1e-4)


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_slope_that_is_nan_from_the_start_is_a_status(per_sample: bool) -> None:
    x0 = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    got = solve(Term(lambda s, y: torch.sqrt(y)), x0, [0.0, 1.0], controller=Pid(per_sample=per_sample))
    assert got.status.tolist() == [Status.OK, Status.NON_FINITE] and got.reached[1].item() == 0.0
    assert got.y[0, 1].item() == pytest.approx(2.25, rel=1e-4)


@pytest.mark.parametrize("per_sample", [False, True])
def test_steps_are_not_endless(per_sample: bool) -> None:
    got = solve(Term(pendulum), X0, [0.0, 1e4], controller=Pid(max_steps=25, per_sample=per_sample))
    assert got.status.tolist() == [Status.MAX_STEPS] * 3 and "used up" in got.message
    assert (got.reached < 1e4).all() and (got.reached > 0).all()


@pytest.mark.parametrize("name", ["etd2", "ho3", "krogstad43", "tsit5"])
@pytest.mark.parametrize("control", [Pid, Ladder])
@pytest.mark.parametrize("per_sample", [False, True])
def test_stiff_pdes_under_step_control(name: str, control: type, per_sample: bool) -> None:
    x = torch.arange(48, dtype=torch.float64) / 48
    u0 = torch.stack([torch.sin(2 * torch.pi * x) + 0.5, 0.3 * torch.cos(4 * torch.pi * x)])[:, None]
    term = burgers(48, viscosity=0.03)
    want = solve(term, u0, [0.0, 0.07, 0.2], dt=1e-3).y
    tolerance = 1e-3 if name == "etd2" else 1e-5
    rule = control(rtol=tolerance, atol=tolerance / 10, per_sample=per_sample)
    got = solve(term, u0, [0.0, 0.07, 0.2], solver=RungeKutta(tableaus.TABLEAUS[name]), controller=rule)
    assert (got.y - want).abs().max() < (2e-3 if name == "etd2" else 2e-4)
    assert got.stats.steps < 250


def test_the_ladder_makes_weights_once_per_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    from sciode.solve.exponential_pair import ExponentialPair

    made: list[float] = []
    plain = ExponentialPair._leaf

    def counting(self, rate, h, y):  # type: ignore[no-untyped-def]
        made.append(h)
        return plain(self, rate, h, y)

    monkeypatch.setattr(ExponentialPair, "_leaf", counting)
    u0 = torch.cos(torch.arange(64, dtype=torch.float64) / 32 * torch.pi)[None, None]
    got = solve(kuramoto_sivashinsky(64, 22.0), u0, [0.0, 32.0], controller=Ladder(rtol=1e-5, atol=1e-6))
    assert got.stats.steps > 3 * len(made) and len(made) == len(set(made))
    assert all(math.log2(32.0 / h).is_integer() for h in made)


def test_the_error_is_measured_in_the_users_variables() -> None:
    """In a Fourier chart a mode holds n times what a point holds; tolerances must not change with the grid."""
    steps = []
    for n in (32, 128):
        x = torch.arange(n, dtype=torch.float64) / n
        u0 = torch.sin(2 * torch.pi * x)[None, None]
        steps.append(
            solve(burgers(n, viscosity=0.05), u0, [0.0, 0.3], controller=Pid(rtol=1e-6, atol=1e-8)).stats.steps
        )
    assert abs(steps[0] - steps[1]) <= 0.15 * steps[0]


def test_tuple_and_complex_states() -> None:
    def drift(s: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return 1j * y[0], -y[1] * y[0].abs()[:, :1]

    x0 = (torch.ones(2, 3, dtype=torch.complex128), torch.full((2, 1), 2.0, dtype=torch.float64))
    for per_sample in (False, True):
        got = solve(
            Term(drift), x0, [0.0, 0.4, 1.0], controller=Pid(rtol=1e-10, atol=1e-10, per_sample=per_sample)
        )
        z = torch.exp(1j * got.t)
        torch.testing.assert_close(got.y[0], z[None, :, None].expand(2, 3, 3), rtol=0, atol=1e-8)
        torch.testing.assert_close(got.y[1][..., 0], 2 * torch.exp(-got.t).expand(2, 3), rtol=0, atol=1e-8)


def test_absolute_tolerance_per_component() -> None:
    tight = torch.tensor([1e-10, 1.0], dtype=torch.float64)
    term = Term(
        lambda s, y: torch.stack([-y[:, 0] + 1e-3 * torch.sin(20 * s), 50 * torch.cos(50 * s) + 0 * y[:, 1]], 1)
    )
    one = torch.ones(1, 2, dtype=torch.float64)
    loose = solve(term, one, [0.0, 1.0], controller=Pid(rtol=0.0, atol=1.0)).stats.steps
    assert solve(term, one, [0.0, 1.0], controller=Pid(rtol=0.0, atol=tight)).stats.steps > 3 * loose


@pytest.mark.parametrize("per_sample", [False, True])
def test_gradients_agree_with_finite_differences(per_sample: bool) -> None:
    gain = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    x0 = X0[:1].clone().requires_grad_()
    control = Pid(rtol=1e-8, atol=1e-8, per_sample=per_sample)

    def end(x: Tensor, gain: Tensor) -> Tensor:
        drift = Term(lambda s, y: gain * torch.sin(y.flip(1)) - 0.1 * y)
        return solve(drift, x, [0.0, 0.1, 0.5], controller=control).y

    assert torch.autograd.gradcheck(end, (x0, gain), atol=1e-5)
    assert torch.autograd.gradgradcheck(end, (x0, gain), atol=1e-4)


@pytest.mark.parametrize("per_sample", [False, True])
def test_gradients_at_the_stability_edge_are_those_of_the_equation(
    per_sample: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free steps settle where the smooth state hides that they are unstable; their transpose hides nothing."""
    n = 64
    dx = 1.0 / n

    def flow(s: Tensor, u: Tensor) -> Tensor:  # Burgers, by the method of lines
        right, left = u.roll(-1, 1), u.roll(1, 1)
        return 0.01 * (right - 2 * u + left) / dx**2 - u * (right - left) / (2 * dx)

    x = torch.arange(n, dtype=torch.float64) * dx
    u0 = (torch.sin(2 * torch.pi * x)[None] + 0.5).requires_grad_()

    def run(rtol: float) -> tuple[Tensor, Tensor]:
        end = solve(
            Term(flow), u0, [0.0, 2.0], controller=Pid(rtol=rtol, atol=rtol / 100, per_sample=per_sample)
        ).y
        return end[:, 1].detach(), torch.autograd.grad((end[:, 1] ** 2).sum(), u0)[0]

    def error(got: Tensor, want: Tensor) -> float:
        return ((got - want).norm() / want.norm()).item()

    warnings.simplefilter("ignore")
    state, gradient = run(1e-8)
    held_state, held = run(1e-3)
    assert error(held_state, state) < 1e-3 and error(held, gradient) < 1e-3
    # The trap itself, without the watch: a forward error as small, and a gradient of noise.
    for module in ("adaptive", "each_run"):
        monkeypatch.setattr(f"sciode.solve.{module}.radius_of", lambda *_: None)
    free_state, free = run(1e-3)
    assert error(free_state, state) < 1e-3 and error(free, gradient) > 10


def test_steps_held_by_stability_are_announced() -> None:
    u0 = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
    with pytest.warns(UserWarning, match="stability region"):
        solve(Term(lambda s, y: -200.0 * (y - torch.cos(s))), u0, [0.0, 1.0], controller=Pid(rtol=1e-2, atol=1e-2))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Pid(rtol=-1e-3), "rtol"),
        (lambda: Pid(atol=-1.0), "atol"),
        (lambda: Pid(atol=math.nan), "atol"),
        (lambda: Pid(rtol=0.0, atol=0.0), "both 0"),
        (lambda: Pid(dt_min=2.0, dt_max=1.0), "dt_min"),
        (lambda: Pid(max_steps=0), "max_steps"),
        (lambda: Pid(safety=2.0), "safety"),
        (lambda: solve(Term(pendulum), X0, torch.tensor([0, 1]), controller=Pid()), "floating-point times"),
        (lambda: solve(Term(pendulum), X0, [0.0, 1.0], solver=RK4, controller=Pid()), "error estimate"),
        (lambda: solve(Term(pendulum, Diagonal(-1.0)), X0, [0.0, 1.0], solver=RK4, controller=Pid()), "error est"),
        (lambda: solve(Term(pendulum), X0, TWO_ROWS, controller=Pid()), "per_sample=True"),
        (lambda: solve(Term(pendulum), X0, TWO_ROWS, controller=Pid(per_sample=True)), "2 samples, x0 has 3"),
        (lambda: solve(Term(pendulum), X0, [0.0, 1.0], dense=True, dt=0.1), "need a controller"),
        (lambda: solve(Term(lambda s, y: y[:1]), X0, [0.0, 1.0], controller=Pid()), "drift returned"),
        (lambda: Term(3), "found int"),
        (lambda: solve(Term(lambda s, y: None), X0, [0.0, 1.0], controller=Pid()), "NoneType"),
        (lambda: solve(Term(pendulum), X0[:0], [0.0, 1.0], controller=Pid()), "no samples"),
        (lambda: solve(Term(lambda s, y: y), (X0, X0.to("meta")), [0.0, 1.0], dt=0.1), "cpu, meta"),
        (lambda: solve(Term(lambda s, y: y.to("meta")), X0, [0.0, 1.0], dt=0.1), "on meta"),
        (lambda: solve(Term(lambda s, y: y.float()), X0, [0.0, 1.0], controller=Pid()), "float32"),
        (lambda: solve(Term(lambda s, y: y), (X0, X0.float()), [0.0, 1.0], controller=Pid()), "precision"),
        (lambda: solve(Term(pendulum), X0, [0.0, 1.0], controller=Pid(atol=torch.ones(3))), "broadcast"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, match: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=match):
        make()


def test_a_tolerance_below_the_precision_is_raised_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="float32 can resolve"):
        got = solve(Term(pendulum), X0.float(), [0.0, 1.0], controller=Pid(rtol=1e-12, atol=1e-12))
    assert got.status.tolist() == [0, 0, 0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("per_sample", [False, True])
def test_same_on_a_gpu(per_sample: bool) -> None:
    control = Pid(rtol=1e-9, atol=1e-10, per_sample=per_sample)
    a = solve(Term(pendulum), X0, [0.0, 1.0, 3.0], controller=control).y
    b = solve(Term(pendulum), X0.cuda(), [0.0, 1.0, 3.0], controller=control).y
    torch.testing.assert_close(a, b.cpu(), rtol=0, atol=1e-8)

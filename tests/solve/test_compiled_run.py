"""Compiled step control takes the steps of the eager one."""

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.solve import (
    Compiled,
    CompiledLoop,
    CudaGraph,
    Diagonal,
    Event,
    Pid,
    RungeKutta,
    Status,
    Term,
    solve,
    tableaus,
)

X0 = torch.tensor([[1.0, 0.3], [-0.4, 1.2]], dtype=torch.float64)


def pendulum(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + 0.1 * torch.cos(s)], dim=1)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("name", ["tsit5", "heun"])
def test_same_steps_as_eager(name: str, per_sample: bool) -> None:
    control = Pid(rtol=1e-4, atol=1e-6, per_sample=per_sample)
    solver, capture = RungeKutta(tableaus.TABLEAUS[name]), Compiled(steps=2, backend="eager")
    for times in ([0.0, 3.0], [0.0, 0.8, 3.0], [3.0, 1.0]):
        got = solve(Term(pendulum), X0, times, solver=solver, controller=control, capture=capture)
        want = solve(Term(pendulum), X0, times, solver=solver, controller=control)
        torch.testing.assert_close(got.y, want.y, rtol=0, atol=3e-4)
        assert got.status.tolist() == [0, 0] and got.reached.tolist() == [times[-1]] * 2
        if len(times) == 2:
            torch.testing.assert_close(got.y, want.y, rtol=0, atol=1e-12)
            assert got.stats.accepted.tolist() == want.stats.accepted.tolist()


def test_one_unit_serves_many_solves() -> None:
    term, capture = Term(pendulum), Compiled(steps=2, backend="eager")
    for shift in (0.0, 0.1, 0.2):
        solve(term, X0 + shift, [0.0, 1.0 + shift], controller=Pid(), capture=capture)
    assert len(capture.units) == 1
    solve(term, X0[:1], [0.0, 1.0], controller=Pid(), capture=capture)
    assert len(capture.units) == 2


def test_gradients_pass_through_compiled_steps() -> None:
    capture = Compiled(steps=2, backend="aot_eager")

    def gradient(capture: Compiled | None) -> Tensor:
        x = X0.clone().requires_grad_()
        end = solve(Term(pendulum), x, [0.0, 1.0], controller=Pid(rtol=1e-6, atol=1e-8), capture=capture).y
        return torch.autograd.grad((end**2).sum(), x)[0]

    torch.testing.assert_close(gradient(capture), gradient(None), rtol=1e-9, atol=1e-10)


def test_failures_end_one_sample() -> None:
    x0 = torch.tensor([[0.1], [2.0]], dtype=torch.float64)
    control, capture = Pid(per_sample=True), Compiled(steps=4, backend="eager")
    got = solve(Term(lambda s, y: y * y), x0, [0.0, 0.2, 1.0], controller=control, capture=capture)
    assert got.status.tolist() == [Status.OK, Status.MIN_STEP]
    assert got.reached[1].item() == pytest.approx(0.5, abs=1e-4) and got.y[1, 2].isnan().all()
    assert got.y[0, 2].item() == pytest.approx(1 / 9, rel=1e-4)
    short = solve(Term(pendulum), X0, [0.0, 1e3], controller=Pid(max_steps=12), capture=capture)
    assert short.status.tolist() == [Status.MAX_STEPS] * 2


def test_bad_input_is_named() -> None:
    capture = Compiled(backend="eager")
    with pytest.raises(InputError, match="without linear part"):
        solve(Term(pendulum, Diagonal(-1.0)), X0, [0.0, 1.0], controller=Pid(), capture=capture)
    with pytest.raises(InputError, match="no events"):
        event = Event(lambda s, y: y[:, 0])
        solve(Term(pendulum), X0, [0.0, 1.0], controller=Pid(), capture=capture, events=[event])
    with pytest.raises(InputError, match="Compiled"):
        solve(Term(pendulum), X0, [0.0, 1.0], controller=Pid(), capture=CudaGraph())
    with pytest.raises(InputError, match="controller"):
        solve(Term(pendulum), X0, [0.0, 1.0], dt=0.1, capture=CompiledLoop())
    with pytest.raises(InputError, match="no record"):
        solve(Term(pendulum), X0.clone().requires_grad_(), [0.0, 1.0], controller=Pid(), capture=CompiledLoop())


@pytest.mark.slow
@pytest.mark.parametrize("capture", [Compiled(steps=4), CompiledLoop()], ids=["chunk", "loop"])
def test_inductor_agrees_with_eager(capture: Compiled | CompiledLoop) -> None:
    with torch.no_grad():
        want = solve(Term(pendulum), X0, [0.0, 1.0, 4.0], controller=Pid(rtol=1e-9, atol=1e-10)).y
        got = solve(Term(pendulum), X0, [0.0, 1.0, 4.0], controller=Pid(rtol=1e-9, atol=1e-10), capture=capture)
    assert got.status.tolist() == [0, 0]
    torch.testing.assert_close(got.y, want, rtol=0, atol=1e-8)

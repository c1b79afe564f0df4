"""Events: closed forms, direction, terminal and not, per sample, gradients in time and state."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.solve import Diagonal, Event, Pid, RungeKutta, Status, Term, solve, tableaus

TIGHT = Pid(rtol=1e-10, atol=1e-11)
X0 = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)


def circle(s: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[:, 1], -y[:, 0]], dim=1)


def crossing(s: Tensor, y: Tensor) -> Tensor:
    return y[:, 0]


@pytest.mark.parametrize("name", ["bosh3", "dopri5", "tsit5", "dopri8"])
def test_all_crossings_of_a_circle(name: str) -> None:
    control = Pid(rtol=1e-7, atol=1e-8) if name == "bosh3" else TIGHT
    solver = RungeKutta(tableaus.TABLEAUS[name])
    got = solve(Term(circle), X0, [0.0, 10.0], solver=solver, controller=control, events=[Event(crossing, False)])
    found = got.events[0]
    start = torch.atan2(X0[:, 1], X0[:, 0])
    want = start[:, None] + math.pi * (torch.arange(3) + 0.5)
    assert found.counts.tolist() == [3, 3] and got.status.tolist() == [Status.OK] * 2
    torch.testing.assert_close(found.t, want, rtol=0, atol=2e-5 if name == "bosh3" else 1e-6)
    assert found.y[..., 0].abs().max() < 1e-12  # on the dense output the root is exact


@pytest.mark.parametrize(("direction", "count"), [(0, 3), (1, 1), (-1, 2)])
def test_direction(direction: int, count: int) -> None:
    event = Event(crossing, terminal=False, direction=direction)
    got = solve(Term(circle), X0, [0.0, 10.0], controller=TIGHT, events=[event])
    assert got.events[0].counts.tolist() == [count, count]
    assert (torch.sign(got.events[0].y[..., 1]) == (direction or torch.sign(got.events[0].y[..., 1]))).all()


def test_a_terminal_event_ends_its_sample_alone() -> None:
    """A ball thrown up falls back after 2 v / g; the second is still in the air at the end."""
    fall = Term(lambda s, y: torch.stack([y[:, 1], torch.full_like(y[:, 1], -9.81)], dim=1))
    x0 = torch.tensor([[0.0, 5.0], [0.0, 50.0]], dtype=torch.float64)
    ground = Event(lambda s, y: y[:, 0], direction=-1)
    top = Event(lambda s, y: y[:, 1], terminal=False)
    got = solve(fall, x0, [0.0, 0.5, 1.5, 3.0], controller=TIGHT, events=[ground, top])
    assert got.status.tolist() == [Status.EVENT, Status.OK] and got.message == ""
    assert got.reached[0].item() == pytest.approx(10 / 9.81, abs=1e-9)
    assert got.events[0].t[0, 0].item() == pytest.approx(10 / 9.81, abs=1e-9)
    assert got.events[0].counts.tolist() == [1, 0]
    assert got.events[1].counts.tolist() == [1, 0]
    assert got.y[0, 2:].isnan().all() and not got.y[0, :2].isnan().any() and not got.y[1].isnan().any()


def test_gradients_of_time_and_state() -> None:
    x0 = torch.tensor([[1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    drag = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def meet(x: Tensor, drag: Tensor) -> tuple[Tensor, Tensor]:
        fall = Term(lambda s, y: torch.stack([y[:, 1], -9.81 - drag * y[:, 1]], dim=1))
        floor = Event(lambda s, y: y[:, 0] - 0.1 * torch.sin(s), direction=-1)
        found = solve(fall, x, [0.0, 5.0], controller=TIGHT, events=[floor]).events[0]
        return found.t, found.y

    assert torch.autograd.gradcheck(meet, (x0, drag), atol=1e-6)


def test_backward_in_time_and_own_times() -> None:
    times = torch.tensor([[0.0, 2.0], [0.0, -3.0]], dtype=torch.float64)
    control = Pid(rtol=1e-10, atol=1e-11, per_sample=True)
    got = solve(Term(circle), X0, times, controller=control, events=[Event(crossing)])
    start = torch.atan2(X0[:, 1], X0[:, 0])
    torch.testing.assert_close(
        got.reached, torch.stack([start[0] + math.pi / 2, start[1] - math.pi / 2]), rtol=0, atol=1e-7
    )


def test_a_state_that_starts_on_the_event_has_not_crossed_it() -> None:
    x0 = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    got = solve(Term(circle), x0, [0.0, 4.0], controller=TIGHT, events=[Event(crossing)])
    assert got.reached.item() == pytest.approx(math.pi, abs=1e-7)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="direction"):
        Event(crossing, direction=2)
    with pytest.raises(InputError, match="one number per sample"):
        solve(Term(circle), X0, [0.0, 1.0], controller=Pid(), events=[Event(lambda s, y: y)])
    with pytest.raises(InputError, match="need a controller"):
        solve(Term(circle), X0, [0.0, 1.0], dt=0.1, events=[Event(crossing)])
    with pytest.raises(InputError, match="dense output"):
        solve(Term(circle, Diagonal(-1.0)), X0, [0.0, 1.0], controller=Pid(), events=[Event(crossing)])

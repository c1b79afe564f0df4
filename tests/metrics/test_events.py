"""Events and alarms by hand."""

import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.metrics import event_scores, hysteresis


def states(text: str) -> torch.Tensor:
    return torch.tensor([letter == "#" for letter in text])


def one(truth: str, alarm: str, horizon: float = 3.0):
    return event_scores([states(truth)], [states(alarm)], dt=1.0, horizon=horizon)


def test_hysteresis_is_a_loop() -> None:
    signal = torch.randn(5, 400, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    signal[0, 50:60] = float("nan")
    want = torch.zeros(5, 400, dtype=torch.bool)
    for row in range(5):
        on = False
        for t in range(400):
            x = signal[row, t].item()
            on = x >= 2.0 or (on and not x < 0.5)
            want[row, t] = on
    assert torch.equal(hysteresis(signal, 2.0, 0.5), want)
    assert want.any() and not want.all()


@pytest.mark.parametrize(
    ("truth", "alarm", "lead", "false"),
    [
        ("....####..", "..######..", 2.0, 0),  # two steps ahead
        ("....####..", "....####..", 0.0, 0),  # as it begins
        ("....####..", ".....###..", None, 0),  # late: no detection, and not false either
        ("....####..", "..........", None, 0),
        ("....####..", ".#........", 3.0, 0),  # over before the onset, within the horizon
        ("......####", "#.........", None, 1),  # too early
        ("......####", "##########", 3.0, 0),  # on since long: no more than the horizon is credited
        ("..........", "..##..##..", None, 2),
        ("..####....", "......##..", None, 1),  # after the event
    ],
)
def test_one_event(truth: str, alarm: str, lead: float | None, false: int) -> None:
    found = one(truth, alarm)
    assert found.false_alarms == (false,)
    if "#" in truth:
        assert found.onsets[0][0].lead == lead
        assert found.detection_rate == (lead is not None)
        assert found.ahead_rate == (lead is not None and lead > 0)


def test_rates_are_over_all_runs() -> None:
    found = event_scores(
        [states("...##...##"), states(".........."), states(".....#....")],
        [states("..###....#"), states("...#......"), states("..........")],
        dt=0.5,
        horizon=1.5,
    )
    assert found.detection_rate == pytest.approx(1 / 3) and found.lead_time == 0.5
    assert found.ahead_rate == pytest.approx(1 / 3)
    assert found.false_alarms_per_run == pytest.approx(1 / 3)
    assert [onset.time for onset in found.onsets[0]] == [1.5, 4.0]


def test_without_events_rates_are_not_numbers() -> None:
    found = one("....", "....")
    assert math.isnan(found.detection_rate) and math.isnan(found.lead_time) and math.isnan(found.ahead_rate)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: hysteresis(torch.zeros(3), 1.0, 2.0), "no higher than it goes on"),
        (lambda: event_scores([], [], dt=1.0, horizon=1.0), "a run has its truth"),
        (lambda: one("...", "...", horizon=0.5), "a horizon is a step or more"),
        (lambda: one("...", "...."), "run 0: truth and alarm"),
    ],
)
def test_bad_input_is_named(call, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()

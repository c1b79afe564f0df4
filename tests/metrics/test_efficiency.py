"""Gains from curves whose power laws are known."""

import pytest

from sciode.core.errors import InputError
from sciode.metrics import accuracy_gain, efficiency_gain


def law(constant: float, power: float) -> dict[int, float]:
    return {n: constant * n**-power for n in (4, 16, 64, 256, 1024)}


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("gain", [4.0, 20.0, 100.0])
def test_power_laws_in_closed_form(power: float, gain: float) -> None:
    baseline = law(1.0, power)
    model = law(gain**-power, power)  # what the baseline does with gain times as many
    assert efficiency_gain(model, baseline) == pytest.approx(gain)
    assert efficiency_gain(model, baseline, samples=500) == pytest.approx(gain)
    assert accuracy_gain(model, baseline, 128) == pytest.approx(gain**power)


def test_a_curve_that_is_not_straight() -> None:
    model = {4: 0.4, 16: 0.39, 64: 0.1}
    assert efficiency_gain(model, {64: 0.4, 1024: 0.39}) == pytest.approx(1024 / 16)
    assert 1024 / 64 < efficiency_gain(model, {1024: 0.2}) < 1024 / 16


def test_nothing_is_extrapolated() -> None:
    with pytest.raises(InputError, match="at least 256"):
        efficiency_gain({4: 0.1, 16: 0.05}, {1024: 0.2})
    with pytest.raises(InputError, match="below 64"):
        efficiency_gain({4: 0.4, 16: 0.3}, {1024: 0.2})
    with pytest.raises(InputError, match="spans 4 to 16 samples, asked for 128"):
        accuracy_gain({4: 0.4, 16: 0.3}, {4: 0.4, 16: 0.3}, 128)
    with pytest.raises(InputError, match="errors > 0"):
        accuracy_gain({4: 0.4, 16: float("nan")}, {4: 0.4}, 4)

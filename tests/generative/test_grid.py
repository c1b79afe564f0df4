"""Grids: what each spacing means, the ends, and the error messages."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sciode.core.errors import InputError, UnknownName
from sciode.generative import EDM, SPACINGS, VE, VP, LinearPath, grid


def test_spacings_are_what_they_are_called() -> None:
    schedule = VP()
    assert torch.allclose(grid(schedule, 10, "lam").lam.diff().diff(), torch.zeros(9).double(), atol=1e-11)
    assert torch.allclose(schedule.tau(grid(schedule, 10, "time").t).diff().diff(), torch.zeros(9).double())
    root = schedule.tau(grid(schedule, 10, "quadratic").t).sqrt()
    assert torch.allclose(root.diff().diff(), torch.zeros(9).double(), atol=1e-12)
    karras = grid(EDM(), 10, "karras").rho ** (1 / 7)
    assert torch.allclose(karras.diff().diff(), torch.zeros(9).double(), atol=1e-12)
    beta = schedule.tau(grid(schedule, 10, "beta", end=0.0 + 1e-3).t).numpy()
    place = stats.beta.cdf((beta - 1.0) / (1e-3 - 1.0), 0.6, 0.6)
    assert np.allclose(place, np.linspace(0, 1, 11))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ends_are_met_exactly(spacing: str) -> None:
    made = grid(VP(), 7, spacing, begin=0.9, end=2e-3)
    assert made.t[0] == VP().at(0.9)
    assert made.t[-1] == VP().at(2e-3)
    assert (made.t.diff() > 0).all()
    assert made.steps == 7


@pytest.mark.parametrize("schedule", [VP(), VE(), EDM(), LinearPath(start=0.99)])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_end_zero_is_zero_noise(schedule: object, spacing: str, steps: int) -> None:
    made = grid(schedule, steps, spacing, end="zero")  # type: ignore[arg-type]
    assert made.steps == steps
    assert made.ends_at_zero
    assert made.sigma[-1] == 0.0
    assert made.alpha[-1] == 1.0
    assert torch.isfinite(made.lam[:-1]).all()


def test_a_given_grid_is_taken_as_it_is() -> None:
    made = grid(VP(), 3, [1.0, 0.5, 0.2, 0.01])
    assert torch.allclose(VP().tau(made.t), torch.tensor([1.0, 0.5, 0.2, 0.01]).double(), rtol=1e-14)


def test_the_way_back_is_the_same_times() -> None:
    made = grid(VP(), 5, "lam")
    assert made.reversed().t.tolist() == made.t.tolist()[::-1]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: grid(VP(), 0, "lam"), "steps"),
        (lambda: grid(VP(), -3, "lam"), "steps"),
        (lambda: grid(VP(), True, "lam"), "steps"),
        (lambda: grid(VP(), 2.5, "lam"), "steps"),  # type: ignore[arg-type]
        (lambda: grid(VP(), 5, "lam", begin=0.1, end=0.2), "end < begin"),
        (lambda: grid(VP(), 5, "lam", begin=0.1, end=0.1), "end < begin"),
        (lambda: grid(VP(), 5, "lam", begin=2.0), "beyond"),
        (lambda: grid(VP(), 5, "lam", end=-1e-3), "0 <= end"),
        (lambda: grid(VP(), 5, "lam", begin=math.nan), "end < begin"),
        (lambda: grid(VP(), 5, "lam", end="nought"), "zero"),
        (lambda: grid(VP(), 2, [1.0, 0.5]), "3 diffusion times"),
        (lambda: grid(VP(), 2, [1.0, 0.2, 0.5]), "decrease"),
        (lambda: grid(VP(), 2, [1.0, math.nan, 0.5]), "decrease"),
        (lambda: grid(LinearPath(), 5, "lam"), "no signal"),
        (lambda: grid(VP(), 5, "lam", end="zero").reversed(), "infinite"),
    ],
)
def test_bad_grids_are_refused(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()  # type: ignore[operator]


def test_an_unknown_spacing_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'karras'"):
        grid(VP(), 5, "karas")

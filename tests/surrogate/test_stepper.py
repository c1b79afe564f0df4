import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.pde import advection
from sciode.solve import RungeKutta, Term, tableaus
from sciode.surrogate import rollout, stepper


def sine(points: int, shift: float = 0.0) -> torch.Tensor:
    x = torch.arange(points, dtype=torch.float64) / points
    return torch.sin(2 * math.pi * (x - shift))[None, None]


def test_advection_is_a_shift() -> None:
    model = stepper(advection(points=32, velocity=0.5), substeps=2)
    path = rollout(model, sine(32), 4, 0.1)
    for step in range(4):
        assert torch.allclose(path[:, step], sine(32, 0.05 * (step + 1)), atol=1e-6)


def test_substeps_are_counted_exactly() -> None:
    calls = []

    def drift(s, u):
        calls.append(float(s))
        return -u

    stepper(Term(drift), RungeKutta(tableaus.EULER), substeps=3)(sine(8), torch.tensor([0.3]))
    assert len(calls) == 3


def test_euler_step_by_hand() -> None:
    model = stepper(Term(lambda s, u: -u), RungeKutta(tableaus.EULER), substeps=2)
    assert torch.allclose(model(sine(8), torch.tensor([0.2]).double()), sine(8) * 0.9**2)


def test_coarse_grid_keeps_what_it_resolves() -> None:
    model = stepper(advection(points=16, velocity=1.0), points=(16,))
    assert torch.allclose(model(sine(64), torch.tensor([0.1])), sine(64, 0.1), atol=1e-6)


def test_no_time_is_no_change() -> None:
    u = sine(8)
    assert stepper(Term(lambda s, u: -u))(u, torch.zeros(1)) is u


def test_errors() -> None:
    with pytest.raises(InputError, match="substeps must be at least 1"):
        stepper(Term(lambda s, u: -u), substeps=0)
    with pytest.raises(InputError, match="dt holds several"):
        stepper(Term(lambda s, u: -u))(sine(8).expand(2, 1, 8), torch.tensor([0.1, 0.2]))

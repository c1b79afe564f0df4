"""No sampler may produce NaN, whatever the schedule, the spacing, the number of steps and the end."""

import pytest
import torch

from sciode.generative import EDM, SPACINGS, VE, VP, Cosine, LinearPath, Schedule, SubVP, Tabulated
from tests.generative.families import EVERY
from tests.generative.laws import gaussian

SCHEDULES: dict[str, Schedule] = {
    "vp": VP(),
    "subvp": SubVP(),
    "cosine": Cosine(),
    "ve": VE(),
    "edm": EDM(),
    "linear": LinearPath(start=0.999),
    "tabulated": Tabulated(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)),
}
MEAN = torch.tensor([0.3, -0.2], dtype=torch.float64)


@pytest.mark.parametrize("name", EVERY)
def test_finite_at_zero_noise_for_every_number_of_steps(name: str) -> None:
    law = gaussian(VP(), MEAN, 0.01)
    noise = torch.tensor([[1.0, -2.0], [0.1, 0.5]], dtype=torch.float64)
    for spacing in SPACINGS:
        for steps in range(1, 51):
            x0 = EVERY[name](VP(), steps, spacing=spacing, end="zero").sample(law, noise)
            assert torch.isfinite(x0).all(), (spacing, steps)
            if steps >= 20:  # and it has arrived at the data, whose spread is 0.1
                assert (x0 - MEAN).abs().max() < 1.0, (spacing, steps, x0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", EVERY)
def test_finite_on_every_schedule_and_spacing(name: str, schedule: str) -> None:
    path = SCHEDULES[schedule]
    law = gaussian(path, MEAN, 0.01)
    noise = torch.tensor([[1.0, -2.0], [0.1, 0.5]], dtype=torch.float64)
    for spacing in SPACINGS:
        for steps in (1, 2, 5):
            for end in (None, "zero"):
                sampler = EVERY[name](path, steps, spacing=spacing, end=end)
                x0 = sampler.sample(law, noise)
                assert torch.isfinite(x0).all(), (spacing, steps, end)

"""No sampler may produce NaN, whatever the schedule, the spacing, the number of steps and the end."""

import pytest
import torch

from sciode.core.errors import InputError
from sciode.generative import EDM, SPACINGS, VE, VP, Cosine, LinearPath, Schedule, SubVP, Tabulated, presets
from tests.generative.families import EVERY, FITTED, NOISY
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


ALL = {**EVERY, **FITTED, **NOISY}
NOISE = torch.tensor([[1.0, -2.0], [0.1, 0.5]], dtype=torch.float64)


WRITTEN_SLOWLY = {"v3"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in WRITTEN_SLOWLY)) for name in ALL]
)
def test_finite_at_zero_noise_for_every_number_of_steps(name: str) -> None:
    law = gaussian(VP(), MEAN, 0.01)
    for spacing in SPACINGS:
        for steps in range(1, 51):
            x0 = ALL[name](VP(), steps, spacing=spacing, end="zero").sample(law, NOISE)
            assert torch.isfinite(x0).all(), (spacing, steps)
            if steps >= 20 and name not in NOISY:  # and it has arrived at the data, whose spread is 0.1
                assert (x0 - MEAN).abs().max() < 1.0, (spacing, steps, x0)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_pndm_is_finite_where_it_has_numbers(spacing: str) -> None:
    law = gaussian(VP(), MEAN, 0.01)
    for variant in ("S", "F", "PLMS"):
        for steps in range(4, 51):
            if spacing != "time":
                with pytest.raises(InputError, match="time"):
                    presets.pndm(VP(), steps, spacing, variant=variant)
                continue
            for end in (None, "zero"):
                assert torch.isfinite(
                    presets.pndm(VP(), steps, spacing, end=end, variant=variant).sample(law, NOISE)
                ).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ALL)
def test_finite_on_every_schedule_and_spacing(name: str, schedule: str) -> None:
    path = SCHEDULES[schedule]
    law = gaussian(path, MEAN, 0.01)
    for spacing in SPACINGS:
        for steps in (1, 2, 5):
            for end in (None, "zero"):
                if (name, schedule, end) == ("usf", "ve", "zero") and steps > 1:
                    # records name diffusion times, and VE has none for zero noise
                    with pytest.raises(InputError, match="must decrease"):
                        ALL[name](path, steps, spacing=spacing, end=end)
                    continue
                x0 = ALL[name](path, steps, spacing=spacing, end=end).sample(law, NOISE)
                assert torch.isfinite(x0).all(), (spacing, steps, end)

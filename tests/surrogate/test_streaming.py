"""Streams: every lane at its own level, and the same states as one rollout after another."""

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative import VP, Denoiser, Lanes, Prediction, presets
from sciode.surrogate import Refiner, rollout, stream


def model(**config) -> Refiner:
    torch.manual_seed(0)
    made = Refiner(1, 1, network={"width": 8, "depth": 2}, **config).double().eval()
    made.normaliser.mean.fill_(0.3)
    made.normaliser.std.fill_(2.0)
    made.increment.fill_(0.5)
    return made


def starts(count: int = 5) -> Tensor:
    return torch.randn(count, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def collected(made: Refiner, u0: Tensor, counts: list[int], **options) -> tuple[list[Tensor], int]:
    paths = [torch.full((count, *u0.shape[1:]), torch.nan, dtype=u0.dtype) for count in counts]
    calls: list[int] = []
    hook = made.body.register_forward_hook(lambda body, args, out: calls.append(len(out)))
    for trajectory, step, states in stream(made, u0, counts, 0.7, **options):
        for i, n, state in zip(trajectory, step, states, strict=True):
            assert paths[i][n - 1].isnan().all()  # every state comes once
            paths[i][n - 1] = state
    hook.remove()
    return paths, len(calls)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
@pytest.mark.parametrize("lanes", [1, 2, 5, 9])
def test_a_stream_is_the_rollouts_it_consists_of(sampler: str, lanes: int) -> None:
    made, u0, counts = model(sampler=sampler), starts(), [3, 1, 4, 2, 4]
    paths, _ = collected(made, u0, counts, lanes=lanes, seed=7)
    with torch.no_grad():
        want = rollout(made.seeded(7), u0, 4, 0.7)
    for path, whole, count in zip(paths, want, counts, strict=True):
        torch.testing.assert_close(path, whole[:count], rtol=0, atol=1e-12)


def test_lanes_are_filled_again_where_trajectories_end() -> None:
    made, counts = model(), [8, 2, 2, 2, 2]
    _, calls = collected(made, starts(), counts, lanes=2)
    # Two lanes of 8 steps each, of 4 calls, the second begun 2 calls late; batch by batch: 8 + 2 + 2 steps.
    assert calls == 4 * 8 + 2


def test_states_come_out_at_many_calls() -> None:
    sizes = [len(arrival.step) for arrival in stream(model(), starts(4), 3, 0.7, lanes=4)]
    assert sizes == [1] * 12


def test_a_lane_that_overflows_spoils_no_other() -> None:
    made, u0 = model(sampler="dpm++"), starts(3)
    made.body.register_forward_hook(
        lambda body, args, out: out.masked_fill_(args[0].abs().amax() > 1e6, torch.inf)
    )
    u0[0] = 1e9
    paths, _ = collected(made, u0, [2, 2, 2], lanes=1)
    assert not paths[0].isfinite().all()
    with torch.no_grad():
        want = rollout(made.seeded(0), starts(3), 2, 0.7)
    torch.testing.assert_close(paths[2], want[2], rtol=0, atol=1e-12)


def test_lead_times_of_their_own() -> None:
    made, u0, dt = model(), starts(3), torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    with torch.no_grad():
        want = rollout(made.seeded(0), u0, 1, dt)
    for trajectory, _, states in stream(made, u0, 1, dt, lanes=1):
        torch.testing.assert_close(states, want[trajectory, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": [1, 2]}, "one for each of 3 trajectories, found 2"),
        ({"steps": 0}, "at least 1 step"),
        ({"lanes": 0}, "at least 1 lane, found 0"),
        ({"u0": torch.full((3, 1, 16), torch.nan)}, "NaN or infinity, first in sample 0"),
    ],
)
def test_bad_input_is_named(change: dict, match: str) -> None:
    options = {"u0": starts(3), "steps": 2, "dt": 1.0} | change
    with pytest.raises(InputError, match=match):
        next(stream(model(), **options))


def test_samplers_with_stages_have_no_lanes() -> None:
    with pytest.raises(InputError, match="cannot be laid out as columns"):
        Lanes(presets.dpm_solver(VP(), order=2, steps=4))


def test_lanes_side_by_side_are_a_sampler_row_by_row() -> None:
    schedule = VP()
    sampler = presets.dpm_solver_pp(schedule, order=3, steps=5)
    denoise = Denoiser(lambda x, label: torch.tanh(x) * label[:, None], schedule, Prediction.NOISE)
    noise = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lanes, x, slopes = Lanes(sampler), sampler.prior(noise), ()
    for row in range(lanes.rows):
        x, slopes = lanes.step(denoise, x, slopes, torch.full((4,), row))
    torch.testing.assert_close(x, sampler.sample(denoise, noise), rtol=0, atol=1e-12)

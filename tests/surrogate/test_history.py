"""A model that sees the state before: memory along a forecast, training with it and without."""

from pathlib import Path

import pytest
import torch

from sciode.core.errors import InputError
from sciode.data import split
from sciode.metrics import nrmse
from sciode.surrogate import History, load_surrogate, rollout
from sciode.train import fit
from sciode.train.objective import Objective, relative_l2
from tests.train.waves import wave_file

SMALL = {"width": 8, "depth": 2}


def model() -> History:
    torch.manual_seed(0)
    return History(1, 1, network=SMALL).double().eval()


def states(count: int, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, count, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_rollout_remembers_and_starts_without_a_past() -> None:
    made, u, dt = model(), states(1)[:, 0], torch.full((3,), 0.5, dtype=torch.float64)
    with torch.no_grad():
        first = made(u, dt)
        second = made(first, dt, past=u)
        path = rollout(made, u, 2, 0.5)
        again = rollout(made, u, 2, 0.5)
    torch.testing.assert_close(path, torch.stack([first, second], dim=1), rtol=0, atol=0)
    assert torch.equal(path, again)  # nothing is left over from the forecast before
    assert not torch.allclose(second, made(first, dt))


def test_training_shows_the_past_and_unrolls_with_memory() -> None:
    made, u, dt = model(), states(4), torch.full((3,), 0.5, dtype=torch.float64)
    objective = Objective(made, relative_l2, pushforward=False, unroll=2)
    assert objective.states == 4
    one = made(u[:, 1], dt, past=u[:, 0])
    two = made(one, dt, past=u[:, 1])
    want = (relative_l2(one, u[:, 2]) + relative_l2(two, u[:, 3])) / 2
    torch.testing.assert_close(objective(u, dt), want)


def test_some_samples_train_without_a_past() -> None:
    made = model()
    u, past = states(1, batch=400)[:, 0], states(2, batch=400)[:, 1]
    dt = torch.full((400,), 0.5, dtype=torch.float64)
    cold, warm = made(u, dt), made(u, dt, past=past)
    made.train()
    torch.manual_seed(0)
    mixed = made(u, dt, past=past)
    is_cold = (mixed - cold).abs().amax((1, 2)) < 1e-12
    assert bool((is_cold | ((mixed - warm).abs().amax((1, 2)) < 1e-12)).all())
    assert 20 < int(is_cold.sum()) < 60


def test_it_learns_from_the_past_and_comes_back_from_its_file(tmp_path: Path) -> None:
    data = wave_file(tmp_path)
    torch.manual_seed(0)
    made = History.for_data(data, network=SMALL)
    history = fit(made, data, steps=300, batch=32, learning_rate=3e-3, directory=tmp_path / "run", quiet=True)
    u = data[split(data).test]
    dt = torch.full((len(u),), data.dt)
    with torch.no_grad():
        back = load_surrogate(history.checkpoint)
        torch.testing.assert_close(back(u[:, 1], dt, past=u[:, 0]), made(u[:, 1], dt, past=u[:, 0]))
        error = nrmse(made(u[:, 1], dt, past=u[:, 0])[:, None], u[:, 2:3]).item()
        still = nrmse(u[:, 1:2], u[:, 2:3]).item()
    print(f"history {error:.3g}, persistence {still:.3g}")
    assert error < 0.2 * still


def test_a_model_with_memory_takes_no_jumps() -> None:
    with pytest.raises(InputError, match="takes jump=1"):
        rollout(model(), states(1)[:, 0], 4, 0.5, jump=2)

"""A small operator transformer learns to step by any lead time, trained on all pairs."""

from pathlib import Path

import pytest
import torch

from sciode.data import Trajectories, split, subset
from sciode.surrogate import Poseidon
from sciode.train import RelativeL1, all_to_all, fit
from tests.train.waves import file_2d, waves_2d

TIMES = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    folder: Path = tmp_path_factory.mktemp("waves")
    return file_2d(folder, "waves", waves_2d(40, TIMES, 16, (0.4, 0.2), seed=3))


def trained(data: Trajectories, seed: int = 0, **config: object) -> Poseidon:
    torch.manual_seed(seed)
    model = Poseidon(1, width=16, heads=(2, 4), window=4, patch=2, horizon=8.0)
    settings = {"steps": 300, "batch": 32, "learning_rate": 5e-3, "weight_decay": 0.0, "quiet": True}
    fit(model, data, seed=seed, loss=RelativeL1(), **{**settings, **config})  # type: ignore[arg-type]
    return model


@torch.no_grad()
def errors(model: Poseidon | None, data: Trajectories) -> list[float]:
    """Return the relative error of every lead from every start of held-out trajectories; None: persistence."""
    parts = split(data)
    ids = [*parts.test.tolist(), *parts.validation.tolist()]
    found = []
    for lead in range(TIMES):
        before = torch.cat([data[i][: TIMES - lead] for i in ids])
        after = torch.cat([data[i][lead:] for i in ids])
        guess = before if model is None else model(before, torch.full((len(before),), lead * data.dt))
        found.append(((guess - after).norm() / after.norm()).item())
    return found


def test_any_lead_time_is_better_than_no_change(data: Trajectories) -> None:
    model = trained(data, leads=(0, 1, 2, 4, 6, 8))
    found, still = errors(model, data), errors(None, data)
    assert found[0] < 0.3  # near the identity, which it has to learn: at the start it gives zero
    for lead in range(2, TIMES):
        assert found[lead] < 0.6 * still[lead], lead
    for unseen in (3, 5, 7):
        assert found[unseen] < 2.0 * max(found[unseen - 1], found[unseen + 1])


@pytest.mark.slow
def test_all_pairs_teach_more_than_those_from_the_first_state(data: Trajectories) -> None:
    """From four trajectories, at equal steps, over three seeds: the sum over leads of errors on held-out ones."""
    settings = {"leads": all_to_all(TIMES), "split": subset(split(data), 4), "steps": 800}
    for seed in range(3):
        every = errors(trained(data, seed, **settings), data)
        first = errors(trained(data, seed, starts=1, **settings), data)
        assert sum(every) < 0.9 * sum(first), (seed, every, first)

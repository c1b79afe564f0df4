"""All-to-all pairs, the loss by groups of fields, and learning rates by groups of weights."""

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.surrogate import Poseidon
from sciode.train import RelativeL1, all_to_all, fit
from sciode.train.plan import weight_groups
from sciode.train.windows import Held, Pairs, Streamed
from tests.train.test_parts import check_the_same
from tests.train.waves import file_2d, wave_file, waves_2d


@pytest.mark.parametrize(
    ("pairs", "count"),
    [
        (Pairs(all_to_all(8)), 36),
        (Pairs(all_to_all(8, identity=False)), 28),
        (Pairs(all_to_all(9, stride=2), stride=2), 15),
        (Pairs(all_to_all(9), starts=1), 9),
    ],
)
def test_all_pairs_of_a_trajectory(tmp_path, pairs: Pairs, count: int) -> None:
    data, device = wave_file(tmp_path, 3, max(pairs.leads) + 1, 16), torch.device("cpu")
    held, streamed = Held(data, [2, 0], 2, pairs, device), Streamed(data, [2, 0], 2, pairs, device, 0)
    assert len(held) == len(streamed) == 2 * count
    check_the_same(held, streamed)
    found = set()
    for u, dt in held.batches([torch.arange(len(held))]):
        for (first, last), lead in zip(u, dt, strict=True):
            steps = round(lead.item() / data.dt)
            assert steps in pairs.leads
            times = [(index, time) for index in (0, 2) for time in range(data.shape[1])]
            (where,) = [at for at in times if torch.equal(data[at[0]][at[1]], first)]
            assert torch.equal(data[where[0]][where[1] + steps], last)
            found.add((*where, steps))
    assert len(found) == 2 * count  # no pair twice
    assert all(time % pairs.stride == 0 for _, time, _ in found)


def test_relative_l1_by_groups_of_fields() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 5, 4, 8, generator=generator, dtype=torch.float64)
    error, size = (prediction - target).abs(), target.abs()
    parts = [error[:, a:b].mean() / size[:, a:b].mean() for a, b in ((0, 1), (1, 3), (3, 4))]
    assert RelativeL1((1, 2, 1))(prediction, target).item() == pytest.approx(sum(parts).item() / 3)
    each = torch.stack([(e.mean() / s.mean()) for e, s in zip(error, size, strict=True)]).mean()
    assert RelativeL1((4,), per_sample=True)(prediction, target).item() == pytest.approx(each.item())
    assert RelativeL1()(prediction, target) == RelativeL1((1, 1, 1, 1))(prediction, target)
    assert RelativeL1()(target, target) == 0.0
    with pytest.raises(InputError, match="hold 3 channels, the fields have 4"):
        RelativeL1((1, 2))(prediction, target)
    with pytest.raises(InputError, match="from 1 up"):
        RelativeL1((0, 2))


def test_groups_of_weights_have_rates_of_their_own() -> None:
    model = Poseidon(2, width=8, depths=(1, 1), heads=(1, 1), skips=(1, 0), window=4)
    groups = weight_groups(model, 0.1, {"ends": 10.0, "norms": 3.0})
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    rate = {p: (g["rate"], g["weight_decay"]) for g in groups for p in g["params"]}
    network = model.network
    assert rate[network.embed.project.weight] == (10.0, 0.1)
    assert rate[network.recover.join.weight] == (10.0, 0.1)
    assert rate[network.encoder[0].blocks[0].norm_mix.slope] == (3.0, 0.0)
    assert rate[network.encoder[0].blocks[0].mix[0].weight] == (1.0, 0.1)
    with pytest.raises(UnknownName, match="did you mean 'norms'"):
        weight_groups(model, 0.1, {"norm": 2.0})


def test_rates_scale_the_steps(tmp_path) -> None:
    """Adam's first step has the size of the rate, whatever the gradient."""
    data = file_2d(tmp_path, "a", waves_2d(6, 3, 16, (0.4, 0.0)))
    model = Poseidon(1, width=8, depths=(1, 1), heads=(1, 1), skips=(0, 0), window=4, patch=2)
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data = 0.3 * torch.randn(p.shape, generator=generator)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0, "warmup": 0.0, "ema": 0.0, "quiet": True}
    fit(model, data, steps=1, batch=4, rates={"ends": 10.0, "norms": 2.0}, **settings)
    for name, p in model.named_parameters():
        ends, norm = name.startswith(("network.embed", "network.recover")), name.endswith((".slope", ".offset"))
        size = 1e-2 if ends else 2e-3 if norm else 1e-3
        assert (p - before[name]).abs().max().item() == pytest.approx(size, rel=0.02), name

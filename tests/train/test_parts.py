"""The parts of training against closed forms."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from sciode.constraints import conserving
from sciode.core.errors import InputError, UnknownName
from sciode.data import Channelwise
from sciode.surrogate import UNet
from sciode.train import FitConfig, relative_l2
from sciode.train.ema import Average
from sciode.train.objective import Objective
from sciode.train.plan import Plan, weight_groups
from sciode.train.schedule import learning_rate
from sciode.train.trainable import check_trainable
from sciode.train.units import set_units
from sciode.train.validate import one_step_errors
from sciode.train.windows import Batch, Held, Pairs, Streamed, epoch_order, evenly, shares, source
from tests.train.waves import wave_file


class Scale(nn.Module):
    """u -> w u: a model whose loss and gradient are known by hand."""

    def __init__(self, w: float = 2.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))
        self.config = {"w": w}
        self.normaliser = Channelwise(1)
        self.register_buffer("reference_dt", torch.tensor(1.0))
        self.register_buffer("increment", torch.ones(1))

    def forward(self, u: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        return self.w * u


def plain_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (prediction - target).mean()


# ---------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"epochs": 3, "steps": 4}, "not both"),
        ({"epochs": 0}, "epochs takes a whole number from 1"),
        ({"batch": 2.5}, "batch takes a whole number"),
        ({"batch": True}, "batch takes a whole number"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "learning_rate takes a number"),
        ({"ema": 1.0}, "below 1"),
        ({"warmup": -0.1}, "from 0"),
        ({"leads": ()}, "whole numbers of data steps"),
        ({"leads": (1, -1)}, "from 0 up"),
        ({"leads": (0,)}, "one above 0"),
        ({"starts": 0}, "from 1 up"),
        ({"rates": {"ends": -1.0}}, "rates"),
        ({"leads": (2, 2)}, "twice"),
        ({"pushforward": True}, "unroll of at least 2"),
        ({"precision": "bf61"}, "did you mean 'bf16'"),
    ],
)
def test_values_that_cannot_work(config: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FitConfig(**config)


def test_config_from_keys() -> None:
    with pytest.raises(UnknownName, match="did you mean 'learning_rate'"):
        FitConfig.of({"learning_rat": 1.0})
    assert FitConfig().epochs == 20
    assert FitConfig(steps=7).epochs is None
    assert FitConfig(leads=3).leads == (3,)
    assert FitConfig.of({"leads": [1, 2]}).to_dict()["leads"] == [1, 2]


# ---------------------------------------------------------------------- schedule, plan, average


def test_schedule_is_a_ramp_and_half_a_cosine() -> None:
    rates = [learning_rate(step, 100, 2.0, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([2.0 * (s + 1) / 11 for s in range(10)])
    assert rates[10:] == pytest.approx([1 + math.cos(math.pi * s / 90) for s in range(91)])
    assert max(rates) == rates[10] == 2.0
    assert rates[100] == 0.0


def test_plan_counts_steps() -> None:
    plan = Plan.of(FitConfig(steps=25, batch=8), windows=83)
    assert plan == Plan(batch=8, per_epoch=10, epochs=3, steps=25)
    assert [plan.steps_in(epoch) for epoch in range(3)] == [10, 10, 5]
    assert Plan.of(FitConfig(epochs=2, batch=64), windows=10).batch == 10
    assert Plan.of(FitConfig(epochs=2, batch=64), windows=11, processes=2).batch == 10
    assert Plan.of(FitConfig(epochs=2, batch=4, windows_per_epoch=9), windows=1000).steps == 4
    with pytest.raises(InputError, match="does not divide among 3"):
        Plan.of(FitConfig(batch=32), windows=100, processes=3)


def test_biases_do_not_decay() -> None:
    groups = weight_groups(nn.Linear(3, 2), 0.1)
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (1, 0.0)]


def test_average_closed_form() -> None:
    """With w_s = s + 1 from step S on and fixed d: a_n = sum (1 - d) d^(n - s) w_s."""
    weight, complex_weight = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    average = Average([weight, complex_weight], decay=0.9)
    for step in range(1000, 1020):
        weight.data.fill_(step - 999.0)
        complex_weight.data.fill_(1j * (step - 999.0))
        average.update(step)
    expected = sum(0.1 * 0.9 ** (20 - w) * w for w in range(1, 21))
    assert average.tensors[0].tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert average.tensors[1].flatten().tolist() == pytest.approx([0.0, expected] * 2, rel=1e-5)


def test_average_warms_up_and_swaps() -> None:
    weight = nn.Parameter(torch.zeros(1))
    average = Average([weight], decay=0.999)
    weight.data.fill_(1.0)
    average.update(step=0)
    assert average.tensors[0].item() == pytest.approx(0.9)  # d_0 = 1/10
    with average.swapped():
        assert weight.item() == pytest.approx(0.9)
    assert weight.item() == 1.0
    none = Average([weight], decay=0.0)
    weight.data.fill_(5.0)
    none.update(step=50)
    assert none.tensors[0].item() == 5.0


# ---------------------------------------------------------------------- objective


def test_relative_l2_by_hand() -> None:
    target = torch.full((1, 1, 4), 2.0)
    two = torch.cat([target, target])
    prediction = torch.cat([target + 1, target])
    assert relative_l2(prediction, two).item() == pytest.approx(0.25, rel=1e-3)


def test_perfect_prediction_has_a_finite_gradient() -> None:
    target = torch.zeros(1, 1, 4)
    prediction = target.clone().requires_grad_()
    relative_l2(prediction, target).backward()
    assert bool(torch.isfinite(prediction.grad).all())


def test_unrolled_gradient_by_hand() -> None:
    """Mean of (w u - y) and (w^2 u - y): the slope in w is (u + 2 w u) / 2."""
    model, window = Scale(2.0), torch.tensor([3.0, 0.0, 0.0]).view(1, 3, 1, 1)
    Objective(model, plain_loss, pushforward=False)(window, torch.ones(1)).backward()
    assert model.w.grad.item() == pytest.approx((3 + 2 * 2 * 3) / 2)


def test_pushforward_gradient_is_that_of_the_last_step() -> None:
    """Loss (w z - y) with z = w^2 u held fixed: the slope is z = 12, not 3 w^2 u = 36."""
    model, window = Scale(2.0), torch.tensor([3.0, 0.0, 0.0, 5.0]).view(1, 4, 1, 1)
    loss = Objective(model, plain_loss, pushforward=True)(window, torch.ones(1))
    loss.backward()
    assert loss.item() == 24.0 - 5.0
    assert model.w.grad.item() == 12.0


def test_pushforward_gradient_of_a_network() -> None:
    torch.manual_seed(0)
    model, window = UNet(1, 1, width=4, depth=1), torch.randn(2, 3, 1, 8)
    dt = torch.ones(2)
    Objective(model, relative_l2, pushforward=True)(window, dt).backward()
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    start = model(window[:, 0], dt).detach()
    relative_l2(model(start, dt), window[:, 2]).backward()
    assert all(torch.equal(p.grad, f) for p, f in zip(model.parameters(), found, strict=True))


def test_loss_is_taken_in_normalised_units() -> None:
    model, window = Scale(1.0), torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)
    model.normaliser.std.fill_(4.0)
    assert Objective(model, plain_loss, pushforward=False)(window, torch.ones(1)).item() == 0.5


def test_what_cannot_be_trained() -> None:
    with pytest.raises(InputError, match="no parameters"):
        check_trainable(nn.Identity())
    with pytest.raises(InputError, match="no attribute 'config'"):
        check_trainable(nn.Linear(1, 1))


def test_validation_score_by_hand() -> None:
    u = torch.tensor([[[[3.0, 4.0]], [[6.0, 8.0]]]])
    total, count = one_step_errors(Scale(1.5), [Batch(u, torch.ones(1))] * 2).tolist()
    assert (total / count, count) == (pytest.approx(0.25), 2)


# ---------------------------------------------------------------------- windows


def test_order_is_by_counter() -> None:
    first = epoch_order(50, seed=1, epoch=2)
    assert torch.equal(first, epoch_order(50, 1, 2))
    assert not torch.equal(first, epoch_order(50, 1, 3))
    assert not torch.equal(first, epoch_order(50, 2, 2))
    assert torch.equal(epoch_order(50, 1, 2, limit=9), first[:9])


def test_processes_share_every_batch() -> None:
    order = torch.arange(26)
    parts = [shares(order, 8, rank, 2) for rank in range(2)]
    joined = [torch.cat(pair).tolist() for pair in zip(*parts, strict=True)]
    assert joined == [part.tolist() for part in shares(order, 8, 0, 1)]
    assert torch.tensor(joined).flatten().tolist() == list(range(24))
    assert shares(order[:5], 8, 0, 1) == []
    assert evenly(100, 3).tolist() == [0, 33, 66]


@pytest.mark.parametrize("workers", [0, 1])
def test_held_and_streamed_windows_are_the_same(tmp_path, workers: int) -> None:
    data, device = wave_file(tmp_path, 5, 9, 16), torch.device("cpu")
    ids = [4, 1, 2]
    held = Held(data, ids, 3, Pairs((1, 3)), device)
    streamed = Streamed(data, ids, 3, Pairs((1, 3)), device, workers)
    assert len(held) == len(streamed) == 3 * (7 + 3)
    check_the_same(held, streamed)


def check_the_same(held: Held, streamed: Streamed) -> None:
    order = epoch_order(len(held), 0, 0).split(7)
    for a, b in zip(held.batches(order), streamed.batches(order), strict=True):
        assert torch.equal(a.u, b.u)
        assert torch.equal(a.dt, b.dt)


def test_memory_decides_and_bad_windows_are_refused(tmp_path) -> None:
    data = wave_file(tmp_path, 5, 9, 16)
    size = 4 * 2 * 9 * 16 / 2**20
    rest = {"device": torch.device("cpu"), "workers": 0}
    assert isinstance(source(data, [0, 1], 2, Pairs(), memory=size, **rest), Held)
    assert isinstance(source(data, [0, 1], 2, Pairs(), memory=0.99 * size, **rest), Streamed)
    with pytest.raises(InputError, match="need 13 times; the data have 9"):
        source(data, [0, 1], 4, Pairs((1, 4)), memory=1, **rest)
    with pytest.raises(InputError, match="split is empty"):
        source(data, [], 2, Pairs(), memory=1, **rest)


def test_units_come_from_the_training_ids(tmp_path) -> None:
    data, model = wave_file(tmp_path, 5, 9, 16), UNet(1, 1, width=4, depth=1)
    set_units(model, data, [0, 2], lead=2)
    states = torch.stack([data[0], data[2]])
    change = (states[:, 2:] - states[:, :-2]).square().mean().sqrt() / states.std(correction=0)
    assert model.reference_dt.item() == pytest.approx(2 * data.dt)
    assert model.normaliser.std.item() == pytest.approx(states.std(correction=0).item(), rel=1e-5)
    assert model.increment.item() == pytest.approx(change.item(), rel=1e-4)


@pytest.mark.parametrize("pushforward", [False, True])
def test_predictions_are_projected_before_the_loss(pushforward: bool) -> None:
    """w u shifted back to the mean of u: of (3, 1) that is (2 + w, 2 - w), then (2 + w^2, 2 - w^2)."""
    rows = torch.full((1, 2), 0.5)
    model, window = Scale(3.0), torch.zeros(1, 3, 1, 2)
    window[0, 0, 0] = torch.tensor([3.0, 1.0])
    objective = Objective(
        model, lambda p, t: p[..., 0].sum(), pushforward, unroll=2, constraint=partial(conserving, rows)
    )
    loss = objective(window, torch.ones(1))
    loss.backward()
    # projected once before, so that pushforward's gradient is 3 alone
    assert loss.item() == pytest.approx(11.0 if pushforward else (5.0 + 11.0) / 2, rel=1e-6)
    assert model.w.grad.item() == pytest.approx(3.0 if pushforward else (1 + 2 * 3.0) / 2, rel=1e-6)


def test_validation_sees_the_constraint_too() -> None:
    """Twice the state, shifted back to its mean: of (3, 1) that is (4, 0), the target."""
    rows, u = torch.full((1, 2), 0.5), torch.zeros(1, 2, 1, 2)
    u[0, 0, 0], u[0, 1, 0] = torch.tensor([3.0, 1.0]), torch.tensor([4.0, 0.0])
    batches = [Batch(u, torch.ones(1))]
    assert float(one_step_errors(Scale(2.0), batches)[0]) > 0.1
    assert float(one_step_errors(Scale(2.0), batches, keep=partial(conserving, rows))[0]) < 1e-6

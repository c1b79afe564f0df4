"""Channels that never change: told to the network, carried exactly, and bounded by what the training had."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sciode.core.checkpoint import save_checkpoint
from sciode.core.errors import InputError
from sciode.data import Channelwise, Trajectories, open_trajectories, split, write_trajectories
from sciode.generate import generate, load_recipe
from sciode.metrics import nrmse
from sciode.nn import load_tensors, module_tensors
from sciode.surrogate import FNO, ParameterWarning, Persistence, Poseidon, Refiner, UNet, load_surrogate, rollout
from sciode.train import fit
from sciode.train.objective import Loss, Objective, RelativeL1, relative_l2
from sciode.train.sobolev import Sobolev
from sciode.train.units import set_units
from sciode.train.validate import one_step_errors
from sciode.train.windows import evenly

SMALL = {"width": 8, "depth": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    change = {
        "points": 64,
        "oversample": 1,
        "trajectories": 40,
        "times": 13,
        "end": 6.0,
        "burn_in": 20.0,
        "dt": 0.05,
    }
    recipe = load_recipe("kuramoto_sivashinsky_viscosity", change=change)
    return open_trajectories(generate(recipe, out=tmp_path_factory.mktemp("ks") / "a.hdf5", quiet=True))


@pytest.mark.parametrize("kind", [UNet, FNO, Refiner])
def test_models_learn_beside_parameters_and_carry_them_exactly(
    kind: type, data: Trajectories, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = {
        UNet: SMALL,
        FNO: {"modes": 12, "width": 16, "layers": 2},
        Refiner: {"sigma_min": 0.05, "network": SMALL},
    }
    model = kind.for_data(data, **config[kind])
    history = fit(model, data, steps=400, batch=16, learning_rate=3e-3, directory=tmp_path, quiet=True)
    assert bool((model.increment[1:] == 0).all()) and model.increment[0] > 0
    ids = split(data)
    seen = data[ids.train][:, :, 1:, 0]
    torch.testing.assert_close(model.lowest[1:], seen.amin((0, 1)))
    torch.testing.assert_close(model.highest[1:], seen.amax((0, 1)))
    assert model.lowest[0] == -torch.inf
    u = data[ids.test]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)
        ahead = rollout(model.eval(), u[:, 0], 4, data.dt)
        back = rollout(load_surrogate(history.checkpoint), u[:, 0], 4, data.dt)
        still = rollout(Persistence(), u[:, 0], 1, data.dt)
    torch.testing.assert_close(ahead, back)
    assert torch.equal(ahead[:, :, 1:], u[:, 1:5, 1:])
    errors = [nrmse(path[:, :1, :1], u[:, 1:2, :1]).item() for path in (ahead, still)]
    print(kind.__name__, errors)
    assert errors[0] < (4.0 if kind is Refiner else 0.8) * errors[1]  # so few steps do not train a refiner


def test_a_model_of_states_carries_parameters_too() -> None:
    model = Poseidon(2, 2, depths=[1], heads=[1], skips=[0], window=4, output="solution")
    model.increment.copy_(torch.tensor([1.0, 0.0]))
    u = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    later = model(u, torch.ones(2))
    assert torch.equal(later[:, 1], u[:, 1]) and not torch.equal(later[:, 0], u[:, 0])


def test_a_parameter_outside_the_training_is_named() -> None:
    model = UNet(2, 1, **SMALL)
    model.lowest[1], model.highest[1] = 0.5, 1.5
    u = torch.zeros(2, 2, 16)
    u[:, 1] = torch.tensor([1.0, 1.5])[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rollout(model, u, 1, 1.0)
    u[1, 1] = 2.0
    with pytest.warns(ParameterWarning, match=r"channel 1 from 0.5 to 1.5, asked for 1 to 2"):
        rollout(model, u, 1, 1.0)


@pytest.mark.parametrize("loss", [relative_l2, RelativeL1((1, 1)), Sobolev(1.0)])
def test_a_channel_that_never_changes_does_not_weigh_in_the_loss(loss: Loss) -> None:
    model = Tenth()
    u = torch.randn(4, 1, 2, 16, generator=torch.Generator().manual_seed(0)).repeat(1, 2, 1, 1)  # at rest
    values = []
    for constant in (0.0, 5.0):
        u[:, :, 1] = constant * torch.arange(4.0)[:, None, None]
        values.append(Objective(model, loss, False)(u, torch.ones(4)))
        assert one_step_errors(model, [(u, torch.ones(4))])[0].item() == pytest.approx(4 * 0.1, rel=1e-5)
    assert values[0].item() == values[1].item() > 0


class Tenth(nn.Module):
    """A model that adds a tenth to the first of two channels; the second is a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.normaliser = Channelwise(2)
        self.register_buffer("increment", torch.tensor([1.0, 0.0]))

    def forward(self, u: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        return torch.cat([1.1 * u[:, :1], u[:, 1:]], dim=1)


@pytest.mark.parametrize("prediction", ["velocity", "noise", "data"])
def test_a_refiner_spends_no_loss_on_them(prediction: str) -> None:
    model = Refiner(2, 1, network={"width": 4, "depth": 1}, prediction=prediction)
    model.increment.copy_(torch.tensor([1.0, 0.0]))
    u, later = torch.randn(2, 64, 2, 16, generator=torch.Generator().manual_seed(0))
    later[:, 1] = u[:, 1]
    seen: list[torch.Tensor] = []
    model.body.register_forward_hook(lambda _, given, out: seen.append(out) or out.retain_grad())
    model.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.losses(u, later, torch.ones(64)).mean().backward()
    given, out = seen
    assert bool((given[:, 1] == 0).all()) and bool((given[:, 0] != 0).any())
    assert bool((out.grad[:, 1] == 0).all()) and bool((out.grad[:, 0] != 0).any())


def test_bounds_are_those_of_all_trajectories_and_what_changes_once_is_no_parameter(tmp_path: Path) -> None:
    count, times = 600, 3  # more trajectories than windows are looked at
    u = torch.randn(count, times, 3, 8, generator=torch.Generator().manual_seed(0))
    u[:, :, 1] = torch.linspace(1.0, 2.0, count)[:, None, None]
    u[:, :, 1][17], u[:, :, 1][583] = -3.0, 7.0
    u[:, :, 2] = 0.0
    u[301, 2, 2] = 1.0
    for one in (17, 583, 301):
        windows = set(evenly(count * (times - 1), 512).tolist())
        assert not {2 * one, 2 * one + 1} <= windows
    path = write_trajectories(
        tmp_path / "a.hdf5",
        "pdebench-b",
        source=[u.numpy()],
        shape=tuple(u.shape),
        fields=["u", "a", "b"],
        times=[0.0, 1.0, 2.0],
        grid=[list(range(8))],
    )
    model = UNet(3, 1, **SMALL)
    set_units(model, open_trajectories(path), np.arange(count), 1)
    assert model.lowest.tolist() == [-torch.inf, -3.0, -torch.inf]
    assert model.highest.tolist() == [torch.inf, 7.0, torch.inf]
    assert (model.increment == 0).tolist() == [False, True, False]


@pytest.mark.parametrize("kind", [UNet, Refiner])
def test_files_from_before_bounds_were_kept_are_read(kind: type, tmp_path: Path) -> None:
    model = kind(1, 1, **(SMALL if kind is UNet else {"network": SMALL}))
    # A refiner holds another surrogate, whose buffers are as young.
    old = {k: v for k, v in module_tensors(model).items() if k.split(".")[-1] not in ("lowest", "highest")}
    weights = {f"model.{k}": v for k, v in old.items()}
    card = {"model": {"name": kind.__name__, "config": model.config}}
    save_checkpoint(tmp_path / "old.safetensors", weights, card)
    assert load_surrogate(tmp_path / "old.safetensors").lowest.isinf().all()
    with pytest.raises(InputError, match="has no tensor 'increment'"):
        load_tensors(model, {k: v for k, v in old.items() if k != "increment"})

"""Channels that never change: told to the network, carried exactly, and bounded by what the training had."""

import warnings
from pathlib import Path

import pytest
import torch

from sciode.data import Trajectories, open_trajectories, split
from sciode.generate import generate, load_recipe
from sciode.metrics import nrmse
from sciode.surrogate import FNO, ParameterWarning, Persistence, Poseidon, Refiner, UNet, load_surrogate, rollout
from sciode.train import fit

SMALL = {"width": 8, "depth": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    change = {"points": 64, "trajectories": 40, "times": 13, "end": 6.0, "burn_in": 20.0, "dt": 0.05}
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


def test_files_from_before_bounds_were_kept_are_read(tmp_path: Path) -> None:
    from sciode.core.checkpoint import save_checkpoint
    from sciode.nn import module_tensors

    model = UNet(1, 1, **SMALL)
    weights = {f"model.{k}": v for k, v in module_tensors(model).items() if k not in ("lowest", "highest")}
    save_checkpoint(tmp_path / "old.safetensors", weights, {"model": {"name": "UNet", "config": model.config}})
    assert load_surrogate(tmp_path / "old.safetensors").lowest.isinf().all()

import pytest
import torch

from sciode.core.checkpoint import save_checkpoint
from sciode.core.errors import InputError, UnknownName
from sciode.nn import module_tensors
from sciode.surrogate import FNO, UNet, build, load_surrogate, surrogates


def test_every_name_builds() -> None:
    for name in surrogates:
        dimensions = 2 if name == "poseidon" else 1
        size = {"network": {"width": 8}} if name in ("corrector", "history", "refiner") else {"width": 8}
        if name == "corrector":
            size |= {"equation": "burgers", "length": 1.0, "points": 12}
        config = {} if name == "persistence" else {"channels": 1, "dimensions": dimensions, **size}
        u = torch.rand(2, 1, *(16,) * dimensions)
        assert build(name, **config)(u, torch.ones(2)).shape == u.shape


def test_typing_mistakes_are_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'unet'"):
        build("unett", channels=1, dimensions=1)
    with pytest.raises(UnknownName, match="did you mean 'width'"):
        build("fno", channels=1, dimensions=1, witdh=3)
    with pytest.raises(InputError, match="fno needs dimensions="):
        build("fno", channels=1)


def test_file_of_another_model(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    weights = {f"model.{k}": v for k, v in module_tensors(UNet(1, 1, width=8, depth=1)).items()}
    save_checkpoint(path, weights, {"model": {"name": "UNet", "config": UNet(1, 1, width=16, depth=1).config}})
    with pytest.raises(InputError, match="has shape"):
        load_surrogate(path)
    save_checkpoint(path, weights, {"model": {"name": "FNO", "config": FNO(1, 1).config}})
    with pytest.raises(InputError, match="the file has no tensor"):
        load_surrogate(path)
    save_checkpoint(path, weights, {"model": {"name": "Mine", "config": {}}})
    with pytest.raises(UnknownName, match="unknown surrogate 'mine'"):
        load_surrogate(path)
    save_checkpoint(path, weights, {"step": 1})
    with pytest.raises(InputError, match="holds no model"):
        load_surrogate(path)


def test_model_of_the_user(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    model = torch.nn.Linear(2, 2)
    weights = {f"model.{k}": v for k, v in module_tensors(model).items()}
    card = {"model": {"name": "Linear", "config": {"in_features": 2, "out_features": 2}}}
    save_checkpoint(path, weights, card)
    again = load_surrogate(path, models={"linear": torch.nn.Linear})
    assert torch.equal(again.weight, model.weight)

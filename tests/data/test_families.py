"""Several data sets as one: each in units of its own, split by family, one number a trajectory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sciode.core.errors import InputError
from sciode.data import Families, Trajectories, Windows, open_trajectories, split, subset, write_trajectories
from sciode.surrogate import UNet
from sciode.train import fit


def family(
    folder: Path,
    name: str,
    count: int,
    size: float,
    shift: float,
    points: int = 8,
    fields: tuple[str, str] = ("a", "b"),
) -> Trajectories:
    u = shift + size * np.random.default_rng(len(name)).standard_normal((count, 5, 2, points))
    path = write_trajectories(
        folder / f"{name}.h5",
        source=[u],
        shape=u.shape,
        fields=fields,
        times=0.1 * np.arange(5),
        grid=[np.arange(points)],
    )
    return open_trajectories(path)


@pytest.fixture
def both(tmp_path: Path) -> Families:
    parts = {
        "calm": family(tmp_path, "calm", 12, 0.01, 3.0),
        "wild one": family(tmp_path, "wild one", 20, 50.0, -7.0),
    }
    return Families(parts, seed=3)


def test_every_family_has_units_of_its_own(both: Families) -> None:
    assert both.shape == (32, 5, 2, 8) and len(both) == 32
    for name, first, count in (("calm", 0, 12), ("wild one", 12, 20)):
        train = split(count, seed=3).train
        states = torch.stack([both[first + int(i)] for i in train])
        assert states.mean((0, 1, 3)).abs().max() < 1e-5
        assert torch.allclose(states.std((0, 1, 3), correction=0), torch.ones(2), atol=1e-5)
        part = both.parts[name]
        back = both.normalisers[name].restore(both[first + 4], axis=1)
        assert torch.allclose(back, part[4], rtol=1e-4, atol=1e-5)
    assert torch.equal(both[-1], both[31])
    assert torch.equal(both[13, 2], both[13][2])
    assert torch.equal(both[13, 1:4:2], both[13][1:4:2])


def test_splits_keep_families_apart(both: Families) -> None:
    whole = both.split()
    for name, first, count in (("calm", 0, 12), ("wild one", 12, 20)):
        own = split(count, seed=3)
        for part in ("train", "validation", "test"):
            ids = getattr(whole, part)
            mine = ids[(ids >= first) & (ids < first + count)] - first
            assert mine.tolist() == getattr(own, part).tolist()
        assert both.locate(first) == (name, 0)


def test_windows_and_training_take_them(both: Families) -> None:
    windows = Windows(both, both.split().train, length=2, leads=(0, 1, 2))  # type: ignore[arg-type]
    assert windows[0]["u"].shape == (2, 2, 8) and windows[-1]["dt"] == 2.0
    model = UNet(2, 1, width=4, depth=1)
    history = fit(model, both, steps=3, batch=4, quiet=True)
    assert history.steps == 3
    assert model.normaliser.std.sub(1).abs().max() < 1e-4
    assert model.reference_dt == 1.0


def test_smaller_subsets_are_within_larger_ones() -> None:
    whole = split(40, seed=2)
    few, more = subset(whole, 4), subset(whole, 16)
    assert set(few.train) < set(more.train) < set(whole.train)
    assert few.validation is whole.validation or (few.validation == whole.validation).all()
    with pytest.raises(InputError, match="1 to 32"):
        subset(whole, 33)


def test_bad_parts_are_named(tmp_path: Path, both: Families) -> None:
    with pytest.raises(InputError, match="at least one"):
        Families({})
    with pytest.raises(InputError, match=r"'calm' has \[5, 2, 8\], 'fine' \[5, 2, 16\]"):
        Families({"calm": both.parts["calm"], "fine": family(tmp_path, "fine", 5, 1.0, 0.0, points=16)})
    renamed = family(tmp_path, "renamed", 12, 1.0, 0.0, fields=("a", "c"))
    with pytest.raises(InputError, match="same fields: 'calm' has a, b, 'renamed' a, c"):
        Families({"calm": both.parts["calm"], "renamed": renamed})
    assert len(Families({"calm": both.parts["calm"], "renamed": renamed}, same_fields=False)) == 24
    with pytest.raises(IndexError, match="out of bounds for 32"):
        both[32]

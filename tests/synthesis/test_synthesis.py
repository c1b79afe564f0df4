"""Generative models of fields: what is compared, what is drawn from, and a whole small run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciode.cli import main
from sciode.core.errors import InputError, UnknownName
from sciode.data import open_trajectories
from sciode.generative import EDM, presets
from sciode.metrics import spectrum
from sciode.synthesis import (
    SAMPLERS,
    FieldModel,
    compare,
    conserved_mean,
    gaussian_fields,
    sample_fields,
    synthesize,
)
from sciode.synthesis.compare import band_edges, increments
from tests.train.waves import wave_file


def fields(count: int, seed: int = 0) -> Tensor:
    """Return "b 1 64": a steepened wave of random phase, so that increments are skewed."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.arange(64) * 2 * math.pi / 64 + 2 * math.pi * torch.rand(count, 1, generator=generator)
    return (torch.sin(x) + 0.4 * torch.sin(2 * x) + 0.1 * torch.sin(3 * x))[:, None]


def test_the_gaussian_field_has_the_spectrum_and_nothing_else() -> None:
    states = fields(500)
    made = gaussian_fields(states, 20_000)
    ours, theirs = (spectrum(u[:, None]).mean((0, 1, 2)) for u in (made, states))
    torch.testing.assert_close(ours[1:4], theirs[1:4], rtol=0.05, atol=0)
    assert ours[4:].max() < 1e-10
    assert abs(compare(made, states)["increments"]["skewness"]) < 0.05
    assert abs(compare(states, states)["increments"]["skewness"]) > 0.5


def test_the_gaussian_field_in_two_dimensions() -> None:
    x = torch.arange(16) * 2 * math.pi / 16
    phases = torch.linspace(0, 6, 40)
    states = torch.stack([torch.sin(x[:, None] + 2 * x + p)[None] for p in phases]) + 5.0
    made = gaussian_fields(states, 4000)
    assert made.shape == (4000, 1, 16, 16)
    assert made.mean().item() == pytest.approx(5.0, abs=0.02)
    assert made.var().item() == pytest.approx(0.5, rel=0.1)


def test_numbers_of_the_comparison_by_hand() -> None:
    truth = fields(300)
    assert list(compare(truth, truth)["spectrum"]) == ["energetic", "middle"]  # the rest is round-off
    doubled = compare(2 * truth, truth)
    assert all(value == pytest.approx(3.0, rel=1e-5) for value in doubled["spectrum"].values())
    shifted = compare(truth + 0.25 * truth.std(), truth)
    assert shifted["mean"] == pytest.approx(0.25, rel=1e-3)
    assert max(shifted["spectrum"].values()) < 1e-5
    turned = compare(-truth.flip(2), truth)["increments"]
    same = compare(truth, truth)["increments"]
    # u(x) -> -u(-x) keeps the slopes; u -> -u turns their skewness round
    assert turned["skewness"] == pytest.approx(same["skewness"], rel=1e-4)
    assert compare(-truth, truth)["increments"]["skewness"] == pytest.approx(-same["skewness"], rel=1e-4)


def test_the_energy_distance_tells_laws_apart() -> None:
    other, gaussian = (
        compare(fields(400, 1), fields(400, 2)),
        compare(gaussian_fields(fields(400), 400), fields(400)),
    )
    assert abs(other["energy_distance"]) < 0.02
    assert gaussian["energy_distance"] > 5 * abs(other["energy_distance"])


def test_bands_share_the_shells() -> None:
    energy = torch.tensor([9.0, 50.0, 35.0, 10.0, 4.95, 0.04, 0.01])
    edges = band_edges(energy)
    assert edges == {"energetic": (1, 4), "middle": (4, 5), "small": (5, 7)}
    assert increments(torch.tensor([[[1.0, 3.0, 0.0]]])).tolist() == [[[2.0, -3.0, 1.0]]]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_do_not_depend_on_the_batch(name: str) -> None:
    torch.manual_seed(0)
    model = FieldModel(channels=1, dimensions=1, width=8, depth=2)
    sampler = SAMPLERS[name](EDM(), 3)
    whole = sample_fields(model, sampler, 5, (16,), seed=3)
    parts = sample_fields(model, sampler, 5, (16,), seed=3, batch=2)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)
    assert sampler.evaluations == (5 if name == "heun" else 3)


def test_a_conserved_mean_is_kept() -> None:
    model = FieldModel(channels=2, dimensions=1, width=8, depth=2)
    model.normaliser.mean.copy_(torch.tensor([1.0, 2.0]))
    mean = torch.tensor([0.5, -3.0], dtype=torch.float64)
    made = sample_fields(model, presets.ddim(EDM(), steps=3), 4, (16,), mean=mean)
    torch.testing.assert_close(made.double().mean(2), mean.expand(4, 2), rtol=0, atol=1e-5)
    found = conserved_mean(made)
    assert found is not None
    torch.testing.assert_close(found, mean, rtol=0, atol=1e-5)


def settings() -> dict[str, Any]:
    return {
        "epochs": 2,
        "batch": 40,
        "samples": 20,
        "model": {"width": 8, "depth": 2},
        "device": "cpu",
        "quiet": True,
    }


def test_a_whole_run_and_the_same_run_again(tmp_path: Path) -> None:
    file = wave_file(tmp_path, 24, 11, 32).path
    made = synthesize(file, tmp_path / "run", steps=4, **settings())
    kept = json.loads((tmp_path / "run/metrics.json").read_text())
    assert kept == made.metrics and kept["evaluations"] == 4
    groups = kept["against_test_states"]
    assert set(groups) == {"model", "gaussian field", "training states", "test states"}
    assert groups["model"]["mean"] < 1e-5  # the waves have no mean, and it is kept
    assert set(groups["test states"]["spectrum"].values()) == {0.0}
    data = open_trajectories(made.samples)
    assert data.shape == (20, 1, 1, 32) and data.schema == "pdebench-a"
    assert made.picture.read_bytes().startswith(b"\x89PNG")
    again = synthesize(file, tmp_path / "run", steps=4, **settings())
    assert torch.equal(open_trajectories(again.samples)[0], data[0])
    free = synthesize(file, tmp_path / "run", steps=4, conserve=False, **settings())
    assert free.metrics["against_test_states"]["model"]["mean"] > 1e-3


def test_bad_input(tmp_path: Path) -> None:
    file = wave_file(tmp_path, 24, 11, 32).path
    with pytest.raises(UnknownName, match="did you mean 'unipc'"):
        synthesize(file, tmp_path / "run", sampler="unpic", **settings())
    with pytest.raises(InputError, match=r"missing\.hdf5"):
        synthesize(tmp_path / "missing.hdf5", tmp_path / "run", **settings())
    with pytest.raises(InputError, match="two at least"):
        compare(fields(1), fields(2))
    few = wave_file(tmp_path, 1, 11, 32).path
    with pytest.raises(InputError, match="needs at least 3 trajectories, found 1"):
        synthesize(few, tmp_path / "run", **settings())


def test_nan_in_the_data(tmp_path: Path) -> None:
    import h5py

    file = wave_file(tmp_path, 24, 11, 32).path
    with h5py.File(file, "r+") as root:
        root["tensor"][:, 5, 3] = np.nan
    with pytest.raises(InputError, match=r"NaN|finite"):
        synthesize(file, tmp_path / "run", **settings())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = wave_file(tmp_path, 24, 11, 32).path
    folder = tmp_path / "run"
    arguments = ["generate", str(file), "-o", str(folder), "--epochs", "1", "--samples", "8", "--steps", "3", "-q"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--set", "model.width=8", "--sampler", "dpm_solver_pp", "--device", "cpu"])
    out = capsys.readouterr().out
    assert not caught.value.code and "gaussian field" in out and "samples.hdf5" in out
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--sampler", "unpic"])
    assert caught.value.code == 2 and "did you mean 'unipc'" in capsys.readouterr().err

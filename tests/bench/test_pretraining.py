"""Suites that pre-train, and trainings that a file describes."""

import json
import math

import numpy as np
import pytest
import torch

from sciode.bench import load_suite, run_suite
from sciode.bench.configured import train_from
from sciode.bench.pretrain import continued, training
from sciode.bench.samples import curves_of, gains, largest
from sciode.bench.suites import resolved
from sciode.bench.toml import dumps
from sciode.core.errors import InputError, UnknownName
from sciode.data import open_trajectories, write_trajectories
from sciode.generate import load_recipe
from sciode.surrogate import UNet, load_surrogate

TRAIN = 'train = { steps = 6, batch = 8, leads = "all", loss = "relative_l1" }'
SUITE = f"""
name = "few"
seeds = [0]
metrics = ["one_step_nrmse", "final_l1", "mixed_l1", "direct_l1"]

[datasets.new]
path = "two.hdf5"
groups = [1, 1]

[pretraining.known]
config = {{ width = 8, depths = [1], heads = [1], skips = [0], window = 4, horizon = 4.0 }}
{TRAIN}
[pretraining.known.datasets.slow]
path = "one.hdf5"
[pretraining.known.datasets.fast]
path = "fast.hdf5"

[models.persistence]

[models.pretrained]
start = "known"
trajectories = [2, 4]
{TRAIN}

[models.unet]
trajectories = [2, 4]
config = {{ width = 4, depth = 1 }}
train = {{ steps = 4, batch = 8 }}
"""


def write_waves(path, fields, speed):
    random = np.random.default_rng(fields)
    x, t = np.arange(8) / 8, np.arange(5)
    phase = random.uniform(0, 1, (12, 1, fields, 1, 1))
    u = np.sin(2 * math.pi * (x[:, None] + x - speed * t[:, None, None, None] + phase))
    write_trajectories(
        path, source=[u], shape=u.shape, fields=[f"u{i}" for i in range(fields)], times=t / 4, grid=[x, x]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    for name, fields, speed in (("one", 1, 0.02), ("fast", 1, 0.1), ("two", 2, 0.05)):
        write_waves(folder / f"{name}.hdf5", fields, speed)
    (folder / "few.toml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return run_suite(folder / "few.toml", tmp_path_factory.mktemp("runs") / "few", jobs=1, quiet=True)


def test_every_number_of_trajectories_is_a_model(folder):
    suite = load_suite(folder / "few.toml")
    assert [(m.name, m.model, m.start, m.trajectories, m.curve) for m in suite.models[1:3]] == [
        ("pretrained-2", "poseidon", "known", 2, "pretrained"),
        ("pretrained-4", "poseidon", "known", 4, "pretrained"),
    ]
    assert largest(suite) == ["persistence", "pretrained-4", "unet-4"]


def test_it_reads_back_equal(folder, tmp_path):
    suite = load_suite(folder / "few.toml")
    (tmp_path / "again.toml").write_text(dumps(resolved(suite)))
    assert load_suite(tmp_path / "again.toml") == suite


def test_models_start_from_the_pretrained_weights(run, folder):
    body = "network.encoder.0.blocks.0.mix.0.weight"
    before = load_surrogate(run / "pretrained/known--0.safetensors").state_dict()[body]
    data = open_trajectories(folder / "two.hdf5")
    start = continued(run / "pretrained/known--0.safetensors", data)
    assert torch.equal(start.state_dict()[body], before) and start.channels == 2
    after = load_surrogate(run / "cells/new--pretrained-2--0/checkpoints/best.safetensors").state_dict()[body]
    fresh = torch.randn(1)
    assert not torch.equal(after, before) and (after - before).norm() < 0.2 * before.norm() < fresh.new_tensor(
        math.inf
    )


def test_errors_by_lead_time_are_those_of_the_model(run, folder):
    cell = json.loads((run / "cells/new--pretrained-2--0.json").read_text())
    model = load_surrogate(run / "cells/new--pretrained-2--0/checkpoints/best.safetensors")
    data = open_trajectories(folder / "two.hdf5")
    ids = json.loads((run / "data.json").read_text())["new"]["split"]["test"]
    u = data[np.asarray(ids)]
    with torch.no_grad():
        late = model(u[:, 0], torch.full((len(u),), 4 * data.dt))
    error = ((late - u[:, 4]).abs().sum((2, 3)) / u[:, 4].abs().sum((2, 3))).mean(1)
    expected = np.median(error.double().numpy())
    assert cell["metrics"]["direct_l1"] == pytest.approx(expected, rel=1e-5)
    assert cell["curves"]["lead"] == [0, 1, 2, 3, 4]
    assert cell["curves"]["direct"][4] == cell["metrics"]["direct_l1"]


def test_a_model_of_one_lead_is_not_asked_for_others(run):
    metrics = json.loads((run / "cells/new--unet-2--0.json").read_text())["metrics"]
    assert "final_l1" in metrics and "direct_l1" not in metrics


def test_report_shows_curves_and_gains(run):
    page = (run / "report.html").read_text()
    assert (
        "EG" in page and (run / "figures/new-samples.png").is_file() and (run / "figures/new-leads.png").is_file()
    )


def test_gains_are_those_of_the_definition(folder):
    suite = load_suite(folder / "few.toml")
    errors = {"pretrained-2": 0.4, "pretrained-4": 0.1, "unet-2": 0.8, "unet-4": 0.2}
    records = [
        {"model": name, "seed": 0, "metrics": {"direct_l1": value, "final_l1": value}}
        for name, value in errors.items()
    ]
    assert curves_of(suite, records, "direct_l1")["unet"] == {2: [0.8], 4: [0.2]}
    ((name, base, efficiency, *accuracy),) = gains(suite, records)
    # 0.2 lies halfway between 0.4 and 0.1 in logarithms, so at the root of 2 * 4 trajectories
    assert (name, base, float(efficiency)) == ("pretrained", "unet", pytest.approx(4 / math.sqrt(8), abs=5e-3))
    assert accuracy == ["2", "2"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('start = "known"', 'start = "knwon"', "unknown pre-training 'knwon'; did you mean 'known'"),
        ('start = "known"', 'start = "known"\nconfig = { width = 8 }', "brings a poseidon and its config"),
        ("trajectories = [2, 4]", "trajectories = [2, 2]", "same number twice"),
        ('path = "two.hdf5"\n', 'path = "two.hdf5"\nchange = { points = 8 }\n', "change belongs to a recipe"),
        ("[pretraining.known.datasets.slow]\n", "[pretraining.known.data.slow]\n", "did you mean 'datasets'"),
    ],
)
def test_a_mistake_is_named(folder, tmp_path, old, new, message):
    (tmp_path / "bad.toml").write_text(SUITE.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_suite(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("groups = [1, 1]", "groups = [1]", r"groups \[1\] do not make 2 channels"),
        ("trajectories = [2, 4]", "trajectories = [2, 99]", "1 to .* training trajectories, got 99"),
        ('loss = "relative_l1" }\n\n[models.unet]', 'loss = "relative_l3" }\n\n[models.unet]', "did you mean"),
    ],
)
def test_what_only_the_data_show_is_found_before_training(folder, tmp_path, old, new, message):
    text = SUITE.replace(old, new, 1)
    for name in ("one", "fast", "two"):
        text = text.replace(f'"{name}.hdf5"', f'"{folder / name}.hdf5"')
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        run_suite(tmp_path / "bad.toml", tmp_path / "run", jobs=1, quiet=True)
    assert not list((tmp_path / "run").glob("pretrained/*"))


def test_groups_belong_to_their_loss():
    with pytest.raises(InputError, match="groups belong"):
        training({"groups": [1]}, (4, 4, 1, 8, 8))
    with pytest.raises(UnknownName, match="did you mean 'leads'"):
        training({"leds": "all"}, (4, 4, 1, 8, 8))


def test_only_transformers_take_other_fields(folder, tmp_path):
    from sciode.train import fit

    one, two = open_trajectories(folder / "one.hdf5"), open_trajectories(folder / "two.hdf5")
    history = fit(UNet.for_data(one, width=4, depth=1), one, directory=tmp_path, steps=1, quiet=True)
    with pytest.raises(InputError, match="UNet was trained on u0, the data have u0, u1"):
        continued(history.checkpoint, two)


PRETRAIN = f"""
name = "known"
model = "poseidon"
config = {{ width = 8, depths = [1], heads = [1], skips = [0], window = 4, horizon = 4.0 }}
{TRAIN}
[datasets.slow]
path = "one.hdf5"
[datasets.fast]
path = "fast.hdf5"
"""
TUNE = f"""
name = "tuned"
start = "known/checkpoints/best.safetensors"
trajectories = 2
{TRAIN}
[datasets.two]
path = "two.hdf5"
"""


def test_a_file_pretrains_and_another_tunes(folder):
    (folder / "pre.toml").write_text(PRETRAIN)
    (folder / "tune.toml").write_text(TUNE)
    assert train_from(folder / "pre.toml", folder / "known", device="cpu", quiet=True).steps == 6
    history = train_from(folder / "tune.toml", folder / "tuned", device="cpu", quiet=True)
    model = load_surrogate(history.checkpoint)
    assert model.channels == 2 and model.config["width"] == 8
    (folder / "bad.toml").write_text(TUNE + "[datasets.one]\npath = 'one.hdf5'\n")
    with pytest.raises(InputError, match=r"'two' has \[5, 2, 8, 8\], 'one' \[5, 1, 8, 8\]"):
        train_from(folder / "bad.toml", folder / "bad", device="cpu", quiet=True)
    (folder / "bad.toml").write_text(TUNE.replace("name", "model = 'fno'\nname"))
    with pytest.raises(InputError, match="model has no place"):
        train_from(folder / "bad.toml", folder / "bad", device="cpu", quiet=True)


def test_recipes_change_at_single_values():
    own = load_recipe("burgers", change={"points": 64, "parameters": {"viscosity": 0.5}})
    plain = load_recipe("burgers")
    assert own.size.points == 64 and own.size.times == plain.size.times and own.parameters == {"viscosity": 0.5}
    assert own.digest != plain.digest and load_recipe("burgers", change={}).digest == plain.digest
    with pytest.raises(UnknownName, match="did you mean 'points'"):
        load_recipe("burgers", change={"pionts": 64})

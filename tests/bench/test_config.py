import pytest

from sciode.bench import load_suite, suite_names
from sciode.bench.cells import cells_of, choose
from sciode.bench.parse import parse_suite
from sciode.bench.suites import differences, resolved
from sciode.bench.toml import dumps
from sciode.core.errors import InputError, UnknownName
from tests.bench.suite import write_suite

GOOD = {"name": "a", "datasets": {"kdv": {"recipe": "kdv"}}, "models": {"fno": {}}}


def changed(**entries):
    return {**GOOD, **entries}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed(seed=[0]), "did you mean 'seeds'"),
        (changed(datasets={"kdv": {"recpie": "kdv"}}), r"key of \[datasets.kdv\] 'recpie'; did you mean 'recipe'"),
        (changed(models={"fon": {}}), "unknown model 'fon'; did you mean 'fno'"),
        (changed(models={"fno": {"on": {"kvd": {}}}}), "did you mean 'kdv'"),
        (changed(models={"fno": {"trian": {}}}), "did you mean 'train'"),
        (changed(models={"fno": {"train": {"seed": 1}}}), "list seeds"),
        (changed(datasets={"kdv": {"recipe": "kdv", "lead": 0}}), "datasets.kdv.lead: .* at least 1, found 0"),
        (changed(datasets={"kdv": {"recipe": "kdv", "lead": True}}), "found True"),
        (changed(datasets={"kdv": {"recipe": "kdv", "path": "a"}}), "either recipe or path"),
        (changed(datasets={"kdv": {}}), "either recipe or path"),
        (changed(datasets={"kdv": {"path": "a", "size": "small"}}), "size belongs to a recipe"),
        (changed(datasets={"kdv": {"recipe": "kdv", "split": "pdebnch"}}), "did you mean 'pdebench'"),
        (changed(datasets={}), "no datasets"),
        (changed(seeds=[0, 0]), "same number twice"),
        (changed(seeds=[]), "list of integers"),
        (changed(name="../x"), "not a name"),
        (changed(models={"a--b": {"model": "fno"}}), "not a name"),
        (changed(models={"fno": 3}), "models.fno: expected a table, found 3"),
    ],
)
def test_a_mistake_is_named(document, message):
    with pytest.raises(InputError, match=message):
        parse_suite(document)


def test_a_suite_file_that_is_not_toml_is_named(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("name = ")
    with pytest.raises(InputError, match=r"bad\.toml"):
        load_suite(path)
    with pytest.raises(InputError, match="no suite file"):
        load_suite(tmp_path / "none.toml")


def test_unknown_suite_gets_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'smoke'"):
        load_suite("smok")


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_are_whole(name):
    from sciode.generate import load_recipe
    from sciode.surrogate import build

    suite = load_suite(name)
    assert suite.name == name
    parts = [part for start in suite.pretraining for part in start.datasets]
    for entry in (*suite.datasets, *parts):
        assert load_recipe(entry.recipe, entry.size, change=entry.change).shape[0] > 0
    for start in suite.pretraining:
        shapes = {load_recipe(e.recipe, e.size, change=e.change).shape[1:] for e in start.datasets}
        assert len(shapes) == 1 and build(start.model, channels=1, dimensions=2, **start.config)


def test_resolved_suite_reads_back_equal(tmp_path):
    suite = load_suite(write_suite(tmp_path))
    path = tmp_path / "resolved.toml"
    path.write_text(dumps(resolved(suite)))
    assert load_suite(path) == suite


def test_relative_paths_count_from_the_suite_file(tmp_path):
    suite = load_suite(write_suite(tmp_path / "there"))
    assert suite.datasets[0].path == str(tmp_path / "there" / "waves.hdf5")


def test_overrides_reach_their_data_set_only(tmp_path):
    wide = load_suite(write_suite(tmp_path)).model("wide")
    assert wide.settings("waves")[1] == {"steps": 8, "batch": 8}
    assert wide.settings("other")[1]["steps"] == 12


def test_cells_one_for_what_has_no_randomness_none_for_a_stepper_without_equation():
    document = changed(datasets={"own": {"path": "a"}}, models={"persistence": {}, "stepper": {}, "fno": {}})
    assert [cell.id for cell in cells_of(parse_suite(document))] == [
        "own--persistence",
        "own--fno--0",
        "own--fno--1",
        "own--fno--2",
    ]


def test_only_chooses_cells():
    suite = load_suite("smoke")
    assert {cell.model for cell in choose(suite, ["*/fno"])} == {"fno"}
    assert {cell.dataset for cell in choose(suite, ["burgers"])} == {"burgers"}
    assert len(choose(suite, ["burgers/fno", "*/persistence"])) == 3 + 4
    with pytest.raises(UnknownName, match="did you mean 'burgers'"):
        choose(suite, ["burges/fno"])


def test_differences_name_the_key():
    old = resolved(load_suite("smoke"))
    new = resolved(load_suite("smoke", seeds=(0, 1)))
    assert differences(old, new) == ["seeds: [0, 1, 2] -> [0, 1]"]
    assert differences(old, old) == []

from pathlib import Path

import numpy as np
import pytest

from sciode.core.errors import InputError, UnknownName
from sciode.data import Split, open_trajectories, split
from tests.data import files


@pytest.mark.parametrize("count", [3, 4, 9, 10, 99, 1000])
def test_parts_cover_all_and_are_never_empty(count: int) -> None:
    parts = split(count, seed=4)
    every = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(every.tolist()) == list(range(count))
    assert min(len(parts.train), len(parts.validation), len(parts.test)) >= 1
    if count >= 10:
        assert len(parts.test) == len(parts.validation) == round(count / 10)


def test_seed_decides_and_the_draw_is_pinned() -> None:
    assert split(50, seed=1).to_dict() == split(50, seed=1).to_dict()
    assert split(50, seed=1).test.tolist() != split(50, seed=2).test.tolist()
    # Written down once: a change here would silently move trajectories between the parts of old runs.
    assert split(20).test.tolist() == [6, 9]


@pytest.mark.parametrize("count", [10, 19, 100, 10_000])
def test_pdebench_takes_the_first_tenth_of_arrays(count: int) -> None:
    parts = split(count, "pdebench")
    edge = int(count * 0.1)
    assert parts.test.tolist() == list(range(edge)) == parts.validation.tolist()
    assert parts.train.tolist() == list(range(edge, count))


def test_pdebench_takes_the_last_tenth_of_groups(tmp_path: Path) -> None:
    files.make_c(tmp_path / "c.h5", seeds=tuple(range(0, 40, 2)), t=1, n=(4,), c=1)
    parts = split(open_trajectories(tmp_path / "c.h5"), "pdebench")
    assert parts.test.tolist() == [18, 19] and parts.train.tolist() == list(range(18))
    files.make_a(tmp_path / "a.h5", b=20, n=(4,))
    assert split(open_trajectories(tmp_path / "a.h5"), "pdebench").test.tolist() == [0, 1]


def test_too_few_and_unknown() -> None:
    with pytest.raises(InputError, match="at least 3"):
        split(2)
    with pytest.raises(InputError, match="at least 10"):
        split(9, "pdebench")
    with pytest.raises(UnknownName, match="did you mean 'pdebench'"):
        split(20, "pdbench")


def test_leaks_are_refused() -> None:
    one, two, three = np.array([0, 1]), np.array([2]), np.array([3])
    assert Split(one, two, three, rule="mine").train.dtype == np.int64
    for parts in ((one, one, three), (one, two, one), (one, two, two)):
        with pytest.raises(InputError, match="a leak"):
            Split(*parts, rule="mine")
    with pytest.raises(InputError, match="different non-negative"):
        Split(np.array([0, 0]), two, three, rule="mine")


def test_dict_round_trip() -> None:
    for parts in (split(30, seed=3), split(30, "pdebench")):
        again = Split.from_dict(parts.to_dict())
        assert again.to_dict() == parts.to_dict()
    leaky = split(30).to_dict() | {"test": [0, 1, 2], "train": [2, 3]}
    with pytest.raises(InputError, match="a leak"):
        Split.from_dict(leaky)

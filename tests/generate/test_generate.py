"""Recipes and generation: repeatable to the bit, resumable after a kill, honest about bad input."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.core.random import generator
from sciode.data import open_trajectories
from sciode.generate import generate, integrate, load_recipe, recipe_folder, recipe_names
from sciode.generate.recipe import SIZES
from sciode.pde import FAMILIES, Steady
from sciode.spectral import Grid

GRID32 = Grid((32, 32), (1.0, 1.0))
TINY = {"trajectories": 6, "shard": 2, "times": 5}


def tiny(name: str = "burgers", **changes: object):  # type: ignore[no-untyped-def]
    recipe = load_recipe(name, "smoke")
    fixed = {"times": 2} if isinstance(recipe.kind, Steady) else {}
    return replace(recipe, size=replace(recipe.size, **{**TINY, **changes, **fixed}))


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("size", SIZES)
def test_every_recipe_reads_at_every_size_and_has_a_card(name: str, size: str) -> None:
    recipe = load_recipe(name, size)
    assert recipe.name == name
    assert recipe.shape[0] == recipe.size.trajectories
    card = (recipe_folder() / name / "card.md").read_text()
    for heading in ("# ", "## Equation", "## Initial conditions", "## Sizes", "## Source"):
        assert heading in card, heading


@pytest.mark.parametrize("name", recipe_names())
def test_a_few_trajectories_of_every_recipe(name: str, tmp_path: Path) -> None:
    recipe = tiny(name, trajectories=2, burn_in=0.0)
    path = generate(recipe, out=tmp_path / "a.hdf5", quiet=True)
    with open_trajectories(path) as data:
        assert data.shape == recipe.shape
        assert data.fields == recipe.fields
        assert data.schema == recipe.schema
        assert data.times[-1] == pytest.approx(recipe.size.end)
        assert data.lengths == pytest.approx((recipe.length,) * recipe.kind.dimensions)
        assert data.parameters["equation"] == recipe.equation
        assert data[:].dtype == torch.float32


def test_pdebench_sizes_are_theirs() -> None:
    assert load_recipe("burgers", "pdebench").shape == (10000, 201, 1, 1024)
    assert load_recipe("advection", "pdebench").shape == (10000, 201, 1, 1024)
    assert load_recipe("fisher_kpp", "pdebench").shape == (10000, 101, 1, 1024)
    assert load_recipe("diffusion_reaction", "pdebench").shape == (1000, 101, 2, 128, 128)


def test_same_seed_same_bytes_and_another_seed_differs(tmp_path: Path) -> None:
    a, b = (generate(tiny(), out=tmp_path / f"{n}" / "x.hdf5", quiet=True).read_bytes() for n in "ab")
    assert a == b
    other = generate(replace(tiny(), seed=1), out=tmp_path / "c.hdf5", quiet=True)
    assert not torch.equal(open_trajectories(other)[:], open_trajectories(tmp_path / "a" / "x.hdf5")[:])


def test_a_trajectory_does_not_depend_on_its_shard() -> None:
    whole, alone = integrate(tiny(), range(6)), integrate(tiny(), range(4, 5))
    torch.testing.assert_close(torch.tensor(whole[4:5]), torch.tensor(alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in recipe_names() if not isinstance(load_recipe(n).kind, Steady)])
def test_halving_the_step_hardly_changes_the_stored_values(name: str) -> None:
    recipe = tiny(name, trajectories=3, times=3, burn_in=0.0, end=load_recipe(name, "smoke").size.end / 4)
    fine = replace(recipe, size=replace(recipe.size, dt=recipe.size.dt / 2))
    a, b = integrate(recipe, range(3)), integrate(fine, range(3))
    bound = 1e-4 if recipe.kind.averages else 1e-5  # shocks: limiters are kinks, and the grid errs by far more
    assert abs(a - b).max() <= bound * abs(b).max()


@pytest.mark.parametrize("name", [n for n in recipe_names() if isinstance(load_recipe(n).kind, Steady)])
def test_a_steady_problem_is_stored_as_inputs_and_solution(name: str, tmp_path: Path) -> None:
    recipe = tiny(name, trajectories=3)
    path = generate(recipe, out=tmp_path / "s.hdf5", quiet=True)
    with open_trajectories(path) as data:
        assert data.times == pytest.approx([0.0, 1.0])
        pairs, axis = data[:].double(), data.grid[0]
    inputs = torch.stack([FAMILIES[recipe.family](GRID32, generator(0, "initial", i)) for i in range(3)])
    torch.testing.assert_close(pairs[:, 0], inputs, rtol=0, atol=1e-6)
    want = recipe.kind.solve(inputs, **recipe.parameters)
    torch.testing.assert_close(pairs[:, 1], want, rtol=1e-6, atol=1e-6)
    ends = (0.5 / 32, 1 - 0.5 / 32) if recipe.kind.cell_centred else (0.0, 1.0)
    assert (axis[0], axis[-1]) == pytest.approx(ends)
    with pytest.raises(InputError, match="no evolution"):
        recipe.term()


def test_a_steady_recipe_with_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    text = (recipe_folder() / "darcy" / "recipe.toml").read_text()
    path.write_text(text.replace("times = 2", "times = 5"))
    with pytest.raises(InputError, match=r"darcy is steady, it takes times = 2.*found 5"):
        load_recipe(path, "smoke")


def test_a_finished_file_is_left_alone_and_another_recipes_file_is_refused(tmp_path: Path) -> None:
    path = generate(tiny(), out=tmp_path / "a.hdf5", quiet=True)
    before = path.stat().st_mtime_ns
    assert generate(tiny(), out=path, quiet=True).stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another recipe"):
        generate(replace(tiny(), seed=3), out=path, quiet=True)
    generate(replace(tiny(), seed=3), out=path, force=True, quiet=True)
    assert path.stat().st_mtime_ns != before
    broken = tmp_path / "b.hdf5"
    broken.write_bytes(b"not a file of data")
    with pytest.raises(InputError, match="in the way"):
        generate(tiny(), out=broken, quiet=True)


def test_shards_are_kept_and_only_missing_ones_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sciode.generate.run as run

    whole = generate(tiny(), out=tmp_path / "whole.hdf5", quiet=True).read_bytes()
    done: list[range] = []
    original = run.integrate

    def failing(recipe, numbers, *rest):  # type: ignore[no-untyped-def]
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(numbers)
        return original(recipe, numbers, *rest)

    monkeypatch.setattr(run, "integrate", failing)
    target = tmp_path / "part" / "whole.hdf5"
    with pytest.raises(KeyboardInterrupt):
        generate(tiny(), out=target, quiet=True)
    assert not target.exists()
    done.clear()
    generate(tiny(), out=target, quiet=True)
    assert [(r.start, r.stop) for r in done] == [(4, 6)]
    assert target.read_bytes() == whole
    assert [p.name for p in target.parent.iterdir()] == ["whole.hdf5"]


def test_kill_leaves_no_broken_file_and_the_rerun_completes(tmp_path: Path) -> None:
    recipe = tiny(trajectories=24, dt=0.001)
    code = (
        "from tests.generate.test_generate import tiny; from sciode.generate import generate;"
        f"generate(tiny(trajectories=24, dt=0.001), out={str(tmp_path / 'k.hdf5')!r}, quiet=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    folder = tmp_path / ".k.hdf5.shards"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("[0-9]*.hdf5"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "k.hdf5").exists()
    kept = {shard: shard.stat().st_mtime_ns for shard in folder.glob("[0-9]*.hdf5")}
    assert kept
    for shard in kept:
        assert open_trajectories(shard)[:].isfinite().all()
    path = generate(recipe, out=tmp_path / "k.hdf5", quiet=True)
    assert path.read_bytes() == generate(recipe, out=tmp_path / "again" / "k.hdf5", quiet=True).read_bytes()
    assert not folder.exists()


def test_a_step_that_is_too_long_is_named() -> None:
    with pytest.raises(InputError, match=r"trajectory \d+ left the finite numbers at time index \d+; dt = 0.5"):
        integrate(tiny(dt=0.5, end=50.0, times=5), range(2))


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("name = ", InputError, "is not TOML"),
        ("name = 'a'", InputError, "lacks equation, initial, sizes"),
        ("nmae = 'a'", UnknownName, "did you mean 'name'"),
        ("name='a'\nequation='burgres'\n[initial]\nfamily='sine_sum'\n[sizes.smoke]", UnknownName, "'burgers'"),
        ("name='a'\nequation='kdv'\n[initial]\nfamily='sin_sum'\n[sizes.smoke]", UnknownName, "'sine_sum'"),
        (
            "name='a'\nequation='kdv'\n[initial]\nfamily='sine_sum'\n[sizes.smoke]\npoint=3",
            UnknownName,
            "'points'",
        ),
        (
            "name='a'\nequation='kdv'\n[initial]\nfamily='sine_sum'\n[sizes.smoke]\npoints=8",
            InputError,
            "lacks traj",
        ),
        (
            "name='a'\nequation='kdv'\n[initial]\nfamily='sine_sum'\n[sizes.smoke]\n"
            "points=8\ntrajectories=1\ntimes=1\nend=1.0\ndt=0.1",
            InputError,
            "times must be",
        ),
    ],
)
def test_bad_recipes_are_named(text: str, error: type[Exception], match: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(error, match=match):
        load_recipe(path, "smoke")


def test_unknown_names_are_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'burgers'"):
        load_recipe("burger", "smoke")
    with pytest.raises(UnknownName, match="did you mean 'smoke'"):
        load_recipe("burgers", "smok")

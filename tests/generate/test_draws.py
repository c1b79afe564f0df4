"""Parameters that differ by trajectory, and fields that are the low-pass of finer ones."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.data import open_trajectories
from sciode.generate import Recipe, generate, load_recipe
from sciode.generate.run import integrate
from sciode.pde import kuramoto_sivashinsky
from sciode.solve import solve
from sciode.spectral import Grid, resample

VARIED = ("kuramoto_sivashinsky_varied", "kuramoto_sivashinsky_viscosity")


def tiny(name: str, **changes: object) -> Recipe:
    change = {
        "points": 64,
        "oversample": 1,
        "trajectories": 5,
        "times": 4,
        "end": 6.0,
        "burn_in": 4.0,
        "dt": 0.05,
        "shard": 3,
    }
    return load_recipe(name, change={**change, **changes})


@pytest.mark.parametrize("name", VARIED)
def test_each_trajectory_is_solved_with_its_own_numbers(name: str) -> None:
    recipe = replace(tiny(name, burn_in=0.0), precision="float64")
    whole = torch.tensor(integrate(recipe, range(5)))
    for i in range(5):
        own = recipe.drawn(i)
        term = kuramoto_sivashinsky(64, own["length"], own.get("viscosity", 1.0))
        pace = own["pace"]
        start = torch.tensor(integrate(recipe, range(i, i + 1)))[:, 0, :1].double()
        want = solve(term, start, [0.0, 6.0 * pace], dt=0.05 * pace).y[:, 1]
        torch.testing.assert_close(whole[i : i + 1, -1, :1], want.float(), rtol=0, atol=1e-5)  # stored in float32


def test_samples_of_a_batch_have_equations_of_their_own() -> None:
    draw = torch.Generator().manual_seed(0)
    u0 = torch.randn(3, 1, 48, dtype=torch.float64, generator=draw)
    length, nu, pace = (
        torch.tensor([20.0, 30.0, 25.0]),
        torch.tensor([0.8, 1.0, 1.4]),
        torch.tensor([1.0, 0.9, 1.1]),
    )
    y = solve(kuramoto_sivashinsky(48, length, nu, pace), u0, [0.0, 2.0], dt=0.05).y[:, 1]
    for i in range(3):
        alone = kuramoto_sivashinsky(48, length[i].item(), nu[i].item())
        step = 0.05 * pace[i].item()
        want = solve(alone, u0[i : i + 1], [0.0, 40 * step], dt=step).y[:, 1]
        torch.testing.assert_close(y[i : i + 1], want, rtol=0, atol=1e-10)


def test_small_waves_grow_at_the_rate_of_their_sample() -> None:
    n, waves = 64, torch.tensor([2, 5, 7])
    length, nu, pace = (torch.tensor(v).double() for v in ([40.0, 57.6, 70.4], [0.5, 1.0, 1.5], [0.9, 1.0, 1.1]))
    x = torch.arange(n, dtype=torch.float64) / n
    u0 = 1e-7 * torch.cos(2 * torch.pi * waves[:, None] * x)[:, None]
    y = solve(kuramoto_sivashinsky(n, length, nu, pace), u0, [0.0, 3.0], dt=0.1).y[:, 1]
    k = 2 * torch.pi * waves / length
    want = torch.exp(3.0 * pace * (k**2 - nu * k**4))
    torch.testing.assert_close(y, want[:, None, None] * u0, rtol=0, atol=1e-12)


def test_one_equation_for_all_keeps_its_numbers_to_the_bit() -> None:
    grid = Grid((48,), (22.0,))
    term = kuramoto_sivashinsky(48, 22.0, 0.9)
    assert torch.equal(term.linear.rate, -grid.derivative(0, 2) - 0.9 * grid.derivative(0, 4))
    assert torch.equal(term.drift.factor.value, -0.5 * grid.derivative(0) * grid.dealias())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_numbers_of_samples_follow_the_state_to_a_device() -> None:
    recipe = tiny(VARIED[1])
    here, there = (torch.tensor(integrate(recipe, range(5), device)) for device in ("cpu", "cuda"))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-5)


def test_bounds_can_be_changed_without_touching_the_others() -> None:
    wide = tiny(VARIED[1], draws={"viscosity": [2.0, 3.0]})
    assert wide.draws == {"length": (57.6, 70.4), "pace": (0.9, 1.1), "viscosity": (2.0, 3.0)}
    assert wide.drawn(3)["length"] == tiny(VARIED[1]).drawn(3)["length"]
    with pytest.raises(InputError, match=r"viscosity stands in \[parameters\] and in \[draws\]"):
        tiny(VARIED[1], parameters={"viscosity": 1.0})


@pytest.mark.parametrize("name", VARIED)
def test_the_file_tells_what_was_drawn(name: str, tmp_path: Path) -> None:
    recipe = tiny(name)
    with open_trajectories(generate(recipe, out=tmp_path / "a.hdf5", quiet=True)) as data:
        assert data.fields == ("u", *sorted(recipe.draws))
        states = data[:]
    for i in range(5):
        for channel, (key, value) in enumerate(sorted(recipe.drawn(i).items()), start=1):
            low, high = recipe.draws[key]
            assert low <= value <= high
            assert bool((states[i, :, channel] == torch.tensor(value).float()).all())
    assert states[:, 0, 1:, 0].unique(dim=0).shape[0] == 5  # no two alike


def test_numbers_do_not_depend_on_the_shard() -> None:
    recipe = tiny(VARIED[1])
    whole, alone = integrate(recipe, range(5)), integrate(recipe, range(4, 5))
    torch.testing.assert_close(torch.tensor(whole[4:5]), torch.tensor(alone), rtol=0, atol=1e-6)


def test_there_is_no_one_equation() -> None:
    with pytest.raises(InputError, match="draws length, pace anew for each trajectory"):
        tiny(VARIED[0]).term()


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("[draws]\nviscositi = [1.0, 2.0]\n", UnknownName, "did you mean 'viscosity'"),
        ("[draws]\nviscosity = [2.0, 1.0]\n", InputError, r"two positive numbers in order, found \[2.0, 1.0\]"),
        ("[draws]\nlength = [0.0, 1.0]\n", InputError, "two positive numbers"),
    ],
)
def test_bad_bounds_are_named(text: str, error: type[Exception], match: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    head, sizes = (
        'name = "bad"\nequation = "kuramoto_sivashinsky"\n',
        "[sizes.smoke]\npoints = 32\ntrajectories = 1\n",
    )
    rest = '[initial]\nfamily = "wave_packet"\n' + sizes + "times = 2\nend = 1.0\ndt = 0.1\n"
    path.write_text(head + text + rest)
    with pytest.raises(error, match=match):
        load_recipe(path)


def test_bad_numbers_are_named() -> None:
    with pytest.raises(InputError, match="viscosity must be positive, found -1"):
        kuramoto_sivashinsky(32, 22.0, torch.tensor([1.0, -1.0]))
    with pytest.raises(InputError, match=r"length takes a number, or one for each sample, \[b\]"):
        kuramoto_sivashinsky(32, torch.ones(2, 1))


def test_filtered_fields_are_the_low_pass_of_the_fine_ones() -> None:
    change = {"points": 32, "trajectories": 1, "times": 2, "end": 0.07, "burn_in": 0.07, "shard": 1}
    recipe = load_recipe("kolmogorov_filtered", change=change)
    fine = replace(recipe, filtered=False, size=replace(recipe.size, points=64, oversample=1))
    stored, whole = (torch.tensor(integrate(r, range(1))).double() for r in (recipe, fine))
    torch.testing.assert_close(stored, resample(whole, (32, 32)), rtol=0, atol=1e-5)
    sampled = torch.tensor(integrate(replace(recipe, filtered=False), range(1)))
    assert not torch.allclose(stored.float(), sampled, atol=1e-4)  # points of the fine grid hold finer waves
    kept, all_of = (torch.fft.rfft2(u, norm="forward")[..., :15, :15] for u in (stored, whole))
    torch.testing.assert_close(kept, all_of, rtol=0, atol=1e-5)


def test_only_periodic_grids_of_points_are_filtered(tmp_path: Path) -> None:
    from sciode.generate.recipe import recipe_folder

    path = tmp_path / "bad.toml"
    path.write_text("filtered = true\n" + (recipe_folder() / "shallow_water" / "recipe.toml").read_text())
    with pytest.raises(InputError, match="filtered takes an equation on a periodic grid of points"):
        load_recipe(path)

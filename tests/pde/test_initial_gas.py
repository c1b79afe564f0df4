"""Initial states of gas and water, and the recipes made of them."""

from dataclasses import replace

import pytest
import torch

from sciode.core.errors import InputError
from sciode.generate import load_recipe
from sciode.generate.run import integrate
from sciode.pde.euler import to_primitive
from sciode.pde.initial_gas import GASES, gaussian_vortices, radial_dam, sod
from sciode.spectral import Grid

PERIODIC = (
    "euler_riemann", "euler_curved_riemann", "euler_kelvin_helmholtz", "euler_vortices", "euler_richtmyer_meshkov",
)  # fmt: skip
LINES = {"sod"}


def drawn(name: str, seed: int = 0, points: int = 32) -> torch.Tensor:
    grid = Grid((points,), (1.0,)) if name in LINES else Grid((points, points), (1.0, 1.0))
    return GASES[name](grid, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", sorted(GASES))
def test_states_are_whole_positive_and_follow_the_generator(name: str) -> None:
    u = drawn(name)
    assert u.dtype == torch.float64 and bool(torch.isfinite(u).all())
    assert torch.equal(u, drawn(name))
    assert not torch.equal(u, drawn(name, seed=1))
    if name == "radial_dam":
        assert bool((u[0] > 0).all())
    else:
        primitive = to_primitive(u[None], 1.4)[0]
        assert bool((primitive[0] > 0).all()) and bool((primitive[-1] > 0).all())


@pytest.mark.parametrize("name", PERIODIC)
def test_a_recipe_keeps_mass_momentum_and_energy(name: str) -> None:
    recipe = load_recipe(name, "smoke")
    recipe = replace(recipe, size=replace(recipe.size, times=3, end=recipe.size.end / 4))
    u = torch.from_numpy(integrate(recipe, range(2))).double()
    total, scale = u.mean((3, 4)), u.abs().mean((3, 4)).amax(1)
    # what float32 storage leaves of round-off
    assert ((total - total[:, :1]).abs().amax(1) <= 2e-7 * scale.clamp_min(1.0)).all()


def test_a_dam_keeps_its_water_until_waves_reach_the_border() -> None:
    recipe = load_recipe("shallow_water", "smoke")
    u = torch.from_numpy(integrate(recipe, range(2))).double()
    volume = u[:, :, 0].mean((2, 3))
    torch.testing.assert_close(volume, volume[:, :1].expand_as(volume), rtol=1e-6, atol=0.0)
    # round waves: a quarter turn changes nothing but the direction of momentum
    torch.testing.assert_close(u[:, :, 0], u[:, :, 0].rot90(1, (2, 3)), rtol=0.0, atol=1e-5)


def test_sods_own_tube_reaches_the_exact_density() -> None:
    from sciode.pde.exact_riemann import exact_riemann

    recipe = load_recipe("euler_sod", "small")
    recipe = replace(recipe, initial={"spread": 0.0}, size=replace(recipe.size, times=2))
    u = torch.from_numpy(integrate(recipe, range(1)))[0, -1, 0].double()
    x = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    true = exact_riemann((1.0, 0.0, 1.0), (0.125, 0.0, 0.1), (x - 0.5) / recipe.size.end)[0]
    # a shock is spread over a few cells, so L1; PDEBench's size has four times the points
    assert (u - true).abs().mean() < 4e-3


def test_vortices_have_no_divergence() -> None:
    u = drawn("gaussian_vortices", points=64)
    velocity = torch.fft.fft2(u[1:3] / u[0])
    k = torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64)
    k = torch.where(k.abs() == 32, 0.0, k)
    divergence = k[:, None] * velocity[0] + k * velocity[1]
    assert divergence.abs().max() < 1e-9 * velocity.abs().max()


def test_the_dam_has_its_radius() -> None:
    grid = Grid((256, 256), (5.0, 5.0))
    u = radial_dam(grid, torch.Generator().manual_seed(3), smallest=0.5, largest=0.5)
    assert (u[0] - 1).mean() * 25 == pytest.approx(torch.pi * 0.25, rel=0.02)


def test_another_number_of_dimensions_is_named() -> None:
    with pytest.raises(InputError, match="1 space dimensions"):
        sod(Grid((8, 8), (1.0, 1.0)), torch.Generator())
    with pytest.raises(InputError, match="2 space dimensions"):
        gaussian_vortices(Grid((8,), (1.0,)), torch.Generator())

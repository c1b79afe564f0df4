"""Inputs of steady problems, and the maps that recipes call."""

import pytest
import torch

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.pde import STEADY, darcy, helmholtz, poisson
from sciode.pde.steady import darcy_patches, helmholtz_gauss, helmholtz_problem, poisson_gauss
from sciode.spectral import Grid

GRID = Grid((24, 24), (1.0, 1.0))


@pytest.mark.parametrize("family", [poisson_gauss, helmholtz_gauss, darcy_patches])
def test_a_seed_repeats_and_another_differs(family) -> None:  # type: ignore[no-untyped-def]
    a, b, c = (family(GRID, generator(0, "initial", i)) for i in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.dtype == torch.float64


def test_the_number_of_gaussians_is_geometric() -> None:
    # Narrow bumps of height 1: their sum counts them.
    mass = torch.stack([poisson_gauss(GRID, generator(0, i), narrowest=0.3, widest=0.3).max() for i in range(400)])
    assert mass.min() > 0.4
    single = (mass <= 1.0).double().mean().item()
    assert single == pytest.approx(0.4, abs=0.1)  # four standard errors


def test_media_and_borders_lie_where_they_should() -> None:
    for i in range(10):
        medium, border = helmholtz_gauss(GRID, generator(0, i))
        assert medium.min() >= 1 and medium.max() > 1.0
        assert 0.25 <= border.min() == border.max() <= 0.5
        share = (darcy_patches(GRID, generator(0, i)) == 1.0).double().mean().item()
        assert 0.1 < share < 0.9


def test_the_problems_are_their_solvers() -> None:
    source = torch.stack([poisson_gauss(GRID, generator(1, i)) for i in range(2)])
    assert torch.equal(STEADY["poisson"].solve(source, length=2.0), poisson(source, 2.0))
    a = torch.stack([darcy_patches(GRID, generator(1, i)) for i in range(2)])
    assert torch.equal(STEADY["darcy"].solve(a, length=1.0, source=2.0), darcy(a, 2.0))
    inputs = helmholtz_gauss(GRID, generator(1, 0))[None]
    solved = STEADY["helmholtz"].solve(inputs, length=1.0, frequency=4.0)
    torch.testing.assert_close(solved[:, :1], helmholtz(inputs[:, :1], inputs[:, 1:], frequency=4.0))
    assert torch.equal(solved[:, 1:], inputs[:, 1:])


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"chance.*1.5"):
        poisson_gauss(GRID, generator(0), chance=1.5)
    with pytest.raises(InputError, match=r"narrowest <= widest, found 0.2 and 0.1"):
        poisson_gauss(GRID, generator(0), narrowest=0.2)
    with pytest.raises(InputError, match=r"square, found \(24,\)"):
        poisson_gauss(Grid((24,), (1.0,)), generator(0))
    with pytest.raises(InputError, match=r"lenses >= 1.*0"):
        helmholtz_gauss(GRID, generator(0), lenses=0)
    with pytest.raises(InputError, match=r"0 < low <= high, found 0 and"):
        darcy_patches(GRID, generator(0), low=0)
    with pytest.raises(InputError, match=r"'b 2 n n', found \[1, 1, 8, 8\]"):
        helmholtz_problem(torch.ones(1, 1, 8, 8))

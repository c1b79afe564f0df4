"""Allen--Cahn: the front that stands, the energy that falls, the growth of small waves."""

import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.pde import allen_cahn, allen_cahn_energy
from sciode.pde.allen_cahn import sine_series
from sciode.solve import solve
from sciode.spectral import Grid
from tests.order import errors_under_halving, measured_order


def test_the_tanh_front_stands_and_a_steeper_one_does_not() -> None:
    n, eps = 128, 40.0
    x, _ = Grid((n, n), (1.0, 1.0)).coordinates()

    def fronts(slope: float) -> torch.Tensor:  # at 1/4 and 3/4, a part e^(-2 sqrt(2) eps / 4) from each other
        return torch.tanh(slope * torch.minimum(x - 0.25, 0.75 - x))[None, None]

    stands, moves = (
        (solve(allen_cahn(n, sharpness=eps), u, [0.0, 2e-3], dt=2e-4).y[:, 1] - u).abs().max().item()
        for u in (fronts(eps / math.sqrt(2)), fronts(1.5 * eps / math.sqrt(2)))
    )
    assert stands < 5e-6
    assert moves > 0.05


def test_energy_falls() -> None:
    u0 = sine_series(Grid((64, 64), (1.0, 1.0)), generator(0, 0))[None]
    y = solve(allen_cahn(64, sharpness=220.0), u0, torch.linspace(0, 2e-4, 21), dt=2e-6).y[:, :, 0]
    energy = allen_cahn_energy(y, sharpness=220.0)[0]
    assert bool((energy.diff() < 0).all())
    assert energy[-1] < 0.5 * energy[0]


def test_small_waves_grow_at_their_rate() -> None:
    x, y = Grid((16, 16), (1.0, 1.0)).coordinates()
    u0 = (1e-9 * torch.cos(2 * math.pi * (2 * x + y)))[None, None]
    got = solve(allen_cahn(16, sharpness=20.0), u0, [0.0, 0.01], dt=0.001).y[:, 1]
    rate = 20.0**2 - (2 * math.pi) ** 2 * 5
    torch.testing.assert_close(got, u0 * math.exp(0.01 * rate), rtol=0, atol=1e-18)


def test_a_uniform_state_is_the_closed_form_at_order_four() -> None:
    term, t, eps = allen_cahn(8, sharpness=10.0), 0.02, 10.0
    u0 = torch.full((1, 1, 8, 8), 0.3, dtype=torch.float64)
    want = u0 / torch.sqrt(u0**2 + (1 - u0**2) * math.exp(-2 * eps**2 * t))
    errors = errors_under_halving(lambda dt: solve(term, u0, [0.0, t], dt=dt).y[:, 1], 2e-3, want)
    assert measured_order(errors) == pytest.approx(4.0, abs=0.2)


def test_the_family_repeats_and_vanishes_on_the_border() -> None:
    grid = Grid((64, 64), (1.0, 1.0))
    a, b, c = (sine_series(grid, generator(0, i)) for i in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a[0, 0].abs().max() == 0
    assert a.abs().max() == 1
    fine = sine_series(Grid((128, 128), (1.0, 1.0)), generator(0, 1))[:, ::2, ::2]
    torch.testing.assert_close(fine / fine.abs().max(), a)  # the same field, but for its largest value


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"sharpness.*-2"):
        allen_cahn(16, sharpness=-2.0)
    with pytest.raises(InputError, match=r"fewest <= most.*40, 32"):
        sine_series(Grid((16, 16), (1.0, 1.0)), generator(0), fewest=40)

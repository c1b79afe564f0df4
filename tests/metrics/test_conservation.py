import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.metrics import conservation_drift
from tests.metrics.fields_of import GRIDS, noise


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("quantity", ["mean", "energy"])
def test_a_shift_keeps_mass_and_energy(dimensions, quantity):
    u = noise(2, 1, 2, *GRIDS[dimensions])
    moved = torch.cat([u.roll(s, -1) for s in range(4)], dim=1)
    drift = conservation_drift(moved, quantity=quantity)
    assert drift.signed.shape == (2, 4, 2)
    assert float(drift.relative.abs().max()) < 1e-14


def test_mass_that_leaks_is_signed_and_measured_against_the_size_of_the_field():
    x = torch.sin(2 * math.pi * torch.arange(64) / 64)
    u = torch.stack([x, x - 0.1]).reshape(1, 2, 1, 64)
    drift = conservation_drift(u)
    assert float(drift.value[0, 0, 0]) == pytest.approx(0, abs=1e-8)
    assert float(drift.signed[0, 1, 0]) == pytest.approx(-0.1, rel=1e-6)
    assert float(drift.relative[0, 1, 0]) == pytest.approx(-0.1 / float(x.abs().mean()), rel=1e-6)


def test_lengths_turn_means_into_integrals():
    u = 1 + noise(1, 3, 1, 8, 8).abs()
    mean, integral = conservation_drift(u), conservation_drift(u, lengths=(2.0, 3.0))
    torch.testing.assert_close(integral.signed, 6 * mean.signed)
    torch.testing.assert_close(integral.relative, mean.relative)


def test_energy_grows_as_the_square():
    u = torch.ones(1, 2, 1, 8) * torch.tensor([1.0, 1.1]).reshape(1, 2, 1, 1)
    drift = conservation_drift(u, quantity="energy")
    assert drift.value.flatten().tolist() == pytest.approx([0.5, 0.605])
    assert float(drift.relative[0, 1, 0]) == pytest.approx(0.21, rel=1e-6)


def test_a_quantity_of_ones_own():
    u = noise(2, 3, 2, 16)
    drift = conservation_drift(u, quantity=lambda fields: fields.flatten(2).amax(dim=2))
    peak = u.double().flatten(2).amax(2)
    torch.testing.assert_close(drift.relative, (peak - peak[:, :1]) / peak[:, :1].abs())


def test_zero_reference_gives_zero_or_infinity_and_never_nan():
    u = torch.zeros(1, 3, 1, 8)
    u[0, 2] = -1.0
    assert conservation_drift(u).relative.flatten().tolist() == [0.0, 0.0, -math.inf]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantity": "enrgy"}, "did you mean 'energy'"),
        ({"quantity": lambda u: u.mean()}, r"expected a tensor 'b t ...' starting with \(1, 2\)"),
        ({"quantity": lambda u: 1.0}, "found float"),
        ({"lengths": (1.0, 1.0)}, "lengths: expected 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        conservation_drift(noise(1, 2, 1, 8), **options)

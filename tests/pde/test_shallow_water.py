"""Shallow water: a lake at rest, Stoker's dam, order, conservation, symmetry, gradients, bad input."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.pde.exact_riemann import dam_break
from sciode.pde.shallow_water import shallow_water, shallow_water_step
from sciode.solve import RungeKutta, Save, solve, tableaus
from tests.order import measured_order

SSP = RungeKutta(tableaus.SSPRK3)
SCHEMES = ("muscl", "weno5")


def advance(term, u: Tensor, end: float, dt: float) -> Tensor:  # type: ignore[no-untyped-def]
    y = solve(term, u, [0.0, end], solver=SSP, dt=dt, save=Save.END).y
    assert isinstance(y, Tensor)
    return y


def hump(n: int) -> Tensor:
    """A smooth round hump of water off the middle, in a stream."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    a, b = torch.meshgrid(x, x, indexing="ij")
    depth = 1 + 0.3 * torch.exp(torch.cos(2 * math.pi * (a - 0.3)) + torch.cos(2 * math.pi * (b - 0.6)) - 2)
    return torch.stack([depth, 0.3 * depth, -0.2 * depth])[None]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("boundary", ["periodic", "outflow"])
def test_a_lake_at_rest_stays_at_rest_to_the_last_bit(scheme: str, boundary: str) -> None:
    lake = torch.zeros(2, 3, 8, 10, dtype=torch.float64)
    lake[:, 0] = 1.7
    term = shallow_water((8, 10), gravity=9.81, reconstruction=scheme, boundary=boundary)
    assert torch.equal(advance(term, lake, 1.0, 0.01), lake)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("low", [1.0, 0.05])
def test_a_dam_breaks_as_stoker_says(scheme: str, low: float) -> None:
    errors = []
    for n in (50, 100, 200):
        x = (torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5
        depth = torch.where(x < 0, 2.0, low).double()
        u = torch.stack([depth, 0 * depth])[None]
        got = advance(shallow_water(n, reconstruction=scheme), u, 0.12, 0.1 / n)
        h, v = dam_break(2.0, low, x / 0.12)
        errors.append((got[0] - torch.stack([h, h * v])).abs().mean().item())
    assert errors[-1] < 0.006
    assert measured_order(errors) > 0.75


def test_stokers_bore_meets_its_jump_condition() -> None:
    xi = torch.linspace(-4, 4, 80001, dtype=torch.float64)
    h, u = dam_break(2.0, 0.5, xi, gravity=1.3)
    at = int((h.diff().abs() > 0.05).nonzero()[0])
    mass = h[at] * u[at] / (h[at] - 0.5)
    momentum = (h[at] * u[at] ** 2 + 0.65 * h[at] ** 2 - 0.65 * 0.25) / (h[at] * u[at])
    torch.testing.assert_close(mass, momentum, rtol=1e-12, atol=0)
    assert abs(mass.item() - xi[at].item()) < 2e-4
    assert h.diff().abs().sort().values[-2] < 1e-3  # the fan meets both sides without a jump


@pytest.mark.parametrize(("scheme", "lowest"), [("muscl", 1.7), ("weno5", 3.5)])
def test_order_against_a_finer_grid(scheme: str, lowest: float) -> None:
    def run(n: int) -> Tensor:
        # A point value is an average up to second order: coarsen one fine start instead.
        start = torch.nn.functional.avg_pool2d(hump(144), 144 // n)
        return advance(shallow_water((n, n), reconstruction=scheme, boundary="periodic"), start, 0.05, 0.05 / n)

    finer = run(72)
    errors = [(run(n) - torch.nn.functional.avg_pool2d(finer, 72 // n)).abs().mean().item() for n in (12, 24)]
    assert measured_order(errors) > lowest


@pytest.mark.parametrize("scheme", SCHEMES)
def test_water_and_momentum_are_kept(scheme: str) -> None:
    u = hump(16)
    after = advance(shallow_water((16, 16), reconstruction=scheme, boundary="periodic"), u, 0.3, 0.01)
    torch.testing.assert_close(after.mean((2, 3)), u.mean((2, 3)), rtol=0, atol=1e-14)
    assert (after - u).abs().max() > 0.05


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_flood_over_thin_water_stays_wet(scheme: str) -> None:
    depth = torch.full((1, 1, 64), 1e-4, dtype=torch.float64)
    depth[..., :32] = 1.0
    u = torch.cat([depth, torch.zeros_like(depth)], dim=1)
    y = solve(
        shallow_water(64, reconstruction=scheme),
        u,
        [0.0, 0.05, 0.1],
        solver=SSP,
        dt=shallow_water_step(u, cfl=0.15),
    ).y
    assert isinstance(y, Tensor)
    assert y[:, :, 0].min() > 0
    assert y.isfinite().all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axes_may_be_exchanged_and_samples_do_not_know_their_batch(scheme: str) -> None:
    u = torch.cat([hump(12), hump(12).transpose(2, 3)[:, [0, 2, 1]]])
    term = shallow_water((12, 12), reconstruction=scheme, boundary="periodic")
    after = advance(term, u, 0.1, 0.01)
    torch.testing.assert_close(after[1], after[0].transpose(1, 2)[[0, 2, 1]], rtol=0, atol=1e-14)
    torch.testing.assert_close(after[:1], advance(term, u[:1], 0.1, 0.01), rtol=0, atol=1e-14)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gradients_are_those_of_finite_differences(scheme: str) -> None:
    drift, s, u = shallow_water((8, 8), reconstruction=scheme).drift, torch.tensor(0.0), hump(8)
    # Where a slope is zero the limiter has a kink: no channel may be constant.
    u = u * (1 + 0.1 * torch.rand(u.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    generator = torch.Generator().manual_seed(0)
    direction, weight = (torch.randn(u.shape, dtype=torch.float64, generator=generator) for _ in range(2))
    leaf = u.clone().requires_grad_()
    (drift(s, leaf) * weight).sum().backward()  # type: ignore[operator]
    got = (leaf.grad * direction).sum().item()  # type: ignore[operator]
    ahead, back = ((drift(s, u + e * direction) * weight).sum().item() for e in (1e-6, -1e-6))  # type: ignore[operator]
    assert got == pytest.approx((ahead - back) / 2e-6, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: shallow_water(8, gravity=0.0), "gravity must be a positive number, found 0.0"),
        (lambda: shallow_water(4), "at least 6 cells"),
        (lambda: advance(shallow_water(8), torch.ones(1, 3, 8), 0.1, 0.1), r"\[b, 2, 8\], found \[1, 3, 8\]"),
        (lambda: shallow_water_step(torch.ones(1, 3, 8)), r"'b 2 \*n', found \[1, 3, 8\]"),
        (
            lambda: shallow_water_step(torch.zeros(1, 2, 8)),
            r"depth must be positive.* sample 0 has 0 at cell \[0\]",
        ),
        (lambda: shallow_water_step(torch.ones(1, 2, 8), cfl=-1.0), "cfl must be .* found -1.0"),
        (lambda: dam_break(1.0, 2.0, torch.zeros(1)), "high > low > 0; found 1.0, 2.0"),
    ],
)
def test_bad_input_is_named(call, match: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=match):
        call()

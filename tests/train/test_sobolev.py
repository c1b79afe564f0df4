import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.train import Sobolev, relative_l2


def fields(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 2, 15), (3, 2, 16), (2, 1, 8, 9), (2, 1, 4, 6, 8)])
def test_order_zero_is_the_relative_l2_norm(shape: tuple[int, ...]) -> None:
    a, b = fields(*shape), fields(*shape).roll(3, -1)
    torch.testing.assert_close(Sobolev(0.0)(a, b), relative_l2(a, b), rtol=1e-12, atol=0)


@pytest.mark.parametrize("order", [-1.0, 0.5, 1.0, 2.0])
def test_a_plane_wave_counts_by_its_number(order: float) -> None:
    x = 2 * math.pi * torch.arange(12, dtype=torch.float64) / 12
    y = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16
    target = 100 * torch.cos(x[:, None] + 0 * y)[None, None]
    error = torch.sin(2 * x[:, None] - 3 * y)[None, None]
    want = 0.01 * ((1 + 4 + 9) / (1 + 1)) ** (order / 2)
    assert Sobolev(order)(target + error, target).item() == pytest.approx(want, rel=1e-4)


def test_order_one_is_the_norm_with_derivatives() -> None:
    n = 33
    u = fields(1, 1, n)
    k = torch.fft.rfftfreq(n, 1 / n, dtype=torch.float64)
    slope = torch.fft.irfft(1j * k * torch.fft.rfft(u), n=n)
    want = u.square().mean() + slope.square().mean()
    assert Sobolev(1.0)._norm(u).item() == pytest.approx(want.item(), rel=1e-12)


def test_gradients_agree_with_differences() -> None:
    target = fields(2, 1, 6)
    assert torch.autograd.gradcheck(lambda u: Sobolev(1.5)(u, target), fields(2, 1, 6).flip(-1).requires_grad_())


@pytest.mark.parametrize("bad", [math.nan, math.inf, "1"])
def test_a_bad_order_is_named(bad: object) -> None:
    with pytest.raises(InputError, match="order of a Sobolev norm"):
        Sobolev(bad)  # type: ignore[arg-type]

"""The cost of a sampler's step that does not depend on the machine: kernels beside the network, and waits."""

import pytest
import torch
from torch import Tensor

from sciode.generative import VP, Denoiser, Prediction
from sciode.solve.multistep import combined
from sciode.solve.multistep_weights import Leaf
from tests.generative.families import MULTISTEP
from tests.solve.counting import Counting, per_step

NOISE = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
IMAGE = 0.1 * NOISE


def network(x: Tensor, label: Tensor) -> Tensor:
    return IMAGE


def counts(name: str, prediction: Prediction) -> tuple[float, float]:
    """Return kernels and waits a step, with a network that costs nothing."""
    samplers = {size: MULTISTEP[name](VP(), size, end=1e-3) for size in (12, 24)}

    def run(counting: Counting, size: int) -> int:
        with torch.no_grad():
            samplers[size].sample(Denoiser(network, VP(), prediction), NOISE)
        return size

    kernels, waits, _ = per_step(run, (12, 24))
    return kernels, waits


@pytest.mark.parametrize("name", sorted(MULTISTEP))
def test_a_step_of_a_multistep_preset(name: str) -> None:
    coordinates = MULTISTEP[name](VP(), 12, end=1e-3).coordinates.name
    kernels, waits = counts(name, Prediction.DATA if coordinates == "data" else Prediction.NOISE)
    assert kernels <= 5
    assert waits == 0


@pytest.mark.parametrize("name", ["ddim", "dpm++2M", "unipc-1", "dpm-2M", "tAB0"])
def test_a_network_that_predicts_noise(name: str) -> None:
    kernels, waits = counts(name, Prediction.NOISE)
    assert kernels <= 5
    assert waits == 0


@pytest.mark.parametrize("shape", [(3, 4), (4, 1 << 15), (0,)])
def test_a_combination_in_one_pass_over_memory(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    y, *slopes = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(4))
    weights = ((0.3, 0), (-1.7, 2))
    total = combined(Leaf(0.9, weights, False), y, slopes)
    expected = 0.9 * y + 0.3 * slopes[0] - 1.7 * slopes[2]
    assert total.shape == y.shape
    torch.testing.assert_close(total, expected, rtol=1e-15, atol=1e-15)


def test_gradients_of_a_large_combination() -> None:
    leaves = [torch.ones(2, 1 << 15, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    total = combined(Leaf(0.9, ((0.3, 0), (-1.7, 1)), False), leaves[0], leaves[1:])
    total.square().sum().backward()
    for leaf, weight in zip(leaves, (0.9, 0.3, -1.7), strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, torch.full_like(leaf, 2 * weight * -0.5))


def test_transforms_of_a_large_combination() -> None:
    y, k = torch.ones(2, 3, 1 << 15), torch.ones(2, 3, 1 << 15)
    leaf = Leaf(0.5, ((0.25, 0),), False)
    mapped = torch.func.vmap(lambda a, b: combined(leaf, a, [b]))(y, k)
    _, pushed = torch.func.jvp(lambda a, b: combined(leaf, a, [b]), (y, k), (y, 2 * k))
    assert bool((mapped == 0.75).all()) and bool((pushed == 1.0).all())

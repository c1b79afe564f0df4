"""Members together against each on its own."""

import pytest
import torch
from torch import nn

from sciode.core.errors import InputError
from sciode.nn import BatchedMLP


def alone(many: BatchedMLP, member: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight, bias in zip(many.weights, many.biases, strict=True):
        linear = nn.Linear(*weight.shape[1:]).to(weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(weight[member].mT)
            linear.bias.copy_(bias[member, 0])
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("hidden", [0, 2])
def test_members_are_what_they_are_alone(hidden: int) -> None:
    many = BatchedMLP(4, 3, 2, width=8, hidden=hidden).double()
    own = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for member in range(4):
        torch.testing.assert_close(many(own)[member], alone(many, member)(own[member]), rtol=0, atol=1e-14)
    torch.testing.assert_close(many(own[0])[2], alone(many, 2)(own[0]), rtol=0, atol=1e-14)


def test_gradients_of_members_do_not_mix() -> None:
    many = BatchedMLP(3, 2, 1, width=4)
    many(torch.randn(6, 2))[1].sum().backward()
    for weight in many.weights:
        assert weight.grad is not None
        assert bool((weight.grad[[0, 2]] == 0).all()) and bool((weight.grad[1] != 0).any())


def test_a_larger_ensemble_begins_with_the_smaller() -> None:
    small, large = BatchedMLP(2, 3, 1, seed=5), BatchedMLP(6, 3, 1, seed=5)
    for one, other in zip(small.parameters(), large.parameters(), strict=True):
        assert torch.equal(one, other[:2])
    assert not torch.equal(large.weights[0][0], large.weights[0][1])
    assert not torch.equal(BatchedMLP(2, 3, 1, seed=6).weights[0], small.weights[0])


def test_weights_are_drawn_as_torch_draws_them() -> None:
    weight = BatchedMLP(200, 16, 8, width=32).weights[1]
    assert float(weight.abs().max()) <= 32**-0.5
    assert float(weight.std()) == pytest.approx((1 / 32 / 3) ** 0.5, rel=0.02)


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 3), (3,)])
def test_other_inputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="4 members of 3 inputs"):
        BatchedMLP(4, 3, 2)(torch.zeros(shape))
    with pytest.raises(InputError, match="from 1 up"):
        BatchedMLP(0, 3, 2)

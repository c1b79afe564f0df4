"""Many small networks as one: a matrix product for each layer serves all members of an ensemble."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.random import generator


class BatchedMLP(nn.Module):
    """Perceptrons of one shape and different weights, run together.

    Member j depends on the seed and on j alone: a larger ensemble begins with the members of a smaller one.

    Parameters
    ----------
    members : int
        How many.
    inside, outside : int
        Numbers in and out.
    width, hidden : int
        Of the hidden layers, and how many.
    seed : int
        Of the weights.

    Examples
    --------
    >>> BatchedMLP(5, 3, 2)(torch.zeros(7, 3)).shape
    torch.Size([5, 7, 2])
    """

    def __init__(
        self, members: int, inside: int, outside: int, width: int = 64, hidden: int = 2, seed: int = 0
    ) -> None:
        super().__init__()
        if min(members, inside, outside, width) < 1 or hidden < 0:
            raise InputError(
                f"an ensemble has members, inputs, outputs and a width from 1 up, found {members}, {inside}, "
                f"{outside}, {width}, and {hidden} hidden layers"
            )
        sizes = [inside, *[width] * hidden, outside]
        self.members, self.sizes = members, tuple(sizes)
        drawn = [self.draw(member, seed) for member in range(members)]
        self.weights = nn.ParameterList(torch.stack(part) for part in zip(*(w for w, _ in drawn), strict=True))
        self.biases = nn.ParameterList(torch.stack(part) for part in zip(*(b for _, b in drawn), strict=True))

    def draw(self, member: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return weights ``"i o"`` and biases ``"1 o"`` of the layers of one member, as torch draws Linear."""
        random = generator(seed, "member", member)
        weights, biases = [], []
        for before, after in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            bound = 1.0 / math.sqrt(before)
            weights.append(bound * (2 * torch.rand(before, after, generator=random) - 1))
            biases.append(bound * (2 * torch.rand(1, after, generator=random) - 1))
        return weights, biases

    def forward(self, x: Float[Tensor, "*m b i"]) -> Float[Tensor, "m b o"]:
        """Return what each member says of its own inputs ``"m b i"``, or of the same ones ``"b i"``."""
        if x.dim() not in (2, 3) or x.shape[-1] != self.sizes[0] or (x.dim() == 3 and len(x) != self.members):
            raise InputError(
                f"{self.members} members of {self.sizes[0]} inputs take 'b i' or 'm b i', found {list(x.shape)}"
            )
        return layered(x, list(self.weights), list(self.biases))

    def features(self, x: Float[Tensor, "*m b i"]) -> Float[Tensor, "m b w"]:
        """Return what goes into the last layer."""
        if len(self.sizes) < 3:
            return x if x.dim() == 3 else x.expand(self.members, -1, -1)
        return torch.relu(layered(x, list(self.weights)[:-1], list(self.biases)[:-1]))


def layered(
    x: Float[Tensor, "*m b i"], weights: Sequence[Float[Tensor, "m i o"]], biases: Sequence[Float[Tensor, "m 1 o"]]
) -> Float[Tensor, "m b o"]:
    """Run perceptrons of given weights: products, ReLU between them.

    >>> layered(torch.ones(2, 3), [torch.ones(5, 3, 1)], [torch.zeros(5, 1, 1)]).shape
    torch.Size([5, 2, 1])
    """
    h = x if x.dim() == 3 else x.expand(len(weights[0]), -1, -1)
    last = len(weights) - 1
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        h = torch.baddbmm(bias, h, weight)
        if index < last:
            h = torch.relu(h)
    return h

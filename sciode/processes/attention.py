"""Attention between sets of points, as neural processes stack it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError


class Attend(nn.Module):
    """Multi-head attention, then query and answer together through one layer, with a residual and a norm.

    Written with plain matrix products: gradients of gradients exist, which a loss on derivatives needs.

    >>> block = Attend(8, 2)
    >>> block(torch.zeros(3, 5, 8), torch.zeros(3, 7, 8), torch.zeros(3, 7, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"the width {width} is no multiple of {heads} heads")
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.join, self.norm, self.dropout = nn.Linear(2 * width, width), nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(
        self, query: Float[Tensor, "b m w"], key: Float[Tensor, "b n w"], value: Float[Tensor, "b n w"]
    ) -> Float[Tensor, "b m w"]:
        """Return what every query point takes from the others."""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        weight = torch.softmax((q * q.shape[-1] ** -0.5) @ k.mT, dim=-1)
        found = (self.dropout(weight) @ v).transpose(1, 2).flatten(2)
        out: Tensor = self.norm(query + self.join(torch.cat([query, found], dim=-1)))
        return out

"""The few type names that signatures share."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

State: TypeAlias = Tensor | tuple[Tensor, ...]
"""What evolves: a tensor ``"b ..."``, or a tuple of such tensors."""

Time: TypeAlias = Tensor
"""A time, float64: ``[]`` where the batch shares it, ``[b]`` where each sample has its own."""


def leaves(state: State) -> tuple[Tensor, ...]:
    """Return the tensors of a state.

    >>> import torch
    >>> len(leaves(torch.zeros(2))), len(leaves((torch.zeros(2), torch.ones(3))))
    (1, 2)
    """
    return state if isinstance(state, tuple) else (state,)


def like(state: State, parts: tuple[Tensor, ...]) -> State:
    """Put ``parts`` into the structure of ``state``: the inverse of :func:`leaves`."""
    return parts if isinstance(state, tuple) else parts[0]


def each(function: Callable[..., Tensor], *states: State) -> State:
    """Apply ``function`` leaf by leaf."""
    if not isinstance(states[0], tuple):
        return function(*states)  # by far the most calls, and a step makes several
    return like(states[0], tuple(function(*parts) for parts in zip(*map(leaves, states), strict=True)))

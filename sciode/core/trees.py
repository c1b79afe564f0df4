"""Nested tuples and lists of tensors, taken apart and put together again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Slot(NamedTuple):
    """Stands for a tensor in the skeleton of a plan or a memory."""

    place: int


def split(tree: Any, tensors: list[Tensor], shared: bool = True) -> Any:
    """Move the tensors of nested tuples and lists into ``tensors``; return the skeleton that is left.

    ``shared`` moves a tensor that stands in several places once, which keeps the equal weights of a plan equal.

    >>> import torch
    >>> found = []
    >>> split((1.0, torch.zeros(2), [torch.ones(3)]), found), len(found)
    ((1.0, Slot(place=0), [Slot(place=1)]), 2)
    """
    if isinstance(tree, Tensor):
        for index, known in enumerate(tensors if shared else ()):
            if known is tree:
                return Slot(index)
        tensors.append(tree)
        return Slot(len(tensors) - 1)
    if isinstance(tree, tuple | list):
        return _rebuilt(tree, [split(part, tensors, shared) for part in tree])
    return tree


def fill(skeleton: Any, tensors: Sequence[Tensor]) -> Any:
    """Put the tensors back: the inverse of :func:`split`."""
    if isinstance(skeleton, Slot):
        return tensors[skeleton.place]
    if isinstance(skeleton, tuple | list):
        return _rebuilt(skeleton, [fill(part, tensors) for part in skeleton])
    return skeleton


def _rebuilt(tree: Any, parts: list[Any]) -> Any:
    if isinstance(tree, list):
        return parts
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)

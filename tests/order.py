"""Measured orders of convergence, and the order conditions of a tableau."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def measured_order(errors: list[float]) -> float:
    """Return the mean slope of errors whose step is halved from one to the next."""
    return math.log2(errors[0] / errors[-1]) / (len(errors) - 1)


def errors_under_halving(
    run: Callable[[float], Tensor], dt: float, reference: Tensor, halvings: int = 3
) -> list[float]:
    """Return the maximum error of ``run(dt)`` for dt, dt/2, ..., ``halvings`` times halved."""
    return [(run(dt / 2**i) - reference).abs().max().item() for i in range(halvings + 1)]


def trees(order: int) -> Iterator[tuple]:
    """Yield every rooted tree with ``order`` nodes, once: a tree is the sorted tuple of its branches."""
    seen = set()
    for branches in _forests(order - 1, order - 1):
        tree = tuple(sorted(branches, key=repr))
        if tree not in seen:
            seen.add(tree)
            yield tree


def _forests(nodes: int, largest: int) -> Iterator[tuple]:
    if nodes == 0:
        yield ()
        return
    for size in range(min(nodes, largest), 0, -1):
        for first in trees(size):
            for rest in _forests(nodes - size, size):
                yield (first, *rest)


def density(tree: tuple) -> int:
    """Return gamma of a rooted tree (Butcher)."""
    size = _size(tree)
    return size * math.prod(density(branch) for branch in tree)


def _size(tree: tuple) -> int:
    return 1 + sum(_size(branch) for branch in tree)


def weight(matrix: Tensor, update: Tensor, tree: tuple) -> float:
    """Return the elementary weight of a tree for (A, b)."""
    return float(update @ _stage(matrix, tree))


def _stage(matrix: Tensor, tree: tuple) -> Tensor:
    product = torch.ones(len(matrix), dtype=torch.float64)
    for branch in tree:
        product = product * (matrix @ _stage(matrix, branch))
    return product

"""Averaged weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sciode.nn.sharded import local
from sciode.nn.tensors import real_view


class Average:
    r"""Exponential moving average of parameters.

    After step s (from 0) the average is :math:`a \leftarrow d_s a + (1 - d_s) w` with
    :math:`d_s = \min(d, (1 + s)/(10 + s))`, so that it forgets the initial weights early on.

    Parameters
    ----------
    parameters : iterable of Parameter
        Their values at construction are the first average.
    decay : float
        d, in [0, 1); at 0 the average is the weights themselves.

    Examples
    --------
    >>> weight = nn.Parameter(torch.zeros(1))
    >>> average = Average([weight], decay=0.5)
    >>> _ = weight.data.fill_(1.0)
    >>> average.update(step=100)
    >>> average.tensors[0].item()
    0.5
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.weights = [real_view(local(parameter.detach())) for parameter in parameters]
        self.tensors = [weight.clone() for weight in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after step ``step`` into the average."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.tensors, self.weights, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the average in place of the weights for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for weight, average in zip(self.weights, self.tensors, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def load(self, tensors: Iterable[Tensor]) -> None:
        """Set the average."""
        for average, value in zip(self.tensors, tensors, strict=True):
            average.copy_(value)

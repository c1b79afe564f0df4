"""What a surrogate is: a map from a state and a lead time to the state that much later."""

from typing import Protocol

from jaxtyping import Float
from torch import Tensor


class Surrogate(Protocol):
    """A network or a numerical solver, indistinguishable to the caller."""

    def __call__(self, u: Float[Tensor, "b c *n"], dt: Float[Tensor, " b"], /) -> Float[Tensor, "b c *n"]:
        """Return the state ``dt`` after ``u``; both in physical units."""
        ...


class Constraint(Protocol):
    """Something a state has to satisfy, such as a conserved total."""

    def project(self, u: Float[Tensor, "b c *n"], /) -> Float[Tensor, "b c *n"]:
        """Return the nearest state that satisfies it."""
        ...


class Persistence:
    """The forecast that nothing changes: what any model has to beat.

    >>> import torch
    >>> u = torch.ones(2, 1, 8)
    >>> Persistence()(u, torch.ones(2)) is u
    True
    """

    def __call__(self, u: Float[Tensor, "b c *n"], dt: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return ``u``."""
        return u

"""Predictions that are mixtures of Gaussians in equal parts, one for each draw of a latent variable or member."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.constraints import Conditioned, Diagonal, LinearConstraint
from sciode.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians with independent unknowns, ``"s ... n"``: s components, n unknowns that a law is about.

    >>> two = Mixture(torch.tensor([[0.0], [2.0]]), torch.ones(2, 1))
    >>> [x.tolist() for x in two.moments()]
    [[1.0], [2.0]]
    """

    mean: Float[Tensor, "s ... n"]
    variance: Float[Tensor, "s ... n"]

    def __post_init__(self) -> None:
        if self.mean.shape != self.variance.shape or self.mean.dim() < 2:
            raise InputError(
                f"means and variances are 's ... n' both, found {list(self.mean.shape)} and "
                f"{list(self.variance.shape)}"
            )

    def moments(self) -> tuple[Float[Tensor, "... n"], Float[Tensor, "... n"]]:
        """Return mean and variance of the whole: the mean variance and the variance of the means."""
        return self.mean.mean(0), self.variance.mean(0) + self.mean.var(0, correction=0)

    def reshape(self, *shape: int) -> "Mixture":
        """Return the same with the axes after the first in another shape."""
        return Mixture(self.mean.reshape(-1, *shape), self.variance.reshape(-1, *shape))

    def double(self) -> "Mixture":
        """Return the same in float64."""
        return Mixture(self.mean.double(), self.variance.double())

    def given(self, law: LinearConstraint) -> tuple["Mixture", Conditioned]:
        """Return the components given a law, each for itself, and their covariance, from which draws satisfy it.

        The mean of the whole satisfies the law as each of them does. (A component's weight, by how well it
        knew the law beforehand, stays equal, as published.)

        References
        ----------
        Hansen et al. (arXiv:2302.11002), algorithm 1.
        """
        mean, after = law.condition(self.mean, Diagonal(self.variance))
        return Mixture(mean, after.diagonal()), after

    def projected(self, law: LinearConstraint) -> "Mixture":
        """Return the nearest means that satisfy the law, and the variances as they were: HardC.

        References
        ----------
        Negiar et al., *Learning differentiable solvers for systems with hard constraints* (arXiv:2207.08675).
        """
        return Mixture(law.project(self.mean), self.variance)


def together(*parts: Mixture) -> Mixture:
    """Return a deep ensemble: all components of its members, of equal numbers.

    >>> one = Mixture(torch.zeros(3, 1), torch.ones(3, 1))
    >>> together(one, one).mean.shape
    torch.Size([6, 1])
    """
    if len({part.mean.shape for part in parts}) != 1:
        raise InputError(f"members have one shape, found {[list(part.mean.shape) for part in parts]}")
    return Mixture(torch.cat([part.mean for part in parts]), torch.cat([part.variance for part in parts]))

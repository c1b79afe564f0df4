"""Conservation laws as constraints that any model, sampler or rollout can take."""

from sciode.constraints.covariance import Covariance, Dense, Diagonal, LowRank, Product
from sciode.constraints.integrals import balance, conserving, gauss_nodes, integral, quadrature
from sciode.constraints.linear import Conditioned, LinearConstraint
from sciode.constraints.nonlinear import Bounded, NonlinearConstraint
from sciode.constraints.sampling import Conditional, Towards
from sciode.constraints.smoothness import smooth

__all__ = [
    "Bounded",
    "Conditional",
    "Conditioned",
    "Covariance",
    "Dense",
    "Diagonal",
    "LinearConstraint",
    "LowRank",
    "NonlinearConstraint",
    "Product",
    "Towards",
    "balance",
    "conserving",
    "gauss_nodes",
    "integral",
    "quadrature",
    "smooth",
]

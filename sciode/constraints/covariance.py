r"""Covariances of a prediction, known by what they do to a vector; none is written out unless it is given so.

Vectors are ``"... n"``, n unknowns on the last axis; leading axes are batches and broadcast.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sciode.core.errors import InputError


class Covariance(ABC):
    """What an update needs of a covariance S."""

    @abstractmethod
    def apply(self, rows: Float[Tensor, "... m n"]) -> Float[Tensor, "... m n"]:
        """Return S g of every row g."""

    @abstractmethod
    def diagonal(self) -> Float[Tensor, "... n"]:
        """Return the variances."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape n"]:
        """Draw from N(0, S); ``shape`` ends with the covariance's own batch axes, or broadcasts to them."""


class Diagonal(Covariance):
    """Independent unknowns: O(n) memory.

    Parameters
    ----------
    variance : Tensor
        ``"... n"``, not negative.

    Raises
    ------
    InputError
        For a variance that is negative or not finite.

    Examples
    --------
    >>> Diagonal(torch.tensor([1.0, 4.0])).apply(torch.ones(1, 2)).tolist()
    [[1.0, 4.0]]
    """

    def __init__(self, variance: Float[Tensor, "... n"]) -> None:
        _check_variance(variance)
        self.variance = variance

    def apply(self, rows: Float[Tensor, "... m n"]) -> Float[Tensor, "... m n"]:
        """Return S g of every row g."""
        return rows * self.variance.to(rows.dtype)[..., None, :]

    def diagonal(self) -> Float[Tensor, "... n"]:
        """Return the variances."""
        return self.variance

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape n"]:
        """Draw from N(0, S)."""
        return self.variance.sqrt() * _normal((*shape, self.variance.shape[-1]), self.variance, generator)


class LowRank(Covariance):
    r"""A diagonal and a few directions, :math:`\mathrm{diag}(v) + F F^T`: O(n r) memory.

    Parameters
    ----------
    variance : Tensor
        v, ``"... n"``, not negative.
    factor : Tensor
        F, ``"... n r"``.

    Examples
    --------
    >>> LowRank(torch.zeros(2), torch.ones(2, 1)).apply(torch.tensor([[1.0, 0.0]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, variance: Float[Tensor, "... n"], factor: Float[Tensor, "... n r"]) -> None:
        _check_variance(variance)
        if factor.dim() < 2 or factor.shape[-2] != variance.shape[-1]:
            raise InputError(
                f"the factor of {variance.shape[-1]} unknowns is '... n r', found {list(factor.shape)}"
            )
        self.variance, self.factor = variance, factor

    @classmethod
    def of_ensemble(cls, members: Float[Tensor, "m ... n"], variance: float = 0.0) -> "LowRank":
        """Return the covariance of members around their mean, plus an equal ``variance`` of every unknown.

        >>> cov = LowRank.of_ensemble(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> cov.diagonal().tolist()
        [2.0, 0.0]
        """
        if members.dim() < 2 or len(members) < 2:
            raise InputError(f"an ensemble is 'm ... n' with two members or more, found {list(members.shape)}")
        factor = (members - members.mean(0)).movedim(0, -1) / (len(members) - 1) ** 0.5
        return cls(torch.full_like(members[0], variance), factor)

    def apply(self, rows: Float[Tensor, "... m n"]) -> Float[Tensor, "... m n"]:
        """Return S g of every row g."""
        factor = self.factor.to(rows.dtype)
        return rows * self.variance.to(rows.dtype)[..., None, :] + (rows @ factor) @ factor.mT

    def diagonal(self) -> Float[Tensor, "... n"]:
        """Return the variances."""
        return self.variance + self.factor.square().sum(-1)

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape n"]:
        """Draw from N(0, S)."""
        n, r = self.factor.shape[-2:]
        own = self.variance.sqrt() * _normal((*shape, n), self.variance, generator)
        along = _normal((*shape, r), self.variance, generator)
        return own + (self.factor @ along[..., None])[..., 0]


class Dense(Covariance):
    """A covariance written out.

    Parameters
    ----------
    matrix : Tensor
        ``"... n n"``, symmetric, without negative eigenvalues.

    Raises
    ------
    InputError
        For a matrix that is not symmetric, or has an eigenvalue below zero by more than round-off.

    Examples
    --------
    >>> Dense(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).diagonal().tolist()
    [2.0, 2.0]
    """

    def __init__(self, matrix: Float[Tensor, "... n n"]) -> None:
        if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise InputError(f"a covariance is '... n n', found {list(matrix.shape)}")
        size = matrix.detach().abs().amax()
        if not bool(torch.isfinite(size)):
            raise InputError("the covariance holds NaN or infinity")
        room = 1e3 * torch.finfo(matrix.dtype).eps * float(size)
        if float((matrix - matrix.mT).detach().abs().amax()) > room:
            raise InputError("the covariance is not symmetric")
        values, vectors = torch.linalg.eigh(matrix)
        if float(values.detach().amin()) < -room:
            raise InputError(
                "the covariance is not positive semidefinite: its smallest eigenvalue is "
                f"{values.amin().item():.3g}, its largest {values.amax().item():.3g}"
            )
        self.matrix, self._root = matrix, vectors * values.clamp_min(0.0).sqrt()[..., None, :]

    def apply(self, rows: Float[Tensor, "... m n"]) -> Float[Tensor, "... m n"]:
        """Return S g of every row g."""
        return rows @ self.matrix.to(rows.dtype)

    def diagonal(self) -> Float[Tensor, "... n"]:
        """Return the variances."""
        return self.matrix.diagonal(dim1=-2, dim2=-1)

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape n"]:
        """Draw from N(0, S)."""
        z = _normal((*shape, self.matrix.shape[-1]), self.matrix, generator)
        return (self._root @ z[..., None])[..., 0]


class Product(Covariance):
    """A covariance given by its product with vectors, such as that of a kernel on a grid.

    Parameters
    ----------
    times : callable
        ``"... m n" -> "... m n"``: S g of every row.
    variance : Tensor
        The diagonal, ``"... n"``.
    root : callable, optional
        ``"... n" -> "... n"``: a z with covariance S of a standard normal z. Needed to sample.

    Examples
    --------
    >>> flat = Product(lambda rows: rows.sum(-1, keepdim=True).expand_as(rows), torch.ones(3))
    >>> flat.apply(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[6.0, 6.0, 6.0]]
    """

    def __init__(
        self,
        times: Callable[[Tensor], Tensor],
        variance: Float[Tensor, "... n"],
        root: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        _check_variance(variance)
        self.times, self.variance, self.root = times, variance, root

    def apply(self, rows: Float[Tensor, "... m n"]) -> Float[Tensor, "... m n"]:
        """Return S g of every row g."""
        return self.times(rows.to(self.variance.dtype)).to(rows.dtype)

    def diagonal(self) -> Float[Tensor, "... n"]:
        """Return the variances."""
        return self.variance

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape n"]:
        """Draw from N(0, S)."""
        if self.root is None:
            raise InputError("this covariance is known by its products alone: give root= to draw from it")
        return self.root(_normal((*shape, self.variance.shape[-1]), self.variance, generator))


def _check_variance(variance: Tensor) -> None:
    found = variance.detach()
    if found.dim() < 1 or not found.is_floating_point():
        raise InputError(f"variances are floating-point, '... n', found {found.dtype} {list(found.shape)}")
    bad = ~(torch.isfinite(found) & (found >= 0))
    if bool(bad.any()):
        at = tuple(bad.nonzero()[0].tolist())
        raise InputError(f"a covariance has no negative variance: found {found[bad][0].item():g} at {at}")


def _normal(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(shape, dtype=like.dtype, device=generator.device, generator=generator).to(like.device)

r"""How the linear systems of Newton's method are solved: a factored matrix, or Krylov spaces.

Symbols: ``A = I - g J`` (see :mod:`sciode.solve.jacobian`), ``w`` size of each component ``[b, n]``.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.solve.jacobian import Product, Shifted
from sciode.solve.krylov import gmres

Inverse: TypeAlias = Callable[[Shifted, Tensor], Tensor]
"""(system at the present point, right side) -> A^{-1} right, as well as Newton's method needs it."""


Damp: TypeAlias = Callable[[Tensor, bool], Tensor]
"""(v, transposed) -> (I - g L)^{-1} v for the diagonal linear part L of the term: what preconditions."""


class LinearSolver(Protocol):
    """A way to solve with A. All of it runs without autograd's record."""

    def prepare(self, system: Shifted, scale: Tensor, damp: Damp) -> Inverse:
        """Return the inverse to use within one step, which begins where ``system`` stands.

        ``scale`` is w.
        """
        ...

    def invert(self, system: Shifted, right: Tensor, damp: Damp, transposed: bool) -> Tensor:
        """Return A^{-1} right, or A^{-T} right, to round-off: what gradients are made of."""
        ...


@dataclass(frozen=True)
class Dense:
    """The Jacobian as a matrix, factored once per step and used for all its stages (simplified Newton).

    n^2 numbers and n rows of reverse mode per step: for states of up to some hundred numbers per sample.
    """

    def prepare(self, system: Shifted, scale: Tensor, damp: Damp) -> Inverse:
        """Factor A at the beginning of the step."""
        factors, pivots, _ = torch.linalg.lu_factor_ex(system.matrix())

        def inverse(present: Shifted, right: Tensor) -> Tensor:
            return torch.linalg.lu_solve(factors, pivots, right[:, :, None]).squeeze(2)

        return inverse

    def invert(self, system: Shifted, right: Tensor, damp: Damp, transposed: bool) -> Tensor:
        """Factor A where the system stands and solve."""
        matrix = system.matrix()
        return torch.linalg.solve_ex(matrix.mT if transposed else matrix, right[:, :, None])[0].squeeze(2)


@dataclass(frozen=True)
class Gmres:
    """Krylov spaces, grown from products with the Jacobian at the present iterate: no matrix is made.

    Preconditioned by the linear part of the term, if it has one.

    Parameters
    ----------
    rtol
        Residual of a Newton correction, relative; what it leaves is left to the next correction.
    size
        Vectors of a Krylov space, before a restart.
    cycles
        Restarts at most, plus one.
    look
        Vectors between two looks of the host.
    exact
        Relative residual of the systems that make gradients.
    """

    rtol: float = 1e-3
    size: int = 40
    cycles: int = 3
    look: int = 4
    exact: float = 1e-12

    def __post_init__(self) -> None:
        if not (0.0 < self.rtol < 1.0 and 0.0 < self.exact < 1.0):
            raise InputError(f"0 < rtol, exact < 1 must hold, found rtol = {self.rtol}, exact = {self.exact}")
        if min(self.size, self.cycles, self.look) < 1:
            raise InputError("size, cycles and look must be at least 1")

    def prepare(self, system: Shifted, scale: Tensor, damp: Damp) -> Inverse:
        """Measure in units of the tolerance, so that no component is too small to be seen."""

        def inverse(present: Shifted, right: Tensor) -> Tensor:
            product = present.product()
            found = self._cycles(
                lambda v: product(damp(v * scale, False)) / scale, right / scale, self.rtol, self.cycles
            )[0]
            return damp(found * scale, False)

        return inverse

    def invert(self, system: Shifted, right: Tensor, damp: Damp, transposed: bool) -> Tensor:
        """Solve to ``exact``; warns where that is not reached."""
        product = system.transposed() if transposed else system.product()
        floor = max(self.exact, 20.0 * torch.finfo(right.dtype).eps)
        found, residual = self._cycles(lambda v: product(damp(v, transposed)), right, floor, 10 * self.cycles)
        if bool((residual > 1e3 * floor).any()):
            warnings.warn(
                f"a gradient through an implicit step is exact to {float(residual.max()):.1e} only: "
                "give Gmres more vectors (size=) or cycles, or use Dense()",
                stacklevel=2,
            )
        return damp(found, transposed)

    def _cycles(self, product: Product, right: Tensor, rtol: float, cycles: int) -> tuple[Tensor, Tensor]:
        x, residual = gmres(product, right, rtol, self.size, self.look)
        whole = torch.linalg.vector_norm(right, dim=1)
        for _ in range(cycles - 1):
            if not bool((residual > rtol).any()):
                break
            rest = right - product(x)
            left = torch.linalg.vector_norm(rest, dim=1) / torch.where(whole > 0, whole, 1.0)
            # Samples that are done get a zero right side, and so no correction: each keeps what it had alone.
            rest = torch.where((residual > rtol)[:, None], rest, 0.0)
            more, relative = gmres(product, rest, rtol, self.size, self.look)
            x, residual = x + more, torch.where(residual > rtol, left * relative, residual)
        return x, residual

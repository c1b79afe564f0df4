<<<<<<< HEAD
r"""GMRES for a batch of linear systems, each sample with its own Krylov space.

Symbols: ``M`` the operator, ``V`` orthonormal basis ``[b, k, n]``, ``H`` Hessenberg matrix ``[b, k + 1, k]``.
"""

from collections.abc import Callable
=======
"""GMRES on a batch of systems at once: every sample its own space, its own end, no branch per sample.

Symbols: ``V`` orthonormal basis, ``Q`` product of the rotations, ``R`` the triangle they leave, ``beta`` = |b|.
"""

from collections.abc import Callable
from typing import NamedTuple
>>>>>>> ed5547c (Implicit methods for stiff equations: Kvaerno 3(2) and 5(4), Newton by dense or Krylov solves, gradients by the implicit function theorem)

import torch
from torch import Tensor

<<<<<<< HEAD

def gmres(
    product: Callable[[Tensor], Tensor], right: Tensor, rtol: float, size: int, look: int = 4
) -> tuple[Tensor, Tensor]:
    """Minimise ``|right - M x|`` over Krylov spaces of at most ``size`` vectors, from x = 0.

    Parameters
    ----------
    product
        v -> M v on ``[b, n]``, sample by sample.
    right
        ``[b, n]``.
    rtol
        Residual, relative to ``right``, at which the space is large enough in every sample.
    size
        Largest space, for one cycle; call again with the residual to restart.
    look
        Vectors between two looks of the host at the residuals; nothing else waits for the device.

    Returns
    -------
    tuple
        x ``[b, n]`` and the relative residuals ``[b]`` (zero where ``right`` is zero).

    References
    ----------
    Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986). Gram--Schmidt is done twice, which is as orthogonal
    as rotations and made of matrix products.

    Examples
    --------
    >>> matrix = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    >>> x, _ = gmres(lambda v: v @ matrix.T, torch.tensor([[3.0, 3.0]]), 1e-6, 2)
    >>> torch.allclose(x, torch.ones(1, 2), atol=1e-5)
    True
    """
    batch, width = right.shape
    size = min(size, width)
    beta = torch.linalg.vector_norm(right, dim=1)
    basis = right.new_zeros(batch, size + 1, width)
    hessenberg = right.new_zeros(batch, size + 1, size)
    basis[:, 0] = _unit(right, beta)
    for k in range(size):
        _extend(product(basis[:, k]), basis, hessenberg, k)
        last = k + 1 == size
        if last or (k + 1) % look == 0:
            weights, residual = _least(hessenberg[:, : k + 2, : k + 1])
            if last or not bool((residual > rtol).any()):
                break
    x = (basis[:, : k + 1].mT @ (weights * beta[:, None, None])).squeeze(2)
    return x, residual * (beta > 0)


def _unit(v: Tensor, norm: Tensor) -> Tensor:
    return v / torch.where(norm > 0, norm, 1.0)[:, None]


def _extend(image: Tensor, basis: Tensor, hessenberg: Tensor, k: int) -> None:
    """Add a vector to the basis; a space that is exhausted gets zeros, which stay zeros."""
    known = basis[:, : k + 1]
    before = torch.linalg.vector_norm(image, dim=1)
    for _ in range(2):
        parts = known @ image[:, :, None]
        image = image - (known.mT @ parts).squeeze(2)
        hessenberg[:, : k + 1, k] += parts.squeeze(2)
    norm = torch.linalg.vector_norm(image, dim=1)
    new = norm > 10.0 * torch.finfo(image.dtype).eps * before
    basis[:, k + 1] = torch.where(new[:, None], _unit(image, norm), 0.0)
    hessenberg[:, k + 1, k] = torch.where(new, norm, 0.0)
    # A zero vector has a zero column: a one on the diagonal keeps the small system regular, its weight is zero.
    dead = torch.linalg.vector_norm(basis[:, k], dim=1) == 0
    hessenberg[:, k, k] = torch.where(dead, 1.0, hessenberg[:, k, k])


def _least(hessenberg: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the small least-squares problem for e_1; return the weights ``[b, k, 1]`` and the residual ``[b]``."""
    q, r = torch.linalg.qr(hessenberg, mode="complete")
    first = q[:, 0, :, None]
    return torch.linalg.solve_triangular(r[:, :-1], first[:, :-1], upper=True), first[:, -1, 0].abs()
=======
_LOOK = 4  # vectors between two looks of the host whether all samples are done


class Krylov(NamedTuple):
    """A solution ``[b, n]`` and the norm ``[b]`` of its residual relative to the right side."""

    x: Tensor
    residual: Tensor


def gmres(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    rtol: float,
    size: int,
    precondition: Callable[[Tensor], Tensor] | None = None,
) -> Krylov:
    """Solve A x = b in every sample, b ``[b, n]``, by one cycle of at most ``size`` vectors.

    A sample that is done, or whose space is exhausted, goes on with zero vectors, which change nothing.

    Parameters
    ----------
    apply
        Multiplies by A, ``[b, n] -> [b, n]``.
    b
        Right sides.
    rtol
        A sample is done when its residual is below ``rtol`` times the norm of b.
    size
        Most vectors; the memory of ``size + 1`` states is needed.
    precondition
        Multiplies by an approximate inverse of A, from the right.

    References
    ----------
    Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986); orthogonalised twice (Giraud et al., 2005).

    Examples
    --------
    >>> A = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    >>> gmres(lambda v: v @ A.T, torch.tensor([[3.0, 3.0]], dtype=torch.float64), 1e-12, 2).x.round(decimals=9)
    tensor([[1., 1.]], dtype=torch.float64)
    """
    size = min(size, b.shape[1])
    beta = torch.linalg.vector_norm(b, dim=1)
    V = b.new_zeros(len(b), size + 1, b.shape[1])
    V[:, 0] = b / torch.where(beta > 0.0, beta, 1.0)[:, None]
    Q = torch.eye(size + 1, dtype=b.dtype, device=b.device).repeat(len(b), 1, 1)
    R = b.new_zeros(len(b), size, size)
    count = size
    for j in range(size):
        w = apply(V[:, j] if precondition is None else precondition(V[:, j]))
        w, h, rest = _orthogonal(V[:, : j + 1], w)
        column = torch.bmm(Q[:, : j + 2, : j + 2], torch.cat([h, rest[:, None, None]], dim=1))[:, :, 0]
        _rotate(Q, R, column, j)
        live = (Q[:, j + 1, 0].abs() > rtol) & (rest > 0.0)
        V[:, j + 1] = w * torch.where(live, 1.0 / rest, 0.0)[:, None]
        if (j + 1) % _LOOK == 0 and j + 1 < size and not bool(live.any()):
            count = j + 1
            break
    right = Q[:, :count, :1] * beta[:, None, None]
    y = torch.linalg.solve_triangular(R[:, :count, :count], right, upper=True)
    x = torch.bmm(y.mT, V[:, :count])[:, 0]
    return Krylov(x if precondition is None else precondition(x), Q[:, count, 0].abs())


def _orthogonal(V: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what is left of ``w``, its coefficients on V, and its norm: 0 where round-off is all that is left."""
    before = torch.linalg.vector_norm(w, dim=1)
    wide = w[:, :, None]
    h = torch.bmm(V, wide)
    wide = torch.baddbmm(wide, V.mT, h, alpha=-1.0)
    again = torch.bmm(V, wide)
    w = torch.baddbmm(wide, V.mT, again, alpha=-1.0)[:, :, 0]
    rest = torch.linalg.vector_norm(w, dim=1)
    return w, h + again, torch.where(rest > 10.0 * torch.finfo(w.dtype).eps * before, rest, 0.0)


def _rotate(Q: Tensor, R: Tensor, column: Tensor, j: int) -> None:
    """Turn the entry below the diagonal into zero."""
    a, c = column[:, j], column[:, j + 1]
    radius = torch.hypot(a, c)
    # A column of zeros belongs to a zero vector: any diagonal does, and the residual moves on by a row.
    some = radius > 0.0
    safe = torch.where(some, radius, 1.0)
    cos, sin = torch.where(some, a / safe, 0.0), torch.where(some, c / safe, 1.0)
    R[:, :j, j], R[:, j, j] = column[:, :j], safe
    turn = torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2)
    Q[:, j : j + 2] = torch.bmm(turn, Q[:, j : j + 2])
>>>>>>> ed5547c (Implicit methods for stiff equations: Kvaerno 3(2) and 5(4), Newton by dense or Krylov solves, gradients by the implicit function theorem)

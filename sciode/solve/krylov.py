r"""GMRES for a batch of linear systems, each sample with its own Krylov space.

Symbols: ``M`` the operator, ``V`` orthonormal basis ``[b, k, n]``, ``H`` Hessenberg matrix ``[b, k + 1, k]``.
"""

from collections.abc import Callable

import torch
from torch import Tensor


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

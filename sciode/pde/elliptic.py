r"""Steady problems with given values on the border: Poisson, Helmholtz and Darcy, batched at the interface.

Symbols: ``f`` source, ``a`` coefficient, ``b`` value on the border, ``h`` spacing. Poisson and Helmholtz live on
points that include the border, ``x_i = i L / (n - 1)``; Darcy lives at cell centres, ``x_i = (i + 1/2) L / n``.
"""

import math
from functools import cache

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from sciode.core.errors import InputError


def poisson(source: Tensor, length: float = 1.0) -> Tensor:
    r"""Solve :math:`-\Delta u = f`, u = 0 on the border, for a batch: fourth order.

    The compact nine-point formula (Mehrstellenverfahren)

    .. math::
        -\left(\delta_x^2 + \delta_y^2 + \tfrac{h^2}{6}\delta_x^2\delta_y^2\right) u
        = f + \tfrac{h^2}{12}(\delta_x^2 + \delta_y^2) f

    is diagonal in sines: four matrix products solve the batch, on any device, differentiably.

    Parameters
    ----------
    source
        f, ``"... n n"`` on n >= 4 points per side with the border, per length^2 in the unit of u.
    length
        Side of the square.

    Returns
    -------
    Tensor
        u like ``source``, zero on the border.

    Raises
    ------
    InputError
        For a field that is not real and square, or a length that is not positive.

    References
    ----------
    Collatz, The Numerical Treatment of Differential Equations (1960), for the formula; Herde et al.,
    arXiv:2405.19101, appendix B, Poisson-Gauss.

    Examples
    --------
    >>> x = torch.linspace(0, 1, 33, dtype=torch.float64)
    >>> u = torch.sin(math.pi * x)[:, None] * torch.sin(2 * math.pi * x)
    >>> bool((poisson(5 * math.pi**2 * u) - u).abs().max() < 1e-4)
    True
    """
    n = _side(source, length, "source")
    h = length / (n - 1)
    sines, rate = (part.to(source) for part in _sine_basis(n - 2))
    mu = rate / h**2  # of -delta^2
    inner, rows, columns = source[..., 1:-1, 1:-1], source[..., :, 1:-1], source[..., 1:-1, :]
    curved = rows[..., 2:, :] + rows[..., :-2, :] + columns[..., 2:] + columns[..., :-2] - 4 * inner
    right = sines @ (inner + curved / 12) @ sines
    total = mu[:, None] + mu[None, :] - h**2 / 6 * mu[:, None] * mu[None, :]
    return torch.nn.functional.pad(sines @ (right / total) @ sines, (1, 1, 1, 1))


@cache
def _sine_basis(m: int) -> tuple[Tensor, Tensor]:
    """Return the orthonormal, symmetric sine matrix ``[m, m]`` and the eigenvalues ``[m]`` of (-1, 2, -1)."""
    with torch.inference_mode(False):
        k = torch.arange(1, m + 1, dtype=torch.float64) * (math.pi / (m + 1))
        j = torch.arange(1, m + 1, dtype=torch.float64)
        return math.sqrt(2 / (m + 1)) * torch.sin(k[:, None] * j), 4 * torch.sin(0.5 * k).square()


def helmholtz(
    coefficient: Tensor,
    border: Tensor,
    source: Tensor | None = None,
    frequency: float = 2.5 * math.pi,
    length: float = 1.0,
) -> Tensor:
    r"""Solve :math:`-\Delta u - \omega^2 a(x)\,u = f`, u = b on the border, for a batch: second order.

    Five-point formula, one sparse direct factorisation a sample: the matrix is indefinite, and an
    iteration would find that out slowly. Computed in float64 on the CPU, returned like ``coefficient``.

    Parameters
    ----------
    coefficient
        a, ``"b 1 n n"`` on n >= 4 points per side with the border.
    border
        b, ``"b 1 n n"``; only its values on the border count.
    source
        f, ``"b 1 n n"``; zero by default.
    frequency
        omega, 1/length where a has no unit.
    length
        Side of the square.

    Returns
    -------
    Tensor
        u, ``"b 1 n n"``, equal to ``border`` on the border.

    Raises
    ------
    InputError
        For fields of other shapes, or a frequency at which the discrete problem is singular.

    References
    ----------
    Herde et al., arXiv:2405.19101, appendix B, Helmholtz.

    Examples
    --------
    A plane wave:

    >>> x = torch.linspace(0, 1, 65, dtype=torch.float64)
    >>> u = torch.sin(3 * x)[:, None].expand(1, 1, 65, 65)
    >>> bool((helmholtz(torch.ones_like(u), u, frequency=3.0) - u).abs().max() < 1e-3)
    True
    """
    n = _side(coefficient, length, "coefficient", batched=True)
    f = torch.zeros_like(coefficient) if source is None else source
    for name, field in (("border", border), ("source", f)):
        if field.shape != coefficient.shape:
            raise InputError(
                f"the {name} has the shape of the coefficient, {list(coefficient.shape)}, "
                f"found {list(field.shape)}"
            )
    m, h = n - 2, length / (n - 1)
    line = sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(m, m)) / h**2
    laplacian = sparse.kronsum(line, line, format="csc")
    a, b, f = (part.detach().to("cpu", torch.float64)[:, 0] for part in (coefficient, border, f))
    edge = b.clone()
    edge[:, 1:-1, 1:-1] = 0
    right = (
        f[:, 1:-1, 1:-1] + (edge[:, 2:, 1:-1] + edge[:, :-2, 1:-1] + edge[:, 1:-1, 2:] + edge[:, 1:-1, :-2]) / h**2
    )
    for number, (medium, load) in enumerate(zip(a, right, strict=True)):
        diagonal = frequency**2 * medium[1:-1, 1:-1].numpy().ravel()
        inner = _direct(laplacian - sparse.diags(diagonal), load.numpy().ravel(), f"sample {number}: Helmholtz")
        edge[number, 1:-1, 1:-1] = torch.from_numpy(inner.reshape(m, m))
    return edge[:, None].to(coefficient)


def darcy(permeability: Tensor, source: Tensor | float = 1.0, length: float = 1.0) -> Tensor:
    r"""Solve :math:`-\nabla\cdot(a \nabla u) = f`, u = 0 on the border, for a batch.

    Second order where a is smooth. Finite volumes: the flux between two cells is that of the harmonic mean of
    their permeabilities, which is exact where a jumps on a face; the walls are half a cell away. One sparse
    direct solve a sample, in float64 on the CPU, returned like ``permeability``. The discrete flux through the
    walls equals the source to round-off.

    Parameters
    ----------
    permeability
        a > 0, ``"b 1 n n"`` at the centres of n >= 4 cells per side.
    source
        f, a number or ``"b 1 n n"``.
    length
        Side of the square.

    Returns
    -------
    Tensor
        u, ``"b 1 n n"``.

    Raises
    ------
    InputError
        For a permeability that is not positive, or fields of other shapes.

    References
    ----------
    PDEBench, arXiv:2210.07182, section D.6, with a in {0.1, 1} and f = 1 (its beta).

    Examples
    --------
    >>> u = darcy(torch.ones(1, 1, 32, 32, dtype=torch.float64))
    >>> round(u.max().item(), 3)  # 0.07367 in the middle of the square
    0.074
    """
    n = _side(permeability, length, "permeability", batched=True)
    lowest = permeability.min().item()
    if not lowest > 0:
        raise InputError(f"a permeability is positive everywhere, found {lowest}")
    a = permeability.detach().to("cpu", torch.float64)[:, 0].numpy()
    f = torch.as_tensor(source).detach().to("cpu", torch.float64)
    if f.dim() and f.shape != permeability.shape:
        raise InputError(
            f"the source is a number or has the shape of the permeability, {list(permeability.shape)}, "
            f"found {list(f.shape)}"
        )
    load = (f.expand(permeability.shape) * (length / n) ** 2).numpy()
    u = np.stack(
        [
            _direct(_darcy_matrix(medium), right.ravel(), f"sample {number}: Darcy").reshape(n, n)
            for number, (medium, right) in enumerate(zip(a, load, strict=True))
        ]
    )
    return torch.from_numpy(u)[:, None].to(permeability)


def _darcy_matrix(a: np.ndarray) -> sparse.csc_matrix:
    """Return the finite-volume matrix of one sample, times h^2."""
    n = len(a)
    index = np.arange(n * n).reshape(n, n)
    down, right = 2 * a[1:] * a[:-1] / (a[1:] + a[:-1]), 2 * a[:, 1:] * a[:, :-1] / (a[:, 1:] + a[:, :-1])
    face = np.concatenate([down.ravel(), right.ravel()])
    one = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    other = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    diagonal = np.zeros((n, n))
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        diagonal[edge] += 2 * a[edge]  # the wall is half a cell away
    total = diagonal.ravel() + np.bincount(one, face, n * n) + np.bincount(other, face, n * n)
    rows, columns = np.concatenate([one, other, index.ravel()]), np.concatenate([other, one, index.ravel()])
    return sparse.csc_matrix((np.concatenate([-face, -face, total]), (rows, columns)), shape=(n * n, n * n))


def _direct(matrix: sparse.spmatrix, right: np.ndarray, name: str) -> np.ndarray:
    try:
        solution = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(right)
    except RuntimeError as error:  # scipy's word for an exact zero pivot
        raise InputError(f"{name} has no unique solution ({error}); change the frequency") from error
    # A pivot of round-off gives finite numbers without meaning: they are out of all proportion to the data.
    growth = np.abs(matrix).max() * np.abs(solution).max()
    if not growth <= 1e12 * np.abs(right).max():
        raise InputError(f"{name} is singular to round-off; change the frequency")
    return np.asarray(solution)


def _side(field: Tensor, length: float, name: str, batched: bool = False) -> int:
    square = field.dim() >= 2 and field.shape[-1] == field.shape[-2] >= 4 and field.is_floating_point()
    if not square or (batched and (field.dim() != 4 or field.shape[1] != 1)):
        wanted = "b 1 n n" if batched else "... n n"
        raise InputError(f"the {name} is real, '{wanted}' with n >= 4, found {field.dtype} {list(field.shape)}")
    if not (length > 0 and math.isfinite(length)):
        raise InputError(f"the side of the square is positive, found {length}")
    return field.shape[-1]

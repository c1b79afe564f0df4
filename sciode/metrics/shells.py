"""Isotropic shells of wave numbers: which shell each Fourier mode falls in, and how much energy a shell holds.

Shell j holds the modes with j <= kappa < j + 1, where kappa = L0 |k| / (2 pi) and L0 is the longest side of the
domain: on a cube kappa is the Euclidean norm of the integer mode numbers. Every mode of every orthant is in one
shell, corners included, so the shells add up to the mean square (Parseval).
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.metrics.layout import check_lengths, check_trajectory

# kappa of a mode exactly on a shell's edge may fall short by rounding when side lengths are in a ratio such as 3.
_EDGE = 1e-9


@lru_cache(maxsize=16)
def _shells(points: tuple[int, ...], lengths: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Return the shell (int64) and the multiplicity (float64) of each mode of ``rfftn``, both flat ``[modes]``."""
    longest = max(lengths)
    square = torch.zeros((), dtype=torch.float64)
    for axis, (n, length) in enumerate(zip(points, lengths, strict=True)):
        cycles = torch.fft.rfftfreq if axis == len(points) - 1 else torch.fft.fftfreq
        mode = cycles(n, d=1 / n, dtype=torch.float64).round() * (longest / length)
        square = square.unsqueeze(-1) + mode**2
    last = points[-1]
    twice = torch.full((last // 2 + 1,), 2.0, dtype=torch.float64)
    twice[0] = 1
    if last % 2 == 0:
        twice[-1] = 1
    return (square.sqrt() + _EDGE).floor().long().flatten(), twice.expand(square.shape).flatten()


def shell_energy(u: Float[Tensor, "b t c *n"], lengths: tuple[float, ...]) -> Float[Tensor, "b t c shells"]:
    """Return the part of the mean square of each field that each shell holds; no checks."""
    points = tuple(u.shape[3:])
    shell, weight = (table.to(u.device) for table in _shells(points, lengths))
    modes = torch.fft.rfftn(u, dim=tuple(range(3, u.ndim)), norm="forward").flatten(3)
    energy = (modes.real**2 + modes.imag**2) * weight.to(u.dtype)
    count = int(_shells(points, lengths)[0].max()) + 1
    return energy.new_zeros(*energy.shape[:3], count).index_add(3, shell, energy)


def spectrum(
    u: Float[Tensor, "b t c *n"], lengths: Sequence[float] | None = None
) -> Float[Tensor, "b t c shells"]:
    r"""Isotropic energy spectrum: :math:`E_j = \sum_{j \le \kappa < j+1} |\hat u|^2`, over all orthants.

    With :math:`\hat u` the Fourier coefficients (amplitude of each mode), the shells add up to the mean square
    of the field. There is no factor 1/2 and no division by the width of a shell.

    Parameters
    ----------
    u
        Trajectories "b t c \*n" on a uniform periodic grid, 1 to 3 space axes.
    lengths
        Domain length per space axis, unit of x; default 1 on each. Only their ratios matter here.

    Returns
    -------
    Energies "b t c shells", unit of u²; the wave number of shell j starts at :func:`shell_wavenumbers` ``[j]``.

    References
    ----------
    Pope, Turbulent Flows (2000), section 6.5, doi:10.1017/CBO9780511840531.

    Examples
    --------
    >>> x = torch.arange(32) / 32
    >>> energy = spectrum(torch.sin(2 * math.pi * 5 * x).reshape(1, 1, 1, 32))
    >>> int(energy.argmax()), round(float(energy.sum()), 6)
    (5, 0.5)
    """
    u = check_trajectory(u, "u")
    return shell_energy(u, check_lengths(lengths, u.shape[3:]))


def shell_wavenumbers(points: Sequence[int], lengths: Sequence[float] | None = None) -> Float[Tensor, " shells"]:
    """Return the lowest wave number :math:`2 \\pi j / L_0` of each shell, float64, in radians per unit of x.

    ``points`` are the cells per space axis, ``lengths`` the domain lengths (default 1), L0 the longest of them.

    >>> shell_wavenumbers((8,), (2 * math.pi,)).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    sides = check_lengths(lengths, points)
    count = int(_shells(tuple(points), sides)[0].max()) + 1
    return torch.arange(count, dtype=torch.float64) * (2 * math.pi / max(sides))

"""A periodic box and the symbols of the operators on it.

Symbols: ``n`` points, ``L`` length, ``k`` wave number 2 pi j / L, half spectrum on the last axis (``rfftn``).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sciode.core.errors import InputError


@dataclass(frozen=True)
class Grid:
    """Uniform points on a periodic box: ``x_j = j L / n``.

    Parameters
    ----------
    points
        Points per axis, each at least 4.
    lengths
        Length of the box per axis, in the unit of x.

    Examples
    --------
    >>> grid = Grid((8,), (2 * math.pi,))
    >>> grid.wavenumber(0).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    >>> grid.derivative(0).imag.tolist()
    [0.0, 1.0, 2.0, 3.0, 0.0]
    """

    points: tuple[int, ...]
    lengths: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.points) != len(self.lengths) or not self.points:
            raise InputError(
                f"a grid takes one length per axis, found points {self.points}, lengths {self.lengths}"
            )
        if any(n < 4 for n in self.points):
            raise InputError(f"a spectral grid takes at least 4 points per axis, found {self.points}")
        if any(not (length > 0 and math.isfinite(length)) for length in self.lengths):
            raise InputError(f"lengths must be positive, found {self.lengths}")

    @property
    def dimensions(self) -> int:
        """Number of space axes."""
        return len(self.points)

    def coordinates(self) -> tuple[Tensor, ...]:
        """Return the mesh, one float64 tensor ``[*n]`` per axis (``ij`` indexing)."""
        axes = [
            torch.arange(n, dtype=torch.float64) * (L / n) for n, L in zip(self.points, self.lengths, strict=True)
        ]
        return torch.meshgrid(*axes, indexing="ij")

    def wavenumber(self, axis: int) -> Tensor:
        """Return k along ``axis``, float64, shaped to broadcast over the half spectrum ``[*k]``."""
        n, spacing = self.points[axis], self.lengths[axis] / self.points[axis]
        last = axis == self.dimensions - 1
        cycles = torch.fft.rfftfreq if last else torch.fft.fftfreq
        k = 2 * math.pi * cycles(n, d=spacing, dtype=torch.float64)
        return k.reshape([-1 if a == axis else 1 for a in range(self.dimensions)])

    def derivative(self, axis: int, order: int = 1) -> Tensor:
        """Return the symbol (i k)^order, complex128 for odd orders and float64 for even ones.

        An odd derivative has no real value at the Nyquist mode of an even grid; it is zero there.
        """
        k = self.wavenumber(axis)
        if order % 2 == 0:
            return (-1.0) ** (order // 2) * k**order
        n = self.points[axis]
        if n % 2 == 0:
            nyquist = math.pi * n / self.lengths[axis]
            k = torch.where(k.abs() > nyquist * (1 - 1e-9), torch.zeros_like(k), k)
        return (1j) ** order * k.to(torch.complex128) ** order

    @cached_property
    def laplacian(self) -> Tensor:
        """The symbol -(kx^2 + ky^2 + ...), float64 ``[*k]``."""
        total = self.derivative(0, 2)
        for axis in range(1, self.dimensions):
            total = total + self.derivative(axis, 2)
        return total

    def dealias(self, fraction: float = 2 / 3) -> Tensor:
        """Return the mask of kept modes, 1 where every ``|k_i| < fraction * k_nyquist``, float64 ``[*k]``.

        2/3 removes the aliases of a quadratic nonlinearity, 1/2 those of a cubic one (Orszag 1971).
        """
        mask = torch.ones((), dtype=torch.float64)
        for axis, (n, length) in enumerate(zip(self.points, self.lengths, strict=True)):
            edge = fraction * math.pi * n / length
            mask = mask * (self.wavenumber(axis).abs() < edge * (1 - 1e-9)).to(torch.float64)
        return mask

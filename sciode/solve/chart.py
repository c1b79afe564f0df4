r"""Coordinates in which an equation is solved: an invertible linear map y <-> x, and a clock s <-> t.

Law: ``leave(enter(x, s), s) == x``, and both are linear. The spectral charts diagonalise constant-coefficient
operators, so that a PDE becomes one scalar equation per mode.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time


class Chart(Protocol):
    """What a chart must offer: a clock, and at each of its times an invertible linear map."""

    def clock(self, t: Time) -> Time:
        """Return the clock s at the user's times ``t``: float64, strictly monotone, any shape."""
        ...

    def time(self, s: Time) -> Time:
        """Return the user's times at ``s``: the inverse of :meth:`clock`."""
        ...

    def enter(self, x: State, s: Time) -> State:
        """Go, at ``s``, from the user's variables to the ones that are integrated."""
        ...

    def leave(self, y: State, s: Time) -> State:
        """Come back."""
        ...


class SameClock:
    """For charts whose clock is the user's time."""

    def clock(self, t: Time) -> Time:
        """Return ``t``."""
        return t

    def time(self, s: Time) -> Time:
        """Return ``s``."""
        return s


@dataclass(frozen=True)
class Identity(SameClock):
    """The user's variables themselves."""

    def enter(self, x: State, s: Time | None = None) -> State:
        """Return ``x``."""
        return x

    def leave(self, y: State, s: Time | None = None) -> State:
        """Return ``y``."""
        return y


IDENTITY = Identity()


def _check_grid(x: State, points: tuple[int, ...], name: str) -> Tensor:
    wanted = " ".join(str(n) for n in points)
    if not isinstance(x, Tensor):
        raise InputError(f"a {name} chart takes one tensor 'b c {wanted}', found a tuple of {len(x)} tensors")
    if x.is_complex() or tuple(x.shape[-len(points) :]) != points or x.dim() < len(points) + 1:
        raise InputError(f"this equation takes a real state 'b c {wanted}', found {x.dtype} {list(x.shape)}")
    return x


@dataclass(frozen=True)
class Fourier(SameClock):
    """Periodic fields by the real FFT over the last ``len(points)`` axes.

    ``"b c *n"`` real -> ``"b c *k"`` complex, the last axis halved to ``n // 2 + 1``.

    >>> chart = Fourier((8,))
    >>> x = torch.randn(2, 1, 8, dtype=torch.float64)
    >>> chart.enter(x).shape, torch.allclose(chart.leave(chart.enter(x)), x)
    (torch.Size([2, 1, 5]), True)
    """

    points: tuple[int, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """The transformed axes, counted from the end."""
        return tuple(range(-len(self.points), 0))

    def enter(self, x: State, s: Time | None = None) -> State:
        """Transform; raises :class:`InputError` for a field on another grid."""
        return torch.fft.rfftn(_check_grid(x, self.points, "Fourier"), dim=self.dims)

    def leave(self, y: State, s: Time | None = None) -> State:
        """Transform back."""
        assert isinstance(y, Tensor)
        return torch.fft.irfftn(y, s=self.points, dim=self.dims)


@cache
def cosine_matrix(points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    r"""Return the orthonormal DCT-II matrix ``[k, n]``, :math:`C_{kj} \propto \cos(\pi k (j + 1/2) / n)`."""
    with torch.inference_mode(False):  # made once, and autograd may be the next to need it
        j = torch.arange(points, dtype=torch.float64)
        matrix = torch.cos(math.pi / points * j[:, None] * (j + 0.5)) * math.sqrt(2.0 / points)
        matrix[0] /= math.sqrt(2.0)
        return matrix.to(device=device, dtype=dtype)


@dataclass(frozen=True)
class Cosine(SameClock):
    """Fields with no flux through the walls, at cell centres, by the orthonormal DCT-II over the last axes.

    A dense matrix product: differentiable everywhere, and on the grids in use faster on a GPU than a
    cosine transform laid out through an FFT.

    >>> chart = Cosine((8, 6))
    >>> x = torch.randn(2, 1, 8, 6, dtype=torch.float64)
    >>> torch.allclose(chart.leave(chart.enter(x)), x)
    True
    """

    points: tuple[int, ...]

    def enter(self, x: State, s: Time | None = None) -> State:
        """Transform; raises :class:`InputError` for a field on another grid."""
        return self._apply(_check_grid(x, self.points, "cosine"), back=False)

    def leave(self, y: State, s: Time | None = None) -> State:
        """Transform back."""
        assert isinstance(y, Tensor)
        return self._apply(y, back=True)

    def _apply(self, x: Tensor, back: bool) -> Tensor:
        for axis, points in enumerate(self.points, start=-len(self.points)):
            matrix = cosine_matrix(points, x.dtype, x.device)
            operator = matrix if back else matrix.mT
            x = (x.movedim(axis, -1) @ operator).movedim(-1, axis)
        return x

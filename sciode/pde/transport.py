"""What the one-dimensional equations share: the quadratic flux."""

import torch
from torch import Tensor

from sciode.core.typing import State, Time
from sciode.solve import Drift
from sciode.spectral import Grid, Symbol


def quadratic_flux(grid: Grid, weight: float = 1.0) -> Drift:
    r"""Return the drift :math:`-w\,\partial_x (u^2/2)` in Fourier space, dealiased by the 2/3 rule.

    Two transforms a call; the derivative, the mask and the weight are one multiplier.
    """
    (points,) = grid.points
    flux = Symbol(-0.5 * weight * grid.derivative(0) * grid.dealias())

    def drift(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        u = torch.fft.irfft(y, n=points)
        return torch.fft.rfft(u * u).mul_(flux.like(y))

    return drift


def no_drift(s: Time, y: State) -> Tensor:
    """Return zero: the drift of a linear equation."""
    assert isinstance(y, Tensor)
    return torch.zeros_like(y)

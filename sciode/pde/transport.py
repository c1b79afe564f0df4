"""What the one-dimensional equations share: a quadratic term, and none at all."""

import torch
from torch import Tensor

from sciode.core.typing import State, Time
from sciode.solve import Drift, Scaled
from sciode.spectral import Grid, Symbol


def quadratic(points: int, multiplier: Symbol) -> Drift:
    """Return the drift whose Fourier coefficients are ``multiplier`` times those of u^2: two transforms."""

    def square(s: Time, y: State) -> Tensor:
        assert isinstance(y, Tensor)
        u = torch.fft.irfft(y, n=points)
        # In place where autograd does not need u again.
        return torch.fft.rfft(u.square() if u.requires_grad else u.pow_(2))

    return Scaled(square, multiplier)


def quadratic_flux(grid: Grid, weight: float = 1.0) -> Drift:
    r"""Return the drift :math:`-w\,\partial_x (u^2/2)` in Fourier space, dealiased by the 2/3 rule.

    The derivative, the mask and the weight are one multiplier.
    """
    return quadratic(grid.points[0], Symbol(-0.5 * weight * grid.derivative(0) * grid.dealias()))


def no_drift(s: Time, y: State) -> Tensor:
    """Return zero: the drift of a linear equation."""
    assert isinstance(y, Tensor)
    return torch.zeros_like(y)

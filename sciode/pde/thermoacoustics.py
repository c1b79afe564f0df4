r"""One acoustic mode of a combustor, its flame with a time lag, and turbulent noise.

.. math::
    \dot\eta = \omega v, \qquad
    \mathrm{d}v = \big(-\omega\eta - \alpha v + \beta(t)\, s \tanh(q / s)\big)\,\mathrm{d}t + \sigma\,\mathrm{d}W

q is v a time lag ago (n--tau model), carried by a chain of M stages of equal lag, which is what a flame does to a
front that arrives spread out: its transfer function is :math:`(1 + i\omega\tau/M)^{-M}`, tending to a pure delay.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.solve import Noise, Term

Gain = float | Callable[[Time], Tensor]


@dataclass(frozen=True)
class Combustor:
    """Numbers of a mode and its flame.

    Parameters
    ----------
    frequency : float
        Of the mode, Hz.
    damping : float
        alpha, 1/s.
    lag : float
        tau, s.
    stages : int
        M, of the chain that carries the delayed velocity.
    saturation : float
        s, in units of eta: where the flame stops growing with the velocity.
    noise : float
        sigma, per square root of a second.

    Examples
    --------
    >>> mode = Combustor()
    >>> round(mode.growth(0.0), 1), mode.growth(mode.critical_gain()) < 1e-6
    (-15.0, True)
    """

    frequency: float = 400.0
    damping: float = 30.0
    lag: float = 2e-4
    stages: int = 4
    saturation: float = 0.3
    noise: float = 0.15

    def __post_init__(self) -> None:
        for name in ("frequency", "damping", "lag", "saturation"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise InputError(f"{name} of a combustor is above zero, found {getattr(self, name)!r}")
        if self.stages < 1 or not self.noise >= 0:
            raise InputError(f"stages are at least 1 and noise not below zero: {self.stages!r}, {self.noise!r}")

    @property
    def omega(self) -> float:
        """Angular frequency, 1/s."""
        return 2.0 * math.pi * self.frequency

    def matrix(self, gain: float) -> np.ndarray:
        """Return the linearised system at rest, for (eta, v, chain), ``[2 + M, 2 + M]``."""
        size, rate = 2 + self.stages, self.stages / self.lag
        a = np.zeros((size, size))
        a[0, 1], a[1, 0], a[1, 1], a[1, -1] = self.omega, -self.omega, -self.damping, gain
        for j in range(2, size):
            a[j, j - 1], a[j, j] = rate, -rate
        return a

    def growth(self, gain: float) -> float:
        """Return the growth rate of the mode at rest, 1/s; above zero it goes unstable."""
        values = np.linalg.eigvals(self.matrix(gain))
        near = np.abs(np.abs(values.imag) - self.omega).argmin()
        return float(values[near].real)

    def critical_gain(self) -> float:
        """Return the gain at which the mode goes unstable, 1/s.

        Raises :class:`InputError` where the lag is such that the flame damps at any gain.
        """
        low, high = 0.0, 100.0 * self.damping
        if self.growth(high) < 0:
            raise InputError(f"a flame with a lag of {self.lag:g} s damps a mode of {self.frequency:g} Hz")
        for _ in range(80):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self.growth(middle) > 0 else (middle, high)
        return high

    def at_rest(self, count: int) -> Tensor:
        """Return states at rest, ``"b k"``, float64."""
        return torch.zeros(count, 2 + self.stages, dtype=torch.float64)


def thermoacoustic(mode: Combustor, gain: Gain, seed: int = 0) -> Term:
    """Return the equation of the states (eta, v, chain) ``"b k"``.

    Parameters
    ----------
    mode : Combustor
        Its numbers.
    gain : float or callable
        beta, 1/s: one number, or a function of time that returns one for each sample, ``[b]``.
    seed : int
        Of the noise.

    References
    ----------
    Crocco and Cheng, *Theory of combustion instability in liquid propellant rocket motors* (1956): the n--tau
    model; Noiray and Schuermans, *Deterministic quantities characterizing noise driven Hopf bifurcations in
    gas turbine combustors*, Int. J. Non-Linear Mech. 50 (2013), 152: the oscillator with noise.

    Examples
    --------
    >>> from sciode.solve import StochasticRungeKutta, solve, stochastic_tableaus
    >>> mode, solver = Combustor(), StochasticRungeKutta(stochastic_tableaus.SRA3)
    >>> solve(thermoacoustic(mode, 20.0), mode.at_rest(2), [0.0, 0.01], solver=solver, dt=5e-5).y.shape
    torch.Size([2, 2, 6])
    """
    rate = mode.stages / mode.lag

    def drift(t: Time, y: State) -> State:
        assert isinstance(y, Tensor)
        beta = gain(t).to(y) if callable(gain) else gain
        eta, v, late = y[:, 0], y[:, 1], y[:, -1]
        force = beta * mode.saturation * torch.tanh(late / mode.saturation)
        pushed = -mode.omega * eta - mode.damping * v + force
        return torch.cat([(mode.omega * v)[:, None], pushed[:, None], rate * (y[:, 1:-1] - y[:, 2:])], dim=1)

    def amplitude(t: Time, y: State) -> State:
        assert isinstance(y, Tensor)
        shape = torch.zeros_like(y)
        shape[:, 1] = mode.noise
        return shape

    return Term(drift, noise=Noise(amplitude, kind="additive", seed=seed))

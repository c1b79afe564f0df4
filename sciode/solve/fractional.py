r"""Equations driven by fractional noise, made Markov: a superposition of Ornstein--Uhlenbeck modes.

.. math:: B^H_t \approx \sum_k \omega_k \big(Y_k(t) - Y_k(0)\big), \qquad
          \mathrm{d}Y_k = -\gamma_k Y_k\,\mathrm{d}t + \mathrm{d}W,

all modes on one Wiener process. The weights minimise the mean square error over [0, T], in closed form: they
solve :math:`A \omega = b`, where b needs incomplete gamma functions, differentiated here with respect to H.

The kernel is :math:`(t - s)^{H - 1/2} / \Gamma(H + \tfrac12)` throughout. So the variance of type II
(Riemann--Liouville, from 0) is :math:`t^{2H} / (2H\,\Gamma(H + \tfrac12)^2)`, and that of type I (Mandelbrot--Van
Ness, from the infinite past) :math:`t^{2H} / (\Gamma(2H + 1) \sin \pi H)`.

Symbols: ``H`` Hurst index, ``T`` horizon, ``gamma`` rates, ``omega`` weights, ``K`` number of modes, ``a`` order
of an incomplete gamma function, ``x`` its argument.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.core.typing import State, Time, leaves
from sciode.solve.chart import IDENTITY
from sciode.solve.noise import Bank
from sciode.solve.phi import phi
from sciode.solve.term import Diagonal, Term

_SERIES = 220  # terms: enough for x up to 50, where the rest of the function is below float64
_FAR = 50.0
_NODES = 80  # of the Gauss--Laguerre rule, exact to float64 for x above 5


def lower_gamma(a: Tensor, x: Tensor) -> Tensor:
    r"""Return the regularised lower incomplete gamma function P(a, x), differentiable in ``a`` and ``x``.

    By :math:`P(a, x) = x^a e^{-x} \sum_n x^n / \Gamma(a + n + 1)`, all of whose terms are positive. Beyond x = 50
    it is 1 to float64 for the a of this module, 0.5 to 2.5.

    References
    ----------
    NIST Digital Library of Mathematical Functions, equation 8.7.1.

    Examples
    --------
    >>> round(lower_gamma(torch.tensor(1.0), torch.tensor(2.0)).item(), 9)  # 1 - exp(-2)
    0.864664717
    """
    a, x = torch.broadcast_tensors(a.to(torch.float64), x.to(torch.float64))
    near = x.clamp(max=_FAR)
    n = torch.arange(1, _SERIES, dtype=torch.float64, device=x.device)
    ratios = torch.log(near)[..., None] - torch.log(a[..., None] + n)
    powers = torch.cat([torch.zeros_like(near)[..., None], ratios.cumsum(-1)], dim=-1)
    logarithm = a * torch.log(near) - near - torch.lgamma(a + 1.0)
    return torch.where(x > _FAR, torch.ones_like(x), torch.exp(logarithm) * torch.exp(powers).sum(-1))


def scaled_upper_gamma(a: Tensor, x: Tensor) -> Tensor:
    r"""Return :math:`e^x Q(a, x)`, which does not overflow where :math:`e^x` does; differentiable.

    For x > 5 by :math:`e^x \Gamma(a, x) = x^{a-1} \int_0^\infty e^{-v} (1 + v/x)^{a-1}\,\mathrm{d}v`
    (Gauss--Laguerre), below it from P.

    >>> round(scaled_upper_gamma(torch.tensor(1.0), torch.tensor(900.0)).item(), 12)
    1.0
    """
    a, x = torch.broadcast_tensors(a.to(torch.float64), x.to(torch.float64))
    small, large = x.clamp(max=5.0), x.clamp(min=5.0)
    near = torch.exp(small) * (1.0 - lower_gamma(a, small))
    nodes, weights = (torch.from_numpy(v).to(x.device) for v in np.polynomial.laguerre.laggauss(_NODES))
    integral = ((1.0 + nodes / large[..., None]) ** (a[..., None] - 1.0) * weights).sum(-1)
    far = torch.exp((a - 1.0) * torch.log(large) - torch.lgamma(a)) * integral
    return torch.where(x > 5.0, far, near)


class Fit(NamedTuple):
    """Weights of the modes, and how well they do."""

    weights: Tensor  # omega, [K] float64
    error: Tensor  # mean square error over [0, T], relative to the mean variance, []


def fit(hurst: float | Tensor, rates: Tensor, horizon: float, two_sided: bool = False) -> Fit:
    r"""Return the weights that minimise :math:`\int_0^T \mathrm{E}(B^H_t - \hat B_t)^2\,\mathrm{d}t`.

    Parameters
    ----------
    hurst
        H in (0, 1); gradients go through.
    rates
        gamma, ``[K]``, > 0, 1/time.
    horizon
        T, in the unit of time.
    two_sided
        Type I instead of type II. Needs a smallest rate far below 1/T, for the infinite past.

    References
    ----------
    Daems, Opper, Crevecoeur and Birdal, *Variational inference for SDEs driven by fractional noise*, ICLR 2024;
    Harms and Stefanovits (2019).

    Examples
    --------
    >>> rates = torch.tensor([0.05, 0.5, 5.0], dtype=torch.float64)
    >>> bool(fit(0.5, rates, 1.0).error < 1e-2)
    True
    """
    H = torch.as_tensor(hurst, dtype=torch.float64, device=rates.device)
    g, T = rates.to(torch.float64), horizon
    a = H + 0.5
    together = g[:, None] + g
    if two_sided:
        one = g * phi(2, -g * T)
        A = T * T * (one[:, None] + one) / together
        tail = torch.exp(-g * T) - scaled_upper_gamma(a, g * T)
        b = 2.0 * T * g**-a - T**a / (g * torch.exp(torch.lgamma(H + 1.5))) + tail * g ** -(H + 1.5)
        total = T ** (2.0 * H + 1.0) / (
            (2.0 * H + 1.0) * torch.exp(torch.lgamma(2 * H + 1)) * torch.sin(math.pi * H)
        )
    else:
        A = T * T * phi(2, -together * T)
        b = T * g**-a * lower_gamma(a, g * T) - a * g ** -(a + 1.0) * lower_gamma(a + 1.0, g * T)
        total = T ** (2.0 * H + 1.0) / (2.0 * H * (2.0 * H + 1.0) * torch.exp(2.0 * torch.lgamma(a)))
    weights = torch.linalg.solve(A, b)
    # The whole square, and not its value at the exact optimum: what round-off leaves in the weights shows.
    error = 1.0 - (2.0 * b @ weights - weights @ A @ weights) / total
    return Fit(weights, error)


class Fractional(NamedTuple):
    """A term driven by fractional noise, in the variables (x, Y)."""

    term: Term  # of the state (x, Y): x is "b ...", Y is "b ... K"
    rates: Tensor  # gamma, [K] float64
    weights: Tensor  # omega, [K] float64, differentiable in H
    error: Tensor  # mean square error of the noise over the horizon, relative, []
    two_sided: bool

    def enter(self, x0: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return the first state (x0, Y0): Y0 is 0 for type II, and drawn from its stationary law for type I."""
        modes = x0.new_zeros(*x0.shape, len(self.rates))
        if not self.two_sided:
            return x0, modes
        rates = self.rates.detach().cpu()
        values, vectors = torch.linalg.eigh(1.0 / (rates[:, None] + rates))
        root = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.mT
        drawn = torch.empty_like(modes).normal_(generator=generator(seed, "fractional", device=x0.device))
        return x0, drawn @ root.to(modes)


def fractional(
    term: Term,
    hurst: float | Tensor,
    modes: int = 5,
    horizon: float = 1.0,
    dt: float | None = None,
    two_sided: bool = False,
    rates: Tensor | None = None,
) -> Fractional:
    r"""Replace the Wiener process of a term by fractional noise of Hurst index ``hurst``.

    .. math:: \mathrm{d}x = \Big(f - G \sum_k \omega_k \gamma_k Y_k\Big)\,\mathrm{d}t
              + G \sum_k \omega_k\,\mathrm{d}W, \qquad \mathrm{d}Y_k = -\gamma_k Y_k\,\mathrm{d}t + \mathrm{d}W.

    :class:`ExponentialEulerMaruyama` draws the modes exactly, jointly with W, so that no step is too long for
    the fastest of them; :class:`EulerMaruyama` needs dt max(gamma) well below 2.

    Parameters
    ----------
    term
        An equation with additive or diagonal noise, in the user's variables (no chart), of one real tensor.
    hurst
        H in (0, 1); a tensor ``[]`` gets gradients through the weights.
    modes
        K. For H < 0.2 no number of modes helps unless 1/dt is large: look at ``error``.
    horizon
        T, the length of time over which the noise is to be right, in the unit of t.
    dt
        The shortest time that matters, same unit; by default horizon / 100. The rates are spaced evenly in the
        logarithm from 0.1 / T (type I: 1e-4 / T, for the infinite past) to 2 / dt, whatever H, which may be
        learned.
    two_sided
        Type I (increments stationary) instead of type II (starts at rest).
    rates
        gamma, ``[K]``, > 0: your own instead.

    Raises
    ------
    InputError
        For H outside (0, 1), other kinds of noise, a chart, and times that are not positive.

    References
    ----------
    Daems, Opper, Crevecoeur and Birdal, *Variational inference for SDEs driven by fractional noise*, ICLR 2024.

    Examples
    --------
    >>> from sciode.solve import ExponentialEulerMaruyama, Noise, solve
    >>> noise = Noise(lambda s, y: torch.ones_like(y), kind="additive")
    >>> driven = fractional(Term(lambda s, y: -y, noise=noise), hurst=0.7)
    >>> start = driven.enter(torch.zeros(4, 1, dtype=torch.float64))
    >>> x, Y = solve(driven.term, start, [0.0, 1.0], solver=ExponentialEulerMaruyama(), dt=0.01).y
    >>> x.shape, bool(driven.error < 1e-4)
    (torch.Size([4, 2, 1]), True)
    """
    _check(term, hurst, modes, horizon, dt)
    if rates is None:
        low, high = (1e-4 if two_sided else 0.1) / horizon, 2.0 / (dt or horizon / 100.0)
        exponents = torch.linspace(0.0, 1.0, modes, dtype=torch.float64) if modes > 1 else torch.tensor([0.5])
        rates = low * (high / low) ** exponents.to(torch.float64)
        rates = rates.to(hurst.device) if isinstance(hurst, Tensor) else rates
    elif rates.dim() != 1 or not bool((rates > 0.0).all()):
        raise InputError(f"rates must be positive numbers [K], found {rates}")
    weights, error = fit(hurst, rates, horizon, two_sided)
    return Fractional(_extended(term, Bank(rates, weights)), rates, weights, error.detach(), two_sided)


def _check(term: Term, hurst: float | Tensor, modes: int, horizon: float, dt: float | None) -> None:
    value = float(hurst.detach()) if isinstance(hurst, Tensor) else hurst
    if not 0.0 < value < 1.0:
        raise InputError(f"hurst must lie between 0 and 1, found {value}")
    if term.noise is None or term.noise.kind not in ("additive", "diagonal"):
        found = "no noise" if term.noise is None else f"{term.noise.kind} noise"
        raise InputError(f"fractional noise drives terms with additive or diagonal noise, found {found}")
    if term.chart is not IDENTITY:
        raise InputError("fractional noise drives equations in the user's variables: leave out the chart")
    if modes < 1 or not horizon > 0.0 or (dt is not None and not 0.0 < dt < horizon):
        raise InputError(f"modes >= 1, horizon > 0, 0 < dt < horizon needed, found {modes}, {horizon}, {dt}")


def _extended(term: Term, bank: Bank) -> Term:
    noise = term.noise
    assert noise is not None
    pull = bank.weights * bank.rates

    def drift(s: Time, y: State) -> State:
        x, modes = leaves(y)
        f, G = term.drift(s, x), noise.amplitude(s, x)
        (slope,), (amplitude,) = leaves(f), leaves(G)
        return slope - amplitude * (modes @ pull.to(modes)), torch.zeros_like(modes)

    def amplitude(s: Time, y: State) -> State:
        return noise.amplitude(s, leaves(y)[0])

    base = term.linear.rates(1)[0] if term.linear is not None else 0.0
    driven = replace(noise, amplitude=amplitude, kind="fractional", bank=bank, growth=0.0)
    return replace(term, drift=drift, linear=Diagonal((base, -bank.rates)), noise=driven)

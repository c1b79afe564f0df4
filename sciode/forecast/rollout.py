r"""Forecasts as a stochastic differential equation: the shared solver takes the steps.

A one-step model :math:`y_{t+1} \sim N(\mu(y), \sigma^2(y))` is Euler--Maruyama, with a step of one tick, of

.. math:: \mathrm{d}y = (\mu(y) - y)\,\mathrm{d}s + \sigma(y)\,\mathrm{d}W,

and the last L values are its state. Every row is one sample of one member, which goes on from its own past.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.random import derive_seed
from sciode.core.typing import State, Time
from sciode.forecast.design import Design
from sciode.forecast.frame import Frame
from sciode.solve import EulerMaruyama, Noise, Term, solve

_ROWS = 2**16
"""Rows at once: bounds the memory of a forecast of many series."""


class OneStep(Protocol):
    """What forecasts the next tick: a set of members, each with a Gaussian."""

    @property
    def members(self) -> int:
        """How many."""
        ...

    def __call__(self, x: Float[Tensor, "m b i"], /) -> tuple[Float[Tensor, "m b"], Float[Tensor, "m b"]]:
        """Return mean and standard deviation of the target at the next tick, on the model's scale."""
        ...


@dataclass
class _Equation:
    """Drift and amplitude of rows ``"(m p s) l"``; both come from one evaluation of the model."""

    step: OneStep
    design: Design
    frame: Frame
    origin: Tensor
    each: int
    _seen: tuple[Tensor, Tensor, Tensor] | None = None

    def _model(self, s: Time, y: Tensor) -> tuple[Tensor, Tensor]:
        # Solvers ask for drift and amplitude of the very same state in turn.
        if self._seen is None or self._seen[0] is not y:
            members, (count, lags) = self.step.members, y.shape
            series = torch.arange(len(self.origin), device=y.device)
            ahead = s.round().long().expand(len(series))
            rest = self.design.known(self.frame, series, self.origin, ahead)
            _, measured = self.design.lagged(self.frame, series, self.origin + 1 + ahead)
            own = torch.arange(lags, device=y.device) < ahead[:, None]
            good = torch.where(own, 1.0, measured).to(y)
            rows = y.reshape(members * self.each, len(series), lags)
            shared = torch.cat([good, rest], dim=1).expand(len(rows), -1, -1)
            x = self.design.joined(
                rows.flatten(0, 1), shared[..., :lags].flatten(0, 1), shared[..., lags:].flatten(0, 1)
            )
            mean, std = self.step(x.reshape(members, count // members, -1))
            self._seen = (y, mean.reshape(-1), std.reshape(-1))
        return self._seen[1:]

    def drift(self, s: Time, y: State) -> State:
        """Move the newest value to the mean, and every other to its follower."""
        assert isinstance(y, Tensor)
        mean, _ = self._model(s, y)
        return torch.cat([mean[:, None], y[:, :-1]], dim=1) - y

    def amplitude(self, s: Time, y: State) -> State:
        """Return ``"b l 1"``: the newest value alone is moved by noise."""
        assert isinstance(y, Tensor)
        _, std = self._model(s, y)
        return torch.cat([std[:, None], torch.zeros_like(y[:, 1:])], dim=1)[..., None]


def roll(
    step: OneStep, design: Design, frame: Frame, origin: Tensor, horizon: int, each: int, seed: int
) -> Float[Tensor, "m p s h"]:
    """Return ``each`` sampled paths of every member for every series of a frame, on the model's scale.

    ``origin`` is the last measured tick of each series; plans must reach ``horizon`` ticks beyond.
    """
    width = max(_ROWS // (step.members * each), 1)
    found = []
    for first in range(0, len(origin), width):
        part = Frame(**{name: value[first : first + width] for name, value in vars(frame).items()})
        found.append(_rolled(step, design, part, origin[first : first + width], horizon, each, seed + first))
    return torch.cat(found, dim=2)


def mean_path(step: OneStep, design: Design, frame: Frame, origin: Tensor, horizon: int) -> Float[Tensor, "m s h"]:
    """Return the path of every member without noise; differentiable in the frame."""
    equation = _Equation(step, design, frame, origin, 1)
    path = _solved(Term(equation.drift), equation, horizon)
    return path.reshape(step.members, len(origin), horizon)


def _rolled(
    step: OneStep, design: Design, frame: Frame, origin: Tensor, horizon: int, each: int, seed: int
) -> Tensor:
    equation = _Equation(step, design, frame, origin, each)
    noise = Noise(equation.amplitude, kind="general", size=1, seed=derive_seed(seed, "forecast"))
    path = _solved(Term(equation.drift, noise=noise), equation, horizon)
    return path.reshape(step.members, each, len(origin), horizon)


def _solved(term: Term, equation: _Equation, horizon: int) -> Float[Tensor, "b h"]:
    series = torch.arange(len(equation.origin), device=equation.origin.device)
    lags, good = equation.design.lagged(equation.frame, series, equation.origin + 1)
    rows = equation.step.members * equation.each
    start = (lags * good).expand(rows, -1, -1).flatten(0, 1)
    ticks = [float(tick) for tick in range(horizon + 1)]
    path = solve(term, start, ticks, solver=EulerMaruyama(), dt=1.0).y
    assert isinstance(path, Tensor)
    return path[:, 1:, 0]

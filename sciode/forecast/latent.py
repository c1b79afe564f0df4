r"""Forecasts by a neural stochastic differential equation with hidden states, learned by a proper score.

.. math:: \mathrm{d}(y, h) = f(y, h, u(s))\,\mathrm{d}s + g(y, h, u(s))\,\mathrm{d}W, \qquad h(0) = e(x),

with the target y, hidden states h, the plan u, and an encoder e of all that was measured. The solver that takes
the steps of a forecast takes those of the training, and gradients pass through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.core.random import derive_seed, generator
from sciode.core.typing import State, Time
from sciode.forecast.base import Forecaster
from sciode.forecast.design import Design, windows
from sciode.forecast.frame import Frame
from sciode.forecast.learn import Training
from sciode.nn import BatchedMLP
from sciode.solve import EulerMaruyama, Noise, Term, solve

_PATHS = 8
"""Paths of each window in training."""


class LatentSDE(Forecaster):
    """Neural SDE of the target and hidden states, trained by energy score of paths and CRPS of leads.

    One model: its spread is aleatoric, its epistemic part is zero.

    Parameters
    ----------
    hidden : int
        Hidden states.
    width : int
        Of drift, diffusion and encoder, two hidden layers each.
    design, training
        What is looked at, and how it is trained; ``training.batch`` windows with 8 paths each.

    References
    ----------
    Issa et al., *Non-adversarial training of neural SDEs with signature kernel scores*, NeurIPS 2023, section 3:
    proper scores of paths; Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007), 359, equation (22): energy score.

    Examples
    --------
    >>> LatentSDE(hidden=4).hidden
    4
    """

    def __init__(
        self, hidden: int = 8, width: int = 64, design: Design | None = None, training: Training | None = None
    ) -> None:
        super().__init__(design)
        if hidden < 0 or width < 1:
            raise InputError(f"hidden states are from 0 up and a width from 1, found {hidden!r} and {width!r}")
        self.hidden, self.width = hidden, width
        self.training = training or Training(steps=400, batch=64, learning_rate=3e-3)

    def learn(self, frame: Frame, validation: Frame | None) -> "LatentStep":
        """Train on windows of the whole horizon; the weights of lowest score on the validation series are kept."""
        told, training = self.design, self.training
        plan = 2 * len(told.plans) * len(self.channels_.known)
        step = LatentStep(told.size(self.channels_), plan, self.hidden, self.width, training.seed)
        optimizer = torch.optim.Adam(step.parameters(), lr=training.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
        random = generator(training.seed, "latent")
        held = None if validation is None else _drawn(validation, told, 256, generator(training.seed, "held"))
        best, kept = float("inf"), None
        with progress("neural SDE, steps", training.steps, quiet=training.quiet) as bar:
            for number in range(training.steps):
                series, origin = _drawn(frame, told, training.batch, random)
                loss = self._score(step, frame, series, origin, derive_seed(training.seed, "path", number))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(step.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                if (number + 1) % 25 == 0 or number + 1 == training.steps:
                    if not torch.isfinite(loss.detach()):
                        raise InputError(f"the score is {loss.item()} at step {number + 1}: lower learning_rate")
                    if validation is not None and held is not None:
                        with torch.no_grad():
                            found = float(self._score(step, validation, *held, training.seed))
                        if found < best:
                            best, kept = found, {name: x.clone() for name, x in step.state_dict().items()}
                bar.advance(1)
        if kept is not None:
            step.load_state_dict(kept)
        return step.eval()

    def paths(self, frame: Frame, origin: Tensor, ahead: int, each: int, seed: int) -> Float[Tensor, "m p s h"]:
        """Return sampled paths, see :meth:`Forecaster.paths`."""
        assert isinstance(self.step_, LatentStep)
        series = torch.arange(len(origin), device=origin.device)
        return _Equation(self.step_, self.design, frame, series, origin).paths(ahead, each, seed)[None]

    def mean_path(self, frame: Frame, origin: Tensor, ahead: int) -> Float[Tensor, "m s h"]:
        """Return the path without noise."""
        assert isinstance(self.step_, LatentStep)
        series = torch.arange(len(origin), device=origin.device)
        return _Equation(self.step_, self.design, frame, series, origin).paths(ahead, 1, None)

    def _score(self, step: "LatentStep", frame: Frame, series: Tensor, origin: Tensor, seed: int) -> Tensor:
        """Return CRPS of leads plus energy score of paths, over what is there of the truth."""
        horizon = self.design.horizon
        at = origin[:, None] + 1 + torch.arange(horizon)
        truth, good = frame.target[series[:, None], at], frame.target_good[series[:, None], at]
        paths = _Equation(step, self.design, frame, series, origin).paths(horizon, _PATHS, seed)
        return proper_score(paths, truth, good)


def proper_score(paths: Float[Tensor, "p b h"], truth: Float[Tensor, "b h"], good: Float[Tensor, "b h"]) -> Tensor:
    """Return the fair CRPS of ticks plus the fair energy score of paths over the root of their length.

    >>> round(float(proper_score(torch.zeros(2, 1, 4), torch.ones(1, 4), torch.ones(1, 4))), 3)
    2.0
    """
    count = len(paths)
    off = (paths - truth) * good
    apart = (paths[:, None] - paths[None]) * good
    pairs = 2.0 * count * (count - 1)
    crps = (off.abs().sum((0, 1, 2)) / count - apart.abs().sum((0, 1, 2, 3)) / pairs) / good.sum()
    # A path's distance from itself has no slope.
    far = (apart.square().sum(-1) + 1e-12).sqrt().sum((0, 1)) - count * 1e-6
    energy = ((off.square().sum(-1) + 1e-12).sqrt().sum(0) / count - far / pairs) / good.shape[-1] ** 0.5
    return crps + energy.mean()


class LatentStep(nn.Module):
    """Encoder, drift and diffusion."""

    members = 1

    def __init__(self, inside: int, plan: int, hidden: int, width: int, seed: int = 0) -> None:
        super().__init__()
        self.sizes = (inside, plan, hidden, width)
        state = 1 + hidden + plan
        self.encoder = BatchedMLP(1, inside, 1 + hidden, width, 2, derive_seed(seed, "encoder"))
        self.drift = BatchedMLP(1, state, 1 + hidden, width, 2, derive_seed(seed, "drift"))
        self.diffusion = BatchedMLP(1, state, 1 + hidden, width, 2, derive_seed(seed, "diffusion"))

    def card(self) -> dict[str, Any]:
        """Return what :meth:`of` needs beside the tensors."""
        return {"kind": "sde", "sizes": list(self.sizes)}

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "LatentStep":
        """Return a step of the same shape, its weights still to be loaded."""
        return cls(*card["sizes"])

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b k"]:
        """Return the state at the origin: the last value, a guess where it is missing, and the hidden states."""
        found = self.encoder(x)[0]
        lags = (x[..., 0], x[..., self._mask])
        first = torch.where(lags[1] > 0, lags[0], found[..., 0])
        return torch.cat([first[..., None], torch.tanh(found[..., 1:])], dim=-1)

    _mask = 0  # set by the equation: where the mask of the last value is


@dataclass
class _Equation:
    step: LatentStep
    design: Design
    frame: Frame
    series: Tensor
    origin: Tensor

    def paths(self, ahead: int, each: int, seed: int | None) -> Float[Tensor, "p b h"]:
        """Return the target of ``each`` paths of every window; without noise where there is no seed."""
        lags, good = self.design.lagged(self.frame, self.series, self.origin + 1)
        rest = self.design.known(self.frame, self.series, self.origin, torch.zeros_like(self.origin))
        self.step._mask = self.design.lags
        start = self.step(self.design.joined(lags, good, rest)).expand(each, -1, -1)
        noise = None if seed is None else Noise(self._amplitude, kind="diagonal", seed=derive_seed(seed, "latent"))
        ticks = [float(tick) for tick in range(ahead + 1)]
        path = solve(Term(self._drift, noise=noise), start, ticks, solver=EulerMaruyama(), dt=1.0).y
        assert isinstance(path, Tensor)
        return path[:, :, 1:, 0] if path.shape[2] == ahead + 1 else path[:, 1:, :, 0].movedim(1, -1)

    def _inputs(self, s: Time, y: Tensor) -> Tensor:
        plan = self.step.sizes[1]
        if not plan:
            return y
        ahead = torch.as_tensor(s).round().long().to(self.origin.device).expand(len(self.origin))
        known = self.design.known(self.frame, self.series, self.origin, ahead)[:, -plan:]
        return torch.cat([y, known.expand(*y.shape[:-1], -1)], dim=-1)

    def _drift(self, s: Time, y: State) -> State:
        assert isinstance(y, Tensor)
        return 0.1 * self.step.drift(self._inputs(s, y).flatten(0, 1))[0].reshape(y.shape)

    def _amplitude(self, s: Time, y: State) -> State:
        assert isinstance(y, Tensor)
        return 0.2 * softplus(self.step.diffusion(self._inputs(s, y).flatten(0, 1))[0]).reshape(y.shape)


def _drawn(frame: Frame, design: Design, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return windows (series, origin) whose whole horizon is in the series."""
    series, tick = windows(frame, design)
    inside = tick - 1 + design.horizon < frame.target.shape[1]
    if not bool(inside.any()):
        raise InputError(f"no series holds {design.history} ticks of history and {design.horizon} of horizon")
    series, origin = series[inside], tick[inside] - 1
    chosen = torch.randint(len(series), (count,), generator=random)
    return series[chosen], origin[chosen]

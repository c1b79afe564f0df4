r"""Denoising MCMC: a Markov chain in (state, noise level), whose states are denoised.

The chain moves x by Langevin steps at its level, and the level by p(level | x), so that it visits the data's
modes where noise joins them and comes back with less noise left to remove. Chain and denoising are rows for the
shared loop; the rows of the denoising have one number a sample, since every sample starts at a level of its own.

Symbols: ``rho`` = sigma/alpha, ``eps`` noise, ``K`` number of levels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, each
from sciode.generative.check import check_denoiser, check_noise
from sciode.generative.denoiser import Denoise, Guidance, column, guided, to_noise
from sciode.generative.grid import karras
from sciode.generative.noise_level import NoiseLevel
from sciode.generative.noise_source import EachSample, sample_seeds
from sciode.generative.schedule import Schedule
from sciode.solve import FixedLoop, Noise, Steps, Term
from sciode.solve.recurrence import Move, Recurrence, Row

Visit: TypeAlias = tuple[Tensor, Tensor]
"""States ``"b ..."`` and the indices of their levels ``[b]``, in the states' dtype."""


@dataclass(frozen=True, eq=False)
class DenoisingMCMC:
    """Denoising Langevin-Gibbs sampling. Immutable. Made by :func:`sciode.generative.presets.denoising_mcmc`.

    Attributes
    ----------
    level
        The levels, and p(level | x).
    steps
        Heun steps of the denoising, the last one to zero noise.
    skip
        Steps of the chain between two samples.
    warmup
        Steps of the chain before the first sample.
    size
        Langevin steps: eta(sigma), ``[b] -> [b]``.
    posterior
        Draw the level; else take the likeliest.
    least
        Denoise the least noisy of ``skip`` visits; else the last.
    """

    level: NoiseLevel
    steps: int
    skip: int
    warmup: int
    size: Callable[[Tensor], Tensor]
    posterior: bool
    least: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        return "DLG"

    @property
    def schedule(self) -> Schedule:
        """The schedule."""
        return self.level.schedule

    @property
    def evaluations(self) -> int:
        """How often the network is called for one more sample of a chain."""
        return self.skip + 2 * self.steps - 1

    def sample(
        self,
        denoise: Denoise,
        noise: Tensor,
        *,
        seed: int | Sequence[int] = 0,
        guidance: Sequence[Guidance] = (),
    ) -> Tensor:
        """Turn noise ``"b ..."`` into data, one sample a chain; arguments as of :meth:`Sampler.sample`."""
        return self.samples(denoise, noise, 1, seed=seed, guidance=guidance)[:, 0]

    def samples(
        self,
        denoise: Denoise,
        noise: Tensor,
        count: int,
        *,
        seed: int | Sequence[int] = 0,
        guidance: Sequence[Guidance] = (),
    ) -> Tensor:
        """Return ``count`` samples of every chain, ``"b count ..."``: later ones need no warm-up.

        Samples of one chain depend on each other, the less the larger ``skip`` is.
        """
        x, index = self.chain(denoise, noise, count, seed=seed, guidance=guidance)
        windows = (len(noise), count, self.skip)
        index = index.reshape(windows)
        last = torch.full_like(index[..., :1], self.skip - 1, dtype=torch.long)
        best = index.argmax(2, keepdim=True) if self.least else last  # the levels fall
        index = index.gather(2, best)[..., 0]
        x = x.reshape(*windows, *noise.shape[1:])
        picked = best.reshape(*best.shape, *[1] * (noise.dim() - 1)).expand(-1, -1, -1, *noise.shape[1:])
        x = x.gather(2, picked)[:, :, 0]
        done = self.denoised(guided(denoise, guidance), x.flatten(0, 1), index.flatten())
        return done.reshape(x.shape)

    def chain(
        self,
        denoise: Denoise,
        noise: Tensor,
        count: int,
        *,
        seed: int | Sequence[int] = 0,
        guidance: Sequence[Guidance] = (),
    ) -> Visit:
        """Return the chain's ``count * skip`` visits after the warm-up: states ``"b n ..."``, levels ``[b,
        n]``."""
        if type(count) is not int or count < 1:
            raise InputError(f"a chain gives a whole number >= 1 of samples, found {count!r}")
        check_noise(noise, self.schedule)
        denoise = guided(denoise, guidance)
        check_denoiser(denoise, self.schedule, self.level.times)
        seeds = sample_seeds(seed, len(noise)) if isinstance(seed, int) else list(seed)
        total = self.warmup + count * self.skip
        clock = torch.zeros(total, dtype=torch.float64)  # a chain has no time: what counts is the level
        method = Recurrence([Row(None, (), move=self._move(noise))] * total, clock)
        steps = Steps(np.arange(total, dtype=float), np.ones(total), (0, *range(self.warmup + 1, total + 1)))
        begin = self.schedule.prior(noise, self.level.times[0]), noise.new_zeros(len(noise))
        visits: list[Any] = list(FixedLoop(method, self._equation(denoise, noise, seeds), steps).states(begin))
        states, levels = zip(*visits, strict=True)
        return torch.stack(states, 1), torch.stack(levels, 1)

    def denoised(self, denoise: Denoise, x: Tensor, index: Tensor) -> Tensor:
        """Return the data of noisy states ``"b ..."`` at levels ``[b]``: Heun steps, of each sample's own size."""
        centre = self.schedule.centre
        noise_of = to_noise(denoise, self.schedule)
        shift = 0.0 if centre is None else centre.to(x)
        term = Term(lambda t, y: noise_of(y + shift, t))
        rows, times = heun_rows(
            self.schedule, self.level.times[index.long().cpu()], self.level.times[-1], self.steps
        )
        method = Recurrence([_like(row, x) for row in rows], times.to(x.device))
        steps = Steps(np.arange(len(rows), dtype=float), np.ones(len(rows)), (0, len(rows)))
        (done,) = FixedLoop(method, term, steps).states(x - shift)
        assert isinstance(done, Tensor)
        return done + shift

    def _equation(self, denoise: Denoise, noise: Tensor, seeds: Sequence[int]) -> Term:
        noise_of, times = to_noise(denoise, self.schedule), self.level.times.to(noise.device)

        def drift(s: Tensor, y: State) -> State:
            x, index = y
            return noise_of(x, times[index.long()]), torch.zeros_like(index)

        source = Noise(lambda s, y: each(torch.ones_like, y), kind="additive", driver=EachSample(seeds))
        return Term(drift, noise=source)

    def _move(self, like: Tensor) -> Move:
        sigmas = self.schedule.sigma(self.level.times).to(like)
        last = len(sigmas) - 1

        def move(y: Visit, slope: Visit, z: Visit) -> Visit:
            (x, index), (eps, _), (fresh, draw) = y, slope, z
            sigma = sigmas[index.long()]
            eta = self.size(sigma)
            x = x - column(0.5 * eta / sigma, x) * eps + column(eta.sqrt(), x) * fresh
            logits = self.level(x)
            if not self.posterior:
                return x, logits.argmax(1).to(index)
            below = torch.softmax(logits.double(), 1).cumsum(1) < torch.special.ndtr(draw.double())[:, None]
            return x, below.sum(1).clamp(max=last).to(index)

        return move


def heun_rows(schedule: Schedule, begin: Tensor, end: Tensor, steps: int) -> tuple[list[Row], Tensor]:
    """Return the rows of Heun's method in rho, from times ``[b]`` to zero noise, and their times ``[rows, b]``.

    Each sample has EDM's grid from its own level to ``end``. The drift is eps; numbers are ``[b]`` float64.
    """
    rho0, rho1 = torch.exp(-schedule.lam(begin)), torch.exp(-schedule.lam(end))
    rho = karras(rho0, rho1, torch.linspace(0.0, 1.0, max(steps, 2), dtype=torch.float64)[:steps, None])
    times = schedule.time(-rho.log())
    alpha = schedule.alpha(times)
    rows, at = [], []
    for i in range(steps - 1):
        h, ratio = rho[i + 1] - rho[i], alpha[i + 1] / alpha[i]
        rows.append(Row(ratio, ((alpha[i + 1] * h, 0),), ends=False))
        rows.append(Row(None, ((0.5 * alpha[i + 1] * h, 0), (-0.5 * alpha[i + 1] * h, 1))))
        at += [times[i], times[i + 1]]
    rows.append(Row(1.0 / alpha[-1], ((-rho[-1], 0),)))
    return rows, torch.stack([*at, times[-1]])


def _like(row: Row, x: Tensor) -> Row:
    def number(value: Any) -> Any:
        return None if value is None else column(value.to(x), x)

    return row._replace(carry=number(row.carry), weights=tuple((number(w), age) for w, age in row.weights))

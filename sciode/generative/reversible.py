"""Sampling that can be undone to round-off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sciode.generative.as_equation import solve_as_equation
from sciode.generative.check import check_denoiser, check_noise
from sciode.generative.coordinates import NOISE, DiffusionChart, term
from sciode.generative.denoiser import Denoise, Guidance, guided
from sciode.generative.grid import Grid
from sciode.generative.schedule import Schedule
from sciode.solve import Adjoint, Copies, Direct, Reversible, Save, Term, solve

_DIRECT = Direct()


@dataclass(frozen=True, eq=False)
class ReversibleSampler:
    """A sampler of two coupled copies, each step of which has an exact inverse. Immutable.

    It costs two steps of its base a step. With ``adjoint=ReversibleAdjoint()`` its gradients are exact in the
    memory of one step.

    Attributes
    ----------
    name
        For tables.
    grid
        The grid; it may not end at zero noise.
    method
        The reversible method, in noise coordinates, where going back damps round-off.

    Examples
    --------
    >>> import torch
    >>> from sciode.generative import VP, presets
    >>> sampler = presets.reversible(VP(), order=2, steps=10)
    >>> denoise = lambda x, t: torch.tanh(x)
    >>> noise = torch.randn(3, 4, dtype=torch.float64)
    >>> pair = sampler.sample_pair(denoise, noise)
    >>> bool((sampler.undo(denoise, pair) - noise).abs().max() < 1e-9)
    True
    """

    name: str
    grid: Grid
    method: Reversible

    @property
    def schedule(self) -> Schedule:
        """The schedule."""
        return self.grid.schedule

    @property
    def evaluations(self) -> int:
        """How often the network is called."""
        return 2 * len(self.method.base.nodes) * self.grid.steps

    def sample(
        self,
        denoise: Denoise,
        noise: Tensor,
        *,
        guidance: Sequence[Guidance] = (),
        adjoint: Adjoint = _DIRECT,
        return_path: bool = False,
    ) -> Tensor:
        """Turn standard normal noise ``"b ..."`` into data; arguments as of :meth:`Sampler.sample`."""
        denoise = guided(denoise, guidance)
        check_denoiser(denoise, self.schedule, self.grid.t)
        start = self._prior(noise)
        return solve_as_equation(self.grid, NOISE, self.method, denoise, start, adjoint, return_path)

    def sample_pair(
        self, denoise: Denoise, noise: Tensor, *, guidance: Sequence[Guidance] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return both copies of the data, of which the first is the sample: what :meth:`undo` needs."""
        start = self._prior(noise)
        return self._pair(guided(denoise, guidance), (start, start), undo=False)

    def undo(self, denoise: Denoise, pair: tuple[Tensor, Tensor], *, guidance: Sequence[Guidance] = ()) -> Tensor:
        """Return the noise that a pair came from, to round-off."""
        start, _ = self._pair(guided(denoise, guidance), pair, undo=True)
        return self.schedule.standard(start, self.grid.t[0])

    def _prior(self, noise: Tensor) -> Tensor:
        check_noise(noise, self.schedule)
        return self.schedule.prior(noise, self.grid.t[0])

    def _pair(self, denoise: Denoise, pair: tuple[Tensor, Tensor], undo: bool) -> tuple[Tensor, Tensor]:
        chart = DiffusionChart(self.schedule, NOISE)
        inner = term(denoise, self.schedule, NOISE)
        times = self.grid.t.flip(0) if undo else self.grid.t
        moments = chart.clock(times)
        centre = 0.0 if self.schedule.centre is None else self.schedule.centre.to(pair[0])
        entered = tuple(chart.enter(part - centre, moments[0]) for part in pair)
        plain = Term(inner.drift, inner.linear)
        solution = solve(
            plain, entered, moments, solver=Copies(self.method, undo), dt=math.inf, save=Save.END  # type: ignore[arg-type]
        )  # fmt: skip
        first, second = (chart.leave(part, moments[-1]) for part in solution.y)
        assert isinstance(first, Tensor) and isinstance(second, Tensor)
        return first + centre, second + centre

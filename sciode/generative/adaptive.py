"""Samplers whose steps follow the error: an equation, an exponential pair and a tolerance."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.check import check_denoiser, check_noise
from sciode.generative.coordinates import NOISE, Coordinates, term
from sciode.generative.denoiser import Denoise, Guidance, guided
from sciode.generative.grid import Grid
from sciode.generative.likelihood import Prior, log_prob
from sciode.generative.schedule import Schedule
from sciode.solve import Pid, RungeKutta, Save, Solution, solve


@dataclass(frozen=True, eq=False)
class AdaptiveSampler:
    """A sampler under step control. Immutable.

    Attributes
    ----------
    name
        For tables.
    grid
        One step: where sampling begins and ends.
    coordinates
        In which the equation is solved.
    solver
        A Runge--Kutta method with an error estimate.
    controller
        Tolerances, in the user's variables, and whether every sample has its own steps.

    Examples
    --------
    >>> import torch
    >>> from sciode.generative import VP, presets
    >>> schedule = VP()
    >>> sampler = presets.probability_flow(schedule, rtol=1e-6, atol=1e-6)
    >>> def denoise(x, t):  # of standard normal data, which the flow leaves where they are
    ...     return schedule.alpha(t).reshape(-1, *[1] * (x.dim() - 1)) * x
    >>> noise = torch.randn(3, 2, dtype=torch.float64)
    >>> x0, stats = sampler.sample(denoise, noise, return_stats=True)
    >>> bool((x0 - noise).abs().max() < 1e-5), stats.evaluations > 4
    (True, True)
    """

    name: str
    grid: Grid
    coordinates: Coordinates
    solver: RungeKutta
    controller: Pid

    @property
    def schedule(self) -> Schedule:
        """The schedule."""
        return self.grid.schedule

    def prior(self, noise: Tensor) -> Tensor:
        """Return the state where sampling begins, of standard normal ``noise``."""
        check_noise(noise, self.schedule)
        return self.schedule.prior(noise, self.grid.t[0])

    def sample(
        self,
        denoise: Denoise,
        noise: Tensor,
        *,
        guidance: Sequence[Guidance] = (),
        return_stats: bool = False,
    ) -> Tensor | tuple[Tensor, object]:
        """Turn standard normal noise ``"b ..."`` into data.

        Parameters
        ----------
        denoise
            (x, t) -> x0; under steps per sample t is ``[b]``.
        guidance
            Maps denoiser -> denoiser.
        return_stats
            Return ``(x0, stats)``: evaluations, and steps accepted and refused, per sample.

        Raises
        ------
        InputError
            For bad noise, a denoiser of another schedule, and a solve that could not meet its tolerance.
        """
        solution = self._solve(denoise, self.prior(noise), guidance, self.coordinates, backward=False)
        x0 = solution.y
        assert isinstance(x0, Tensor)
        return (x0, solution.stats) if return_stats else x0

    def invert(self, denoise: Denoise, x0: Tensor, *, guidance: Sequence[Guidance] = ()) -> Tensor:
        """Turn data into noise: the same tolerance, the other way, in coordinates that damp that way."""
        check_noise(x0, self.schedule)
        start = self._solve(denoise, x0, guidance, NOISE, backward=True).y
        assert isinstance(start, Tensor)
        return self.schedule.standard(start, self.grid.t[0])

    def log_prob(
        self,
        denoise: Denoise,
        x0: Tensor,
        *,
        probes: int | None = None,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Return log p of data, ``[b]`` nats, at this sampler's tolerances; see :meth:`Sampler.log_prob`."""
        check_noise(x0, self.schedule)
        tolerances = {"rtol": self.controller.rtol, "atol": float(self.controller.atol)}
        return log_prob(self.grid, denoise, x0, probes=probes, prior=prior, seed=seed, **tolerances)

    def _solve(
        self, denoise: Denoise, x: Tensor, guidance: Sequence[Guidance], coordinates: Coordinates, backward: bool
    ) -> Solution:
        denoise = guided(denoise, guidance)
        check_denoiser(denoise, self.schedule, self.grid.t)
        centre = 0.0 if self.schedule.centre is None else self.schedule.centre.to(x)
        equation = term(denoise, self.schedule, coordinates)
        times = self.grid.t.flip(0) if backward else self.grid.t
        solution = solve(
            equation, x - centre, times, solver=self.solver, controller=self.controller, save=Save.END
        )
        if solution.message:
            raise InputError(f"{solution.message}; allow a larger rtol or atol")
        assert isinstance(solution.y, Tensor)
        return solution._replace(y=solution.y + centre)

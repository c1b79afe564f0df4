r"""Samplers: a schedule, a grid, coordinates and a method, compiled to rows of numbers; and one way to run them.

A sampler holds no loop. Its rows are a method of the shared solver layer, which takes the steps, keeps the
history, records gradients and counts evaluations.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import each
from sciode.generative.as_equation import solve_as_equation
from sciode.generative.check import check_denoiser, check_noise
from sciode.generative.coordinates import Coordinates
from sciode.generative.denoiser import Denoise, Guidance, guided
from sciode.generative.grid import Grid
from sciode.generative.hooks import Hook, centred
from sciode.generative.likelihood import Prior, log_prob
from sciode.generative.noise_source import EachSample, sample_seeds
from sciode.generative.pfgm import heavy_tailed
from sciode.generative.plan import Plan
from sciode.generative.schedule import Schedule
from sciode.generative.table import PlanTable, tabulate
from sciode.solve import Adjoint, Checkpointed, Direct, FixedLoop, Noise, Solver, Steps, Term
from sciode.solve.method import Method
from sciode.solve.recurrence import Recurrence, Row, cast

_DIRECT = Direct()


@dataclass(frozen=True, eq=False)
class Sampler:
    """A sampling method on its grid. Immutable: one object serves any number of threads and batches.

    Made by the functions of :mod:`sciode.generative.presets`.

    Attributes
    ----------
    name
        For tables and pictures.
    plan
        The method, written out.
    inverse
        Makes the plan of the way from data to noise, or says why there is none.
    solver
        The same method for any semilinear :class:`sciode.solve.Term`; None where it is tied to diffusions.
    extra
        PFGM++'s extra dimensions: below infinity, ``sample`` gives the noise heavy tails.

    Examples
    --------
    Data are N(0.5, 0.1^2); their denoiser is known:

    >>> from sciode.generative import VP, presets
    >>> schedule = VP()
    >>> def denoise(x, t):
    ...     a, s = schedule.alpha(t), schedule.sigma(t)
    ...     return 0.5 + a * 0.01 / (a**2 * 0.01 + s**2) * (x - a * 0.5)
    >>> noise = torch.randn(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> x0 = presets.dpm_solver_pp(schedule, order=2, steps=20).sample(denoise, noise)
    >>> round(x0.mean().item(), 2), round(x0.std().item(), 2)
    (0.5, 0.1)
    """

    name: str
    plan: Plan
    solver: Solver | None = None
    inverse: Callable[[Grid], Plan] | None = None
    extra: float = math.inf
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def grid(self) -> Grid:
        """The grid."""
        return self.plan.grid

    @property
    def schedule(self) -> Schedule:
        """The schedule."""
        return self.plan.grid.schedule

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates in which the method is a method for semilinear equations."""
        return self.plan.coordinates

    @property
    def evaluations(self) -> int:
        """How often the network is called."""
        return self.plan.evaluations

    def table(self) -> PlanTable:
        """Return the plan: of every row its time, order, numbers and whether the network is called.

        >>> from sciode.generative import VP, presets
        >>> presets.ddim(VP(), steps=2).table().evaluations
        2
        """
        return tabulate(self.name, self.plan)

    def sample(
        self,
        denoise: Denoise,
        noise: Tensor,
        *,
        seed: int | Sequence[int] = 0,
        guidance: Sequence[Guidance] = (),
        hooks: Sequence[Hook] = (),
        adjoint: Adjoint = _DIRECT,
        return_path: bool = False,
    ) -> Tensor:
        """Turn noise into data.

        Parameters
        ----------
        denoise
            A :class:`Denoiser`, or any function (x, t) -> x0; t is the library's, ``[]`` float64.
        noise
            Standard normal, ``"b ..."``; scaled by the schedule's ``prior_std`` and centred here.
        seed
            Of what the sampler draws itself, if it does: a number, or one per sample, see :func:`sample_seeds`.
            Sample i gets the same numbers in whatever batch.
        guidance
            Maps denoiser -> denoiser; the first is the outermost.
        hooks
            Maps (t, x) -> x after every step.
        adjoint
            How gradients are computed: ``Direct()``, ``Checkpointed()``, or ``Continuous()`` and
            ``ReversibleAdjoint()``, which integrate in this sampler's coordinates.
        return_path
            Return the states at all times of the grid, ``"b k ..."``, noise first.

        Raises
        ------
        InputError
            For noise without a batch axis, not finite or of a shape that the schedule's centre does not fit, and
            for a denoiser of another schedule, or whose prediction says nothing at a time of the grid.
        """
        if not math.isinf(self.extra):
            noise = heavy_tailed(noise, self.extra, seed)
        return self._integrate(denoise, self.prior(noise), seed, guidance, hooks, adjoint, return_path)

    def prior(self, noise: Tensor) -> Tensor:
        """Return the state where sampling begins, of standard normal ``noise``."""
        check_noise(noise, self.schedule)
        return self.schedule.prior(noise, self.grid.t[0])

    def integrate(
        self,
        denoise: Denoise,
        x: Tensor,
        *,
        seed: int | Sequence[int] = 0,
        guidance: Sequence[Guidance] = (),
        hooks: Sequence[Hook] = (),
        adjoint: Adjoint = _DIRECT,
        return_path: bool = False,
    ) -> Tensor:
        """Take a state at the grid's first time to its last; arguments as of :meth:`sample`."""
        check_noise(x, self.schedule)
        return self._integrate(denoise, x, seed, guidance, hooks, adjoint, return_path)

    def _integrate(
        self,
        denoise: Denoise,
        x: Tensor,
        seed: int | Sequence[int],
        guidance: Sequence[Guidance],
        hooks: Sequence[Hook],
        adjoint: Adjoint,
        return_path: bool,
    ) -> Tensor:
        denoise = guided(denoise, guidance)
        check_denoiser(denoise, self.schedule, self.plan.times)
        if not isinstance(adjoint, Direct | Checkpointed):
            return self._in_coordinates(denoise, x, hooks, adjoint, return_path)
        centre = self.schedule.centre
        inner = x if centre is None else x - centre.to(x)
        rows = self._run(self._term(denoise, x, seed), inner, tuple(hooks), adjoint, return_path)
        if centre is not None:
            rows = [row + centre.to(x) for row in rows]
        return torch.stack(rows, dim=1) if return_path else rows[-1]

    def invert(self, denoise: Denoise, x0: Tensor, *, guidance: Sequence[Guidance] = ()) -> Tensor:
        """Turn data into noise, by the same method on the reversed grid, in the coordinates that damp that way.

        The round trip is exact to the order of the method, not to round-off.

        Raises
        ------
        InputError
            For a grid that ends at zero noise, and for samplers that draw noise.
        """
        if self.inverse is None:
            raise InputError(f"{self.name} has no way back: it draws noise, or is no method for both directions")
        back = replace(self, plan=self.inverse(self.grid.reversed()), _kept={})
        return self.schedule.standard(back.integrate(denoise, x0, guidance=guidance), self.grid.t[0])

    def loop(self, denoise: Denoise, x: Tensor, seed: int | Sequence[int] = 0) -> FixedLoop:
        """Return the loop over the rows, for those who take them one by one; ``x`` as in :meth:`integrate`.

        Its states are centred: they lack the schedule's ``mu``.
        """
        return FixedLoop(self._method(x, ()), self._term(denoise, x, seed), self._steps(self._marks(False)))

    def log_prob(
        self,
        denoise: Denoise,
        x0: Tensor,
        *,
        probes: int | None = None,
        prior: Prior | None = None,
        seed: int = 0,
        rtol: float = 1e-5,
        atol: float = 1e-5,
    ) -> Tensor:
        """Return log p of data under the model, ``[b]`` nats, at the end of the grid.

        A property of the equation, not of the sampler: solved between the ends of the grid under step control.
        Differentiable in ``x0`` where it requires a gradient, and in the parameters of a module.

        ``probes``: None for the exact trace, with up to 64 elements a sample; else so many Rademacher probes, from
        ``seed``. ``prior``: log p where sampling begins; None: the normal law that sampling draws from. See
        :func:`sciode.generative.likelihood.log_prob`.

        >>> from sciode.generative import VP, presets
        >>> schedule = VP()
        >>> denoise = lambda x, t: schedule.alpha(t).reshape(-1, 1) * x  # of standard normal data
        >>> logp = presets.ddim(schedule).log_prob(denoise, torch.zeros(1, 2, dtype=torch.float64))
        >>> round(logp.item(), 2)  # -log(2 pi)
        -1.84
        """
        check_noise(x0, self.schedule)
        check_denoiser(denoise, self.schedule, self.plan.times)
        return log_prob(self.grid, denoise, x0, probes=probes, prior=prior, seed=seed, rtol=rtol, atol=atol)

    def _term(self, denoise: Denoise, x: Tensor, seed: int | Sequence[int]) -> Term:
        make = self.coordinates.opposite if self._opposite else self.coordinates.field
        assert make is not None
        field = make(denoise, self.schedule)
        centre = self.schedule.centre
        noise = None
        if self.plan.noisy:
            seeds = sample_seeds(seed, len(x)) if isinstance(seed, int) else list(seed)
            noise = Noise(lambda s, y: each(torch.ones_like, y), kind="additive", driver=EachSample(seeds))
        if centre is None:
            return Term(lambda s, y: field(y, s), noise=noise)
        return Term(lambda s, y: field(y + centre.to(y), s), noise=noise)

    def _run(
        self, equation: Term, x: Tensor, hooks: tuple[Hook, ...], adjoint: Adjoint, path: bool
    ) -> list[Tensor]:
        method = self._method(x, hooks)
        marks = self._marks(path)
        if isinstance(adjoint, Direct):
            loop = FixedLoop(method, equation, self._steps(marks))
            return [x, *loop.states(x)]  # type: ignore[list-item]
        run = Method(method, 1.0)
        rows, _ = adjoint.run(run, equation, x, [float(mark) for mark in marks])
        return list(rows)

    def _method(self, x: Tensor, hooks: tuple[Hook, ...]) -> Recurrence:
        """Return the rows as a method, all that is a tensor made for the state; once per device and dtype."""
        key = x.device, x.dtype
        if key not in self._kept:
            wide = torch.float32 if x.device.type == "mps" else torch.float64
            times, reached = (t.to(device=x.device, dtype=wide) for t in (self.plan.times, self.plan.reached))
            rows = [cast(_opposed(row) if self._opposite else row, x) for row in self.plan.rows]
            self._kept[key] = Recurrence(rows, times, reached, max(self.plan.orders), self.plan.states)
        method: Recurrence = self._kept[key]
        if not hooks:
            return method
        centre = self.schedule.centre
        if centre is None:
            return replace(method, hooks=hooks)  # type: ignore[arg-type]
        return replace(method, hooks=tuple(centred(hook, centre) for hook in hooks))

    @property
    def _opposite(self) -> bool:
        """Whether the rows run on -N, the network's eps: a change of sign is a pass over memory a step."""
        plan = self.plan
        return self.coordinates.opposite is not None and not (plan.states or any(row.move for row in plan.rows))

    def _marks(self, path: bool) -> tuple[int, ...]:
        """Return after which rows the state is wanted."""
        rows = self.plan.rows
        if not path:
            return 0, len(rows)
        return 0, *(index + 1 for index, row in enumerate(rows) if row.ends)

    def _steps(self, marks: tuple[int, ...]) -> Steps:
        if marks not in self._kept:
            count = len(self.plan.rows)
            self._kept[marks] = Steps(np.arange(count, dtype=float), np.ones(count), marks)
        steps: Steps = self._kept[marks]
        return steps

    def _in_coordinates(
        self, denoise: Denoise, x: Tensor, hooks: Sequence[Hook], adjoint: Adjoint, path: bool
    ) -> Tensor:
        """Solve the equation in its chart, for adjoints that need it as an equation."""
        if self.solver is None or self.plan.noisy:
            raise InputError(f"{self.name} with {type(adjoint).__name__}: take Direct() or Checkpointed()")
        if hooks:
            raise InputError(f"hooks go with Direct() and Checkpointed(), not with {type(adjoint).__name__}")
        return solve_as_equation(self.grid, self.coordinates, self.solver, denoise, x, adjoint, path)


def _opposed(row: Row) -> Row:
    return row._replace(weights=tuple((-weight, age) for weight, age in row.weights))

r"""DC-Solver: UniPC whose newest slope is shifted in time a little, by ratios that are searched for.

Symbols: ``rho`` ratio of a step, ``f`` slopes, ``tau`` diffusion time.

References
----------
Zhao et al., *DC-Solver: improving predictor-corrector diffusion sampler via dynamic compensation*
(arXiv:2409.03755), algorithms 1 and 2.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.files import read_json, write_json
from sciode.core.progress import progress
from sciode.generative.coordinates import DATA
from sciode.generative.denoiser import Denoise
from sciode.generative.grid import End, Grid, Spacing
from sciode.generative.plan import Plan, multistep
from sciode.generative.presets.unipc import unipc
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule, digest
from sciode.solve import Adams

BOUNDS = (0.5, 1.5)


@dataclass(frozen=True)
class Compensation:
    """One ratio per step, 1 where nothing is shifted, and the grid that they belong to.

    Attributes
    ----------
    ratios
        As many as steps; the first two are 1, as a parabola needs three slopes.
    grid
        Fingerprint of the grid; see :func:`fingerprint`.
    """

    ratios: tuple[float, ...]
    grid: str

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, asdict(self))

    @staticmethod
    def load(path: str | Path) -> "Compensation":
        """Read back.

        Raises
        ------
        InputError
            For a file that holds something else.
        """
        try:
            found = read_json(path)
            return Compensation(tuple(float(ratio) for ratio in found["ratios"]), str(found["grid"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} holds no compensation: {error}") from error


def fingerprint(grid: Grid) -> str:
    """Return a name of a schedule on a grid, the same on every machine.

    >>> from sciode.generative import VP, grid
    >>> fingerprint(grid(VP(), 4, "lam")) == fingerprint(grid(VP(), 4, "time"))
    False
    """
    return digest([*grid.t.tolist(), *grid.lam.tolist()])


def dc_solver(
    schedule: Schedule,
    compensation: Compensation | None = None,
    order: int = 2,
    steps: int = 10,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    final: str = "auto",
    variant: str = "bh2",
    prediction: str = "data",
) -> Sampler:
    r"""UniPC with dynamic compensation: f at tau is replaced by the parabola through the last three slopes at
    :math:`\rho\tau_n + (1 - \rho)\tau_{n-1}`, from the third evaluation on.

    Parameters
    ----------
    compensation
        From :func:`fit_compensation`; None is UniPC itself.

    Raises
    ------
    InputError
        For a compensation of another grid.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> dc_solver(VP(), steps=8).evaluations
    8
    """
    plain = unipc(schedule, order, steps, spacing, begin, end, final=final, variant=variant, prediction=prediction)
    name = plain.name.replace("UniPC", "DC-Solver")
    if compensation is None:
        return replace(plain, name=name, _kept={})
    if compensation.grid != fingerprint(plain.grid) or len(compensation.ratios) != plain.grid.steps:
        raise InputError(
            f"the compensation has {len(compensation.ratios)} ratios for the grid {compensation.grid}, this is "
            f"{fingerprint(plain.grid)} of {plain.grid.steps} steps: fit it for this grid"
        )
    method = plain.solver
    assert isinstance(method, Adams)
    return Sampler(name, compensated(plain.plan, compensation.ratios), method)


def compensated(plan: Plan, ratios: tuple[float, ...]) -> Plan:
    """Return a plan whose newest slopes are shifted."""
    taus = plan.grid.schedule.tau(plan.times).tolist()
    rows = []
    for index, (row, ratio) in enumerate(zip(plan.rows, ratios, strict=True)):
        if ratio == 1.0 or index < 2:
            rows.append(row)
            continue
        near = taus[index], taus[index - 1], taus[index - 2]
        at = ratio * near[0] + (1.0 - ratio) * near[1]
        weights = [math.prod((at - b) / (a - b) for b in near if b != a) for a in near]
        rows.append(row._replace(blend=tuple((weight, age) for age, weight in enumerate(weights))))
    return replace(plan, rows=tuple(rows))


def fit_compensation(
    denoise: Denoise,
    noise: Tensor,
    sampler: Sampler,
    *,
    fine: int = 40,
    quiet: bool = False,
) -> Compensation:
    """Search the ratios of a sampler made by :func:`dc_solver` or ``unipc``, step by step.

    Each ratio is the one within [0.5, 1.5] that brings the state after its step nearest, in the mean square, to a
    fine solve from the same noise; the later ones are found with the earlier in force. The network is called once
    a step and ``fine`` times a step for the reference, however many ratios are tried.

    Parameters
    ----------
    noise
        Standard normal, ``"b ..."``: about ten samples are enough.
    fine
        Steps of the reference, UniPC-3, within each step.

    Raises
    ------
    InputError
        For a sampler with several evaluations a step.
    """
    plan = sampler.plan
    if len(plan.rows) != plan.grid.steps:
        raise InputError(f"compensation is for samplers with one evaluation a step, found {sampler.name}")
    last = plan.grid.steps - plan.grid.ends_at_zero  # what ends at zero noise is x0, and has no reference in lam
    with torch.no_grad():
        start = sampler.prior(noise)
        wanted = _reference(plan.grid, denoise, start, fine, last)
        heard = _Heard(denoise)
        ratios = [1.0] * plan.grid.steps
        with progress("fitting a compensation", plan.grid.steps, quiet=quiet) as bar:
            for index in range(plan.grid.steps):

                def error(ratio: float, index: int = index) -> float:
                    tried = (*ratios[:index], ratio, *ratios[index + 1 :])
                    part = _beginning(compensated(plan, tried), index + 1)
                    heard.restart()
                    x = replace(sampler, plan=part, inverse=None, _kept={}).integrate(heard, start)
                    return (x - wanted[:, index + 1]).to(torch.float64).square().mean().item()

                if 2 <= index < last:
                    found = minimize_scalar(error, bounds=BOUNDS, method="bounded", options={"xatol": 1e-4})
                    # the search is local: what it finds must be better than nothing
                    ratios[index] = float(found.x) if found.fun < error(1.0) else 1.0
                bar.advance()
    return Compensation(tuple(ratios), fingerprint(plan.grid))


def _beginning(plan: Plan, rows: int) -> Plan:
    return replace(
        plan,
        rows=plan.rows[:rows],
        times=plan.times[:rows],
        reached=plan.reached[:rows],
        orders=plan.orders[:rows],
    )


class _Heard:
    """A denoiser that answers again what it has answered: a ratio changes nothing before its own evaluation."""

    def __init__(self, denoise: Denoise) -> None:
        self.denoise, self.said, self.count = denoise, [], 0  # type: Denoise, list[Tensor], int

    def restart(self) -> None:
        """Begin a solve."""
        self.count = 0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.count == len(self.said):
            self.said.append(self.denoise(x, t))
        self.count += 1
        return self.said[self.count - 1]


def _reference(grid: Grid, denoise: Denoise, start: Tensor, fine: int, last: int) -> Tensor:
    """Return the states of a fine solve at the times of a grid, ``"b k ..."``."""
    lam = grid.lam[: last + 1]
    place = torch.arange(fine, dtype=torch.float64) / fine
    dense = torch.cat([(lam[:-1, None] + lam.diff()[:, None] * place).flatten(), lam[-1:]])
    times = grid.schedule.time(dense)
    times[::fine] = grid.t[: last + 1]
    where = Grid(grid.schedule, times)
    method = Adams(4, corrector=True)
    counts = [min(3, index + 1) for index in range(where.steps)]
    path = Sampler("reference", multistep(where, DATA, method, counts)).integrate(denoise, start, return_path=True)
    return path[:, ::fine]

r"""S^3: the search for a sampler's schedule, by evolution with a cheap predictor of what is worth evaluating.

A schedule is data (:class:`StepRecord`), so it can be crossed and mutated. Its worth is the distance of the
samples it makes from those of a fine solve, from the same noise.

References
----------
Liu et al. (arXiv:2312.07243), section 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.generative.denoiser import Denoise
from sciode.generative.presets.unipc import unipc
from sciode.generative.presets.usf import known_schedules, usf
from sciode.generative.schedule import Schedule
from sciode.generative.unified import RELAXATIONS, StepRecord

Records = tuple[StepRecord, ...]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    records, error
        The best schedule, and the root mean square error of its samples.
    known
        The error of the best sampler that the search began with.
    history
        The best error after each generation.
    evaluated
        How many schedules were tried.
    """

    records: Records
    error: float
    known: float
    history: tuple[float, ...]
    evaluated: int


def search_schedule(
    schedule: Schedule,
    denoise: Denoise,
    noise: Tensor,
    steps: int,
    *,
    begin: float | None = None,
    end: float | None = None,
    generations: int = 20,
    population: int = 24,
    seed: int = 0,
    fine: int = 200,
    quiet: bool = False,
) -> Found:
    """Search for the schedule of ``steps`` evaluations whose samples are nearest to those of a fine solve.

    The first population holds the samplers that people know, on four grids; the best schedule is never lost, so
    the result is never worse than the best of them on ``noise``. Judge it on other noise.

    Parameters
    ----------
    noise
        Standard normal, ``"b ..."``: what the search looks at.
    steps
        Evaluations.
    generations, population
        Of the evolution: so many times, so many children are evaluated, chosen by a ridge regression on all
        schedules seen among four times as many.
    seed
        Repeats the search.
    fine
        Evaluations of the reference, UniPC-3.

    Raises
    ------
    InputError
        For fewer than two steps, and a population or generations below one.
    """
    for name, value, least in (
        ("steps", steps, 2),
        ("generations", generations, 1),
        ("population", population, 2),
    ):
        if value < least:
            raise InputError(f"{name} takes a number >= {least}, found {value}")
    start = schedule.begin if begin is None else begin
    with torch.no_grad():
        wanted = unipc(schedule, 3, fine, "lam", begin, end).sample(denoise, noise)

        def error(records: Records) -> float:
            x0 = usf(schedule, records, begin).sample(denoise, noise)
            size = (x0 - wanted).to(torch.float64).square().mean().sqrt().item()
            return size if np.isfinite(size) else float("inf")

        spacings = ("lam", "quadratic", "time", "karras")
        known = known_schedules(schedule, steps, spacings, begin, end)
        judged = [(error(records), records) for records in known]
        best = min(judged, key=lambda pair: pair[0])
        evolution = _Evolution(schedule, start, np.random.default_rng(seed))
        history = []
        with progress("searching a schedule", generations, quiet=quiet) as bar:
            for _ in range(generations):
                children = evolution.children(judged, population)
                judged += [(error(records), records) for records in children]
                history.append(min(value for value, _ in judged))
                bar.advance(note=f"error {history[-1]:.3g}")
    winner = min(judged, key=lambda pair: pair[0])
    return Found(winner[1], winner[0], best[0], tuple(history), len(judged))


@dataclass
class _Evolution:
    """Children of judged schedules."""

    schedule: Schedule
    begin: float
    rng: np.random.Generator

    def children(self, judged: Sequence[tuple[float, Records]], count: int) -> list[Records]:
        """Return the ``count`` most promising of four times as many."""
        ranked = sorted(judged, key=lambda pair: pair[0])[: max(4, count)]
        seen = {records for _, records in judged}
        made: list[Records] = []
        for _ in range(16 * count):
            if len(made) == 4 * count:
                break
            first, second = (
                ranked[min(int(self.rng.exponential(len(ranked) / 4)), len(ranked) - 1)][1] for _ in "ab"
            )
            child = self._mutated(self._crossed(first, second))
            if child not in seen:
                seen.add(child)
                made.append(child)
        guess = self._predictor(judged)
        return sorted(made, key=guess)[:count]

    def _crossed(self, first: Records, second: Records) -> Records:
        """Take the beginning of one and the end of the other, the times in order."""
        cut = int(self.rng.integers(0, len(first)))
        mixed = [*first[:cut], *second[cut:]]
        taus = sorted((record.tau for record in mixed), reverse=True)
        end = first[-1].tau
        taus[-1] = end
        if len(set(taus)) < len(taus) or taus[-2] <= end:
            taus = [record.tau for record in first]
        return tuple(replace(record, tau=tau) for record, tau in zip(mixed, taus, strict=True))

    def _mutated(self, records: Records) -> Records:
        made = list(records)
        for _ in range(1 + int(self.rng.integers(0, 3))):
            index = int(self.rng.integers(0, len(made)))
            made = self._moves[int(self.rng.integers(0, len(self._moves)))](self, made, index)
        return tuple(made)

    def _time(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        """Move one time within its neighbours, in lam."""
        if index + 1 < len(made):
            taus = torch.tensor([self.begin, *(record.tau for record in made)], dtype=torch.float64)
            lam = self.schedule.lam(self.schedule.at(taus)).tolist()
            place = lam[index] + (lam[index + 2] - lam[index]) * float(self.rng.uniform(0.15, 0.85))
            tau = self.schedule.tau(self.schedule.time(torch.tensor(place, dtype=torch.float64))).item()
            made[index] = replace(made[index], tau=tau)
        return made

    def _swap(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        """Remove one time and put another in the middle of a step: the number of evaluations stays."""
        taus = [record.tau for record in made]
        if index + 1 < len(made) and len(made) > 2:
            del taus[index]
            ends = torch.tensor([self.begin, *taus], dtype=torch.float64)
            lam = self.schedule.lam(self.schedule.at(ends))
            gap = int(self.rng.integers(0, len(taus)))
            middle = self.schedule.tau(self.schedule.time(0.5 * (lam[gap] + lam[gap + 1]))).item()
            taus.insert(gap, middle)
        return [replace(record, tau=tau) for record, tau in zip(made, taus, strict=True)]

    def _prediction(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        other = "noise" if made[index].prediction == "data" else "data"
        made[index] = replace(made[index], prediction=other)
        return made

    def _order(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        """Draw the order, and for each derivative how many points it is estimated from."""
        order = int(self.rng.integers(1, min(4, index + 1) + 1))
        widths = [int(self.rng.integers(k, order)) for k in range(1, order)]
        made[index] = replace(
            made[index], estimates=tuple(tuple(range(1, width + 1)) for width in widths), start=0
        )
        return made

    def _corrector(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        made[index] = replace(made[index], corrector=not made[index].corrector)
        return made

    def _relaxation(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        drawn: float | str = float(self.rng.uniform(0.5, 1.5))
        if self.rng.random() < 0.5:
            drawn = RELAXATIONS[int(self.rng.integers(0, len(RELAXATIONS)))]
        made[index] = replace(made[index], relaxation=drawn)
        return made

    def _start(self, made: list[StepRecord], index: int) -> list[StepRecord]:
        """Start one evaluation back, as singlestep methods do."""
        if index:
            made[index] = replace(made[index], start=1, estimates=((0,),))
        return made

    _moves = (_time, _time, _time, _swap, _prediction, _order, _corrector, _relaxation, _start)

    def _predictor(self, judged: Sequence[tuple[float, Records]]) -> Callable[[Records], float]:
        """Return a ridge regression of the logarithm of the error."""
        good = [(value, records) for value, records in judged if np.isfinite(value)]
        table = np.array([self._features(records) for _, records in good])
        target = np.log([max(value, 1e-300) for value, _ in good])
        centre, spread = table.mean(0), table.std(0) + 1e-9
        scaled = (table - centre) / spread
        weights = np.linalg.solve(scaled.T @ scaled + np.eye(scaled.shape[1]), scaled.T @ (target - target.mean()))
        return lambda records: float((self._features(records) - centre) / spread @ weights)

    def _features(self, records: Records) -> np.ndarray:
        taus = torch.tensor([record.tau for record in records], dtype=torch.float64)
        lam = self.schedule.lam(self.schedule.at(taus)).numpy()
        rows = [
            (
                r.prediction == "data",
                r.order,
                r.corrector,
                r.start,
                sum(map(len, r.estimates)),
                r.relaxation == "taylor",
            )
            for r in records
        ]
        return np.concatenate([lam, lam**2, np.array(rows, dtype=float).ravel()])

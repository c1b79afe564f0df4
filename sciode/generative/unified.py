r"""Samplers as plain data: one record a step, of which most multistep samplers are instances (USF).

A step goes from a starting point s to t by a Taylor expansion of x0 or of eps in lam,

.. math::
    x_t = \frac{\sigma_t}{\sigma_s} x_s + \alpha_t \sum_{k<p} h^{k+1}\varphi_{k+1}(-h)\, \hat x_0^{(k)}, \qquad
    x_t = \frac{\alpha_t}{\alpha_s} x_s - \sigma_t \sum_{k<p} h^{k+1}\varphi_{k+1}(h)\, \hat\varepsilon^{(k)},

its derivatives estimated from slopes at any points known, the first one times a relaxation factor. A
pseudo-corrector repeats the step with the slope at its end among them, at no evaluation.

Symbols: ``h`` = lam_t - lam_s, ``p`` Taylor order, ``X_j``, ``f_j`` the j-th evaluated state and the x0 found
there.

References
----------
Liu et al., *A unified sampling framework for solver searching of diffusion probabilistic models*
(arXiv:2312.07243), section 3.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from sciode.core.errors import InputError
from sciode.core.files import read_json, write_json
from sciode.core.names import lookup, unknown
from sciode.generative.coordinates import DATA
from sciode.generative.grid import Grid
from sciode.generative.plan import Plan, Writer
from sciode.solve.moments import phi_numbers

Combination: TypeAlias = dict[tuple[str, int], float]
"""Of states ("x", j) and slopes ("f", j), by the number of their evaluation."""

RELAXATIONS = ("taylor", "midpoint", "bh1")
"""1; phi_1/2 in place of phi_2 (DPM-Solver's, and UniPC's with B = e^h - 1); 1/2 in place of phi_2."""


@dataclass(frozen=True)
class StepRecord:
    """How one step is taken.

    Attributes
    ----------
    tau
        Diffusion time that it ends at.
    prediction
        "data" or "noise": what is expanded.
    estimates
        For each derivative that the expansion has, the ages of the evaluations that it is estimated from, beside
        the starting point: 1 is the one before the newest. The k-th derivative takes k or more. Empty: first
        order.
    start
        How many evaluations before the newest the step starts; 0: at the newest. Above 0, age 0 may be in
        ``estimates``.
    corrector
        Whether the step is repeated with the slope at its end.
    relaxation
        Factor of the first derivative: a number, or a name of :data:`RELAXATIONS`.
    """

    tau: float
    prediction: str = "data"
    estimates: tuple[tuple[int, ...], ...] = ()
    start: int = 0
    corrector: bool = False
    relaxation: float | str = "taylor"

    @property
    def order(self) -> int:
        """p."""
        return len(self.estimates) + 1


def check_records(records: Sequence[StepRecord]) -> None:
    """Raise :class:`InputError` for records that no sampler can follow."""
    if not records:
        raise InputError("a schedule takes one step or more")
    for index, record in enumerate(records):
        if record.prediction not in ("data", "noise"):
            raise unknown(str(record.prediction), ("data", "noise"), "prediction")
        if isinstance(record.relaxation, str):
            lookup(record.relaxation, dict.fromkeys(RELAXATIONS), "relaxation")
        if not 0 <= record.start <= index:
            raise InputError(f"step {index} starts {record.start} evaluations back, but has {index} before it")
        for k, ages in enumerate(record.estimates, start=1):
            bad = [age for age in ages if not 0 <= age <= index or age == record.start]
            if bad or len(set(ages)) < max(k, len(ages)):
                raise InputError(
                    f"derivative {k} of step {index} takes {k} or more different ages of 0..{index} other than "
                    f"{record.start}, found {ages}"
                )


def save_records(records: Sequence[StepRecord], path: str | Path) -> None:
    """Write a schedule as JSON, atomically."""
    check_records(records)
    write_json(path, [asdict(record) for record in records])


def load_records(path: str | Path) -> tuple[StepRecord, ...]:
    """Read a schedule back.

    Raises
    ------
    InputError
        For a file that holds something else.
    """
    try:
        rows = read_json(path)
        made = tuple(
            StepRecord(**{**row, "estimates": tuple(tuple(ages) for ages in row["estimates"])}) for row in rows
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{path} holds no schedule of steps: {error}") from error
    check_records(made)
    return made


def compiled(grid: Grid, records: Sequence[StepRecord]) -> Plan:
    """Write the records out over their grid."""
    check_records(records)
    writer = Writer(grid, DATA, states=True)
    corrected: list[Combination] = []  # the state from which a step goes on, by evaluation
    for index, record in enumerate(records):
        here: Combination = {("x", index): 1.0}
        if index and records[index - 1].corrector:
            before = records[index - 1]
            here = _added(here, _step(grid, before, index - 1, corrected, new=True), 1.0)
            here = _added(here, _step(grid, before, index - 1, corrected, new=False), -1.0)
        corrected.append(here)
        if writer.limit(index) is None:
            _write(writer, index, record.order, _step(grid, record, index, corrected, new=False))
    return writer.plan()


def _write(writer: Writer, index: int, order: int, step: Combination) -> None:
    carry = step.pop(("x", index), 0.0)
    slopes = [(w, j) for (kind, j), w in step.items() if kind == "f"]
    states = [(w, j) for (kind, j), w in step.items() if kind == "x" and w != 0.0]
    writer.row(writer.grid.t[index], writer.grid.t[index + 1], carry, slopes, order, states=states)


def _step(grid: Grid, record: StepRecord, index: int, corrected: list[Combination], *, new: bool) -> Combination:
    """Return the state at the end of step ``index``; ``new``: with the slope there among the points."""
    first, last = index - record.start, index + 1
    lam, data = grid.lam.tolist(), record.prediction == "data"
    h = lam[last] - lam[first]
    scale = (grid.sigma if data else grid.alpha)[[first, last]].tolist()
    phis = [float(np.real(v)) for v in phi_numbers(-h if data else h, record.order + new)]
    front = grid.alpha[last].item() if data else -grid.sigma[last].item()
    total: Combination = _added({}, corrected[first], scale[1] / scale[0])
    total = _added(total, _slope(grid, first, data), front * h * phis[0])
    estimates = [(*(index - age for age in ages), *[last] * new) for ages in record.estimates]
    if new:  # one derivative more, from all the points
        widest = max(estimates, key=len, default=(last,))
        estimates = [*estimates, widest] if len(estimates) < len(widest) else estimates
    for k, points in enumerate(estimates, start=1):
        factor = _factor(record.relaxation, phis) if k == 1 and len(points) == 1 else 1.0
        weights = _derivative(k, [0.0, *(lam[j] - lam[first] for j in points)])
        for weight, j in zip(weights, (first, *points), strict=True):
            total = _added(total, _slope(grid, j, data), front * h ** (k + 1) * phis[k] * factor * weight)
    return total


def _factor(relaxation: float | str, phis: list[float]) -> float:
    if not isinstance(relaxation, str):
        return relaxation
    return {"taylor": 1.0, "midpoint": 0.5 * phis[0] / phis[1], "bh1": 0.5 / phis[1]}[relaxation]


def _derivative(k: int, places: list[float]) -> np.ndarray:
    """Return the weights of the k-th derivative at 0 of the polynomial through values at ``places``."""
    size = max(map(abs, places))
    powers = np.vander(np.array(places) / size, increasing=True).T
    right = np.zeros(len(places))
    right[k] = math.factorial(k) / size**k
    return np.linalg.solve(powers, right)


def _slope(grid: Grid, j: int, data: bool) -> Combination:
    """Return x0 or eps of evaluation j."""
    if data:
        return {("f", j): 1.0}
    alpha, sigma = grid.alpha[j].item(), grid.sigma[j].item()
    return {("x", j): 1.0 / sigma, ("f", j): -alpha / sigma}


def _added(a: Combination, b: Combination, factor: float) -> Combination:
    total: Combination = defaultdict(float, a)
    for key, value in b.items():
        total[key] += factor * value
    return dict(total)

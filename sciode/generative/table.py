"""A plan to look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from sciode.generative.plan import Plan
from sciode.solve.weights import Weight

_WIDTHS = (4, 10, 9, 5, 5, 11, 10)


class Line(NamedTuple):
    """One row of a plan."""

    row: int
    tau: float  # diffusion time of the evaluation
    lam: float
    order: int
    evaluates: bool
    carry: float | str
    weights: tuple[tuple[float | str, int], ...]  # (weight, age of the slope)
    noise: float
    ends: bool


@dataclass(frozen=True)
class PlanTable:
    """What a sampler will do. Iterate it for the rows; print it for people."""

    name: str
    coordinates: str
    lines: tuple[Line, ...]

    @property
    def evaluations(self) -> int:
        """How often the network is called."""
        return sum(line.evaluates for line in self.lines)

    @property
    def orders(self) -> tuple[int, ...]:
        """The order of every row that ends a step."""
        return tuple(line.order for line in self.lines if line.ends)

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __str__(self) -> str:
        head = (
            f"{self.name}: {len(self.lines)} rows, {self.evaluations} evaluations, {self.coordinates} coordinates"
        )
        columns = zip(("row", "tau", "lam", "order", "calls", "carry", "noise"), _WIDTHS, strict=True)
        names = " ".join(f"{name:>{width}}" for name, width in columns) + "  weights, newest first"
        return "\n".join([head, names, *map(_shown, self.lines)])

    __repr__ = __str__


def _shown(line: Line) -> str:
    carry = f"{line.carry:11.5g}" if isinstance(line.carry, float) else f"{line.carry:>11}"
    parts = [f"{w:+.5g}" if isinstance(w, float) else w for w, _ in line.weights]
    ages = [f"[{age}]" if age != place else "" for place, (_, age) in enumerate(line.weights)]
    text = "  ".join(part + age for part, age in zip(parts, ages, strict=True))
    mark = "" if line.ends else "  (stage)"
    numbers = f"{line.row:4d} {line.tau:10.5g} {line.lam:9.4f} {line.order:5d} {int(line.evaluates):5d}"
    return f"{numbers} {carry} {line.noise:10.4g}  {text}{mark}"


def _plain(weight: Weight | None) -> float | str:
    if weight is None:
        return 1.0
    if isinstance(weight, Tensor):
        return f"{list(weight.shape)}"
    return float(weight.real)


def tabulate(name: str, plan: Plan) -> PlanTable:
    """Return the table of a plan."""
    schedule = plan.grid.schedule
    taus, lams = schedule.tau(plan.times).tolist(), schedule.lam(plan.times).tolist()
    lines = []
    for index, row in enumerate(plan.rows):
        weights = tuple((_plain(w), age) for w, age in row.weights)
        where = (index, taus[index], lams[index], plan.orders[index], row.evaluates)
        lines.append(Line(*where, _plain(row.carry), weights, row.noise, row.ends))
    return PlanTable(name, plan.coordinates.name, tuple(lines))

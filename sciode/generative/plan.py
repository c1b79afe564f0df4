r"""A sampler's plan: its method, written out over its grid as rows of numbers in the user's variables.

.. math:: x \leftarrow a\,x + \sum_j w_j\,N_j + n\,z

The chart's scale is multiplied into the numbers, so that a step of any sampler is one linear combination, and the
limits at zero noise and at pure noise are taken here, once, in closed form.

Symbols: ``m`` scale of the coordinates, ``s`` their clock, ``L`` their linear part, ``E`` = e^{hL}, ``k`` slopes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.generative.coordinates import DATA, Coordinates, Moment
from sciode.generative.grid import Grid
from sciode.solve import Adams, Diagonal, Place, Tableau
from sciode.solve.moments import phi_numbers
from sciode.solve.recurrence import Move, Row
from sciode.solve.tableau import Entry
from sciode.solve.weights import Weight


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows, and what they are rows of.

    Attributes
    ----------
    grid, coordinates
        Where, and which field N is evaluated.
    rows
        See :class:`sciode.solve.Row`.
    times, reached
        Library's time of each row's evaluation, and after it: ``[rows]`` float64.
    orders
        How many slopes the step of each row combines.
    states
        Whether the rows weigh earlier states too.
    """

    grid: Grid
    coordinates: Coordinates
    rows: tuple[Row, ...]
    times: Tensor
    reached: Tensor
    orders: tuple[int, ...]
    states: bool = False

    @property
    def evaluations(self) -> int:
        """How often the network is called."""
        return sum(row.evaluates for row in self.rows)

    @property
    def noisy(self) -> bool:
        """Whether random numbers are drawn."""
        return any(row.noise or row.move for row in self.rows)


@dataclass
class Writer:
    """Writes a plan row by row. A slope is named by the number of the row that evaluates it."""

    grid: Grid
    coordinates: Coordinates
    states: bool = False
    rows: list[Row] = field(default_factory=list)
    times: list[Tensor] = field(default_factory=list)
    reached: list[Tensor] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)  # up to and with each row

    def row(
        self,
        time: Tensor,
        reached: Tensor,
        carry: Weight | None,
        weights: Sequence[tuple[Weight, int]],
        order: int,
        *,
        noise: float = 0.0,
        ends: bool = True,
        evaluates: bool = True,
        move: Move | None = None,
        states: Sequence[tuple[Weight, int]] = (),
        shift: Tensor | None = None,
    ) -> int:
        """Add a row and return its number; ``weights`` and ``states`` name what they weigh by its row."""
        number = len(self.rows)
        self.calls.append((self.calls[-1] if self.calls else 0) + evaluates)
        step = 2 if self.states else 1
        used = [(w, name) for w, name in weights if isinstance(w, Tensor) or w != 0.0]
        aged = tuple((w, step * (self.calls[-1] - self.calls[name])) for w, name in used)
        aged += tuple((w, 2 * (self.calls[-1] - self.calls[name]) + 1) for w, name in states)
        plain = isinstance(carry, float) and carry == 1.0
        self.rows.append(Row(None if plain else carry, aged, noise, evaluates, ends, (), move, shift))
        self.times.append(time)
        self.reached.append(reached)
        self.orders.append(order)
        return number

    def plan(self) -> Plan:
        """Return what was written."""
        stack = torch.stack(self.times), torch.stack(self.reached)
        return Plan(self.grid, self.coordinates, tuple(self.rows), *stack, tuple(self.orders), self.states)

    def limit(self, index: int, eta: float = 0.0) -> int | None:
        """Write step ``index`` if it starts at pure noise or ends at zero noise; return its row."""
        grid = self.grid
        now, then = grid.t[index], grid.t[index + 1]
        if grid.lam[index + 1] == math.inf:
            # zero noise: x0 itself, of which a x + b N is what is known
            a, b = (value.item() for value in self.coordinates.data(Moment(grid.schedule, now)))
            alpha = grid.alpha[index + 1].item()
            return self.row(now, then, alpha * a, [(alpha * b, len(self.rows))], 1)
        if grid.lam[index + 1] == -math.inf and self.coordinates.name in ("noise", "rho"):
            # on the way to noise, all that is left of the state is its noise, -N
            return self.row(now, then, 0.0, [(-grid.sigma[index + 1].item(), len(self.rows))], 1)
        if grid.lam[index] == -math.inf and self.coordinates.name != "time":
            if self.coordinates is not DATA:
                raise InputError(
                    f"at begin = {grid.schedule.tau(now):g} there is no signal, and noise says nothing: begin "
                    "a little later, or use a method in data coordinates"
                )
            ratio = (grid.sigma[index + 1] / grid.sigma[index]).item()
            noise = grid.sigma[index + 1].item() if eta else 0.0
            return self.row(
                now, then, 0.0 if eta else ratio, [(grid.alpha[index + 1].item(), len(self.rows))], 1, noise=noise
            )
        return None


def multistep(
    grid: Grid, coordinates: Coordinates, method: Adams, counts: Sequence[int], eta: Sequence[float] | float = 0.0
) -> Plan:
    """Write out a multistep method that extrapolates ``counts[i]`` slopes in step i.

    ``eta`` adds noise, one strength or one a step: the reverse equation is solved whose linear part is -(1 + eta),
    in data coordinates.
    """
    noise = [float(eta)] * grid.steps if isinstance(eta, int | float) else list(eta)
    writer = Writer(grid, coordinates)
    clock, scale = coordinates.clock(grid).tolist(), coordinates.log_scale(grid).tolist()
    known: list[int] = []  # steps whose slopes may be used, oldest first
    for index in range(grid.steps):
        if writer.limit(index, noise[index]) is None:
            order = min(counts[index], len(known) + 1)
            _step(writer, method, known, order, clock, scale, noise[index])
            known.append(index)
        elif math.isfinite(clock[index]):
            known.append(index)
    return writer.plan()


def _step(
    writer: Writer, method: Adams, known: list[int], order: int, clock: list[float], scale: list[float], eta: float
) -> None:
    index = len(writer.rows)
    grid, rate = writer.grid, writer.coordinates.rate
    h = clock[index + 1] - clock[index]
    near = known[-method.order :]  # all that the numbers depend on
    past = tuple(clock[i + 1] - clock[i] for i in near[::-1])[: method.history]
    before = writer.orders[index - 1] if method.corrector and near else order
    orders = (*(min(before, i + 1) for i in range(len(near))), order)
    linear = None if rate is None else Diagonal(rate * (1.0 + eta))
    place = Place(len(near), len(orders), clock[index])
    state = torch.zeros((), dtype=torch.float64)
    (leaf,) = replace(method, orders=orders).plan(linear, h, state, past, place)
    size = math.exp(scale[index + 1]) * (1.0 + eta)
    weights = [(size * _plain(w), index - age) for w, age in leaf.row]
    carry = _carry(grid, writer.coordinates, index) * math.exp(-eta * h)
    sigma = grid.sigma[index + 1].item()
    writer.row(
        grid.t[index],
        grid.t[index + 1],
        carry,
        weights,
        order,
        noise=_fresh(writer.coordinates, sigma, h, eta) if eta else 0.0,
    )


def _plain(weight: Weight) -> float:
    assert isinstance(weight, float)
    return weight


def _carry(grid: Grid, coordinates: Coordinates, index: int) -> float:
    """Return E m_1 / m_0 of a step, in closed form: round-off of the logarithms would add up."""
    match coordinates.name:
        case "data":
            return (grid.sigma[index + 1] / grid.sigma[index]).item()
        case "time":
            return 1.0
    return (grid.alpha[index + 1] / grid.alpha[index]).item()


def singlestep(
    grid: Grid, coordinates: Coordinates, tableaus: Sequence[Tableau], eta: Sequence[float] | float = 0.0
) -> Plan:
    """Write out Runge--Kutta steps, one tableau a step. A step to zero noise is the first-order one.

    ``eta`` adds noise as in :func:`multistep`, in data and in noise coordinates.
    """
    noise = [float(eta)] * grid.steps if isinstance(eta, int | float) else list(eta)
    writer = Writer(grid, coordinates)
    for index, tableau in enumerate(tableaus):
        if writer.limit(index, noise[index]) is None:
            runge_kutta(writer, index, tableau, noise[index])
    return writer.plan()


def runge_kutta(writer: Writer, index: int, tableau: Tableau, eta: float = 0.0) -> list[int]:
    """Write step ``index`` of the grid with its stages; return the numbers of its rows.

    Each row adds the noise of its stretch. The state carries what was added before, so that all stages see one
    Brownian path; the nodes must not go back.
    """
    grid, coordinates = writer.grid, writer.coordinates
    schedule, rate = grid.schedule, coordinates.rate or 0.0
    if coordinates.name == "data":
        rate *= 1.0 + eta
    start, end = coordinates.clock(grid)[index : index + 2].tolist()
    h = end - start
    nodes = (*tableau.nodes, 1.0)
    exact = {0.0: grid.t[index], 1.0: grid.t[index + 1]}
    inner = {c: torch.tensor(start + c * h, dtype=torch.float64) for c in nodes if c not in exact}
    exact |= {c: coordinates.time(schedule, s) for c, s in inner.items()}
    times = [exact[c] for c in nodes]
    scales = [coordinates.log_scale(Moment(schedule, t)).item() for t in times]
    size = h * (1.0 + eta)
    entries = [[size * _number(entry, rate * h) for entry in row] for row in (*tableau.stages, tableau.update)]
    rows: list[int] = []
    for i in range(len(tableau.nodes)):
        # Y_{i+1} from Y_i: the state at the start of the step is (Y_i / m_i - sum a_ij k_j) / E_i
        growth = math.exp(rate * (nodes[i + 1] - nodes[i]) * h)
        size = math.exp(scales[i + 1])
        rows.append(len(writer.rows))
        old = [*entries[i], 0.0]
        weights = [(size * (new - growth * old[j]), rows[j]) for j, new in enumerate(entries[i + 1][: i + 1])]
        last = i + 1 == len(tableau.nodes)
        carry = math.exp(scales[i + 1] - scales[i]) * growth
        if i == 0 and last:
            carry = _carry(grid, coordinates, index) * math.exp(-eta * h if coordinates.name == "data" else 0.0)
        stretch = (nodes[i + 1] - nodes[i]) * h
        noise = _fresh(coordinates, schedule.sigma(times[i + 1]).item(), stretch, eta) if eta else 0.0
        writer.row(times[i], times[i + 1], carry, weights, tableau.order, noise=noise, ends=last)
    return rows


def _fresh(coordinates: Coordinates, sigma: float, stretch: float, eta: float) -> float:
    """Return the amplitude of the noise that the reverse equation adds over a stretch of lam, up to ``sigma``."""
    if coordinates.name == "data":
        return sigma * math.sqrt(-math.expm1(-2.0 * eta * stretch))
    return sigma * math.sqrt(eta * math.expm1(2.0 * stretch))


def _number(entry: Entry, z: float) -> float:
    """Return an entry of a tableau at a number z."""
    total = 0.0
    for weight, order, c in entry:
        value: Any = math.exp(c * z) if order == 0 else phi_numbers(c * z, order)[-1]
        total += weight * value
    return total


FINALS = ("auto", "keep", "lower")


def lowered(order: int, grid: Grid, final: str) -> list[int]:
    """Return how many slopes each step extrapolates: 1, 2, ... at the start, and lowered at the end if asked.

    "auto" lowers where the last step is more than twice the one before, or ends at zero noise.
    """
    if final not in FINALS:
        raise unknown(str(final), FINALS, "final")
    n = grid.steps
    sizes = grid.lam.diff().abs().tolist()
    lower = final == "lower" or (final == "auto" and (grid.ends_at_zero or (n > 1 and sizes[-1] > 2 * sizes[-2])))
    counts = [min(order, i + 1) for i in range(n)]
    return [min(count, n - i) for i, count in enumerate(counts)] if lower else counts

r"""Samples of one batch at different rows of a sampler: what a stream needs, whose lanes begin at different calls.

.. math:: x_i \leftarrow a_{r_i} x_i + \sum_j w_{r_i j} N_{i j} + n_{r_i} z_i

for sample i at row r_i; the numbers are those of the sampler's plan, laid out as columns.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.denoiser import Denoise, column
from sciode.generative.sampler import Sampler
from sciode.solve.recurrence import Row


@dataclass(frozen=True, eq=False)
class Lanes:
    """The rows of a sampler, to be taken by every sample of a batch at its own pace.

    Parameters
    ----------
    sampler
        One with a call of the network in every row, such as DDIM, ancestral sampling or a multistep method.

    Raises
    ------
    InputError
        For a sampler with stages, moves or numbers that differ by element, and for a schedule with a centre.

    Examples
    --------
    Data that are all one have an exact denoiser. One sample is at the first row, the other at the second:

    >>> from sciode.generative import VP, presets
    >>> lanes = Lanes(presets.ddim(VP(), steps=2, end="zero"))
    >>> x, slopes = lanes.step(lambda x, t: torch.ones_like(x), torch.zeros(2, 3), (), torch.tensor([0, 1]))
    >>> x[1].tolist()
    [1.0, 1.0, 1.0]
    """

    sampler: Sampler

    def __post_init__(self) -> None:
        plan = self.sampler.plan
        plain = all(_plain(row) for row in plan.rows) and not plan.states
        if not plain or self.sampler.schedule.centre is not None:
            raise InputError(
                f"{self.sampler.name} has rows that cannot be laid out as columns of numbers: take a method "
                "with one call a step, such as ddim or dpm_solver_pp"
            )

    @property
    def rows(self) -> int:
        """How many calls of the network a sample takes."""
        return len(self.sampler.plan.rows)

    @cached_property
    def depth(self) -> int:
        """How many slopes are remembered beside the newest."""
        return max(age for row in self.sampler.plan.rows for _, age in row.weights)

    @cached_property
    def _numbers(self) -> Tensor:
        """Carry, noise and weights by age of every row, ``[rows, 3 + depth]`` float64."""
        table = torch.zeros(self.rows, 3 + self.depth, dtype=torch.float64)
        for index, row in enumerate(self.sampler.plan.rows):
            table[index, 0] = 1.0 if row.carry is None else torch.as_tensor(row.carry, dtype=table.dtype)
            table[index, 1] = row.noise
            for weight, age in row.weights:
                table[index, 2 + age] += torch.as_tensor(weight, dtype=table.dtype)
        return table

    @cached_property
    def _kept(self) -> dict[Any, tuple[Tensor, Tensor]]:
        return {}

    def step(
        self, denoise: Denoise, x: Tensor, slopes: tuple[Tensor, ...], row: Tensor, z: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Call the network once, and take every sample over its row.

        Parameters
        ----------
        denoise
            (x, t ``[b]``) -> x0.
        x
            States ``"b ..."``.
        slopes
            What the step before returned; empty, or with anything finite for samples at row 0, at the beginning.
        row
            The number of each sample's row, ``[b]`` int64 on the state's device.
        z
            Standard normal numbers like ``x``, for samplers that draw.

        Returns
        -------
        tuple
            States after their rows, and the slopes for the next step.
        """
        if (x.device, x.dtype) not in self._kept:
            times = self.sampler.plan.times.to(x.device)
            self._kept[x.device, x.dtype] = self._numbers.to(x), times
        table, times = self._kept[x.device, x.dtype]
        carry, noise, *weights = (column(value, x) for value in table[row].unbind(1))
        newest = self.sampler.coordinates.field(denoise, self.sampler.schedule)(x, times[row])
        known = (newest, *slopes)
        x = carry * x
        for weight, slope in zip(weights, known, strict=False):
            x = torch.addcmul(x, weight, slope)
        if self.sampler.plan.noisy:
            if z is None:
                raise InputError(f"{self.sampler.name} draws noise: give z")
            x = torch.addcmul(x, noise, z)
        return x, known[: self.depth]


def _plain(row: Row) -> bool:
    numbers = [weight for weight, _ in row.weights] + ([] if row.carry is None else [row.carry])
    scalar = all(isinstance(number, int | float) for number in numbers)
    return scalar and row.evaluates and row.ends and not row.blend and row.move is None and row.shift is None

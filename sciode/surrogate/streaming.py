"""Rollouts of many trajectories as one stream: at any call each lane of the batch refines a state of its own.

A step of a refiner needs the whole state before it, so the steps of one trajectory cannot overlap. Those of
different trajectories can: lanes begin at different calls, states come out at every call, and a lane whose
trajectory has ended takes the next one, so that the batch stays full where trajectories differ in length.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.generative import Lanes, row_noise, sample_seeds
from sciode.surrogate.refiner import Refiner, first_noise
from sciode.surrogate.rollout import check_rollout, lead_times, warn_of_parameters


class Arrival(NamedTuple):
    """States that one call of the network has finished.

    Attributes
    ----------
    trajectory, step : list of int
        Whose they are, and after how many steps, from 1.
    states : Tensor
        ``"k c *n"``, in physical units.
    """

    trajectory: list[int]
    step: list[int]
    states: Tensor


@dataclass
class _Lane:
    trajectory: int
    step: int  # that is being refined, from 1
    row: int  # of the sampler, next to be taken; negative while it waits


def stream(
    model: Refiner,
    u0: Float[Tensor, "b c *n"],
    steps: int | Sequence[int],
    dt: float | Tensor,
    *,
    lanes: int | None = None,
    seed: int = 0,
) -> Iterator[Arrival]:
    """Roll out every state of ``u0``, ``lanes`` of them at a time, and yield states as they are finished.

    Each call of the network serves all lanes, every one at its own refinement level. The states are those of
    ``rollout(model.seeded(seed), u0, ...)``, to round-off, for any number of lanes. No gradients.

    Parameters
    ----------
    model : Refiner
        With a sampler of one call a row, as all of its samplers are.
    u0 : Tensor
        First states, ``"b c *n"``, in physical units, finite.
    steps : int or sequence of int
        Predictions of every trajectory: one number, or one for each.
    dt : float or Tensor
        Time between predictions: one number, or one for each sample (``[b]``).
    lanes : int, optional
        Size of the batch; all trajectories by default.
    seed : int
        Of the noise, as of :meth:`Refiner.seeded`.

    Yields
    ------
    Arrival
        Trajectories, their steps and states.

    Raises
    ------
    InputError
        For states that a rollout refuses, counts below 1, or not one for each trajectory.

    Examples
    --------
    >>> model = Refiner(channels=1, dimensions=1, network={"width": 4, "depth": 1})
    >>> arrivals = list(stream(model, torch.zeros(3, 1, 8), steps=[2, 1, 3], dt=0.1, lanes=2))
    >>> sorted((i, n) for arrival in arrivals for i, n in zip(arrival.trajectory, arrival.step))
    [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2), (2, 3)]
    """
    counts = [steps] * len(u0) if isinstance(steps, int) else list(steps)
    if len(counts) != len(u0):
        raise InputError(f"steps takes a number, or one for each of {len(u0)} trajectories, found {len(counts)}")
    check_rollout(u0, min(counts))
    warn_of_parameters(model, u0)
    if lanes is not None and lanes < 1:
        raise InputError(f"a stream takes at least 1 lane, found {lanes}")
    size = len(u0) if lanes is None else min(lanes, len(u0))
    return _Stream(model, u0, counts, lead_times(dt, u0), size, seed).run()


class _Stream:
    """The lanes of one stream, and what they hold: all tensors are ``"k ..."`` for the k lanes alive."""

    def __init__(self, model: Refiner, u0: Tensor, counts: list[int], dt: Tensor, size: int, seed: int) -> None:
        self.model, self.u0, self.counts, self.dt, self.seed = model, u0, counts, dt, seed
        self.rows = Lanes(model.sampler)
        self.queue = deque(range(size, len(u0)))
        # Lanes begin one after another, so that every call finishes some of them.
        self.lanes = [_Lane(i, 1, -(i * self.rows.rows // size)) for i in range(size)]
        self.u, self.tau = u0[:size].clone(), model.leads(dt[:size])
        self.v = model.normalised(self.u)
        self.x = torch.zeros_like(self.v)
        self.slopes = tuple(torch.zeros_like(self.v) for _ in range(self.rows.depth))
        self.z = self.v.new_zeros(self.rows.rows, *self.v.shape)

    @torch.no_grad()
    def run(self) -> Iterator[Arrival]:
        """Yield what every call finishes, until no lane is left."""
        while self.lanes:
            for index, lane in enumerate(self.lanes):
                if lane.row == 0:
                    self._begin(index, lane)
            self._call()
            done = [index for index, lane in enumerate(self.lanes) if lane.row == self.rows.rows]
            if done:
                yield self._finish(done)

    def _begin(self, index: int, lane: _Lane) -> None:
        """Draw the noise of a step, as a rollout of the whole batch would."""
        own = sample_seeds(derive_seed(self.seed, "step", lane.step), 1, first=lane.trajectory)[0]
        self.x[index] = self.model.sampler.prior(first_noise(self.v[index : index + 1], [own]))[0]
        if self.model.sampler.plan.noisy:
            self.z[:, index] = row_noise(own, 0, self.rows.rows, [self.v])[0]

    def _call(self) -> None:
        """Call the network once; lanes that wait go along at row 0, and what they get is not kept."""
        place = torch.tensor([max(lane.row, 0) for lane in self.lanes], device=self.x.device)
        z = self.z[place, torch.arange(len(place), device=place.device)]
        self.x, self.slopes = self.rows.step(self.model.given(self.v, self.tau), self.x, self.slopes, place, z)
        for lane in self.lanes:
            lane.row += 1

    def _finish(self, done: list[int]) -> Arrival:
        """Return finished states, and let their lanes go on, take the next trajectory or end."""
        at = torch.tensor(done, device=self.u.device)
        states = self.model.advanced(self.u[at], self.tau[at], self.x[at])
        arrival = Arrival([self.lanes[i].trajectory for i in done], [self.lanes[i].step for i in done], states)
        self.u[at] = states
        ended = []
        for index in done:
            lane = self.lanes[index]
            lane.row, lane.step = 0, lane.step + 1
            if lane.step > self.counts[lane.trajectory]:
                if self.queue:
                    self._take(index, lane)
                else:
                    ended.append(index)
        self.v[at] = self.model.normalised(self.u[at])
        for slope in self.slopes:
            slope[at] = 0.0  # a lane that overflowed must not spoil the next one
        if ended:
            self._drop(ended)
        return arrival

    def _take(self, index: int, lane: _Lane) -> None:
        lane.trajectory, lane.step = self.queue.popleft(), 1
        self.u[index] = self.u0[lane.trajectory]
        self.tau[index] = self.model.leads(self.dt[lane.trajectory : lane.trajectory + 1])[0]

    def _drop(self, ended: list[int]) -> None:
        kept = [index for index in range(len(self.lanes)) if index not in ended]
        self.lanes = [self.lanes[index] for index in kept]
        at = torch.tensor(kept, device=self.u.device, dtype=torch.int64)
        self.u, self.tau, self.v, self.x = self.u[at], self.tau[at], self.v[at], self.x[at]
        self.slopes = tuple(slope[at] for slope in self.slopes)
        self.z = self.z[:, at]

"""Windows of trajectories in batches: held on the device where they fit, read by workers where they do not."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.data import Windows


class Batch(NamedTuple):
    """States ``"b t c *n"`` in physical units, and the time between them, ``[b]``."""

    u: Tensor
    dt: Tensor


class Pairs(NamedTuple):
    """Which states of a trajectory make a window."""

    leads: tuple[int, ...] = (1,)
    starts: int | None = None  # at most so many a trajectory, from the first on
    stride: int = 1  # states from one start to the next


class Source(Protocol):
    """Windows by number."""

    def __len__(self) -> int:
        """Number of windows."""
        ...

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the windows of each index tensor in ``order``, on the device."""
        ...


class Held:
    """All trajectories in one tensor on the device; a batch is one gather."""

    def __init__(self, data: Any, ids: np.ndarray, length: int, pairs: Pairs, device: torch.device) -> None:
        times = data.shape[1]
        states = torch.empty(len(ids), *data.shape[1:])
        for row, index in enumerate(ids):
            states[row] = data[int(index)]
        self.states = states.flatten(0, 1).to(device)
        # Window k starts at row first[k] of the states and takes length rows, lead[k] apart.
        first, lead = [], []
        for gap in pairs.leads:
            starts = torch.arange(0, times - (length - 1) * gap, pairs.stride)[: pairs.starts]
            first.append((torch.arange(len(ids))[:, None] * times + starts).flatten())
            lead.append(torch.full_like(first[-1], gap))
        self.first, self.lead = torch.cat(first).to(device), torch.cat(lead).to(device)
        self.steps, self.dt = torch.arange(length, device=device), float(data.dt)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.first)

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the windows of each index tensor in ``order``."""
        for chosen in order:
            index = chosen.to(self.first.device, non_blocking=True)
            lead = self.lead[index]
            rows = self.first[index][:, None] + lead[:, None] * self.steps
            yield Batch(self.states[rows], (lead.double() * self.dt).float())


class Streamed:
    """Windows read from the file as they are needed; memory holds a few batches."""

    def __init__(
        self, data: Any, ids: np.ndarray, length: int, pairs: Pairs, device: torch.device, workers: int
    ) -> None:
        self.windows = Windows(data, ids, length, pairs.stride, leads=pairs.leads, starts=pairs.starts)
        self.device, self.workers = device, workers

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the windows of each index tensor in ``order``."""
        loader = DataLoader(
            self.windows,
            batch_sampler=[chosen.tolist() for chosen in order],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )
        for item in loader:
            yield Batch(
                item["u"].to(self.device, non_blocking=True), item["dt"].float().to(self.device, non_blocking=True)
            )


def source(
    data: Any,
    ids: np.ndarray,
    length: int,
    pairs: Pairs,
    *,
    device: torch.device,
    memory: float,
    workers: int,
) -> Source:
    """Return the windows of ``length`` states of the trajectories ``ids``, for every lead time and start.

    ``memory`` (MiB) decides whether they are held or streamed; their numbering is the same.
    """
    needed = (length - 1) * max(pairs.leads) + 1
    if needed > data.shape[1]:
        raise InputError(
            f"leads up to {max(pairs.leads)} and unroll={length - 1} need {needed} times; "
            f"the data have {data.shape[1]}"
        )
    if len(ids) == 0:
        raise InputError("there are no trajectories to take windows from: the split is empty")
    size = 4 * len(ids) * math.prod(data.shape[1:])
    if size <= memory * 2**20:
        return Held(data, ids, length, pairs, device)
    return Streamed(data, ids, length, pairs, device, workers)


def epoch_order(count: int, seed: int, epoch: int, limit: int | None = None) -> Tensor:
    """Return the window numbers of an epoch in their order: a function of seed and epoch alone.

    >>> sorted(epoch_order(5, seed=0, epoch=1).tolist()), len(epoch_order(5, 0, 1, limit=3))
    ([0, 1, 2, 3, 4], 3)
    """
    return torch.randperm(count, generator=generator(seed, "order", epoch))[:limit]


def shares(order: Tensor, batch: int, rank: int, processes: int) -> list[Tensor]:
    """Cut ``order`` into whole batches and return this process's part of each; the rest of an epoch is dropped.

    >>> [part.tolist() for part in shares(torch.arange(9), batch=4, rank=1, processes=2)]
    [[2, 3], [6, 7]]
    """
    own = batch // processes
    whole = len(order) // batch * batch
    return [part[rank * own : (rank + 1) * own] for part in order[:whole].split(batch)] if whole else []


def equal_shares(order: Tensor, batch: int, rank: int, processes: int) -> list[Tensor]:
    """Cut ``order`` into parts of about ``batch``, as many on every process, and return this process's.

    None is lost and none is empty, so that all take part in every gathering of spread weights. Where there are
    fewer windows than processes each takes all, which a mean over them does not notice.

    >>> [[part.tolist() for part in equal_shares(torch.arange(5), 2, rank, 2)] for rank in (0, 1)]
    [[[0, 2], [4]], [[1], [3]]]
    >>> equal_shares(torch.arange(1), 2, rank=1, processes=2)
    [tensor([0])]
    """
    if len(order) < processes:
        return list(order.split(batch))
    parts = math.ceil(len(order) / processes / batch)
    return list(order[rank::processes].tensor_split(min(parts, len(order) // processes)))


def evenly(count: int, most: int) -> Tensor:
    """Return at most ``most`` numbers below ``count``, evenly spread.

    >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
    ([0, 2, 5, 7], [0, 1, 2])
    """
    few = min(count, most)
    return torch.arange(few) * count // few

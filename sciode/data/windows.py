"""Windows in time, as a map-style dataset that is safe with worker processes."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sciode.core.errors import InputError
from sciode.data.trajectories import Trajectories


class Windows(Dataset[dict[str, Tensor]]):
    """All windows of ``length`` states, ``lead`` steps apart, of the given trajectories.

    An item is ``{"u": "length c *n" float32, "dt": float32 []}``, ``dt`` the time between its states. Each item is
    one read of the file; windows that follow one another in the index lie next to one another on disk.

    Parameters
    ----------
    data
        What to cut.
    ids
        Trajectories of ``data``; those of one part of a split.
    length
        States per window.
    stride
        Steps between the starts of windows.
    lead
        Steps between the states of a window.
    leads
        Several leads instead of one, for training conditioned on ``dt``: windows of the first, then of the next.
        0 is a state beside itself.
    starts
        At most so many starts a trajectory, from its first state on; None for all.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from sciode.data import open_trajectories, write_trajectories
    >>> path = write_trajectories(Path(tempfile.mkdtemp()) / "a.h5", source=[np.zeros((2, 5, 1, 8))],
    ...     shape=(2, 5, 1, 8), fields=["u"], times=np.arange(5) / 4, grid=[np.arange(8)])
    >>> windows = Windows(open_trajectories(path), [0, 1], length=2, lead=2)
    >>> len(windows), windows[0]["u"].shape, float(windows[0]["dt"])
    (6, torch.Size([2, 1, 8]), 0.5)
    """

    def __init__(
        self,
        data: Trajectories,
        ids: Sequence[int] | NDArray[np.int64],
        length: int,
        stride: int = 1,
        lead: int = 1,
        leads: Sequence[int] | None = None,
        starts: int | None = None,
    ) -> None:
        self.data, self.ids = data, np.asarray(ids, dtype=np.int64)
        self.length, self.stride = length, stride
        self.leads = (lead,) if leads is None else tuple(int(k) for k in leads)
        if min(length, stride) < 1 or min(self.leads, default=-1) < (0 if leads is not None else 1):
            raise InputError(f"length, stride and lead must be positive: {length}, {stride}, {self.leads}")
        if starts is not None and starts < 1:
            raise InputError(f"starts takes a number from 1 up, or None for all, found {starts}")
        if self.ids.ndim != 1 or self.ids.size == 0 or self.ids.min() < 0 or self.ids.max() >= len(data):
            raise InputError(
                f"ids must name at least one of {len(data)} trajectories, found {self.ids.tolist()[:10]}"
            )
        steps = data.shape[1]
        counts = (len(range(0, steps - self._span(k) + 1, stride)) for k in self.leads)
        self.starts = tuple(count if starts is None else min(count, starts) for count in counts)
        if 0 in self.starts:
            lead = self.leads[self.starts.index(0)]
            raise InputError(
                f"a window of {length} states with lead {lead} spans {self._span(lead)} steps; "
                f"the trajectories have {steps}"
            )
        self.ends = tuple(accumulate(count * len(self.ids) for count in self.starts))
        self.dt = data.dt

    def _span(self, lead: int) -> int:
        return (self.length - 1) * lead + 1

    def __len__(self) -> int:
        return self.ends[-1]

    def locate(self, item: int) -> tuple[int, int, int]:
        """Return trajectory, first step and lead of an item."""
        item = item + len(self) if item < 0 else item
        if not 0 <= item < len(self):
            raise IndexError(f"item {item} is out of bounds for {len(self)} windows")
        which = int(np.searchsorted(self.ends, item, side="right"))
        within = item - (self.ends[which - 1] if which else 0)
        row, start = divmod(within, self.starts[which])
        return int(self.ids[row]), start * self.stride, self.leads[which]

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        trajectory, start, lead = self.locate(int(item))
        u = self.data[trajectory, start : start + self._span(lead) : max(lead, 1)]
        u = u if lead else u.expand(self.length, *u.shape[1:])
        return {"u": u, "dt": torch.tensor(lead * self.dt, dtype=torch.float32)}

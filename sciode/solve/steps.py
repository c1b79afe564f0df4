"""Which steps a solve takes: planned from the asked times and a largest step, or recorded from an adaptive run."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np


class Steps(NamedTuple):
    """A grid of steps, in the clock of the chart; all on the host, in float64."""

    starts: np.ndarray  # [n]
    sizes: np.ndarray  # [n], negative backwards; the last may be infinite
    marks: tuple[int, ...]  # marks[j]: how many steps lie before the j-th asked time; marks[0] = 0

    def moments(self, nodes: Sequence[float], first: int, last: int) -> Any:
        """Return the times ``[last - first, nodes]`` at which steps ``first`` to ``last`` look."""
        c = np.asarray(nodes)
        with np.errstate(invalid="ignore"):  # 0 * inf, at the start of an infinite last step
            offsets = np.where(c == 0.0, 0.0, self.sizes[first:last, None] * c)
        return self.starts[first:last, None] + offsets


def even(times: Sequence[float], dt: float) -> Steps:
    """Cut each gap between asked times into equal steps of at most ``dt``.

    >>> even([0.0, 0.3, 0.5], 0.2).sizes.round(3).tolist()
    [0.15, 0.15, 0.2]
    """
    if math.isinf(dt):
        return _gaps(times)
    counts: list[int] = []
    sizes: list[float] = []
    scale = 8 * math.ulp(max((abs(t) for t in times if math.isfinite(t)), default=0.0))
    for start, end in pairwise(times):
        gap = abs(end - start)
        # The small slack keeps 0.1 / 0.01 from becoming eleven steps by round-off.
        count = 1 if math.isinf(gap) else max(1, math.ceil(gap / dt * (1.0 - 1e-12)))
        h = (end - start) / count
        if sizes and abs(h - sizes[-1]) <= scale:
            h = sizes[-1]  # differs by the round-off of the asked times only: share the weights
        counts.append(count)
        sizes.append(h)
    within = np.arange(sum(counts)) - np.repeat(np.cumsum([0, *counts])[:-1], counts)
    every = np.repeat(np.asarray(sizes), counts)
    offsets = within * np.where(np.isinf(every), 0.0, every)
    marks = tuple(int(n) for n in np.cumsum([0, *counts]))
    return Steps(np.repeat(np.asarray(times[:-1], dtype=float), counts) + offsets, every, marks)


def _gaps(times: Sequence[float]) -> Steps:
    """Make every gap one step: what samplers ask for, with a new size at every step."""
    sizes = [end - start for start, end in pairwise(times)]
    scale = 8 * math.ulp(max(map(abs, filter(math.isfinite, times)), default=0.0))
    for index in range(1, len(sizes)):
        if abs(sizes[index] - sizes[index - 1]) <= scale:
            sizes[index] = sizes[index - 1]
    return Steps(np.array(times[:-1], dtype=float), np.array(sizes, dtype=float), tuple(range(len(times))))

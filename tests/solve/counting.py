"""Count what a solver dispatches: kernels and waits for the device, apart from those of the user's drift."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from sciode.core.typing import State, Time

_WAITS = {"_local_scalar_dense", "item", "nonzero"}
_FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "lift_fresh"}
"""No kernel: memory alone."""


class Counting(TorchDispatchMode):
    """Counts operations that run a kernel, and reads of a device's value by the host.

    Views run no kernel and are left out. Work inside a drift wrapped by :meth:`without` is not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.waits = 0
        self._paused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self._paused:
            name = func.overloadpacket.__name__
            if name in _WAITS:
                self.waits += 1
            elif name not in _FREE and not _is_view(func):
                self.kernels[name] += 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """All kernels."""
        return sum(self.kernels.values())

    def without(self, drift: Callable[[Time, State], State]) -> Callable[[Time, State], State]:
        """Return the same drift, whose own operations are not counted."""

        def quiet(s: Time, y: State) -> State:
            self._paused = True
            try:
                return drift(s, y)
            finally:
                self._paused = False

        return quiet


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def per_step(run: Callable[[Counting, int], int], sizes: tuple[int, int]) -> tuple[float, float, Counter[str]]:
    """Return kernels and waits per step, and which kernels: of the steps by which a long run exceeds a short one.

    ``run(counting, size)`` solves over a span that grows with ``size`` and returns the number of steps taken.
    The difference leaves out what a solve costs once.
    """
    counts = []
    for size in sizes:
        with Counting() as counting:
            steps = run(counting, size)
        counts.append((steps, counting))
    (few, first), (many, second) = counts
    more = many - few
    assert more > 0, "the longer run must take more steps"
    kinds = second.kernels.copy()
    kinds.subtract(first.kernels)
    return (second.total - first.total) / more, (second.waits - first.waits) / more, kinds

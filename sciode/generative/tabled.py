"""Functions of time, evaluated once for a whole table of times."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_KEPT = 8


class Tabled:
    """A function of a time ``[]`` that knows when the time is one entry of a table, as in a solve on given steps.

    It is then evaluated for the whole table at once, the first time it meets it: a step costs a look-up, and no
    operation on the device. Other times, one per sample or chosen under way, go to the function directly.

    Parameters
    ----------
    function
        ``[k] -> [k]``, or to a tuple of such tensors; works for ``[]`` and ``[b]`` as well.

    Examples
    --------
    >>> calls = []
    >>> square = Tabled(lambda t: (calls.append(t), t * t)[1])
    >>> [square(t).item() for t in torch.tensor([1.0, 2.0, 3.0]).unbind()], len(calls)
    ([1.0, 4.0, 9.0], 1)
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function = function
        # The storage is kept beside the values: while it lives, no other table can have its address.
        self._rows: OrderedDict[Any, tuple[Any, tuple[Any, ...]]] = OrderedDict()

    def __call__(self, t: Tensor) -> Any:
        """Return the function's value at ``t``."""
        if t.dim() or t.requires_grad or torch.compiler.is_compiling() or _capturing(t):
            return self.function(t)
        storage = t.untyped_storage()
        count = storage.nbytes() // t.element_size()
        if count == 1:
            return self.function(t)
        key = (storage.data_ptr(), count, t.dtype, t.device)
        if key not in self._rows:
            with torch.inference_mode(False), torch.no_grad():
                whole = torch.empty(0, dtype=t.dtype, device=t.device).set_(storage).clone()
                values = self.function(whole)
            rows = (
                tuple(zip(*(v.unbind() for v in values), strict=True))
                if isinstance(values, tuple)
                else values.unbind()
            )
            self._rows[key] = (storage, rows)
            if len(self._rows) > _KEPT:
                self._rows.popitem(last=False)
        return self._rows[key][1][t.storage_offset()]


def _capturing(t: Tensor) -> bool:
    # A graph that is being recorded reads its times from buffers that change afterwards.
    return t.is_cuda and torch.cuda.is_current_stream_capturing()

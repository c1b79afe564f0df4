"""Constant multipliers that follow the state to its device and dtype."""

import torch
from torch import Tensor


class Symbol:
    """A multiplier held in float64 or complex128, and handed out like the state it meets.

    The copy for each (device, dtype) is made once, so a drift pays one dictionary look-up per use.

    >>> Symbol(torch.ones(3, dtype=torch.float64)).like(torch.zeros(3)).dtype
    torch.float32
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def like(self, state: Tensor) -> Tensor:
        """Return the multiplier on the device and in the dtype of ``state``."""
        key = (state.device, state.dtype)
        if key not in self._copies:
            # A copy first needed under inference_mode must still serve autograd afterwards.
            with torch.inference_mode(False):
                self._copies[key] = self.value.clone().to(device=state.device, dtype=state.dtype)
        return self._copies[key]

"""neuraloperator's spectral convolution in single precision. Imported late: the library is slow to load."""

from typing import Any

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor


class SingleSpectralConv(SpectralConv):
    """The convolution computed in float32 whatever surrounds it.

    Its weights are complex64 always, and there is no FFT of bfloat16: under mixed precision, or in a model
    made float64, the plain class fails.
    """

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the convolution of ``x``, in the dtype of ``x``."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float(), *args, **kwargs).to(x.dtype)

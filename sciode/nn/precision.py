"""Float32 that is float32, also where a GPU rounds factors of convolutions and products to 10 bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def strict_float32() -> Iterator[None]:
    """Switch TensorFloat-32 off for cuDNN's convolutions and CUDA's matrix products, and back afterwards.

    For what is computed inside, not for its gradients: a backward pass after the end of the block rounds as set.
    Inside a compiled region it does nothing: set the switches before compiling.

    >>> with strict_float32():
    ...     torch.backends.cudnn.conv.fp32_precision if hasattr(torch.backends.cudnn, "conv") else "ieee"
    'ieee'
    """
    if torch.compiler.is_compiling():
        yield
        return
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # the newer switches; the older ones refuse to be read once these are set
        switches, name, strict = (cudnn.conv, matmul), "fp32_precision", "ieee"
    else:
        switches, name, strict = (cudnn, matmul), "allow_tf32", False  # type: ignore[assignment]
    before = [getattr(switch, name) for switch in switches]
    for switch in switches:
        setattr(switch, name, strict)
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            setattr(switch, name, value)

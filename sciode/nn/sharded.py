"""Tensors that may be spread over processes (``DTensor``), and plain ones, by the same calls."""

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """Return the full tensor; every process has to call it where it is spread, a plain one comes back as it is.

    >>> import torch
    >>> whole(torch.ones(2)).shape
    torch.Size([2])
    """
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gathered(tensor: Tensor) -> Tensor:
    """Return the full tensor as :func:`whole`, but on the CPU where it is spread: many at once fit there alone."""
    return whole(tensor).cpu() if hasattr(tensor, "full_tensor") else tensor


def local(tensor: Tensor) -> Tensor:
    """Return this process's part, which shares its memory; of a plain tensor that is all of it."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def spread_like(full: Tensor, like: Tensor) -> Tensor:
    """Return ``full``, the same on all processes, spread over them as ``like`` is; plain where that is plain."""
    if not hasattr(like, "device_mesh"):
        return full
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # No rank is the source: each takes its part of what all have, and nothing is sent.
    return distribute_tensor(full.to(like.device), like.device_mesh, like.placements, src_data_rank=None)

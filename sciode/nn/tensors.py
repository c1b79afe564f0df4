"""The tensors of a module as a plain dictionary, for files that hold real numbers only."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.nn.sharded import local, spread_like


def real_view(tensor: Tensor) -> Tensor:
    """Return a complex tensor as a real one with a last axis of two; a real tensor as it is.

    >>> real_view(torch.ones(3, dtype=torch.complex64)).shape
    torch.Size([3, 2])
    """
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and saved buffers by name, complex ones as pairs of real numbers; no copies.

    ``state_dict`` is not used because networks of other libraries put other things than tensors in it.

    >>> sorted(module_tensors(nn.Linear(2, 3)))
    ['bias', 'weight']
    """
    return {name: real_view(tensor.detach()) for name, tensor in _named(module).items()}


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``tensors`` (made by :func:`module_tensors`) into ``module``, in place.

    A module, or one inside it, may name in ``younger`` buffers that files of earlier versions lack: where the file
    has none they stay as they are.

    Raises
    ------
    InputError
        When a name is missing, left over, or of another shape: the file is of another model.

    Examples
    --------
    >>> a, b = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> load_tensors(b, module_tensors(a))
    >>> bool((a.weight == b.weight).all())
    True
    """
    own = module_tensors(module)
    if missing := sorted(own.keys() - tensors.keys() - _younger(module)):
        raise InputError(f"the file has no tensor {missing[0]!r} ({len(missing)} missing): another model?")
    if extra := sorted(tensors.keys() - own.keys()):
        raise InputError(f"the model has no tensor {extra[0]!r} ({len(extra)} left over): another model?")
    for name, target in own.items():
        if name not in tensors:
            continue
        if target.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)} in the file, {tuple(target.shape)} in the model"
            raise InputError(f"tensor {name!r} has shape {shapes}")
        local(target).copy_(local(spread_like(tensors[name], target)))


def _younger(module: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        for name in getattr(child, "younger", ())
    }


def _named(module: nn.Module) -> dict[str, Tensor]:
    saved: dict[str, Tensor] = {name: tensor for name, tensor in module.named_parameters()}
    for prefix, child in module.named_modules():
        for name, buffer in child._buffers.items():
            if buffer is not None and name not in child._non_persistent_buffers_set:
                saved[f"{prefix}.{name}" if prefix else name] = buffer
    return saved

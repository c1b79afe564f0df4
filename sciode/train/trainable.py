"""What training needs of a surrogate."""

from typing import Any, Protocol

from torch import Tensor, nn

from sciode.core.errors import InputError


class Trainable(Protocol):
    """What :func:`sciode.train.fit` needs of a model, besides being a ``torch.nn.Module``.

    ``config`` holds JSON-able constructor arguments; ``normaliser`` has ``fit(data, ids)`` and buffers ``mean``
    and ``std`` [c]; ``reference_dt`` (0-dim) and ``increment`` ([c]) are buffers that training sets.

    A model that is not trained by comparing its prediction has a method ``losses(u, later, dt)``, which returns
    ``[b]``; random numbers come from torch's own generator, seeded by the step. Validation compares its
    predictions all the same.

    A model that sees earlier states says how many in ``context``. Its method ``after(past)``, of ``"b k c *n"`` or
    None, returns a callable ``(u, dt)`` which remembers.
    """

    config: dict[str, Any]
    normaliser: Any
    reference_dt: Tensor
    increment: Tensor


def check_trainable(model: object) -> None:
    """Raise InputError where ``model`` is not what :class:`Trainable` says."""
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise InputError(f"{type(model).__name__} has no parameters to train")
    for name in ("config", "normaliser", "reference_dt", "increment"):
        if not hasattr(model, name):
            raise InputError(f"{type(model).__name__} has no attribute {name!r}; see sciode.train.Trainable")

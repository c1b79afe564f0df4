"""What training makes small."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.train.units import set_units
from sciode.train.validate import one_step_errors
from sciode.train.windows import Batch

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of a prediction and its target, both ``"b c *n"`` and normalised, as a 0-dim tensor."""

# Square of the smallest norm that counts, in units of the spread: fields that decay to nothing do not rule.
_FLOOR = 1e-4
_TINY = 1e-12
_NOTHING = 1e-10


def relative_l2(prediction: Float[Tensor, "b c *n"], target: Float[Tensor, "b c *n"]) -> Float[Tensor, ""]:
    """Return the mean over samples of the error's norm over the target's norm, all channels together.

    >>> target = torch.ones(2, 1, 8)
    >>> round(relative_l2(1.1 * target, target).item(), 4)
    0.1
    """
    error = (prediction - target).square().flatten(1).mean(1)
    size = target.square().flatten(1).mean(1)
    # The root's slope at zero is infinite; a perfect prediction must not give NaN.
    return ((error + _TINY) / (size + _FLOOR)).sqrt().mean()


@dataclass(frozen=True)
class RelativeL1:
    """The mean over groups of fields of the mean absolute error over the mean absolute target.

    Parameters
    ----------
    groups : tuple of int
        How many channels each group has, in order, such as ``(1, 2, 1)`` for density, a velocity and pressure;
        empty: every channel is a group of its own.
    per_sample : bool
        Take the ratio of each sample and their mean, in place of the ratio of the batch, as published.

    References
    ----------
    Herde et al., *Poseidon* (arXiv:2405.19101), appendix C.

    Examples
    --------
    >>> target = torch.ones(2, 3, 8)
    >>> round(RelativeL1((1, 2))(1.1 * target, target).item(), 4)
    0.1
    """

    groups: tuple[int, ...] = ()
    per_sample: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        if any(type(size) is not int or size < 1 for size in self.groups):
            raise InputError(f"groups are numbers of channels from 1 up, got {self.groups}")

    def __call__(self, prediction: Float[Tensor, "b c *n"], target: Float[Tensor, "b c *n"]) -> Float[Tensor, ""]:
        """Return the loss."""
        channels = target.shape[1]
        sizes = self.groups or (1,) * channels
        if sum(sizes) != channels:
            raise InputError(f"groups {self.groups} hold {sum(sizes)} channels, the fields have {channels}")
        kept = 1 if self.per_sample else 0
        error, size = (
            torch.stack([part.abs().flatten(kept).mean(kept) for part in fields.split(sizes, dim=1)])
            for fields in (prediction - target, target)
        )
        return (error / (size + _NOTHING)).mean()


class Law(Protocol):
    """What predicted states are projected to."""

    def project(self, u: Tensor, /) -> Tensor:
        """Return the nearest state that satisfies it."""
        ...


Keep = Callable[[Tensor], Law]
"""The law that follows from the states a window begins with."""


def _next(model: Any, state: Tensor, dt: Tensor, law: Law | None) -> Tensor:
    later: Tensor = model(state, dt)
    return later if law is None else law.project(later)


class Objective(nn.Module):
    """The loss of a model along an unrolled window, as one module, so that one wrapper parallelises it."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        pushforward: bool,
        *,
        unroll: int = 1,
        lead: int = 1,
        longest: int = 1,
        constraint: Keep | None = None,
    ) -> None:
        super().__init__()
        # Typed Any: torch does not know what attributes a module has, and check_trainable has looked.
        self.model: Any = model
        if unroll > 1 and hasattr(model, "losses"):
            raise InputError(f"{type(model).__name__} has a loss of its own, of one step: leave unroll out")
        if hasattr(model, "losses") and loss is not relative_l2:
            raise InputError(f"{type(model).__name__} has a loss of its own: leave loss out")
        self.loss, self.pushforward, self.constraint = loss, pushforward, constraint
        self.context: int = getattr(model, "context", 0)
        self.states, self.lead, self.longest = self.context + unroll + 1, lead, longest
        self.validated = self.context + 2  # states of a window of validation: one step, whatever is unrolled

    def set_units(self, data: Any, ids: np.ndarray) -> None:
        """Fit normaliser, reference lead and increment."""
        set_units(self.model, data, ids, self.lead, self.longest)

    def units(self) -> Mapping[str, Any]:
        """Return the model's units, JSON-able."""
        return {"normaliser": self.model.normaliser.to_dict(), "reference_dt": float(self.model.reference_dt)}

    def errors(self, batches: Iterable[Batch]) -> Tensor:
        """Return the sum of relative errors of one step and how many there are, see :func:`one_step_errors`."""
        return one_step_errors(self.model, batches, self.context, self.constraint)

    def forward(self, u: Float[Tensor, "b t c *n"], dt: Float[Tensor, " b"]) -> Float[Tensor, ""]:
        """Return the loss of predicting ``u[:, 1:]`` from ``u[:, 0]``, step by step, or the model's own.

        A model with a ``context`` of k earlier states is shown the first k, and predicts from the next one.
        """
        model: Any = self.model
        if self.context:
            model = model.after(u[:, : self.context])
            u = u[:, self.context :]
        steps = u.shape[1] - 1
        if hasattr(self.model, "losses"):
            own: Tensor = self.model.losses(u[:, 0], u[:, 1], dt).mean()
            return own
        law = None if self.constraint is None else self.constraint(u[:, 0])
        state = u[:, 0]
        if self.pushforward:
            with torch.no_grad():
                for _ in range(steps - 1):
                    state = _next(model, state, dt, law)
            return self._compare(_next(model, state, dt, law), u[:, steps])
        total = u.new_zeros(())
        for step in range(1, steps + 1):
            state = _next(model, state, dt, law)
            total = total + self._compare(state, u[:, step])
        return total / steps

    def _compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (target.ndim - 2)
        mean, std = self.model.normaliser.mean.view(shape), self.model.normaliser.std.view(shape)
        # A channel that never changes is zero on both sides: neither an error nor a size to measure one by.
        moving = (self.model.increment != 0).view(shape)
        value: Tensor = self.loss((prediction - mean) / std * moving, (target - mean) / std * moving)
        return value

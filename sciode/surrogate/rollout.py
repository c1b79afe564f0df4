"""Feed a surrogate its own predictions."""

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.surrogate.base import Constraint, Surrogate


def rollout(
    model: Surrogate,
    u0: Float[Tensor, "b c *n"],
    steps: int,
    dt: float | Tensor,
    *,
    constraint: Constraint | None = None,
) -> Float[Tensor, "b t c *n"]:
    """Predict ``steps`` states after ``u0``, each from the one before.

    Gradients follow the caller's mode: inside ``torch.no_grad()`` the states go into one preallocated
    array, otherwise the result is differentiable through all steps.

    Parameters
    ----------
    model : Surrogate
        Called ``steps`` times.
    u0 : Tensor
        States at the start, ``"b c *n"``, in physical units, finite.
    steps : int
        Number of predictions, at least 1.
    dt : float or Tensor
        Time between predictions: one number, or one for each sample (``[b]``), in the unit of the data.
    constraint : Constraint, optional
        Its ``project`` is applied after each step.

    Returns
    -------
    Tensor
        ``"b t c *n"`` with ``t = steps``: the predicted states only, ``u0`` is not among them.

    Raises
    ------
    InputError
        For a state without channel and space axes, values that are not finite, or steps below 1.

    Examples
    --------
    >>> from sciode.surrogate import Persistence
    >>> rollout(Persistence(), torch.zeros(2, 1, 8), 5, 0.1).shape
    torch.Size([2, 5, 1, 8])
    """
    _check(u0, steps)
    lead = _lead(dt, u0)
    if torch.is_grad_enabled():
        states = []
        for _ in range(steps):
            u0 = _step(model, u0, lead, constraint)
            states.append(u0)
        return torch.stack(states, dim=1)
    path = u0.new_empty(u0.shape[0], steps, *u0.shape[1:])
    for index in range(steps):
        u0 = _step(model, u0, lead, constraint)
        path[:, index] = u0
    return path


def _step(model: Surrogate, u: Tensor, lead: Tensor, constraint: Constraint | None) -> Tensor:
    later = model(u, lead)
    return later if constraint is None else constraint.project(later)


def _check(u0: Tensor, steps: int) -> None:
    if u0.ndim < 3:
        raise InputError(f"u0 takes a state 'b c *n', got shape {tuple(u0.shape)}")
    if steps < 1:
        raise InputError(f"a rollout takes at least 1 step, got steps={steps}")
    if not bool(torch.isfinite(u0).all()):
        bad = (~torch.isfinite(u0.detach())).flatten(1).any(1).nonzero()[0].item()
        raise InputError(f"u0 holds NaN or infinity, first in sample {bad}")


def _lead(dt: float | Tensor, u0: Tensor) -> Tensor:
    # Through float64, so that a time of the data reaches the model rounded once and not twice.
    lead = torch.as_tensor(dt, dtype=torch.float64)
    if lead.shape not in ((), (u0.shape[0],)):
        raise InputError(f"dt takes a number or one for each of {u0.shape[0]} samples, got {list(lead.shape)}")
    return lead.expand(u0.shape[0]).to(u0)

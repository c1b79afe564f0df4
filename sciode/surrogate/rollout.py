"""Feed a surrogate its own predictions."""

import warnings
from collections.abc import Iterator, Sequence

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
    constraint: Constraint | Sequence[Constraint] | None = None,
    jump: int = 1,
    seed: int = 0,
) -> Float[Tensor, "b t c *n"]:
    """Predict ``steps`` states after ``u0``, each from the one before, or from one further back.

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
    constraint : Constraint or sequence of Constraint, optional
        Its ``project`` is applied after each step; a sequence has one for every step, as a total that boundary
        fluxes change needs.
    jump : int
        For models that know the lead time: predict up to so many states from the same one. 1 is autoregressive;
        ``jump=steps`` is direct, every state from ``u0``; what lies between is a mixture.
    seed : int
        Of a model that draws noise, one with a method ``seeded``: every step draws anew.

    Returns
    -------
    Tensor
        ``"b t c *n"`` with ``t = steps``: the predicted states only, ``u0`` is not among them.

    Raises
    ------
    LeadTimeWarning
        Where the longest lead asked for is beyond those of the training.
    ParameterWarning
        Where a channel that never changes, a parameter, lies outside what the training had.
    InputError
        For a state without channel and space axes, values that are not finite, or steps below 1.

    Examples
    --------
    >>> from sciode.surrogate import Persistence
    >>> rollout(Persistence(), torch.zeros(2, 1, 8), 5, 0.1).shape
    torch.Size([2, 5, 1, 8])
    """
    check_rollout(u0, steps, jump)
    lead = lead_times(dt, u0)
    _warn(model, min(jump, steps) * lead.max().item())
    warn_of_parameters(model, u0)
    if hasattr(model, "seeded"):
        model = model.seeded(seed)
    if hasattr(model, "after"):
        if jump > 1:
            raise InputError(f"{type(model).__name__} remembers the last state, one lead ago: it takes jump=1")
        model = model.after(None)
    laws = list(constraint) if isinstance(constraint, Sequence) else [constraint] * steps
    if len(laws) != steps:
        raise InputError(f"a rollout of {steps} steps takes as many constraints, got {len(laws)}")
    states = _states(model, u0, lead, laws, jump)
    if torch.is_grad_enabled():
        return torch.stack(list(states), dim=1)
    path = u0.new_empty(u0.shape[0], steps, *u0.shape[1:])
    for index, state in enumerate(states):
        path[:, index] = state
    return path


def _states(
    model: Surrogate, u: Tensor, lead: Tensor, laws: Sequence[Constraint | None], jump: int
) -> Iterator[Tensor]:
    for index, constraint in enumerate(laws):
        ahead = index % jump + 1
        state = _step(model, u, lead if ahead == 1 else ahead * lead, constraint)
        yield state
        if ahead == jump:
            u = state


def _step(model: Surrogate, u: Tensor, lead: Tensor, constraint: Constraint | None) -> Tensor:
    later = model(u, lead)
    return later if constraint is None else constraint.project(later)


class LeadTimeWarning(UserWarning):
    """A lead time longer than any that the model was trained with."""


def _warn(model: Surrogate, lead: float) -> None:
    longest = getattr(model, "longest_lead", None)
    if longest is not None and 0.0 < longest.item() * (1.0 + 1e-4) < lead:
        warnings.warn(
            f"{type(model).__name__} was trained with lead times up to {longest.item():g}, asked for {lead:g}: "
            "give a smaller jump or dt",
            LeadTimeWarning,
            stacklevel=3,
        )


class ParameterWarning(UserWarning):
    """A parameter of the equation outside the range that the model was trained with."""


def warn_of_parameters(model: Surrogate, u0: Tensor) -> None:
    """Warn of channels that never change and lie outside what the training of ``model`` had."""
    lowest, highest = (getattr(model, name, None) for name in ("lowest", "highest"))
    if lowest is None or highest is None or len(lowest) != u0.shape[1]:
        return
    values = u0.detach().transpose(0, 1).flatten(1).to(lowest)
    room = 1e-5 * (highest - lowest).abs() + 1e-6 * highest.abs()
    # Channels that change have infinite bounds.
    outside = (values.amin(1) < lowest - room) | (values.amax(1) > highest + room)
    for channel in outside.nonzero().flatten().tolist():
        low, high = values[channel].min().item(), values[channel].max().item()
        found = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        warnings.warn(
            f"{type(model).__name__} was trained with channel {channel} from {lowest[channel].item():g} to "
            f"{highest[channel].item():g}, asked for {found}: a forecast there is a guess",
            ParameterWarning,
            stacklevel=3,
        )


def check_rollout(u0: Tensor, steps: int, jump: int = 1) -> None:
    """Raise :class:`InputError` for a state or a count that no rollout begins with."""
    if u0.ndim < 3:
        raise InputError(f"u0 takes a state 'b c *n', got shape {tuple(u0.shape)}")
    if steps < 1 or jump < 1:
        raise InputError(
            f"a rollout takes at least 1 step and jumps of at least 1, got steps={steps}, jump={jump}"
        )
    if not bool(torch.isfinite(u0).all()):
        bad = (~torch.isfinite(u0.detach())).flatten(1).any(1).nonzero()[0].item()
        raise InputError(f"u0 holds NaN or infinity, first in sample {bad}")


def lead_times(dt: float | Tensor, u0: Tensor) -> Tensor:
    """Return the lead time of every sample, ``[b]``, in the dtype of ``u0``."""
    # Through float64, so that a time of the data reaches the model rounded once and not twice.
    lead = torch.as_tensor(dt, dtype=torch.float64)
    if lead.shape not in ((), (u0.shape[0],)):
        raise InputError(f"dt takes a number or one for each of {u0.shape[0]} samples, got {list(lead.shape)}")
    return lead.expand(u0.shape[0]).to(u0)

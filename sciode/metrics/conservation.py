"""Does a rollout keep what the equation keeps: mass, energy, or a quantity of the user's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.metrics.layout import check_lengths, check_trajectory, wide

Functional = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Drift:
    """A quantity Q along trajectories: its value, its change since the first step, and that change by its size.

    Each is float64 "b t c" (for a quantity of the user's: "b t" and whatever axes it returns).
    """

    value: Float[Tensor, "b t ..."]
    signed: Float[Tensor, "b t ..."]
    relative: Float[Tensor, "b t ..."]


def _mean(u: Tensor) -> Tensor:
    return u.flatten(3).mean(dim=3)


def _size(u: Tensor) -> Tensor:
    return _mean(u.abs())


def _energy(u: Tensor) -> Tensor:
    return _mean(u**2) / 2


# Name: the quantity per unit of volume, and what its drift is measured against. The mean of many fields is
# zero, so the drift of mass is measured against the mean of |u|.
_QUANTITIES: dict[str, tuple[Functional, Functional]] = {"mean": (_mean, _size), "energy": (_energy, _energy)}


def conservation_drift(
    u: Float[Tensor, "b t c *n"],
    lengths: Sequence[float] | None = None,
    quantity: str | Functional = "mean",
) -> Drift:
    r"""Drift of a conserved quantity: :math:`Q(t) - Q(0)`, signed and relative, for each trajectory and channel.

    Parameters
    ----------
    u
        Trajectories "b t c \*n", the first step being the reference (so put the initial state first).
    lengths
        Domain length per space axis, unit of x. Given, Q is the integral over the domain; left out, the mean
        over it.
    quantity
        "mean": mass :math:`\int u`, relative to :math:`\int |u(0)|`. "energy": :math:`\int u^2/2`, relative to
        its start. Or a function from "b t c \*n" (float64) to "b t ..." giving Q itself (``lengths`` then plays
        no part), relative to :math:`|Q(0)|`.

    Returns
    -------
    :class:`Drift` with ``value``, ``signed`` (both in the unit of Q) and ``relative`` (pure number; 0 where
    nothing changed, infinite where the reference is zero and something did).

    Raises
    ------
    InputError
        Wrong rank, wrong count of lengths, unknown quantity, or a function whose result does not start with "b t".

    Examples
    --------
    >>> u = torch.ones(1, 3, 1, 8) * torch.tensor([1.0, 1.5, 2.0]).reshape(1, 3, 1, 1)
    >>> conservation_drift(u).relative.flatten().tolist()
    [0.0, 0.5, 1.0]
    >>> conservation_drift(u, lengths=(4.0,), quantity="energy").signed.flatten().tolist()
    [0.0, 2.5, 6.0]
    """
    fields = wide(check_trajectory(u, "u"))
    sides = check_lengths(lengths, u.shape[3:])
    if callable(quantity):
        value = _of_user(quantity, fields)
        scale = value[:, :1].abs()
    else:
        measure, size = lookup(quantity, _QUANTITIES, "conserved quantity")
        volume = math.prod(sides)
        value, scale = measure(fields) * volume, size(fields[:, :1]) * volume
    signed = value - value[:, :1]
    return Drift(value, signed, torch.where(signed == 0, 0, signed / scale))


def _of_user(quantity: Functional, u: Tensor) -> Tensor:
    value = quantity(u)
    if not isinstance(value, Tensor) or value.shape[:2] != u.shape[:2]:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(
            f"quantity: expected a tensor 'b t ...' starting with {tuple(u.shape[:2])}, found {found}"
        )
    return value

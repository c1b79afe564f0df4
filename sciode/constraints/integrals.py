r"""Integral forms of conservation laws as rows over a grid, and their values from boundary fluxes.

A row is a quadrature: G u is the integral that the *rule* sees. A law that holds for the integral of the true
solution holds for its values at nodes only up to the error of the rule, of the order of a cell across a jump; for
cell averages it holds exactly.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciode.constraints.linear import LinearConstraint
from sciode.core.errors import InputError
from sciode.core.names import lookup


def gauss_nodes(count: int, low: float, high: float) -> Float[Tensor, " n"]:
    """Return the Gauss-Legendre nodes of an interval, in float64.

    >>> gauss_nodes(2, 0.0, 1.0).sum().item()
    1.0
    """
    nodes, _ = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy(low + (high - low) * (nodes + 1.0) / 2.0)


def quadrature(
    x: Float[Tensor, " n"],
    rule: str = "trapezoid",
    bounds: tuple[float, float] | None = None,
) -> Float[Tensor, " n"]:
    r"""Return weights w with :math:`\int u\,dx \approx \sum_j w_j u(x_j)`, in float64.

    Parameters
    ----------
    x : Tensor
        Nodes, rising.
    rule : {"trapezoid", "midpoint", "cells", "periodic", "gauss"}
        "trapezoid": of the nodes, ends included. "midpoint": nodes in the middle of cells that fill ``bounds``.
        "cells": the same weights; u then holds averages over those cells, and the sum is exact. "periodic": equal
        steps, without the point that closes the period. "gauss": Gauss-Legendre nodes of ``bounds``.
    bounds : (float, float), optional
        Of the interval. Needed for "gauss"; without them "midpoint" and "cells" take the first two cells as equal.

    Raises
    ------
    InputError
        For nodes that do not rise, are not finite, or are not those of the rule.

    Examples
    --------
    >>> quadrature(torch.tensor([0.0, 1.0, 3.0])).tolist()
    [0.5, 1.5, 1.0]
    >>> quadrature(torch.tensor([0.25, 0.75]), "cells").tolist()
    [0.5, 0.5]
    """
    make = lookup(rule, _RULES, "quadrature rule")
    nodes = x.detach().double()
    if nodes.dim() != 1 or len(nodes) < 2 or not bool(torch.isfinite(nodes).all()):
        raise InputError(f"a quadrature takes two finite nodes or more, 'n', found {list(nodes.shape)}")
    if bool((nodes.diff() <= 0).any()):
        at = int((nodes.diff() <= 0).nonzero()[0])
        raise InputError(f"nodes must rise: {nodes[at + 1].item():g} follows {nodes[at].item():g} at {at}")
    # Nodes of a coarser dtype are equally spaced to its round-off, and no better.
    return make(nodes, bounds, 1e-6 + 16.0 * torch.finfo(_real(x)).eps * _ratio(nodes))


def _real(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.float64


def _ratio(x: Tensor) -> float:
    """Return the largest node over the mean step."""
    return float(x.abs().max() / x.diff().mean())


def _trapezoid(x: Tensor, bounds: tuple[float, float] | None, room: float) -> Tensor:
    step = x.diff()
    zero = step.new_zeros(1)
    return (torch.cat([step, zero]) + torch.cat([zero, step])) / 2


def _cells(x: Tensor, bounds: tuple[float, float] | None, room: float) -> Tensor:
    """Return the widths of cells whose middles are the nodes."""
    step = x.diff()
    if float((step - step.mean()).abs().max()) <= room * float(step.mean()):
        width = float(step.mean())
        if bounds is None or max(
            abs(bounds[0] - float(x[0]) + width / 2), abs(bounds[1] - float(x[-1]) - width / 2)
        ) <= (room * width * len(x)):
            whole = width * len(x) if bounds is None else bounds[1] - bounds[0]
            return torch.full_like(x, whole / len(x))
    low = bounds[0] if bounds else 1.5 * x[0] - 0.5 * x[1]
    # From the left end on, an edge lies as far behind its node as the edge before lies ahead of it.
    signs = torch.ones_like(x)
    signs[1::2] = -1.0
    edges = signs * (2.0 * (signs * x).cumsum(0) - low)
    widths = torch.diff(edges, prepend=edges.new_tensor([float(low)]))
    if bool((widths <= 0).any()) or (
        bounds is not None and abs(float(edges[-1]) - bounds[1]) > room * float(x[-1] - x[0])
    ):
        raise InputError(
            f"the nodes are not the middles of cells from {float(low):g} to "
            f"{bounds[1] if bounds else float(edges[-1]):g}: give their bounds, or take trapezoid"
        )
    return widths


def _periodic(x: Tensor, bounds: tuple[float, float] | None, room: float) -> Tensor:
    step = x.diff()
    if float((step - step.mean()).abs().max()) > room * float(step.mean()):
        raise InputError(
            f"periodic takes equal steps, found {step.min().item():g} to {step.max().item():g}: take trapezoid"
        )
    period = float(step.mean()) * len(x)
    if bounds is not None and abs(bounds[1] - bounds[0] - period) > room * period:
        raise InputError(f"{len(x)} equal steps make a period of {period:g}, bounds are {bounds}")
    return torch.full_like(x, period / len(x))


def _gauss(x: Tensor, bounds: tuple[float, float] | None, room: float) -> Tensor:
    if bounds is None:
        raise InputError("gauss needs bounds: its nodes do not tell them")
    low, high = bounds
    if float((x - gauss_nodes(len(x), low, high).to(x)).abs().max()) > 1e-6 * (high - low):
        raise InputError(
            f"these are not the {len(x)} Gauss-Legendre nodes of [{low:g}, {high:g}]: see gauss_nodes"
        )
    _, weights = np.polynomial.legendre.leggauss(len(x))
    return torch.from_numpy(weights * (high - low) / 2.0).to(x)


_RULES = {
    "trapezoid": _trapezoid,
    "midpoint": _cells,
    "cells": _cells,
    "periodic": _periodic,
    "gauss": _gauss,
}


def integral(
    axes: Sequence[Float[Tensor, " n"]],
    rule: str = "trapezoid",
    *,
    bounds: Sequence[tuple[float, float]] | None = None,
    channels: int = 1,
    of: Sequence[int] | None = None,
    density: Float[Tensor, "*n"] | None = None,
) -> Float[Tensor, "m cn"]:
    """Return rows that integrate fields over a grid: one for each channel, over the flattened state ``"c *n"``.

    Parameters
    ----------
    axes : sequence of Tensor
        Coordinates along every axis of space.
    rule, bounds
        Of :func:`quadrature`, along every axis.
    channels : int
        Of the state.
    of : sequence of int, optional
        Channels to integrate, all unless told.
    density : Tensor, optional
        ``"*n"``, what to integrate against: an indicator for part of the domain, a moment.

    Raises
    ------
    InputError
        As :func:`quadrature`, and for channels or a density that do not fit.

    Examples
    --------
    >>> integral([torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])], channels=2).tolist()
    [[0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5]]
    """
    limits = [None] * len(axes) if bounds is None else list(bounds)
    if not axes or len(limits) != len(axes):
        raise InputError(f"an integral takes axes, and bounds for each: found {len(axes)} and {len(limits)}")
    weight = torch.ones((), dtype=torch.float64, device=axes[0].device)
    for axis, limit in zip(axes, limits, strict=True):
        weight = weight[..., None] * quadrature(axis, rule, limit).to(weight.device)
    if density is not None:
        if density.shape != weight.shape:
            raise InputError(f"a density on this grid is {list(weight.shape)}, found {list(density.shape)}")
        weight = weight * density.to(weight)
    chosen = range(channels) if of is None else of
    if bad := [c for c in chosen if not 0 <= c < channels]:
        raise InputError(f"channel {bad[0]} is not among {channels}")
    rows = weight.new_zeros(len(chosen), channels, weight.numel())
    for row, channel in zip(rows, chosen, strict=True):
        row[channel] = weight.flatten()
    return rows.flatten(1)


def balance(
    initial: float | Float[Tensor, "..."],
    times: Float[Tensor, " t"],
    inflow: Float[Tensor, "... t"],
) -> Float[Tensor, "... t"]:
    r"""Return :math:`b(t) = b(t_0) + \int_{t_0}^t F\,dt`, F what flows in over all borders, by trapezoids in time.

    >>> balance(1.0, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 2.0, 2.0])).tolist()
    [1.0, 2.0, 4.0]
    """
    t, flow = times.double(), inflow.double()
    if t.dim() != 1 or flow.shape[-1:] != t.shape or bool((t.diff() <= 0).any()):
        raise InputError(
            f"a balance takes rising times and a flow at each: {list(t.shape)} and {list(inflow.shape)}"
        )
    if not bool(torch.isfinite(flow).all()):
        raise InputError("the boundary flux holds NaN or infinity")
    gained = ((flow[..., 1:] + flow[..., :-1]) / 2 * t.diff()).cumsum(-1)
    start = torch.as_tensor(initial, dtype=torch.float64).to(t.device)[..., None]
    return start + torch.cat([torch.zeros_like(flow[..., :1]), gained], dim=-1)


def conserving(operator: Float[Tensor, "m n"], state: Tensor, slack: float = 0.0) -> LinearConstraint:
    """Return the law that G u stays what it is in ``state``: one value for each of its samples.

    ``state`` is ``"... n"``, or ``"b c *n"`` with n entries a sample.

    >>> law = conserving(torch.full((1, 4), 0.25), torch.arange(4.0)[None])
    >>> law.project(torch.zeros(1, 4)).tolist()
    [[1.5, 1.5, 1.5, 1.5]]
    """
    n, operator = operator.shape[-1], operator.to(state.device)
    shape = tuple(state.shape[1:]) if state.dim() > 1 and math.prod(state.shape[1:]) == n else (n,)
    zero = LinearConstraint(operator, operator.new_zeros(len(operator)), shape=shape)
    return LinearConstraint(operator, zero.residual(state), slack, shape)

r"""Which sensor, and which tick of it, a forecast rests on: integrated gradients through the whole path.

.. math:: \phi_i = x_i \int_0^1 \partial_i f(\alpha x)\,\mathrm{d}\alpha,
    \qquad \textstyle\sum_i \phi_i = f(x) - f(0),

where f is the mean over members of the path without noise, at one lead, and 0 is every channel's mean.
"""

from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.forecast.base import Forecaster
from sciode.forecast.frame import Frame


def attribute(
    forecaster: Forecaster,
    history: xr.Dataset,
    future: xr.Dataset | None = None,
    *,
    lead: int | None = None,
    points: int = 64,
    quiet: bool = True,
) -> xr.Dataset:
    """Return what each channel contributes to the forecast at a lead, tick by tick.

    Parameters
    ----------
    forecaster : Forecaster
        Fitted, its model differentiable.
    history, future : xarray.Dataset
        As for :meth:`Forecaster.predict`.
    lead : int, optional
        Ticks ahead; the horizon unless told.
    points : int
        Of the Gauss--Legendre rule over alpha.
    quiet : bool
        Show no progress.

    Returns
    -------
    xarray.Dataset
        For each channel ``(series, back)``, on the model's scale; ``back`` counts ticks before the last measured
        one, negative for what is planned. ``change``: f(x) - f(0), ``(series)``, which they add up to but for the
        rule's error.

    Raises
    ------
    InputError
        For a lead that is not within the horizon.

    References
    ----------
    Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*, ICML 2017, equation (1).
    """
    channels, design = forecaster.channels_, forecaster.design
    ahead = design.horizon if lead is None else lead
    if not 1 <= ahead <= design.horizon or points < 1:
        raise InputError(f"a lead is 1 to {design.horizon} and points at least 1, found {ahead} and {points}")
    frame = forecaster.frame(history, future, ahead)
    nodes, weights = np.polynomial.legendre.leggauss(points)
    total = [torch.zeros_like(part) for part in _values(frame)]
    with progress("attribution, points", points, quiet=quiet) as bar:
        for node, weight in zip(0.5 * (nodes + 1.0), 0.5 * weights, strict=True):
            inputs = [(float(node) * part).requires_grad_() for part in _values(frame)]
            path = _path(forecaster, _with(frame, inputs), ahead)
            slopes = torch.autograd.grad(path.sum(), inputs, allow_unused=True)
            total = [t if s is None else t + float(weight) * s for t, s in zip(total, slopes, strict=True)]
            bar.advance(1)
    parts = [x * t for x, t in zip(_values(frame), total, strict=True)]
    with torch.no_grad():
        nothing = [torch.zeros_like(part) for part in _values(frame)]
        change = _path(forecaster, frame, ahead) - _path(forecaster, _with(frame, nothing), ahead)
    back = design.history - 1 - np.arange(frame.target.shape[1])
    tables = {channels.target: parts[0]}
    tables |= {name: parts[1][..., i] for i, name in enumerate(channels.past)}
    tables |= {name: parts[2][..., i] for i, name in enumerate(channels.known)}
    variables = {name: (("series", "back"), table.double().numpy()) for name, table in tables.items()}
    found = xr.Dataset(variables, coords={"back": back})
    return found.assign(change=("series", change.double().numpy()))


def shares(attribution: xr.Dataset) -> dict[str, float]:
    """Return the part of each channel: mean over series of the size of its whole contribution; they add up to 1.

    >>> table = xr.Dataset({"a": (("series", "back"), np.array([[1.0, 2.0]])), "change": ("series", [3.0])})
    >>> shares(table)
    {'a': 1.0}
    """
    sizes = {
        str(name): float(np.abs(value.sum("back")).mean())
        for name, value in attribution.data_vars.items()
        if name != "change"
    }
    whole = sum(sizes.values()) or 1.0
    return {name: size / whole for name, size in sorted(sizes.items(), key=lambda item: -item[1])}


def incompleteness(attribution: xr.Dataset) -> float:
    """Return by how much the contributions miss the change, in parts of its usual size."""
    parts = sum(value.sum("back") for name, value in attribution.data_vars.items() if name != "change")
    return float(np.abs(parts - attribution.change).mean() / np.abs(attribution.change).mean())


def _values(frame: Frame) -> list[Tensor]:
    return [frame.target, frame.past, frame.known]


def _with(frame: Frame, parts: list[Tensor]) -> Frame:
    return replace(frame, target=parts[0], past=parts[1], known=parts[2])


def _path(forecaster: Forecaster, frame: Frame, ahead: int) -> Tensor:
    origin = torch.full((len(frame.target),), forecaster.design.history - 1)
    return forecaster.mean_path(frame, origin, ahead)[..., -1].mean(0)

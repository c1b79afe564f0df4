r"""Generated states beside states of the data: spectrum, values, increments, conserved mean.

Symbols: ``E_j`` energy of shell j; ``du`` increment between neighbouring points.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics import spectrum

BANDS: Mapping[str, float] = {"energetic": 0.9, "middle": 0.999, "small": 1.0}
"""Bands of shells, by the part of the data's energy that lies below their end."""

_ROUND = 1e-12  # of the energy: less is the round-off of float32
_MOST = 1000  # states in an energy distance: its cost grows as their square


def compare(
    made: Float[Tensor, "b c *n"], truth: Float[Tensor, "k c *n"], lengths: tuple[float, ...] | None = None
) -> dict[str, Any]:
    r"""Return how far generated states are from those of the data, as JSON-able numbers; 0 is best.

    ``spectrum``
        By band: :math:`\sum_j |E_j - E_j^{data}| / \sum_j E_j^{data}` of the mean spectra.
    ``values``, ``increments``
        Skewness and excess kurtosis of the values, and of the differences of neighbours along the first axis.
    ``mean``
        Root mean square over states of the difference of a state's mean from the data's, over the data's spread:
        what a conserved mean leaves.
    ``energy_distance``
        :math:`2 E|X - Y| - E|X - X'| - E|Y - Y'|` of the states as vectors, over :math:`E|Y - Y'|`; without bias,
        so it may be slightly negative.

    Examples
    --------
    >>> states = torch.randn(50, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> compare(states, states)["spectrum"]["energetic"]
    0.0
    """
    if made.shape[1:] != truth.shape[1:] or min(len(made), len(truth)) < 2:
        raise InputError(f"states to compare are 'b c *n', two at least: {list(made.shape)}, {list(truth.shape)}")
    made, truth = made.double(), truth.double()
    ours, theirs = mean_spectrum(made, lengths), mean_spectrum(truth, lengths)
    edges = band_edges(theirs)
    bands = {
        name: float((ours[low:high] - theirs[low:high]).abs().sum() / theirs[low:high].sum())
        for name, (low, high) in edges.items()
    }
    return {
        "spectrum": bands,
        "shells": {name: [low, high] for name, (low, high) in edges.items()},
        "values": _shape(made - truth.mean()),
        "increments": _shape(increments(made)),
        "mean": float(_away(made, truth)),
        "energy_distance": _energy_distance(made, truth),
    }


def mean_spectrum(states: Tensor, lengths: tuple[float, ...] | None = None) -> Float[Tensor, " shells"]:
    """Return the mean energy of every shell, channels added."""
    return spectra(states, lengths).mean(0)


def spectra(states: Tensor, lengths: tuple[float, ...] | None = None) -> Float[Tensor, "b shells"]:
    """Return the energy of every shell of every state, channels added."""
    return spectrum(states[:, None].double(), lengths)[:, 0].sum(1)


def increments(states: Tensor) -> Tensor:
    """Return the differences of neighbours along the first space axis, periodic."""
    return states.roll(-1, dims=2) - states


def band_edges(energy: Float[Tensor, " shells"]) -> dict[str, tuple[int, int]]:
    """Return the shells of the bands of a spectrum, [low, high); shell 0, the mean, is in none.

    A band that holds nothing but round-off is left out.

    >>> band_edges(torch.tensor([5.0, 90.0, 9.95, 0.05]))
    {'energetic': (1, 2), 'middle': (2, 3), 'small': (3, 4)}
    """
    part = energy[1:].cumsum(0) / energy[1:].sum()
    low, edges = 1, {}
    for name, share in BANDS.items():
        high = len(energy) if share == 1.0 else 2 + int((part < share - 1e-12).sum())
        if low < high and energy[low:high].sum() > _ROUND * energy[1:].sum():
            edges[name] = (low, high)
        low = max(low, high)
    return edges


def _shape(values: Tensor) -> dict[str, float]:
    away = values - values.mean()
    std = away.square().mean().sqrt()
    return {"skewness": float((away**3).mean() / std**3), "excess_kurtosis": float((away**4).mean() / std**4 - 3)}


def _away(made: Tensor, truth: Tensor) -> Tensor:
    ours, theirs = made.flatten(2).mean(2), truth.flatten(2).mean(2).mean(0)
    spread = truth.transpose(0, 1).flatten(1).std(1)
    return ((ours - theirs) / spread).square().mean().sqrt()


def _energy_distance(made: Tensor, truth: Tensor) -> float:
    # Evenly spread, since states of one trajectory follow one another.
    x, y = (_thinned(states).flatten(1) for states in (made, truth))
    within = [torch.cdist(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float((2 * torch.cdist(x, y).mean() - within[0] - within[1]) / within[1])


def _thinned(states: Tensor) -> Tensor:
    count = min(len(states), _MOST)
    return states[torch.arange(count) * len(states) // count]

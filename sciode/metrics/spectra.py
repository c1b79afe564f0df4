"""Errors seen by wave number: in which band a prediction fails, and whether its spectrum is right at all."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.metrics.fields import Names
from sciode.metrics.layout import average, check_lengths, check_pair, root
from sciode.metrics.shells import shell_energy


def band_error(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    edges: Sequence[int] = (4, 12),
    lengths: Sequence[float] | None = None,
    *,
    keep: Names = (),
) -> Float[Tensor, "*kept bands"]:
    r"""RMSE by band of wave numbers: :math:`\sqrt{\sum_{\kappa \in \mathrm{band}} |\hat P - \hat Y|^2}`, averaged.

    For each field the squares of the bands add up to its mean square error. This is not PDEBench's fRMSE, which
    averages amplitudes over shells and sees one orthant.

    Parameters
    ----------
    pred, target
        Trajectories "b t c \*n", same unit, on a uniform periodic grid.
    edges
        Shells at which a band ends and the next starts: (4, 12) means [0, 4), [4, 12), [12, end).
    lengths
        Domain length per space axis, default 1 each (only ratios matter).
    keep
        Axes that stay: any of "trajectory", "time", "channel".

    Returns
    -------
    Kept axes, then ``len(edges) + 1`` bands, unit of u. A band beyond the grid's last shell is NaN: nothing was
    measured.

    Raises
    ------
    InputError
        Edges that do not rise from at least 1, or what :func:`sciode.metrics.rmse` refuses.

    Examples
    --------
    >>> target = torch.zeros(1, 1, 1, 32)
    >>> [round(x, 6) for x in band_error(target + 0.1, target).tolist()]
    [0.1, 0.0, 0.0]
    """
    pair = check_pair(pred, target)
    sides = check_lengths(lengths, pair.points)
    bounds = [0, *edges]
    if any(low >= high for low, high in itertools.pairwise(bounds)):
        raise InputError(f"edges: expected rising shell numbers, the first at least 1, found {tuple(edges)}")
    energy = shell_energy(pair.pred - pair.target, sides)
    parts = [energy[..., low:high] for low, high in itertools.zip_longest(bounds, bounds[1:])]
    bands = torch.stack([_band(part) for part in parts], dim=-1)
    return average(bands, pair.valid, keep)


def _band(energy: Tensor) -> Tensor:
    if energy.shape[-1] == 0:
        return energy.new_full(energy.shape[:-1], torch.nan)
    return root(energy.sum(dim=-1))


def spectral_error(
    pred: Float[Tensor, "b t c *n"],
    target: Float[Tensor, "b t c *n"],
    lengths: Sequence[float] | None = None,
    *,
    keep: Names = (),
) -> Tensor:
    r"""Distance of two spectra: :math:`\sqrt{\sum_j (\sqrt{E_j(P)} - \sqrt{E_j(Y)})^2 / \sum_j E_j(Y)}`, averaged.

    Blind to phase: a shifted copy scores 0, a smoothed one does not; never above :func:`sciode.metrics.nrmse`.
    So it judges long rollouts of chaotic systems, where every prediction has lost the phase. Parameters as in
    :func:`band_error`. Returns a pure number (infinite or NaN for a target that is zero everywhere).

    Examples
    --------
    >>> target = torch.sin(torch.arange(32) * 2 * torch.pi / 32).reshape(1, 1, 1, 32)
    >>> float(spectral_error(target.roll(7, -1), target)) < 1e-6
    True
    >>> round(float(spectral_error(0.9 * target, target)), 5)
    0.1
    """
    pair = check_pair(pred, target)
    sides = check_lengths(lengths, pair.points)
    guess, truth = shell_energy(pair.pred, sides), shell_energy(pair.target, sides)
    error = root(((root(guess) - root(truth)) ** 2).sum(dim=-1)) / root(truth.sum(dim=-1))
    return average(error, pair.valid, keep)

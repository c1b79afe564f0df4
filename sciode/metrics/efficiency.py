"""How many samples a model saves: gains of efficiency and of accuracy, from curves of error over samples."""

import itertools
import math
from collections.abc import Mapping, Sequence

from sciode.core.errors import InputError

Curve = Mapping[int, float]
"""Error by number of training samples."""


def efficiency_gain(model: Curve, baseline: Curve, samples: int | None = None) -> float:
    """Return EG: the samples of the baseline over those that the model needs for the same error.

    Curves are joined by straight lines in log-log. Nothing is extrapolated: outside of the model's curve the gain
    is not known.

    Parameters
    ----------
    model, baseline
        Errors by number of samples, two at least for ``model``.
    samples
        Where the baseline stands; its largest number by default, 1024 in the paper.

    Raises
    ------
    InputError
        For a model that reaches the error with fewer samples than it was measured with, or not at all, and for
        curves that are no curves.

    References
    ----------
    Herde et al., *Poseidon* (arXiv:2405.19101), equation (8).

    Examples
    --------
    >>> efficiency_gain({4: 0.2, 16: 0.1}, {64: 0.2, 256: 0.1})
    16.0
    """
    model, baseline = _checked(model, "model"), _checked(baseline, "baseline")
    samples = max(baseline) if samples is None else samples
    target = _error_at(baseline, samples, "baseline")
    counts = sorted(model)
    if model[counts[0]] <= target:
        raise InputError(
            f"the model is at {model[counts[0]]:g} with its fewest samples, {counts[0]}, already below the "
            f"baseline's {target:g}: measure it with fewer, the gain is at least {samples / counts[0]:g}"
        )
    for low, high in itertools.pairwise(counts):
        if model[high] <= target:
            place = math.log(model[low] / target) / math.log(model[low] / model[high])
            return samples / (low * (high / low) ** place)
    raise InputError(
        f"the model never reaches the baseline's {target:g} (best {min(model.values()):g}): the gain is below "
        f"{samples / counts[-1]:g}"
    )


def accuracy_gain(model: Curve, baseline: Curve, samples: int) -> float:
    """Return AG: the baseline's error over the model's with the same number of samples, 128 in the paper.

    References
    ----------
    Herde et al. (arXiv:2405.19101), equation (9).

    Examples
    --------
    >>> round(accuracy_gain({4: 0.2, 16: 0.1}, {4: 0.4, 16: 0.3}, 8), 3)
    2.449
    """
    baseline, model = _checked(baseline, "baseline"), _checked(model, "model")
    return _error_at(baseline, samples, "baseline") / _error_at(model, samples, "model")


def _error_at(curve: Curve, samples: int, name: str) -> float:
    counts = sorted(curve)
    if not counts[0] <= samples <= counts[-1]:
        raise InputError(f"the curve of the {name} spans {counts[0]} to {counts[-1]} samples, asked for {samples}")
    if samples in curve:
        return curve[samples]
    high = next(i for i, count in enumerate(counts) if count > samples)
    low, top = counts[high - 1], counts[high]
    place = math.log(samples / low) / math.log(top / low)
    return curve[low] ** (1.0 - place) * curve[top] ** place


def _checked(curve: Curve, name: str) -> dict[int, float]:
    values: Sequence[tuple[int, float]] = sorted(curve.items())
    if not values or any(count < 1 or not (0.0 < error < math.inf) for count, error in values):
        raise InputError(
            f"the curve of the {name} takes errors > 0 by numbers of samples >= 1, found {dict(curve)}"
        )
    return dict(values)

"""The learning rate as a function of the step alone: nothing to save, nothing to restore."""

import math


def learning_rate(step: int, total: int, peak: float, warmup: float) -> float:
    r"""Return the rate of step ``step`` (from 0) of ``total``: linear climb, then half a cosine.

    With w = ceil(warmup * total) steps of climb, the rate is :math:`p (s + 1) / (w + 1)` for s < w and
    :math:`\tfrac{p}{2} (1 + \cos \pi \tfrac{s - w}{n - w})` after.

    >>> [round(learning_rate(s, 4, 1.0, 0.0), 3) for s in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    climb = math.ceil(warmup * total)
    if step < climb:
        return peak * (step + 1) / (climb + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - climb) / max(1, total - climb)))

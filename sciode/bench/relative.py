"""Relative errors with a floor, so that a field at rest does not decide a mean.

A decaying solution reaches zero, where any error divided by its norm is as large as one likes: one such test
trajectory in a hundred would make the mean nRMSE of a data set meaningless. So the size of the target counts as
at least :data:`FLOOR` times the spread of its channel in the training data; fields above that are untouched.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sciode import metrics

FLOOR = 0.01
"""Smallest size of a target, in units of the channel's standard deviation."""


@dataclass(frozen=True)
class Relative:
    """nRMSE and VRMSE "b t", averaged over channels; ``spread`` is the standard deviation ``[c]``.

    >>> scale = Relative(torch.ones(1))
    >>> target = torch.full((1, 2, 1, 8), 0.5)
    >>> scale.nrmse(target + 0.1, target)
    tensor([[0.2000, 0.2000]])
    """

    spread: Float[Tensor, " c"]

    def nrmse(self, pred: Float[Tensor, "b t c *n"], target: Float[Tensor, "b t c *n"]) -> Float[Tensor, "b t"]:
        """sqrt<(P - Y)²> / max(sqrt<Y²>, floor)."""
        return self._over(pred, target, target)

    def vrmse(self, pred: Float[Tensor, "b t c *n"], target: Float[Tensor, "b t c *n"]) -> Float[Tensor, "b t"]:
        """sqrt<(P - Y)²> / max(std Y, floor)."""
        space = tuple(range(3, target.ndim))
        return self._over(pred, target, target - target.mean(dim=space, keepdim=True))

    def _over(self, pred: Tensor, target: Tensor, size: Tensor) -> Tensor:
        error = metrics.rmse(pred, target, keep=("trajectory", "time", "channel"))
        norm = size.flatten(3).square().mean(dim=3).sqrt()
        return (error / torch.maximum(norm, FLOOR * self.spread.to(norm))).mean(dim=2)

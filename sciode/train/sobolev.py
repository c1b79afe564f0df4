"""A loss that weighs the waves of an error by their number."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError

# Square of the smallest norm that counts, as in relative_l2.
_FLOOR = 1e-4
_TINY = 1e-12


@dataclass(frozen=True)
class Sobolev:
    r"""The mean over samples of the error's Sobolev norm over the target's, on a periodic grid.

    .. math:: \|u\|_{H^s}^2 = \sum_k (1 + |k|^2)^s\,|\hat u_k|^2

    with wave numbers k counted per length of the box, all channels together. Order 0 is the relative L2 norm; a
    positive order makes the error of fine scales count more.

    Parameters
    ----------
    order : float
        s, finite.

    References
    ----------
    Li et al., *Learning dissipative dynamics in chaotic systems* (arXiv:2106.06898), section 3.2.

    Examples
    --------
    A wave of number 3 in the error of a wave of number 1 counts (1 + 9) / (1 + 1) times as much in order 1:

    >>> x = 2 * torch.pi * torch.arange(16, dtype=torch.float64) / 16
    >>> target, error = torch.sin(x)[None, None], 0.1 * torch.sin(3 * x)[None, None]
    >>> [round(Sobolev(s)(target + error, target).item(), 3) for s in (0, 1)]
    [0.1, 0.224]
    """

    order: float = 1.0
    _weights: dict[Any, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.order, int | float) or not abs(self.order) < 100:
            raise InputError(f"the order of a Sobolev norm is a number, such as 1, found {self.order!r}")

    def __call__(self, prediction: Float[Tensor, "b c *n"], target: Float[Tensor, "b c *n"]) -> Float[Tensor, ""]:
        """Return the loss."""
        error, size = self._norm(prediction - target), self._norm(target)
        return ((error + _TINY) / (size + _FLOOR)).sqrt().mean()

    def _norm(self, u: Tensor) -> Tensor:
        """Return the square of the norm, as a mean over channels and points, ``[b]``."""
        space = tuple(range(2, u.dim()))
        power = torch.view_as_real(torch.fft.rfftn(u, dim=space, norm="forward")).square().sum(-1)
        return (power * self._of(u)).flatten(2).sum(2).mean(1)

    def _of(self, u: Tensor) -> Tensor:
        """Return the weights of the modes that rfftn keeps, those counted twice that stand for two."""
        key = (u.shape[2:], u.dtype, u.device)
        if key not in self._weights:
            last = u.shape[-1]
            axes = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in u.shape[2:-1]]
            axes.append(torch.fft.rfftfreq(last, 1 / last, dtype=torch.float64))
            square = sum(k.square() for k in torch.meshgrid(*axes, indexing="ij"))
            twice = torch.full((last // 2 + 1,), 2.0, dtype=torch.float64)
            twice[0] = 1.0
            if last % 2 == 0:
                twice[-1] = 1.0
            self._weights[key] = (twice * (1.0 + square) ** self.order).to(u)
        return self._weights[key]

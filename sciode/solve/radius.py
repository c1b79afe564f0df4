r"""The spectral radius of the drift's Jacobian, followed along a solve, for the sake of its gradients.

Symbols: ``rho`` spectral radius ``[b]``, ``v`` direction ``[b, n]``.

Error control lets an explicit method settle at steps slightly outside its stability region: the growing modes are
not in a smooth state, so the forward error stays small. The transpose of the same steps meets a gradient that
holds all modes, and blows up. Held inside the region, h rho <= x with R(-x) = 1, gradients are as good as states.
"""

import torch
from torch import Tensor

from sciode.core.random import generator
from sciode.core.typing import State, Time, leaves
from sciode.solve.pairs import PackedPair, Pair

_FIRST = 6  # iterations to begin with; each step adds one, so the direction keeps improving


class Radius:
    """Power iteration with difference quotients: one drift call per update, no record, no wait.

    Sommeijer, Shampine and Verwer, *RKC*, J. Comput. Appl. Math. 88 (1998), section 3, estimate it so too.
    """

    def __init__(self, pair: PackedPair) -> None:
        self.pair = pair

    def first(self, s: Time, y: Tensor, slope: Tensor) -> Tensor:
        """Return a first direction, from noise of a fixed seed, the same for every sample."""
        noise = torch.randn(y.shape[1], generator=generator(0, "radius"), dtype=torch.float64)
        v = noise.to(device=y.device, dtype=y.dtype).expand(y.shape)
        for _ in range(_FIRST):
            v = self.update(s, y, slope, v)[1]
        return v

    def update(self, s: Time, y: Tensor, slope: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the estimate at (s, y), where the drift is ``slope``, and the next direction."""
        with torch.no_grad():
            y, slope = y.detach(), slope.detach()
            tiny = torch.finfo(y.dtype).tiny ** 0.5
            reach = torch.linalg.vector_norm(y, dim=1, keepdim=True) + 1e-3
            reach = reach * torch.finfo(y.dtype).eps ** 0.5
            aside = v * (reach / (torch.linalg.vector_norm(v, dim=1, keepdim=True) + tiny))
            change = self.pair.slope(s, y + aside) - slope
            rho = torch.linalg.vector_norm(change, dim=1) / reach[:, 0]
            # A drift without dependence on y leaves nothing to iterate on: keep the direction.
            useful = (rho > tiny) & torch.isfinite(rho)
            return torch.where(useful, rho, 0.0), torch.where(useful[:, None], change, v)


def radius_of(pair: Pair, y: State, slope: State) -> Radius | None:
    """Return what watches a solve, if autograd records it and the method has a stability limit."""
    recorded = torch.is_grad_enabled() and any(part.requires_grad for part in (*leaves(y), *leaves(slope)))
    return Radius(pair) if recorded and isinstance(pair, PackedPair) else None

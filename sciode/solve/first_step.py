"""A first guess of the step size."""

from typing import Any

import torch
from torch import Tensor

from sciode.core.typing import State, Time, each
from sciode.solve.control import Measure
from sciode.solve.pairs import Pair
from sciode.solve.term import Term


def guess(
    term: Term, pair: Pair, measure: Measure, s: Time, y: Any, slope: State, sign: Any, shared: bool
) -> Tensor:
    """Return a first step > 0 for each sample, ``[b]`` float64; NaN where the slope is not finite.

    Hairer, Norsett and Wanner, *Solving Ordinary Differential Equations I*, section II.4: the size at which
    an explicit Euler step would err by about the tolerance.
    """
    with torch.no_grad():
        size = pair.visible(y, s).abs()
        zero = torch.zeros_like(size)

        def norm(value: Any) -> Tensor:
            return measure(pair.visible(value, s), size, zero).double()

        native = pair.native(slope)
        d0, d1 = norm(y), norm(native)
        h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
        step = (h0.nan_to_num(nan=1e-6, posinf=1e-6).amin() if shared else h0) * sign
        state = pair.state(y)
        later = each(lambda p, k: p + (k * _over(step, p)).to(p.dtype), state, slope)
        change = each(lambda a, b: a - b, term.drift(s + step, later), slope)
        d2 = norm(pair.native(change)) / step.abs()
        most = torch.maximum(d1, d2)
        power = 1.0 / (pair.error_order + 1)
        h1 = torch.where(most <= 1e-15, (1e-3 * h0).clamp(min=1e-6), (0.01 / most).pow(power))
        # A second slope that overflows says no more than that the guess was long.
        h = torch.minimum(100.0 * h0, torch.where(torch.isfinite(h1), h1, h0))
        return torch.where(torch.isfinite(d1), h, torch.full_like(h, torch.nan))


def _over(step: Tensor, part: Tensor) -> Tensor:
    return (
        step.to(part.real.dtype) if step.dim() == 0 else step.to(part.real.dtype).view(-1, *[1] * (part.dim() - 1))
    )

"""The dense output of an adaptive solve: the slopes of its steps, kept, and asked later."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, each
from sciode.solve.pairs import PackedPair, Pair


class Pieces:
    """Steps taken: where they start, how long they are, the state before and the slopes within.

    Sizes and starts are host floats for steps that the batch shares, tensors ``[b]`` otherwise; a refused
    step of a sample is kept with size zero, and no time falls into it.
    """

    def __init__(self, pair: Pair) -> None:
        if not pair.interpolates:
            raise InputError("this method has no dense output of fitting order; ask for the times in t= instead")
        self.pair = pair
        self.starts: list[Any] = []
        self.sizes: list[Any] = []
        self.states: list[Any] = []
        self.slopes: list[Any] = []

    def add(self, start: Any, size: Any, y: Any, slopes: Any) -> None:
        """Keep a step. The buffer of slopes is used again by the next step, hence the copy."""
        self.starts.append(start)
        self.sizes.append(size)
        self.states.append(y)
        self.slopes.append(slopes.clone() if isinstance(slopes, Tensor) else slopes)

    def interpolant(self, times: Sequence[float]) -> Any:
        """Return the function of time that the steps define."""
        if isinstance(self.pair, PackedPair):
            return Packed(self.pair, self)
        return Stepwise(self.pair, self, times)


class Packed:
    """All samples and all times in one contraction: gathered slopes times the weights at each time."""

    def __init__(self, pair: PackedPair, pieces: Pieces) -> None:
        self.pair = pair
        y = torch.stack(pieces.states)  # [p, b, n]
        slopes = [torch.stack(k[0]) * k[1] if isinstance(k, tuple) else k for k in pieces.slopes]
        self.y, self.slopes = y, torch.stack(slopes)  # [p, stages, b, n]
        self.starts = _table(pieces.starts, y)
        self.sizes = _table(pieces.sizes, y)
        self.beta = torch.from_numpy(pair.extension.beta)

    def __call__(self, t: Tensor) -> State:
        """Return the states ``"b k ..."`` at times ``[k]`` or ``[b, k]``."""
        batch = self.y.shape[1]
        t = t.detach().to("cpu", torch.float64)
        t = t.expand(batch, -1).contiguous() if t.dim() == 1 else t
        sign = torch.where(self.sizes.sum(0, keepdim=True) < 0.0, -1.0, 1.0).T  # [b, 1]
        ends = (self.starts + self.sizes).T  # [b, p]
        _check_inside(t, sign, self.starts[0][:, None], ends[:, -1:])
        piece = torch.searchsorted((ends * sign).contiguous(), (t * sign).contiguous()).clamp(
            max=ends.shape[1] - 1
        )
        start, size = self.starts.T.gather(1, piece), self.sizes.T.gather(1, piece)
        theta = (t - start) / torch.where(size == 0.0, 1.0, size)
        powers = theta[..., None] ** torch.arange(1, len(self.beta) + 1)
        weights = (powers @ self.beta).to(device=self.y.device, dtype=self.y.dtype)  # [b, k, stages]
        piece = piece.to(self.y.device)
        sample = torch.arange(batch, device=self.y.device)[:, None]
        gathered = self.slopes.permute(2, 0, 1, 3)[sample, piece]  # [b, k, stages, n]
        rows = self.y[piece, sample] + torch.einsum("bks,bksn->bkn", weights, gathered)
        parts = [self.pair.state(row) for row in rows.unbind(1)]
        return each(lambda *p: torch.stack(p, dim=1), *parts)


class Stepwise:
    """The same for pairs whose weights depend on the place within a step: piece by piece."""

    def __init__(self, pair: Pair, pieces: Pieces, times: Sequence[float]) -> None:
        self.pair, self.pieces = pair, pieces
        self.sign = 1.0 if times[-1] > times[0] else -1.0

    def __call__(self, t: Tensor) -> State:
        """Return the states ``"b k ..."`` at times ``[k]``."""
        if t.dim() != 1:
            raise InputError("this dense output takes one list of times for all samples")
        starts, sizes = np.asarray(self.pieces.starts), np.asarray(self.pieces.sizes)
        clock = t.detach().cpu().numpy()
        ends = starts + sizes
        _check_inside(t.detach().cpu(), torch.tensor(self.sign), torch.tensor(starts[0]), torch.tensor(ends[-1]))
        index = np.minimum(np.searchsorted(ends * self.sign, clock * self.sign), len(ends) - 1)
        rows = []
        for time, i in zip(clock, index, strict=True):
            theta = (time - starts[i]) / sizes[i]
            block = self.pair.interpolate([theta], float(sizes[i]), self.pieces.states[i], self.pieces.slopes[i])
            rows.append(each(lambda p: p[0], block))
        return each(lambda *p: torch.stack(p, dim=1), *map(self.pair.state, rows))


def _table(values: list[Any], y: Tensor) -> Tensor:
    if isinstance(values[0], Tensor):
        return torch.stack(values).cpu()
    return torch.tensor(values, dtype=torch.float64)[:, None].expand(-1, y.shape[1])


def _check_inside(t: Tensor, sign: Tensor, first: Tensor, last: Tensor) -> None:
    slack = 1e-12 * (1.0 + t.abs())
    outside = ((t - first) * sign < -slack) | ((t - last) * sign > slack)
    if bool(outside.any()):
        where = float(t.expand(outside.shape)[outside][0])
        raise InputError(f"t = {where:g} lies outside the solved span")

r"""Step control: how large the next step may be.

Symbols: ``r`` error of a step over its tolerance, ``h`` step, ``k`` order of the error estimate plus one.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.solve.packing import Packing


class Controller(Protocol):
    """A rule for steps."""

    @property
    def rtol(self) -> float:
        """Tolerance relative to the state."""
        ...

    @property
    def atol(self) -> Any:
        """Absolute tolerance, a number or a tensor that broadcasts to one sample's state."""
        ...

    @property
    def per_sample(self) -> bool:
        """Whether each sample has its own steps."""
        ...

    @property
    def needs_position(self) -> bool:
        """Whether ``next`` looks at the distance covered."""
        ...

    @property
    def max_steps(self) -> int:
        """Attempts allowed."""
        ...

    @property
    def dt_min(self) -> float:
        """Smallest step allowed."""
        ...

    def first(self, h: Any, span: Any) -> Any:
        """Return the first step from the guess ``h`` (> 0) for a solve over ``span`` (> 0)."""
        ...

    def next(self, h: float, ratios: tuple[float, float, float], k: int, position: float) -> float:
        """Return the size (> 0) of the next step, or of the next try; ``ratios`` of this step and two earlier.

        A ratio above 1 means that the step was refused. ``position`` is the distance covered so far.
        """
        ...

    def next_each(self, h: Tensor, ratios: tuple[Tensor, Tensor, Tensor], k: int, position: Tensor) -> Tensor:
        """The same for one step per sample, without waiting for the device."""
        ...


def _check(rtol: float, atol: Any, dt_min: float, dt_max: float, max_steps: int) -> None:
    smallest = float(torch.as_tensor(atol).min())
    if not (rtol >= 0.0 and math.isfinite(rtol)):
        raise InputError(f"rtol must be a number >= 0, found {rtol}")
    if not (smallest >= 0.0):
        raise InputError(f"atol must be >= 0, found {smallest}")
    if rtol == 0.0 and smallest == 0.0:
        raise InputError("rtol and atol are both 0: no step can satisfy that; set one of them")
    if not (0.0 <= dt_min <= dt_max):
        raise InputError(f"0 <= dt_min <= dt_max must hold, found dt_min = {dt_min}, dt_max = {dt_max}")
    if max_steps < 1:
        raise InputError(f"max_steps must be at least 1, found {max_steps}")


@dataclass(frozen=True)
class Pid:
    r"""Proportional--integral--derivative control of the logarithm of the step.

    .. math:: h' = h\, c\; r_n^{-(K_I + K_P + K_D)/k}\; r_{n-1}^{(K_P + 2 K_D)/k}\; r_{n-2}^{-K_D/k}

    Parameters
    ----------
    rtol, atol
        A step is accepted if in every sample the root mean square of error / (atol + rtol max(|y0|, |y1|))
        is at most 1, in the user's variables. ``atol`` may be a tensor that broadcasts to one sample's state.
    per_sample
        One step size for each sample: every sample gets exactly the steps it would get alone. Otherwise the
        batch shares the step of its most demanding sample.
    pcoeff, icoeff, dcoeff
        K_P, K_I, K_D; (0, 1, 0) is plain integral control, (0.4, 0.3, 0) damps the oscillation of the step
        at a stability limit.
    safety, factor_min, factor_max
        c, and the bounds of h' / h.
    dt_min, dt_max
        Bounds of the step. A sample that needs less than dt_min ends with ``Status.MIN_STEP``.
    max_steps
        Attempts allowed, refused ones counted; then ``Status.MAX_STEPS``.

    References
    ----------
    Soderlind, *Digital filters in adaptive time-stepping*, ACM TOMS 29 (2003); Hairer, Norsett and Wanner,
    *Solving Ordinary Differential Equations I*, section II.4.

    Examples
    --------
    >>> round(Pid(rtol=1e-6, atol=1e-8).next(0.1, (1e-5, 1.0, 1.0), 5, 0.0), 12)
    0.9
    """

    rtol: float = 1e-5
    atol: float | Tensor = 1e-7
    per_sample: bool = False
    pcoeff: float = 0.0
    icoeff: float = 1.0
    dcoeff: float = 0.0
    safety: float = 0.9
    factor_min: float = 0.2
    factor_max: float = 10.0
    dt_min: float = 0.0
    dt_max: float = math.inf
    max_steps: int = 100_000
    needs_position: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.rtol, self.atol, self.dt_min, self.dt_max, self.max_steps)
        if not 0.0 < self.factor_min < self.safety <= 1.0 <= self.factor_max:
            raise InputError("0 < factor_min < safety <= 1 <= factor_max must hold")

    def _powers(self, k: int) -> tuple[float, float, float]:
        p, i, d = self.pcoeff, self.icoeff, self.dcoeff
        return -(i + p + d) / k, (p + 2.0 * d) / k, -d / k

    def first(self, h: Any, span: Any) -> Any:
        """Return the guess, within bounds."""
        if isinstance(h, Tensor):
            return torch.minimum(h.clamp(max=self.dt_max), span)
        return min(h, self.dt_max, span)

    def next(self, h: float, ratios: tuple[float, float, float], k: int, position: float) -> float:
        """Return the size of the next step."""
        a, b, c = self._powers(k)
        now, last, before = (max(r, 1e-10) for r in ratios)
        factor = self.safety * now**a * last**b * before**c
        most = self.factor_max if ratios[0] <= 1.0 else self.safety
        return min(h * min(max(factor, self.factor_min), most), self.dt_max)

    def next_each(self, h: Tensor, ratios: tuple[Tensor, Tensor, Tensor], k: int, position: Tensor) -> Tensor:
        """Return the size of each sample's next step."""
        a, b, c = self._powers(k)
        factor = ratios[0].clamp(min=1e-10).pow_(a).mul_(self.safety)
        if not b and not c:  # a refused step then gets a smaller one by itself
            return self._capped(factor.clamp_(self.factor_min, self.factor_max).mul_(h))
        if b:
            factor = factor * ratios[1].pow(b)
        if c:
            factor = factor * ratios[2].pow(c)
        most = torch.where(ratios[0] <= 1.0, self.factor_max, self.safety)
        return self._capped(h * torch.minimum(factor.clamp(min=self.factor_min), most))

    def _capped(self, h: Tensor) -> Tensor:
        return h if self.dt_max == math.inf else h.clamp(max=self.dt_max)


@dataclass(frozen=True)
class Ladder:
    r"""Steps from the ladder T, T/2, T/4, ... of the whole span T, so that the weights of a Fourier term,
    which are large, are made once per rung and kept.

    A refused step is cut in halves until the estimate fits; an accepted one doubles when the estimate allows
    it and the position is a multiple of the double: the end is met exactly.

    Parameters
    ----------
    rtol, atol, per_sample, safety, dt_min, dt_max, max_steps
        As in :class:`Pid`.

    Examples
    --------
    >>> Ladder(rtol=1e-4).first(0.3, 8.0)
    0.25
    """

    rtol: float = 1e-5
    atol: float | Tensor = 1e-7
    per_sample: bool = False
    safety: float = 0.9
    dt_min: float = 0.0
    dt_max: float = math.inf
    max_steps: int = 100_000
    needs_position: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.rtol, self.atol, self.dt_min, self.dt_max, self.max_steps)

    def first(self, h: Any, span: Any) -> Any:
        """Return the rung below the guess."""
        if isinstance(h, Tensor):
            rungs = torch.log2(span / h.clamp(max=self.dt_max)).clamp(min=0.0).ceil()
            return span * torch.exp2(-rungs)
        return span * 2.0 ** -max(0, math.ceil(math.log2(span / min(h, self.dt_max))))

    def next(self, h: float, ratios: tuple[float, float, float], k: int, position: float) -> float:
        """Return the rung for the next step."""
        fits = self.safety * max(ratios[0], 1e-10) ** (-1.0 / k)
        if ratios[0] > 1.0:
            return h * 0.5 ** max(1, min(8, math.ceil(-math.log2(fits))))
        doubles = fits >= 2.0 and 2.0 * h <= self.dt_max and round(position / h) % 2 == 0
        return 2.0 * h if doubles else h

    def next_each(self, h: Tensor, ratios: tuple[Tensor, Tensor, Tensor], k: int, position: Tensor) -> Tensor:
        """Return each sample's rung."""
        fits = ratios[0].clamp(min=1e-10).pow(-1.0 / k).mul(self.safety)
        less = h * torch.exp2(-torch.log2(1.0 / fits).ceil().clamp(1.0, 8.0))
        doubles = (fits >= 2.0) & (2.0 * h <= self.dt_max) & ((position / h).round() % 2 == 0)
        return torch.where(ratios[0] > 1.0, less, torch.where(doubles, 2.0 * h, h))


class Measure:
    """The size of an error against the tolerance, sample by sample."""

    def __init__(self, controller: Controller, packing: Packing, like: Tensor) -> None:
        floor = 10.0 * torch.finfo(packing.dtype).eps
        self.rtol = controller.rtol
        if 0.0 < self.rtol < floor:
            warnings.warn(
                f"rtol = {self.rtol:g} is below what {packing.dtype} can resolve; {floor:.1g} is used instead",
                stacklevel=6,
            )
            self.rtol = floor
        # The mean's square root is part of both tolerances, which saves a product per step.
        root = math.sqrt(max(packing.width, 1))
        self.rtol *= root
        self.atol = _tolerance(controller.atol, packing, like) * root

    def __call__(self, error: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Return the ratio ``[b]`` of the error to its tolerance; ``before`` and ``after`` are absolute values."""
        # In one piece of memory: for a large batch a pass that misses the cache costs as much as a stage.
        scale = torch.maximum(before, after)
        torch.add(self.atol, scale, alpha=self.rtol, out=scale)
        return torch.linalg.vector_norm(torch.div(error, scale, out=scale), dim=1)


def _tolerance(atol: Any, packing: Packing, like: Tensor) -> Tensor:
    value = torch.as_tensor(atol, dtype=packing.dtype, device=like.device)
    if value.dim() == 0:
        return value
    shape = packing.shapes[0][1:]
    if len(packing.shapes) > 1 or packing.complex[0]:
        raise InputError("atol as a tensor takes a state of one real tensor")
    try:
        return value.expand(shape).reshape(1, -1)
    except RuntimeError:
        raise InputError(
            f"atol {list(value.shape)} does not broadcast to one sample's state {list(shape)}"
        ) from None

r"""Newton's method for the stages of an implicit step, and gradients of its solution.

Symbols: ``z`` increment of a stage ``[b, n]``, ``g = h gamma``.

.. math:: z = h f(s, B + \gamma z), \qquad (I - g J)\,\delta = h f(s, B + \gamma z) - z

In ``z``, and not in the stage value, nothing is lost by dividing by h gamma; and what the drift conserves, such as
a sum of masses, every linear solve conserves too.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import Time
from sciode.solve.jacobian import Field, Shifted
from sciode.solve.linear import Damp, Dense, Gmres, Inverse, LinearSolver

_SMALL = 64


@dataclass(frozen=True)
class Newton:
    """How the equations of a stage are solved.

    Parameters
    ----------
    linear
        :class:`Dense` or :class:`Gmres`. None: ``Dense()`` for states of at most 64 real numbers per sample,
        ``Gmres()`` beyond.
    rtol, atol
        Tolerance that ``fraction`` refers to. None: those of the controller; with given steps 1e-8 and 1e-10.
    fraction
        A stage is solved when the estimated error of the iteration is this part of the tolerance.
    iterations
        At most; then the step is refused, and one of given size gives NaN.
    derivatives
        How often a solve may be differentiated. Each costs one evaluation and one linear solve per stage more.

    Examples
    --------
    >>> Newton(iterations=5).linear_for(3)
    Dense()
    """

    linear: LinearSolver | None = None
    rtol: float | None = None
    atol: float | Tensor | None = None
    fraction: float = 0.02
    iterations: int = 12
    derivatives: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction < 1.0:
            raise InputError(f"fraction must lie between 0 and 1, found {self.fraction}")
        if self.iterations < 1 or self.derivatives < 1:
            raise InputError(
                f"iterations and derivatives must be at least 1, found {self.iterations} and {self.derivatives}"
            )
        if self.rtol is not None and not (self.rtol >= 0.0 and math.isfinite(self.rtol)):
            raise InputError(f"rtol must be a number >= 0, found {self.rtol}")
        if self.atol is not None and not float(torch.as_tensor(self.atol).min()) >= 0.0:
            raise InputError(f"atol must be >= 0, found {self.atol}")

    def linear_for(self, width: int) -> LinearSolver:
        """Return the linear solver for states of ``width`` real numbers per sample."""
        return self.linear or (Dense() if width <= _SMALL else Gmres())

    def solve(
        self, stage: "Stage", guess: Tensor, inverse: Inverse, patient: bool = False
    ) -> tuple[Tensor, Tensor, bool]:
        """Return z, the mask ``[b]`` of samples that converged, and whether autograd has a stake in the drift.

        Every sample stops by itself: when it is done, and when it will not be, unless the caller is ``patient``.
        One wait for the device per iteration.
        """
        z, last = guess, None
        good = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        active = ~good
        recorded, ambient = False, torch.is_grad_enabled()
        for index in range(self.iterations):
            with torch.set_grad_enabled(ambient and index == 0):  # the first one tells whether there is a record
                point = torch.add(stage.base, z, alpha=stage.gamma)
                value = stage.field(stage.s, point)
                recorded = recorded or value.requires_grad
            with torch.no_grad():
                right = value.detach() * stage.h - z
                change = inverse(Shifted(stage.field, stage.s, point, stage.g), right)
                size = stage.norm(change * stage.gamma)
                z = torch.where(active[:, None], z + change, z)
                fits, fails = self._judge(size, last, self.iterations - 1 - index)
                good = good | (active & fits)
                active = active & ~fits & (torch.isfinite(size) if patient else ~fails)
                last = size
            if not bool(active.any()):
                break
        return z, good, recorded

    def _judge(self, size: Tensor, last: Tensor | None, left: int) -> tuple[Tensor, Tensor]:
        """Say which samples are done and which will not be; Hairer and Wanner II, section IV.8."""
        if last is None:
            return size <= 0.1 * self.fraction, ~torch.isfinite(size)
        rate = size / last.clamp(min=torch.finfo(size.dtype).tiny)
        ahead = size * rate / (1.0 - rate).clamp(min=1e-3)
        fits = ((ahead <= self.fraction) & (rate < 1.0)) | (size <= 0.25 * self.fraction)
        fails = ~torch.isfinite(size) | (rate >= 2.0) | (ahead * rate.pow(left) > self.fraction)
        return fits, fails


class Stage(NamedTuple):
    """The equation of one stage."""

    field: Field
    s: Time
    base: Tensor  # B, detached
    gamma: float
    h: Any
    norm: Any  # [b, n] -> [b], in units of the tolerance

    @property
    def g(self) -> Any:
        """Step times the diagonal number."""
        return self.h * self.gamma


class _Inverse(NamedTuple):
    """v -> A^{-1} v (or A^{-T} v) with A constant: made when a gradient asks for it."""

    system: Shifted
    linear: LinearSolver
    damp: Damp
    left: int  # how often it may still be differentiated
    transposed: bool = False

    def __call__(self, v: Tensor) -> Tensor:
        with torch.no_grad():
            w = self.linear.invert(self.system, v.detach(), self.damp, self.transposed)
            # A sample that asks for nothing gets nothing, even where its refused step left no Jacobian.
            return torch.where((v != 0).any(dim=1, keepdim=True), w, 0.0)


class _Correct(torch.autograd.Function):
    """z + A^{-1} (F - z), with the value of z: the correction is zero, its derivative is not."""

    @staticmethod
    def forward(ctx: Any, inverse: _Inverse, z: Tensor, residual: Tensor) -> Tensor:
        ctx.inverse = inverse
        return z.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        return None, g, _Apply.apply(ctx.inverse._replace(transposed=True), g)


class _Apply(torch.autograd.Function):
    """The inverse as a linear map, itself differentiable as often as was asked for."""

    @staticmethod
    def forward(ctx: Any, inverse: _Inverse, v: Tensor) -> Tensor:
        ctx.inverse = inverse
        return inverse(v)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        inverse = ctx.inverse
        if inverse.left < 2:
            raise InputError(
                "this solve was to be differentiated once: give Newton(derivatives=2) for second derivatives"
            )
        return None, _Apply.apply(
            inverse._replace(transposed=not inverse.transposed, left=inverse.left - 1), grads[0]
        )


def differentiable(
    stage: Stage, base: Tensor, z: Tensor, linear: LinearSolver, damp: Damp, derivatives: int
) -> Tensor:
    r"""Return ``z`` with the derivatives that the implicit function theorem gives it.

    .. math:: z_{k+1} = z_k + (I - g J)^{-1} (h f(s, B + \gamma z_k) - z_k), \qquad z_0 = z

    with J constant: a step of Newton's method at its own solution changes no value, and makes one more derivative
    right. So one evaluation of the drift under autograd's record per derivative catches all that the drift closes
    over, and nothing of the iterations before is kept.
    """
    point = torch.add(base.detach(), z, alpha=stage.gamma)
    inverse = _Inverse(Shifted(stage.field, stage.s, point, stage.g), linear, damp, derivatives)
    for _ in range(derivatives):
        residual = stage.field(stage.s, torch.add(base, z, alpha=stage.gamma)) * stage.h - z
        z = _Correct.apply(inverse, z, residual)
    return z

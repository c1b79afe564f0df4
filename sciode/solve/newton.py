<<<<<<< HEAD
r"""Newton's method for the stages of an implicit step, and gradients of its solution.

Symbols: ``z`` increment of a stage ``[b, n]``, ``g = h gamma``.

.. math:: z = h f(s, B + \gamma z), \qquad (I - g J)\,\delta = h f(s, B + \gamma z) - z

In ``z``, and not in the stage value, nothing is lost by dividing by h gamma; and what the drift conserves, such as
a sum of masses, every linear solve conserves too.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple
=======
r"""Newton's method for the stages of implicit methods, :math:`Y = b + \sigma F(Y)`, sample by sample.

Symbols: ``Y`` stage ``[b, n]``, ``b`` base, ``sigma`` = gamma h (a float, or ``[b, 1]``), ``d`` increment,
``rate`` ratio of one increment to the one before.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
>>>>>>> ed5547c (Implicit methods for stiff equations: Kvaerno 3(2) and 5(4), Newton by dense or Krylov solves, gradients by the implicit function theorem)

import torch
from torch import Tensor

<<<<<<< HEAD
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
=======
from sciode.core.errors import InputError, SciodeError
from sciode.solve.jacobian import Map, dense, pull, push
from sciode.solve.krylov import gmres

_SLOW = 0.2  # a rate at which a new Jacobian pays
_NOISE = 200.0  # times eps: increments below this that no longer shrink are round-off


class NoGradient(SciodeError, RuntimeError):
    """The linear system of a gradient could not be solved."""


class Newton(Protocol):
    """A way to solve the linear systems of Newton's method, and the tolerance of the iteration."""

    @property
    def rtol(self) -> float:
        """Error of a stage allowed, relative to the state."""
        ...

    @property
    def iterations(self) -> int:
        """Iterations allowed."""
        ...

    def prepare(self, f: Map, y: Tensor, sigma: Any, rate: Tensor | None) -> Any:
        """Return what all stages of a step share; ``rate`` is the diagonal linear part within ``f``, or None."""
        ...

    def refresh(self, ready: Any, f: Map, y: Tensor, sigma: Any, slow: Tensor) -> Any:
        """Return the same made anew at ``y`` for the samples in the mask ``slow``."""
        ...

    def increment(self, ready: Any, f: Map, y: Tensor, sigma: Any, residual: Tensor) -> Tensor:
        """Return d with (I - sigma J) d = residual, approximately."""
        ...

    def transposed(self, f: Map, y: Tensor, sigma: Any, rate: Tensor | None, g: Tensor) -> Tensor:
        """Return v with (I - sigma J(y))^T v = g, to full accuracy."""
        ...


def _check(rtol: float, iterations: int) -> None:
    if not rtol > 0.0:
        raise InputError(f"Newton's rtol must be positive, found {rtol}")
    if iterations < 2:
        raise InputError(f"Newton's method needs at least 2 iterations to judge itself, found {iterations}")


@dataclass(frozen=True)
class DenseNewton:
    """Newton's method with the Jacobian of every sample as a matrix: one factorisation for all stages of a step.

    The Jacobian costs n products with its transpose, batched, and is made again within a step only where
    convergence is slow. For states of up to about a hundred numbers.

    Parameters
    ----------
    rtol
        Allowed error of a stage relative to the state. The default leaves solves at rtol = 1e-10 undisturbed.
    iterations
        Most iterations of a stage; a sample that needs more has its step refused.

    Examples
    --------
    >>> DenseNewton(rtol=1e-8).iterations
    10
    """

    rtol: float = 1e-11
    iterations: int = 10

    def __post_init__(self) -> None:
        _check(self.rtol, self.iterations)

    def prepare(self, f: Map, y: Tensor, sigma: Any, rate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Factorise I - sigma J."""
        factors, pivots, _ = torch.linalg.lu_factor_ex(_matrix(f, y, sigma))
        return factors, pivots

    def refresh(
        self, ready: tuple[Tensor, Tensor], f: Map, y: Tensor, sigma: Any, slow: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Factorise again."""
        factors, pivots = self.prepare(f, y, sigma, None)
        return torch.where(slow[:, None, None], factors, ready[0]), torch.where(slow[:, None], pivots, ready[1])

    def increment(self, ready: tuple[Tensor, Tensor], f: Map, y: Tensor, sigma: Any, residual: Tensor) -> Tensor:
        """Solve by the factors at hand."""
        return torch.linalg.lu_solve(*ready, residual[:, :, None])[:, :, 0]

    def transposed(self, f: Map, y: Tensor, sigma: Any, rate: Tensor | None, g: Tensor) -> Tensor:
        """Solve with the Jacobian at ``y`` itself."""
        ready = self.prepare(f, y, sigma, rate)
        return torch.linalg.lu_solve(*ready, g[:, :, None], adjoint=True)[:, :, 0]


def _matrix(f: Map, y: Tensor, sigma: Any) -> Tensor:
    scale = sigma[:, :, None] if isinstance(sigma, Tensor) else sigma
    return torch.eye(y.shape[1], dtype=y.dtype, device=y.device) - scale * dense(f, y)


@dataclass(frozen=True)
class NewtonKrylov:
    """Newton's method with products by the Jacobian alone: GMRES, preconditioned by the diagonal linear part.

    Parameters
    ----------
    rtol, iterations
        As in :class:`DenseNewton`.
    vectors
        Most Krylov vectors of a linear solve. A diffusion operator needs about the root of h |J|.
    forcing
        Residual of a linear solve, relative to its right side: what Newton's error shrinks by per iteration.

    References
    ----------
    Knoll and Keyes, *Jacobian-free Newton--Krylov methods*, J. Comput. Phys. 193 (2004).

    Examples
    --------
    >>> NewtonKrylov(vectors=40).forcing
    0.001
    """

    rtol: float = 1e-11
    iterations: int = 10
    vectors: int = 60
    forcing: float = 1e-3

    def __post_init__(self) -> None:
        _check(self.rtol, self.iterations)
        if self.vectors < 1 or not 0.0 < self.forcing < 1.0:
            raise InputError(
                f"vectors >= 1 and 0 < forcing < 1 must hold, found {self.vectors} and {self.forcing}"
            )

    def prepare(self, f: Map, y: Tensor, sigma: Any, rate: Tensor | None) -> Map | None:
        """Return the preconditioner."""
        return None if rate is None else lambda v: v / (1.0 - sigma * rate)

    def refresh(self, ready: Map | None, f: Map, y: Tensor, sigma: Any, slow: Tensor) -> Map | None:
        """Nothing to do: every iteration has its own Jacobian."""
        return ready

    def increment(self, ready: Map | None, f: Map, y: Tensor, sigma: Any, residual: Tensor) -> Tensor:
        """Solve roughly."""
        product = push(f, y)
        return gmres(lambda v: v - sigma * product(v), residual, self.forcing, self.vectors, ready).x

    def transposed(self, f: Map, y: Tensor, sigma: Any, rate: Tensor | None, g: Tensor) -> Tensor:
        """Solve to round-off, by cycles on what is left."""
        product = pull(f, y)
        ready = self.prepare(f, y, sigma, rate)
        rtol = 100.0 * torch.finfo(g.dtype).eps
        norm = torch.linalg.vector_norm(g, dim=1)
        v, rest = torch.zeros_like(g), g
        for _ in range(self.iterations):
            # product is J^T, and sigma is one number per sample: sigma J^T is (sigma J)^T.
            v = v + gmres(lambda w: w - sigma * product(w), rest, self.forcing * 1e-3, self.vectors, ready).x
            rest = g - (v - sigma * product(v))
            if not bool((torch.linalg.vector_norm(rest, dim=1) > rtol * norm).any()):
                return v
        raise NoGradient(
            f"GMRES with {self.vectors} vectors did not solve the transposed system of a gradient: "
            "give NewtonKrylov more vectors, or use DenseNewton"
        )


class Found(NamedTuple):
    """A stage, which samples converged ``[b]``, the rate last seen ``[b]``, and what later stages may share."""

    y: Tensor
    good: Tensor
    rate: Tensor
    ready: Any


def iterate(
    newton: Newton, ready: Any, f: Map, base: Tensor, sigma: Any, y: Tensor, value: Tensor, trust: Tensor
) -> Found:
    """Solve Y = base + sigma f(Y) from the guess ``y``, where f is ``value``; one wait for the device each time.

    The error after an increment d is about rate / (1 - rate) |d|, in the root mean square of the components,
    each relative to itself and to the round-off of the largest. ``trust`` is the rate expected before two
    increments have shown one. Hairer and Wanner, *Solving Ordinary Differential Equations II*, section IV.8.
    """
    eps = torch.finfo(y.dtype).eps
    tolerance = max(newton.rtol, 20.0 * eps)
    active = torch.ones(len(y), dtype=torch.bool, device=y.device)
    good = torch.zeros_like(active)
    before: Tensor | None = None
    rate = trust
    for index in range(newton.iterations):
        d = newton.increment(ready, f, y, sigma, base + sigma * value - y)
        new = y + d
        large = new.abs().amax(dim=1, keepdim=True)
        bound = (new.abs() * tolerance).add_(large, alpha=4.0 * eps).clamp_(min=torch.finfo(y.dtype).tiny)
        size = (d / bound).square_().mean(dim=1).sqrt_()
        if before is not None:
            rate = torch.where(active, size / before.clamp(min=1e-3), rate)
        y = torch.where(active[:, None], new, y)
        noise = (d.abs().amax(dim=1) <= _NOISE * eps * large[:, 0]) & (rate > _SLOW) & (index > 0)
        expected = torch.where(rate < 1.0, rate / (1.0 - rate).clamp(min=1e-3), torch.inf)
        fits = (size <= 1.0) | (expected * size <= 1.0) | noise
        fits = fits & torch.isfinite(size)
        failed = ~torch.isfinite(size) if before is None else ~torch.isfinite(size) | (rate > 2.0) & ~fits
        good = good | active & fits
        active = active & ~fits & ~failed
        slow = active & (rate > _SLOW) if before is not None else torch.zeros_like(active)
        again, poor = torch.stack([active.any(), slow.any()]).tolist()
        if not again:
            break
        before = size
        if index + 1 < newton.iterations:
            value = f(y)
            if poor:
                ready = newton.refresh(ready, f, y, sigma, slow)
    return Found(y, good, rate.clamp(min=1e-3), ready)
>>>>>>> ed5547c (Implicit methods for stiff equations: Kvaerno 3(2) and 5(4), Newton by dense or Krylov solves, gradients by the implicit function theorem)

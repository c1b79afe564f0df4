r"""Laws that are not linear: energy, enstrophy, bounds.

The nearest state on :math:`g(u) = b` satisfies :math:`u = u_0 - S J(u)^T \lambda`. Each iteration takes J at
the last state and solves for :math:`\lambda` exactly (sequential quadratic programming with the Hessian of the
distance), so what it converges to is the nearest state to first order, not only some state that satisfies the law.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.constraints.linear import LinearConstraint
from sciode.core.errors import InputError


class NonlinearConstraint:
    """g(u) = b, to a stated tolerance.

    Parameters
    ----------
    function : callable
        g, ``"b ..." -> "b m"``, differentiable; samples do not mix.
    value : Tensor
        b, ``"m"`` or ``"b m"``.
    tolerance : float
        What ``|g(u) - b|`` may be, as part of ``|b|`` (of 1 where b is zero), when a projection ends.
    iterations : int
        At most so many; convergence is quadratic near the law.

    Raises
    ------
    InputError
        On projection: where the law is not met after all iterations, with the largest residual and its sample.

    Examples
    --------
    >>> energy = NonlinearConstraint(lambda u: u.square().flatten(1).mean(1, keepdim=True), torch.tensor([1.0]))
    >>> energy.project(torch.tensor([[3.0, 0.0, 0.0, 0.0]])).tolist()
    [[2.0, 0.0, 0.0, 0.0]]

    References
    ----------
    Hairer, Lubich and Wanner, *Geometric Numerical Integration* (2006), section IV.4: projection methods.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        value: Float[Tensor, "... m"],
        tolerance: float = 1e-10,
        iterations: int = 200,
    ) -> None:
        if value.dim() < 1 or not bool(torch.isfinite(value).all()):
            raise InputError(f"a value is finite, 'm' or 'b m', found {list(value.shape)}")
        if not (tolerance > 0 and iterations >= 1):
            raise InputError(f"tolerance is above zero and iterations at least 1: {tolerance!r}, {iterations!r}")
        self.function, self.value = function, value.detach()
        self.tolerance, self.iterations = tolerance, iterations

    def residual(self, u: Tensor) -> Float[Tensor, "b m"]:
        """Return g(u) - b."""
        found = self.function(u)
        if found.dim() != 2 or found.shape[-1] != self.value.shape[-1]:
            raise InputError(
                f"the function returns 'b m' with m = {self.value.shape[-1]}, found {list(found.shape)}"
            )
        return found - self.value.to(found)

    def project(self, u: Tensor, variance: Tensor | None = None) -> Tensor:
        """Return the nearest state that satisfies the law, in the metric of ``1 / variance``, ``"b ..."``.

        Differentiable through its iterations, in float64.
        """
        start = u.double()
        weight = torch.ones_like(start) if variance is None else variance.double().expand_as(start)
        if bool((weight < 0).any()):
            raise InputError("a covariance has no negative variance")
        state, before = start, torch.full_like(start[:, :1].flatten(1)[:, :1], torch.inf)
        part = torch.ones_like(before)
        for _ in range(self.iterations):
            step = self._iterate(start, state, weight) - state
            # Where the law curves more than the distance does, whole steps swing: take half of what was taken.
            size = step.detach().flatten(1).norm(dim=1, keepdim=True)
            part = torch.where(size > 0.9 * before, 0.5 * part, part)
            before = size
            state = state + part.reshape(-1, *(1,) * (state.dim() - 1)) * step
            if self._met(state):
                return state.to(u.dtype)
        self._refuse(state)
        raise AssertionError("unreachable")

    def _iterate(self, start: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        wrong, rows = self._linearised(state)
        flat, spread = (start - state).flatten(1), rows * weight.flatten(1)[:, None, :]
        matrix = spread @ rows.mT
        right = wrong + (rows @ flat[..., None])[..., 0]
        size = matrix.diagonal(dim1=-2, dim2=-1).amax(-1)[:, None, None]
        regular = matrix + 1e-14 * size * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        multiplier = torch.linalg.solve_ex(regular, right[..., None]).result
        return start - (spread.mT @ multiplier)[..., 0].reshape(start.shape)

    def _linearised(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(u) - b ``"b m"`` and its derivatives ``"b m n"``, with their graph if one is recorded."""
        recorded = torch.is_grad_enabled() and state.requires_grad
        with torch.enable_grad():
            at = state if recorded else state.detach().requires_grad_()
            wrong = self.residual(at)
            rows = [
                torch.autograd.grad(column.sum(), at, create_graph=recorded, retain_graph=True)[0].flatten(1)
                for column in wrong.unbind(1)
            ]
        return (wrong if recorded else wrong.detach()), torch.stack(rows, dim=1)

    def _error(self, state: Tensor) -> Tensor:
        with torch.no_grad():
            size = self.value.double().abs().to(state.device)
            return self.residual(state).abs() / torch.where(size > 0, size, 1.0)

    def _met(self, state: Tensor) -> bool:
        return bool((self._error(state) <= self.tolerance).all())

    def _refuse(self, state: Tensor) -> None:
        error = torch.nan_to_num(self._error(state), nan=torch.inf)
        sample, row = divmod(int(error.argmax()), error.shape[1])
        raise InputError(
            f"row {row} of the law is missed by {error[sample, row].item():.3g} in sample {sample} after "
            f"{self.iterations} iterations, the tolerance is {self.tolerance:g}: no state near by satisfies it"
        )


class Bounded:
    """Bounds on every unknown, and a linear law within them, such as a positive density of given mass.

    The nearest state is ``clip(u - G^T y)``, and y is found by Newton's method on what the law then misses,
    which is piecewise linear: it ends after finitely many pieces.

    Parameters
    ----------
    law : LinearConstraint
        What else must hold.
    low, high : float
        Bounds, in the unit of the state.
    iterations : int
        Newton steps at most.

    Raises
    ------
    InputError
        On projection: where bounds and law leave no state.

    Examples
    --------
    >>> mass = LinearConstraint(torch.ones(1, 3), torch.tensor([3.0]))
    >>> Bounded(mass, low=0.0).project(torch.tensor([[4.0, 1.0, -5.0]])).tolist()
    [[3.0, 0.0, 0.0]]

    References
    ----------
    Helgason, Kennington and Lall, *A polynomially bounded algorithm for a singly constrained quadratic program*,
    Math. Program. 18 (1980), 338, for one row.
    """

    def __init__(
        self, law: LinearConstraint, low: float = 0.0, high: float = float("inf"), iterations: int = 100
    ) -> None:
        if not low < high:
            raise InputError(f"bounds satisfy low < high, found {low!r}, {high!r}")
        self.law, self.low, self.high, self.iterations = law, low, high, iterations

    def residual(self, u: Tensor) -> Float[Tensor, "... m"]:
        """Return what the law is missed by; bounds are met exactly."""
        return self.law.residual(u)

    def project(self, u: Tensor) -> Tensor:
        """Return the nearest state within the bounds that satisfies the law, to 1e-12 of its size."""
        n = self.law.operator.shape[1]
        flat = u.double().reshape(-1, n)
        value = self.law.value.expand(*flat.shape[:1], -1) if self.law.value.dim() == 1 else self.law.value
        value = value.reshape(len(flat), -1)
        rows = self.law.operator
        size = (flat.abs() @ rows.abs().mT + value.abs()).detach().clamp_min(1e-300)
        dual = torch.zeros_like(value)
        for _ in range(self.iterations):
            with torch.no_grad():
                wrong, free = self._miss(flat, dual, rows, value)
                met = bool((wrong.abs() <= 1e-12 * size).all())
                if not met:
                    dual = self._better(flat, dual, rows, value, wrong, free)
            if met:
                return self._last(flat, dual, rows, value).to(u.dtype).reshape(u.shape)
        worst = (wrong.abs() / size).amax(1)
        sample = int(worst.argmax())
        raise InputError(
            f"found no state of sample {sample} that lies between {self.low:g} and {self.high:g} and satisfies "
            f"the law: "
            f"it is missed by {wrong[sample].abs().amax().item():.3g}"
        )

    def _miss(self, flat: Tensor, dual: Tensor, rows: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        moved = flat - dual @ rows
        free = (moved > self.low) & (moved < self.high)
        return moved.clamp(self.low, self.high) @ rows.mT - value, free

    def _better(
        self, flat: Tensor, dual: Tensor, rows: Tensor, value: Tensor, wrong: Tensor, free: Tensor
    ) -> Tensor:
        """Return a dual of larger value: after a Newton step, halved until it is one."""
        part = rows * free[:, None, :]
        whole = rows @ rows.mT
        # Where all unknowns stand at their bounds there is no curvature: what is added gives a direction then.
        matrix = part @ rows.mT + 1e-9 * whole.diagonal().sum() * torch.eye(len(rows)).to(whole)
        step = torch.linalg.solve(matrix, wrong[..., None])[..., 0]
        now, rise = self._height(flat, dual, rows, value), (wrong * step).sum(1)
        best = dual
        done = torch.zeros_like(now, dtype=torch.bool)
        for k in range(60):
            trial = dual + 0.5**k * step
            higher = self._height(flat, trial, rows, value) >= now + 1e-4 * 0.5**k * rise
            # Near the top heights differ by round-off alone, and only what is missed still tells.
            missed = self._miss(flat, trial, rows, value)[0].norm(dim=1)
            better = higher | (missed < 0.5 * wrong.norm(dim=1))
            best = torch.where((better & ~done)[:, None], trial, best)
            done = done | better
            if bool(done.all()):
                break
        return best

    def _height(self, flat: Tensor, dual: Tensor, rows: Tensor, value: Tensor) -> Tensor:
        """Return the dual of half the squared distance, ``[b]``."""
        state = (flat - dual @ rows).clamp(self.low, self.high)
        return 0.5 * (state - flat).square().sum(1) + (dual * (state @ rows.mT - value)).sum(1)

    def _last(self, flat: Tensor, dual: Tensor, rows: Tensor, value: Tensor) -> Tensor:
        """Return the state, as a function whose gradient is that of the projection: free unknowns on the law."""
        with torch.no_grad():
            free = self._miss(flat, dual, rows, value)[1]
        moved = torch.where(free, flat - dual @ rows, (flat - dual @ rows).detach().clamp(self.low, self.high))
        wrong = moved @ rows.mT - value
        return torch.where(free, moved - _newton(rows, free, wrong) @ rows, moved)


def _newton(rows: Tensor, free: Tensor, wrong: Tensor) -> Tensor:
    """Return y with G_free G_free^T y = wrong, of least norm."""
    part = rows * free[:, None, :]
    return (torch.linalg.pinv(part @ rows.mT, hermitian=True) @ wrong[..., None])[..., 0]

r"""Linear conservation laws, imposed on states and on predictions that know their covariance.

.. math::
    \mu' = \mu - S G^T (G S G^T + \sigma^2 I)^{-1} (G \mu - b), \qquad
    S' = S - S G^T (G S G^T + \sigma^2 I)^{-1} G S

The law is an observation b of G u with noise sigma; sigma = 0 is the exact limit, taken as such and not by a large
precision. Corrections go where the variance is. Symbols: ``G`` rows, ``b`` value, ``S`` covariance, ``mu`` mean.
"""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sciode.constraints.covariance import Covariance, Diagonal
from sciode.core.errors import InputError

# A row whose remainder, after the rows before it, is smaller than this part of it depends on them.
_DEPENDENT = 1e-10
# What dependent rows may disagree by, as part of what their residuals are differences of.
_AGREE = 1e-6


class LinearConstraint:
    """G u = b, with an allowance.

    Parameters
    ----------
    operator : Tensor
        G, ``"m n"``: a row for each law, over all unknowns of a state, flattened.
    value : Tensor
        b, ``"m"`` or ``"... m"`` where it differs by sample.
    slack : float or Tensor
        Standard deviation sigma of what a law may be missed by, one for all or ``"m"``; 0: not at all.
    shape : sequence of int, optional
        Of one state, such as (c, *n), where it is not flat.

    Raises
    ------
    InputError
        For shapes that do not fit, values that are not finite, a row of zeros, a slack below zero, and rows that
        depend on each other with values that disagree.

    Examples
    --------
    >>> mass = LinearConstraint(torch.full((1, 4), 0.25), torch.tensor([1.0]))
    >>> mass.project(torch.zeros(2, 4)).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    >>> mean, cov = mass.condition(torch.zeros(4), Diagonal(torch.tensor([1.0, 1.0, 0.0, 0.0])))
    >>> mean.tolist(), cov.diagonal().tolist()
    ([2.0, 2.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0])

    References
    ----------
    Hansen et al., *Learning physical models that can respect conservation laws* (arXiv:2302.11002), equations
    (8) and (9).
    """

    def __init__(
        self,
        operator: Float[Tensor, "m n"],
        value: Float[Tensor, "... m"],
        slack: float | Float[Tensor, " m"] = 0.0,
        shape: Sequence[int] | None = None,
    ) -> None:
        _check(operator, value)
        self.shape = (operator.shape[1],) if shape is None else tuple(shape)
        if math.prod(self.shape) != operator.shape[1]:
            raise InputError(f"rows over {operator.shape[1]} unknowns are no law of states of shape {self.shape}")
        wide = torch.float32 if operator.device.type == "mps" else torch.float64
        self.operator, self.value = operator.to(wide), value.to(operator.device, wide)
        self.slack = torch.as_tensor(slack, dtype=wide, device=operator.device).expand(len(operator))
        if not bool(((self.slack >= 0) & torch.isfinite(self.slack)).all()):
            raise InputError(f"slack is a standard deviation from 0 up, found {slack!r}")
        self.exact = not bool((self.slack > 0).any())
        self._nearest = Inverse(self.operator @ self.operator.mT)
        if self.exact:
            self._nearest.check(-self.value, self.value.abs())

    def to(self, device: torch.device | str) -> "LinearConstraint":
        """Return the same law on another device."""
        return LinearConstraint(self.operator.to(device), self.value.to(device), self.slack.to(device), self.shape)

    def flat(self) -> "LinearConstraint":
        """Return the same law of flattened states ``"... n"``."""
        if len(self.shape) == 1:
            return self
        twin = copy.copy(self)
        twin.shape = (self.operator.shape[1],)
        return twin

    def residual(self, u: Tensor) -> Float[Tensor, "... m"]:
        """Return G u - b ``"... m"`` in float64, of states ``"... n"``, or ``"b c *n"`` with n entries each."""
        return self._missed(self._flat(u))

    def project(self, u: Tensor) -> Tensor:
        """Return the nearest state that satisfies the law, whatever the slack, in the dtype and shape of ``u``."""
        self._nearest.check(-self.value, self.value.abs())
        flat = self._flat(u)
        return self._settled(flat, lambda wrong: self._nearest(wrong) @ self.operator, u)

    def condition(
        self, mean: Float[Tensor, "... n"], covariance: Covariance | Tensor
    ) -> tuple[Float[Tensor, "... n"], "Conditioned"]:
        """Return mean and covariance given the law.

        Parameters
        ----------
        mean : Tensor
            ``"... n"``, or ``"b c *n"`` with n entries a sample.
        covariance : Covariance or Tensor
            Of the prediction; a tensor holds variances, in the shape of the mean or ``"... n"``.

        Raises
        ------
        InputError
            Where rows depend on each other and their values disagree, or the variance is zero where the mean must
            move: it names the rows and what remains.
        """
        prior = Diagonal(self._rows(covariance)) if isinstance(covariance, Tensor) else covariance
        flat = self._flat(mean)
        if prior.diagonal().shape[-1] != flat.shape[-1]:
            raise InputError(
                f"a covariance of {prior.diagonal().shape[-1]} unknowns does not fit a mean of {flat.shape[-1]}"
            )
        spread = prior.apply(self.operator)  # S G^T, as rows "... m n"
        reach = self.operator.abs()
        bound = (_innermost(prior).diagonal().detach().to(reach).sqrt() @ reach.mT).square()
        inverse = Inverse(spread @ self.operator.mT + self.slack.square().diag(), bound)
        inverse.check(self._missed(flat), flat.detach().abs() @ reach.mT + self.value.abs())
        gain = inverse.of(spread)
        moved = self._settled(flat, lambda wrong: (wrong[..., None, :] @ gain)[..., 0, :], mean)
        return moved, Conditioned(self, prior, spread, gain)

    def _settled(self, flat: Tensor, correction: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
        """Return the corrected state, in the dtype and shape of ``like``.

        Sums are taken in float64. The corrected state is rounded, and corrected once more: for what the
        rounding left, and for what nearly dependent rows cost the inverse. Then only the rounding of the
        state itself remains. With a slack the law is met in part, and what is left is no round-off: one
        correction is all.
        """
        moved = flat - correction(self._missed(flat))
        if self.exact:
            rounded = moved + (moved.detach().to(like.dtype).to(moved.dtype) - moved.detach())
            moved = rounded - correction(self._missed(rounded))
        return moved.to(like.dtype).reshape(like.shape if moved.numel() == like.numel() else moved.shape)

    def _missed(self, flat: Tensor) -> Tensor:
        seen, batch = flat @ self.operator.mT, self.value.shape[:-1]
        fits = flat.dim() == 1 or len(batch) <= seen.dim() - 1
        for mine, theirs in zip(reversed(batch), reversed(seen.shape[:-1]), strict=False):
            fits = fits and mine in (1, theirs)
        if not fits:
            raise InputError(
                f"values of a law {list(self.value.shape)} do not fit states with batch axes "
                f"{list(seen.shape[:-1])}: "
                "say what one state is with shape="
            )
        return seen - self.value

    def _flat(self, u: Tensor) -> Tensor:
        return self._rows(u).to(self.operator.dtype)

    def _rows(self, u: Tensor) -> Tensor:
        if u.device != self.operator.device:
            raise InputError(
                f"the law is on {self.operator.device}, the state on {u.device}: take law.to(u.device)"
            )
        n, axes = self.operator.shape[1], len(self.shape)
        if u.shape[-axes:] == self.shape:
            return u.flatten(-axes)
        if axes == 1 and u.dim() > 1 and math.prod(u.shape[1:]) == n:
            return u.flatten(1)
        what = f"{n} unknowns" if axes == 1 else f"states of shape {list(self.shape)}"
        raise InputError(f"the constraint is on {what}, found a state of shape {list(u.shape)}")


def _innermost(covariance: Covariance) -> Covariance:
    while isinstance(covariance, Conditioned):
        covariance = covariance.prior
    return covariance


def _check(rows: Tensor, value: Tensor) -> None:
    if rows.dim() != 2 or not rows.is_floating_point() or min(rows.shape) < 1:
        raise InputError(f"the operator is 'm n', floating-point, found {rows.dtype} {list(rows.shape)}")
    if value.dim() < 1 or value.shape[-1] != len(rows):
        raise InputError(f"{len(rows)} rows take as many values, '... m', found {list(value.shape)}")
    for name, tensor in (("operator", rows), ("value", value)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"the constraint's {name} holds NaN or infinity")
    empty = (rows == 0).all(1)
    if bool(empty.any()):
        raise InputError(f"row {int(empty.nonzero()[0])} of the operator is zero: it constrains nothing")


class Inverse:
    """The inverse of G S G^T + sigma^2 on the rows that are independent, and a look at those that are not."""

    def __init__(self, matrix: Float[Tensor, "... m m"], bound: Float[Tensor, "... m"] | None = None) -> None:
        size = matrix.diagonal(dim1=-2, dim2=-1)
        # A row that the prediction already satisfies has round-off for a variance: none, beside what it could
        # have.
        self.moves = size > (0.0 if bound is None else 1e-12 * bound)
        self.scale = torch.where(self.moves, 1.0 / torch.where(self.moves, size, 1.0).sqrt(), 0.0)
        normal = self.scale[..., :, None] * matrix * self.scale[..., None, :]
        values, self.vectors = torch.linalg.eigh(0.5 * (normal + normal.mT).detach())
        self.kept = values > _DEPENDENT
        self.full = bool(self.kept.all())
        if self.full:
            inverse = torch.linalg.inv(normal)
        else:
            # Along independent combinations only; a projector keeps the rest out, of the gradient too.
            part = (self.vectors * self.kept[..., None, :]) @ self.vectors.mT
            rest = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device) - part
            inverse = part @ torch.linalg.inv(part @ normal @ part + rest) @ part
        self.whole = self.scale[..., :, None] * inverse * self.scale[..., None, :]

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the inverse times vectors ``"... m"``."""
        return (rows[..., None, :] @ self.whole)[..., 0, :]

    def of(self, rows: Tensor) -> Tensor:
        """Return the inverse times a matrix ``"... m n"``."""
        return self.whole @ rows

    def check(self, wrong: Tensor, size: Tensor) -> None:
        """Raise where a combination of rows that no unknown can move is not met.

        ``wrong`` is G u - b, ``"... m"``, and ``size`` what it is a difference of: it says what is round-off.
        """
        if self.full:
            return
        wrong = wrong.detach()
        room = _AGREE * size.detach().expand_as(wrong)
        fixed = ~self.moves & (wrong.abs() > room)
        if bool(fixed.any()):
            row = int(fixed.nonzero()[0, -1])
            raise InputError(
                f"row {row} is missed by {wrong[tuple(fixed.nonzero()[0])].abs().item():.3g}, but the "
                f"prediction has no "
                "variance where it could move: give those unknowns variance, or the row slack"
            )
        along = (self.vectors.mT @ (wrong * self.scale)[..., None])[..., 0]
        reach = (self.vectors.mT.abs() @ (room * self.scale)[..., None])[..., 0]
        bad = ~self.kept & (along.abs() > reach)
        if bool(bad.any()):
            *sample, column = bad.nonzero()[0].tolist()
            vectors = self.vectors.expand(*bad.shape[:-1], *self.vectors.shape[-2:])[tuple(sample)]
            rows = (vectors[:, column].abs() > 1e-3).nonzero().flatten().tolist()
            raise InputError(
                f"rows {rows} depend on each other and their values disagree, by "
                f"{along[bad].abs().amax().item():.3g} in units of the rows: no state satisfies them all"
            )


class Conditioned(Covariance):
    """The covariance of a prediction given a law: the prior less what the law says, of rank m."""

    def __init__(self, law: LinearConstraint, prior: Covariance, spread: Tensor, gain: Tensor) -> None:
        self.law, self.prior, self.spread, self.gain = law, prior, spread, gain

    def apply(self, rows: Float[Tensor, "... m n"]) -> Float[Tensor, "... m n"]:
        """Return S' g of every row g."""
        wide = rows.to(self.gain.dtype)
        return (self.prior.apply(wide) - (wide @ self.spread.mT) @ self.gain).to(rows.dtype)

    def diagonal(self) -> Float[Tensor, "... n"]:
        """Return the variances, not below zero."""
        prior = self.prior.diagonal()
        less = (self.spread * self.gain).sum(-2)
        return (prior - less).clamp_min(0.0).to(prior.dtype)

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape n"]:
        """Draw from N(0, S'): prior draws, corrected, each of which satisfies the law without its value."""
        draw = self.prior.sample(shape, generator)
        wide = draw.to(self.gain.dtype)
        seen = wide @ self.law.operator.mT
        if not self.law.exact:
            noise = torch.randn(seen.shape, dtype=seen.dtype, device=generator.device, generator=generator)
            seen = seen + self.law.slack * noise.to(seen.device)
        wide = wide - (seen[..., None, :] @ self.gain)[..., 0, :]
        if self.law.exact:
            wide = wide - ((wide @ self.law.operator.mT)[..., None, :] @ self.gain)[..., 0, :]
        return wide.to(draw.dtype)

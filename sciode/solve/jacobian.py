r"""Products with the Jacobian of a drift, and the linear systems of an implicit stage.

Symbols: ``f(s, y)`` packed drift, ``y`` packed state ``[b, n]``, ``J`` its Jacobian, ``g`` step times diagonal
number (a host float, or ``[b, 1]``), ``A = I - g J``.

Samples are taken to be independent of each other, as everywhere in this library: J is one block per sample.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import Time

Field: TypeAlias = Callable[[Time, Tensor], Tensor]
"""The drift with its linear part, on packed states."""

Product: TypeAlias = Callable[[Tensor], Tensor]
"""v -> M v, sample by sample."""

# What PyTorch raises where a function has no derivative in forward mode, or is asked for one inside another.
_NO_FORWARD = (RuntimeError, NotImplementedError)


class Tape:
    """One evaluation of the field at a point, to be differentiated as often as one likes."""

    def __init__(self, field: Field, s: Time, y: Tensor) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            # Clones, as autograd refuses to save tensors that were made in inference mode.
            self.point = (y.clone() if y.is_inference() else y.detach()).requires_grad_()
            self.value = field(s.clone() if s.is_inference() else s, self.point)

    def pull(self, vectors: Tensor, many: bool = False) -> Tensor:
        """Return J^T v; ``many`` takes vectors ``[m, b, n]`` at once."""
        if not self.value.requires_grad:
            return torch.zeros_like(vectors)
        (found,) = torch.autograd.grad(
            self.value, self.point, vectors, retain_graph=True, allow_unused=True, is_grads_batched=many
        )
        return torch.zeros_like(vectors) if found is None else found

    def push(self, vector: Tensor) -> Tensor:
        """Return J v by the derivative of u -> J^T u: twice backward instead of forward."""
        if not self.value.requires_grad:
            return torch.zeros_like(vector)
        if not hasattr(self, "dual"):
            with torch.inference_mode(False), torch.enable_grad():
                self.dual = torch.zeros_like(self.value).requires_grad_()
                (self.pulled,) = torch.autograd.grad(
                    self.value, self.point, self.dual, create_graph=True, allow_unused=True
                )
        if self.pulled is None or not self.pulled.requires_grad:
            return torch.zeros_like(vector)
        (found,) = torch.autograd.grad(self.pulled, self.dual, vector, retain_graph=True, allow_unused=True)
        return torch.zeros_like(vector) if found is None else found


def pushforward(field: Field, s: Time, y: Tensor) -> Product:
    """Return v -> J v at a point: in forward mode, or twice backward where the drift has no forward mode."""
    tape: list[Tape] = []

    def product(v: Tensor) -> Tensor:
        if not tape:
            try:
                return _forward(field, s, y, v)
            except _NO_FORWARD:
                tape.append(Tape(field, s, y))
        return tape[0].push(v)

    return product


def _forward(field: Field, s: Time, y: Tensor, v: Tensor) -> Tensor:
    with torch.no_grad(), forward_mode.dual_level():
        point = forward_mode.make_dual(y.detach(), v)
        if forward_mode.unpack_dual(point).tangent is None:
            # Inside an autograd.Function PyTorch turns forward mode off and drops tangents without a word.
            raise NotImplementedError("forward mode is off here")
        tangent = forward_mode.unpack_dual(field(s, point)).tangent
    return torch.zeros_like(v) if tangent is None else tangent


def jacobian(field: Field, s: Time, y: Tensor) -> Tensor:
    """Return J ``[b, n, n]``: one evaluation and n rows of it by reverse mode.

    >>> jacobian(lambda s, y: y**2, torch.zeros(()), torch.tensor([[1.0, 3.0]]))
    tensor([[[2., 0.],
             [0., 6.]]])
    """
    tape = Tape(field, s, y)
    count = y.shape[1]
    units = torch.eye(count, dtype=y.dtype, device=y.device)[:, None].expand(-1, *y.shape)
    if count <= _FEW:
        return torch.stack([tape.pull(unit) for unit in units], dim=1)
    return tape.pull(units, many=True).transpose(0, 1)


_FEW = 6  # rows: below, a loop is cheaper than setting up a batched backward pass


def check_differentiable(field: Field, s: Time, y: Tensor, value: Tensor) -> None:
    """Raise :class:`InputError` for a drift that depends on the state behind autograd's back.

    Its Jacobian would be zero without a word, and Newton's method a fixed-point iteration.
    """
    try:
        tape = Tape(field, s, y)
        # No plain sum: that of a drift that conserves mass has a zero derivative.
        vector = torch.sin(torch.arange(1, y.shape[1] + 1, dtype=y.dtype, device=y.device)).expand_as(y)
        seen = bool((tape.pull(vector) != 0).any())
    except RuntimeError as error:
        raise InputError(f"an implicit method needs the drift's derivative, which failed: {error}") from error
    if seen:
        return
    with torch.no_grad():
        moved = field(s, y * 1.01 + 0.01)
    if not torch.equal(moved, value.detach()):
        raise InputError(
            "an implicit method needs the derivative of the drift, and this drift changes with the state but has "
            "none (detach, .item(), NumPy or integer operations in it?): write it in differentiable operations"
        )


class Shifted:
    """The system A = I - g J at one point, without its matrix."""

    def __init__(self, field: Field, s: Time, y: Tensor, g: Any) -> None:
        self.field, self.s, self.y, self.g = field, s, y, g

    def product(self) -> Product:
        """Return v -> A v."""
        push = pushforward(self.field, self.s, self.y)
        return lambda v: v - self.g * push(v)

    def transposed(self) -> Product:
        """Return v -> A^T v."""
        tape = Tape(self.field, self.s, self.y)
        return lambda v: v - self.g * tape.pull(v)

    def matrix(self) -> Tensor:
        """Return A ``[b, n, n]``."""
        scaled = jacobian(self.field, self.s, self.y).mul_(-self._g())
        scaled.diagonal(dim1=1, dim2=2).add_(1.0)
        return scaled

    def _g(self) -> Any:
        return self.g[:, :, None] if isinstance(self.g, Tensor) else self.g

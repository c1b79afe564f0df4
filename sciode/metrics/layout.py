"""What every metric asks of its arguments, and the averages over "b t c *n" that all of them share.

Symbols: ``b`` trajectories, ``t`` time steps, ``c`` channels, ``*n`` cells per space axis (one, two or three
axes).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup

AXES = {"trajectory": 0, "time": 1, "channel": 2}
"""Names of the axes before space, as ``keep`` and ``joint`` take them."""


@dataclass(frozen=True)
class Pair:
    """A checked prediction and its target, one shape "b t c *n"; ``mask`` is True where cells count (None: all).

    Cells outside the mask hold zero in both fields, so sums need no second look at the mask.
    """

    pred: Float[Tensor, "b t c *n"]
    target: Float[Tensor, "b t c *n"]
    mask: Bool[Tensor, "b t c *n"] | None = None

    @property
    def space(self) -> tuple[int, ...]:
        """The space axes."""
        return tuple(range(3, self.target.ndim))

    @property
    def points(self) -> tuple[int, ...]:
        """Cells per space axis."""
        return tuple(self.target.shape[3:])

    @property
    def valid(self) -> Bool[Tensor, "b t c"]:
        """True for each field that has a cell to judge."""
        if self.mask is None:
            return torch.ones(self.target.shape[:3], dtype=torch.bool, device=self.target.device)
        return self.mask.any(dim=self.space)

    def mean(self, values: Tensor, axes: tuple[int, ...] | None = None) -> Tensor:
        """Average over the cells that count (default axes: space), keeping axes with size 1; 0 if none counts."""
        axes = self.space if axes is None else axes
        if self.mask is None:
            return values.mean(dim=axes, keepdim=True)
        count = self.mask.sum(dim=axes, keepdim=True).clamp(min=1)
        return torch.where(self.mask, values, 0).sum(dim=axes, keepdim=True) / count

    def wide(self) -> "Pair":
        """Return the same pair in float64 (on the CPU where the device has none)."""
        target = wide(self.target)
        mask = None if self.mask is None else self.mask.to(target.device)
        return replace(self, pred=wide(self.pred), target=target, mask=mask)

    def ratio(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Return ``top / bottom`` ("b t c"), with 0 / 1 for fields without a cell: 0 / 0 would spoil gradients."""
        return top / torch.where(self.valid, bottom, 1)


def wide(x: Tensor) -> Tensor:
    """Return ``x`` in float64; Apple's devices have none, so there it moves to the CPU."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def at_least_single(x: Tensor) -> Tensor:
    """Return ``x``, half precision raised to float32: squares overflow in it, and it has no Fourier transform."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def root(x: Tensor) -> Tensor:
    """Return sqrt(x), with gradient 0 instead of infinity at x = 0: a perfect prediction must not spoil a loss."""
    zero = x == 0
    return torch.where(zero, 0, torch.where(zero, 1, x).sqrt())


def describe(shape: Sequence[int]) -> str:
    """Say a shape "b t c *n" in words.

    >>> describe((2, 5, 1, 32, 16))
    '2 trajectories x 5 steps x 1 channels x 32x16 cells'
    """
    b, t, c, *n = shape
    return f"{b} trajectories x {t} steps x {c} channels x {'x'.join(map(str, n))} cells"


def check_trajectory(u: Tensor, name: str) -> Tensor:
    """Return ``u``, at least in float32, if it is a floating "b t c *n" with some data and 1 to 3 space axes.

    Raises :class:`InputError` otherwise, with what was expected and what was found.
    """
    if not isinstance(u, Tensor):
        raise InputError(f"{name}: expected a torch tensor 'b t c *n', found {type(u).__name__}")
    if u.ndim not in (4, 5, 6):
        raise InputError(
            f"{name}: expected 'b t c *n' (4, 5 or 6 axes: trajectory, time, channel, then 1 to 3 space axes), "
            f"found {u.ndim} axes with shape {tuple(u.shape)}"
        )
    if not u.is_floating_point():
        raise InputError(f"{name}: expected floating-point values, found {u.dtype}; convert with .float()")
    if u.numel() == 0:
        raise InputError(f"{name}: no data in shape {tuple(u.shape)} ({describe(u.shape)})")
    return at_least_single(u)


def check_pair(pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Pair:
    """Return the checked :class:`Pair`.

    A NaN or infinity in the target (where the mask counts) is an error: the reference is broken. In the
    prediction it is a result: a model that diverged has an error of NaN or infinity.
    """
    target, pred = check_trajectory(target, "target"), check_trajectory(pred, "pred")
    if pred.shape != target.shape:
        raise InputError(
            f"pred must have the shape of target: expected {tuple(target.shape)} ({describe(target.shape)}), "
            f"found {tuple(pred.shape)} ({describe(pred.shape)})"
        )
    if pred.device != target.device:
        raise InputError(f"pred is on {pred.device} and target on {target.device}; move one of them")
    full = None if mask is None else _full_mask(mask, target)
    finite = torch.isfinite(target) if full is None else torch.isfinite(target) | ~full
    if not bool(finite.all()):
        raise InputError(f"target holds {int((~finite).sum())} NaN or infinite values; mask them or mend the data")
    if full is None:
        return Pair(pred, target)
    return Pair(torch.where(full, pred, 0), torch.where(full, target, 0), full)


def _full_mask(mask: Tensor, target: Tensor) -> Bool[Tensor, "b t c *n"]:
    if mask.dtype != torch.bool:
        raise InputError(f"mask: expected a boolean tensor, True where cells count, found {mask.dtype}")
    try:
        return mask.to(target.device).broadcast_to(target.shape)
    except RuntimeError as error:
        raise InputError(
            f"mask: expected a shape that broadcasts to {tuple(target.shape)} ({describe(target.shape)}), "
            f"such as the space shape {tuple(target.shape[3:])}, found {tuple(mask.shape)}"
        ) from error


def check_lengths(lengths: Sequence[float] | None, points: Sequence[int]) -> tuple[float, ...]:
    """Return one positive domain length per space axis; None stands for 1 on each."""
    if lengths is None:
        return (1.0,) * len(points)
    found = tuple(float(length) for length in lengths)
    if len(found) != len(points):
        raise InputError(f"lengths: expected {len(points)}, one per space axis, found {len(found)}: {found}")
    if any(not (length > 0 and math.isfinite(length)) for length in found):
        raise InputError(f"lengths: expected positive numbers, found {found}")
    return found


def check_initial_step(initial_step: int, steps: int) -> None:
    """Raise :class:`InputError` unless some of ``steps`` are left when the first ``initial_step`` go."""
    if not 0 <= initial_step < steps:
        raise InputError(f"initial_step: expected 0 to {steps - 1} for {steps} steps, found {initial_step}")


def axis_names(names: str | Iterable[str], kind: str) -> tuple[int, ...]:
    """Return the axes of "b t c" called by ``names`` (one name, or several), sorted."""
    given = (names,) if isinstance(names, str) else tuple(names)
    return tuple(sorted({lookup(name, AXES, kind) for name in given}))


def average(values: Tensor, valid: Tensor, keep: str | Iterable[str] = ()) -> Tensor:
    """Average "b t c ..." over its first three axes except those in ``keep``, counting valid fields only.

    ``valid`` is "b t c" (or broadcasts to it). An average over no valid field is NaN.
    """
    kept = axis_names(keep, "axis in keep")
    drop = tuple(axis for axis in range(3) if axis not in kept)
    if not drop:
        return torch.where(_trail(valid, values), values, math.nan)
    weight = _trail(valid, values).expand(*(values.shape[:3]), *([1] * (values.ndim - 3)))
    return torch.where(weight, values, 0).sum(dim=drop) / weight.sum(dim=drop)


def _trail(valid: Tensor, values: Tensor) -> Tensor:
    return valid.reshape(*valid.shape, *([1] * (values.ndim - valid.ndim)))

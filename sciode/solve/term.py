r"""The equation :math:`\mathrm{d}y = (L y + N(s, y))\,\mathrm{d}s + G(s, y)\,\mathrm{d}W`, L diagonal."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.symbol import Symbol
from sciode.core.typing import State, Time, leaves
from sciode.solve.chart import IDENTITY, Chart
from sciode.solve.noise import Noise


class Drift(Protocol):
    """The nonlinear part N. Conditioning goes in by closure."""

    def __call__(self, s: Time, y: State, /) -> State:
        """Return N(s, y), of the shape and dtype of ``y``.

        ``s`` is float64 on y's device: ``[]`` where the batch shares its steps, ``[b]`` under per-sample steps.
        """
        ...


@dataclass(frozen=True)
class Scaled:
    """A drift that ends in a multiplication by a constant, element by element: N(s, y) = factor * inner(s, y).

    In a Fourier chart the derivative and the mask of a nonlinear term are such a factor. A method may fold it
    into its weights and call ``inner`` instead; called as a drift, this is the whole N.

    Parameters
    ----------
    inner
        Takes and returns one tensor; not a state of several.
    factor
        Broadcasts to one sample's state.

    Examples
    --------
    >>> drift = Scaled(lambda s, y: y * y, Symbol(torch.tensor([1.0, -2.0])))
    >>> drift(torch.tensor(0.0), torch.tensor([[3.0, 3.0]]))
    tensor([[  9., -18.]])
    """

    inner: Drift
    factor: Symbol

    def __call__(self, s: Time, y: State) -> Tensor:
        """Return the whole N(s, y)."""
        value = self.inner(s, y)
        assert isinstance(value, Tensor)
        return value * self.factor.like(value)


def around(drift: Drift, wrap: Callable[[Drift], Drift]) -> Drift:
    """Return ``wrap(drift)``, where what a :class:`Scaled` drift says of itself stays known."""
    return replace(drift, inner=wrap(drift.inner)) if isinstance(drift, Scaled) else wrap(drift)


@dataclass(frozen=True)
class Diagonal:
    """The linear part L, in the coordinates of the term's chart.

    Parameters
    ----------
    rate
        Real or complex, 1/time: a number, a tensor that broadcasts to one sample's state
        (``[]``, ``[c, *k]``, ``[*k]``), or a tuple of these for a tuple state.

    Examples
    --------
    >>> Diagonal(-1.0).rates(1)[0]
    tensor(-1., dtype=torch.float64)
    """

    rate: float | complex | Tensor | tuple[float | complex | Tensor, ...]

    def rates(self, count: int) -> tuple[Tensor, ...]:
        """Return one tensor of rates per leaf of a state with ``count`` leaves."""
        parts = self.rate if isinstance(self.rate, tuple) else (self.rate,)
        if len(parts) != count:
            raise InputError(f"the linear part has {len(parts)} rates, the state has {count} tensors")
        # Wide before it is multiplied by a step: weights are made in float64 whatever the rate was given in.
        return tuple(
            part.to(_wide(part)) if isinstance(part, Tensor) else torch.tensor(part, dtype=_wide(part))
            for part in parts
        )

    def adjoint(self) -> "Diagonal":
        """Return the linear part of the adjoint equation, -conj(L)."""
        if isinstance(self.rate, tuple):
            return Diagonal(
                tuple(-part.conj() if isinstance(part, Tensor) else -_conj(part) for part in self.rate)
            )
        return Diagonal(-self.rate.conj() if isinstance(self.rate, Tensor) else -_conj(self.rate))


def _wide(value: float | complex | Tensor) -> torch.dtype:
    is_complex = value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)
    return torch.complex128 if is_complex else torch.float64


def _conj(value: float | complex) -> float | complex:
    return value.conjugate()


@dataclass(frozen=True)
class Term:
    """A semilinear differential equation and the coordinates it is solved in.

    Parameters
    ----------
    drift
        N(s, y), in the chart's coordinates.
    linear
        L, or None.
    noise
        G and its Wiener process, or None.
    chart
        Map from the user's variables; the identity by default.
    parameters
        The tensors that the drift closes over and gradients are wanted for. Needed only by the adjoints that
        do not run through autograd's own record, :class:`Continuous` and :class:`ReversibleAdjoint`.

    Examples
    --------
    Exponential decay, once as a drift and once as a linear part:

    >>> from sciode.solve import solve, RungeKutta, tableaus
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> a = solve(Term(lambda s, y: -y), x0, [0.0, 1.0], solver=RungeKutta(tableaus.RK4), dt=0.01)
    >>> b = solve(Term(lambda s, y: 0 * y, Diagonal(-1.0)), x0, [0.0, 1.0], dt=1.0)
    >>> round(a.y[0, 1].item(), 9), round(b.y[0, 1].item(), 9)
    (0.367879441, 0.367879441)
    """

    drift: Drift
    linear: Diagonal | None = None
    noise: Noise | None = None
    chart: Chart = IDENTITY
    parameters: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        if not callable(self.drift):
            raise InputError(f"the drift is a function of (s, y), found {type(self.drift).__name__}")

    def checked(self) -> "Term":
        """Return the same term with a drift that raises :class:`InputError` for a slope unlike the state.

        A slope of shape ``[1]`` would broadcast and one in float64 promote, both without a word. The loop
        takes its first step with this term: the check then costs no evaluation and nothing in later steps.
        """

        factor = self.drift.factor.value if isinstance(self.drift, Scaled) else None

        def check(value: State, y: State) -> State:
            slopes, parts = leaves(value), leaves(y)
            if len(slopes) != len(parts):
                raise InputError(f"the drift returned {len(slopes)} tensors for a state of {len(parts)}")
            for k, part in zip(slopes, parts, strict=True):
                if not isinstance(k, Tensor):
                    raise InputError(f"the drift returned {type(k).__name__}, not a tensor")
                if k.device != part.device:
                    raise InputError(f"the drift returned a tensor on {k.device} for a state on {part.device}")
                if k.shape != part.shape or k.dtype != part.dtype:
                    raise InputError(
                        f"the drift returned {k.dtype} {list(k.shape)} for a state {part.dtype} {list(part.shape)}"
                    )
                if factor is not None:
                    check_factor(factor, part)
            return value

        drift = around(self.drift, lambda inner: lambda s, y: check(inner(s, y), y))
        return replace(self, drift=drift, noise=None if self.noise is None else self.noise.checked())


def check_factor(factor: Tensor, part: Tensor) -> None:
    """Refuse a factor of the drift that would change the shape or the type of the state."""
    if not fits(factor, part):
        raise InputError(
            f"the drift's factor {factor.dtype} {list(factor.shape)} does not fit the state "
            f"{part.dtype} {list(part.shape)}"
        )


def fits(value: Tensor, part: Tensor) -> bool:
    """Say whether a tensor broadcasts to the shape of a state, and is real beside a real one."""
    if value.is_complex() and not part.is_complex():
        return False
    try:
        return torch.broadcast_shapes(value.shape, part.shape) == part.shape
    except RuntimeError:
        return False

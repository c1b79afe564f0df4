r"""The equation :math:`\mathrm{d}y = (L y + N(s, y))\,\mathrm{d}s + G(s, y)\,\mathrm{d}W`, L diagonal."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from sciode.core.errors import InputError
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

        def drift(s: Time, y: State) -> State:
            value = self.drift(s, y)
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
            return value

        return replace(self, drift=drift, noise=None if self.noise is None else self.noise.checked())

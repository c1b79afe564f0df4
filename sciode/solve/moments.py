r"""Moment rules: the weights of a multistep method, whatever the linear part, the grid and the order.

The slopes known at the nodes :math:`r_j = (s_j - s)/h` are interpolated by a polynomial, and variation of
constants integrates it exactly:

.. math::
    y(s+h) = e^{hL} y + \sum_j b_j N_j, \qquad b_j = h \int_0^1 e^{(1-u)hL}\, \ell_j(u)\, \mathrm{d}u, \qquad
    \sum_j r_j^k\, b_j = h\, k!\, \varphi_{k+1}(hL).

The right-hand sides are the moments of the kernel; a rule says how they, or the weights at once, are found.

Symbols: ``s`` start of the step, ``h`` its size, ``r`` nodes, ``z = h L``, ``u`` place within the step.
"""

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, Time
from sciode.solve.phi import phi

Value: TypeAlias = float | complex | Tensor
Rate: TypeAlias = Value | None
"""L: a number, a tensor that broadcasts to the state, or None for zero."""


class Span(NamedTuple):
    """A step, and where slopes are known; nodes newest first, in units of h from its start."""

    h: float
    nodes: tuple[float, ...]
    start: float | None = None  # in the chart's clock; given to rules that are ``timed``


class MomentRule(Protocol):
    """What a multistep method asks of a rule, which is hashable. In float64; on the host for a number L."""

    @property
    def timed(self) -> bool:
        """Whether weights depend on the time of the step, and not on sizes alone."""
        ...

    def carry(self, rate: Rate, span: Span) -> Rate:
        """Return the factor of y, e^{hL}; None for one."""
        ...

    def weights(self, rate: Rate, span: Span) -> list[Value]:
        """Return b_j, one per node, multiplied by h."""
        ...

    def whole(self, drift: Callable[[Time, State], State]) -> Callable[[Time, State], State]:
        """Return the drift that a one-step starter is given: N, plus any part of L that only the rule knows."""
        ...


def interpolatory(moments: Sequence[Value], nodes: Sequence[float]) -> list[Value]:
    r"""Solve :math:`\sum_j r_j^k b_j = m_k` for the weights b: Adams methods of any kind, on any grid.

    The moments of L = 0, :math:`h/(k+1)`, with the nodes 0, -1 give the Adams--Bashforth numbers:

    >>> interpolatory([1.0, 1 / 2], [0.0, -1.0])
    [1.5, -0.5]

    References
    ----------
    Björck and Pereyra, Math. Comp. 24 (1970), 893--903: O(n^2), and accurate where elimination is not.
    """
    b: list[Any] = list(moments)
    n = len(b)
    for k in range(n - 1):
        for i in range(n - 1, k, -1):
            b[i] = b[i] - nodes[k] * b[i - 1] if nodes[k] else b[i]
    for k in range(n - 2, -1, -1):
        for i in range(k + 1, n):
            b[i] = b[i] / (nodes[i] - nodes[i - k - 1])
        for i in range(k, n - 1):
            b[i] = b[i] - b[i + 1]
    return b


def moments(rate: Rate, h: float, count: int) -> list[Value]:
    r"""Return :math:`h\,k!\,\varphi_{k+1}(hL)` for k < count.

    >>> moments(None, 0.5, 2)
    [0.5, 0.25]
    """
    if rate is None:
        return [h / (k + 1) for k in range(count)]
    if isinstance(rate, Tensor):
        return [math.factorial(k) * h * value for k, value in enumerate(_phi_tensors(h * _wide(rate), count))]
    return [math.factorial(k) * h * value for k, value in enumerate(phi_numbers(h * rate, count))]


def phi_numbers(z: float | complex, count: int) -> list[float | complex]:
    """Return phi_1 .. phi_count of a number: on the host, as a tensor costs a hundred times as much."""
    values: list[float | complex]
    if abs(z) < (1.0 if count <= 2 else 2.0):
        total: float | complex = 0.0
        for coefficient in _series(count):
            total = total * z + coefficient
        values = [total]
        for k in range(count - 1, 0, -1):
            values.append(z * values[-1] + 1.0 / math.factorial(k))
        return values[::-1]
    values = [(cmath.exp(z) - 1.0) / z if isinstance(z, complex) else math.expm1(z) / z]
    for k in range(1, count):
        values.append((values[-1] - 1.0 / math.factorial(k)) / z)
    return values


@cache
def _series(order: int) -> tuple[float, ...]:
    """Return the Taylor coefficients of phi_order, the highest power first: enough of them for |z| < 2."""
    terms = 18 if order <= 2 else 24
    return tuple(1.0 / math.factorial(order + power) for power in range(terms - 1, -1, -1))


def _phi_tensors(z: Tensor, count: int) -> list[Tensor]:
    """Return phi_1 .. phi_count: the last by its series or the first in closed form, the others by recurrence."""
    small = z.abs() < (1.0 if count <= 2 else 2.0)
    # Each branch gets an argument it can take, so that no NaN leaks into a gradient through `where`.
    inner, outer = torch.where(small, z, 0.0), torch.where(small, 1.0, z)
    near, far = [phi(count, inner)], [phi(1, outer)]
    for k in range(count - 1, 0, -1):
        near.append(inner * near[-1] + 1.0 / math.factorial(k))
        far.append((far[-1] - 1.0 / math.factorial(count - k)) / outer)
    return [torch.where(small, a, b) for a, b in zip(near[::-1], far, strict=True)]


def _carry(rate: Rate, h: float) -> Rate:
    if rate is None:
        return None
    if isinstance(rate, Tensor):
        return torch.zeros_like(_wide(rate)) if math.isinf(h) else phi(0, h * _wide(rate))
    if math.isinf(h):
        return 0.0
    return cmath.exp(h * rate) if isinstance(rate, complex) else math.exp(h * rate)


def _endless(rate: Rate, span: Span) -> Value:
    """Return the one weight of a step of infinite length, where Re L drives the state to -N / L."""
    if len(span.nodes) != 1:
        raise InputError("a step of infinite length knows one slope: the others are at no distance from it")
    real = rate.real if isinstance(rate, Tensor) else torch.as_tensor(0.0 if rate is None else rate).real
    if rate is None or not bool((math.copysign(1.0, span.h) * real < 0.0).all()):
        raise InputError(
            f"a step of infinite length (h = {span.h}) needs a linear part with Re(h L) < 0 throughout"
        )
    return -1.0 / (_wide(rate) if isinstance(rate, Tensor) else rate)


def _wide(rate: Tensor) -> Tensor:
    return rate.to(torch.complex128 if rate.is_complex() else torch.float64)


@dataclass(frozen=True)
class Exact:
    r"""Constant L, polynomials in s: weights from the phi-functions, to round-off.

    Parameters
    ----------
    adjust
        None, or a function ``(moments, h) -> moments`` that replaces some of them. Published samplers that
        differ from the interpolatory method differ so; see :data:`MIDPOINT`, :data:`TRAPEZOID`, :data:`HALVED`.

    Examples
    --------
    >>> EXACT.weights(None, Span(1.0, (0.0, -1.0)))
    [1.5, -0.5]
    """

    adjust: Callable[[list[Any], float], list[Any]] | None = None

    @property
    def timed(self) -> bool:
        """Sizes alone matter."""
        return False

    def carry(self, rate: Rate, span: Span) -> Rate:
        """Return e^{hL}."""
        return _carry(rate, span.h)

    def weights(self, rate: Rate, span: Span) -> list[Value]:
        """Return the weights."""
        if math.isinf(span.h):
            return [_endless(rate, span)]
        found = moments(rate, span.h, len(span.nodes))
        return interpolatory(found if self.adjust is None else self.adjust(found, span.h), span.nodes)

    def whole(self, drift: Callable[[Time, State], State]) -> Callable[[Time, State], State]:
        """Return ``drift``: L is all in the term."""
        return drift


def _midpoint(found: list[Any], h: float) -> list[Any]:
    return [found[0], found[0] / 2] if len(found) == 2 else found


def _trapezoid(found: list[Any], h: float) -> list[Any]:
    return [found[0], found[0] * 0.0 + h / 2] if len(found) == 2 else found


def _halved(found: list[Any], h: float) -> list[Any]:
    return [*found[:2], found[2] / 2] if len(found) == 3 else _midpoint(found, h)


EXACT = Exact()
"""The interpolatory method."""

MIDPOINT = Exact(_midpoint)
"""phi_1/2 in place of phi_2 beside two slopes: the usual DPM-Solver++(2M) (arXiv:2211.01095, algorithm 2),
and UniPC with B(h) = e^h - 1 (arXiv:2302.04867, equation (9)). Still second order."""

TRAPEZOID = Exact(_trapezoid)
"""1/2 in place of phi_2 beside two slopes: UniPC with B(h) = h."""

HALVED = Exact(_halved)
"""Half the moment of u^2 beside three slopes, and :data:`MIDPOINT` beside two: DPM-Solver(++)(3M) as it is
published and run, which converges at second order only."""


@dataclass(frozen=True)
class Frozen:
    r"""Numbers of a grid of equal steps, kept whatever the grid is: :math:`b_j = h\,\varphi_1(hL)\,w_j`.

    Parameters
    ----------
    table
        Row n - 1 holds the n numbers w_j used where n slopes are known, newest first; each row sums to 1.

    Raises
    ------
    InputError
        For rows of other lengths or sums; in a solve, for more slopes than rows and for a corrector.

    Examples
    --------
    >>> PLMS.weights(None, Span(1.0, (0.0, -1.0, -2.0, -3.0)))[0] == 55 / 24
    True
    """

    table: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for count, row in enumerate(self.table, start=1):
            if len(row) != count or abs(math.fsum(row) - 1.0) > 1e-12:
                raise InputError(
                    f"row {count - 1} of Frozen(table=) must hold {count} numbers of sum 1, found {row}"
                )

    @property
    def timed(self) -> bool:
        """Sizes alone matter."""
        return False

    def carry(self, rate: Rate, span: Span) -> Rate:
        """Return e^{hL}."""
        return _carry(rate, span.h)

    def weights(self, rate: Rate, span: Span) -> list[Value]:
        """Return the weights."""
        count = len(span.nodes)
        if span.nodes[0] != 0.0:
            raise InputError("frozen weights have no corrector: use corrector=False, or the rule EXACT")
        if count > len(self.table):
            raise InputError(f"{count} slopes, but Frozen(table=) has rows for {len(self.table)} at most")
        first = _endless(rate, span) if math.isinf(span.h) else moments(rate, span.h, 1)[0]
        return [first * w for w in self.table[count - 1]]

    def whole(self, drift: Callable[[Time, State], State]) -> Callable[[Time, State], State]:
        """Return ``drift``: L is all in the term."""
        return drift


PLMS = Frozen(
    (
        (1.0,),
        (3 / 2, -1 / 2),
        (23 / 12, -16 / 12, 5 / 12),
        (55 / 24, -59 / 24, 37 / 24, -9 / 24),
    )
)
"""The Adams--Bashforth numbers of equal steps: PLMS (PNDM, arXiv:2202.09778, equation (12)), in a noise chart."""

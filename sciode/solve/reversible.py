r"""Any one-step method made reversible: two copies of the state, coupled through increments of the method.

An adjoint that recovers the states of a solve from its end needs steps that can be undone exactly, not to the
order of the method. Two copies, y and z, each driven by the other, can be undone by algebra, whatever the method.

Symbols: :math:`\Phi_h` a step of the method, ``E = e^{hL}`` the linear flow, :math:`\lambda` coupling.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, each, leaves, like
from sciode.solve.increment import Needs, turned
from sciode.solve.phi import phi
from sciode.solve.step import At, Solver, needs_of
from sciode.solve.term import Diagonal, Term

Flow: TypeAlias = tuple[Tensor, ...] | None


class Coupled(NamedTuple):
    """The weights of a step: of the method forward and backward, and of the linear flow either way."""

    forward: Any
    backward: Any
    flow: Flow
    inverse: Flow


@dataclass(frozen=True)
class Reversible:
    r"""A one-step method, exponential or not, with an exact algebraic inverse of each step.

    .. math::

        y_{n+1} &= E \lambda (y_n - z_n) + \Phi_h(z_n) \\
        z_{n+1} &= y_{n+1} + E (z_n - \Phi_{-h}(y_{n+1}))

    With L = 0 this is the scheme of the paper; with L it is the same scheme for :math:`e^{-sL} y`, so that the
    difference of the copies is carried by the linear flow. Costs two steps of the method; has its order.

    Parameters
    ----------
    base
        A one-step method such as ``RungeKutta(tableaus.RK4)``. On a stochastic equation it must be one for the
        Stratonovich calculus, or the noise additive: an Ito step backwards is no Ito step.
    coupling
        :math:`\lambda` in (0, 1]. Below 1 the copies attract each other, which gives the scheme a region of
        stability; undoing multiplies rounding errors by :math:`1 / \lambda` a step.

    Raises
    ------
    InputError
        For a multistep method, a coupling outside (0, 1], an infinite step, or multiplicative Ito noise.

    References
    ----------
    McCallum and Foster, Efficient, Accurate and Stable Gradients for Neural ODEs, arXiv:2410.11648, section 3; for
    the exponential form also Blasingame and Liu, Rex: Reversible Exponential (Stochastic) Runge-Kutta Solvers.

    Examples
    --------
    >>> from sciode.solve import RungeKutta, tableaus
    >>> Reversible(RungeKutta(tableaus.RK4)).order
    4
    """

    base: Solver
    coupling: float = 0.999

    def __post_init__(self) -> None:
        if not 0.0 < self.coupling <= 1.0:
            raise InputError(f"Reversible(coupling=) takes a number in (0, 1], found {self.coupling}")
        if self.base.history:
            raise InputError("Reversible takes a one-step method, found one that remembers earlier steps")

    @property
    def order(self) -> int:
        """Order of convergence: that of the base."""
        return self.base.order

    @property
    def nodes(self) -> tuple[float, ...]:
        """The base's nodes, counted from the start of the step, then from its end."""
        return (*self.base.nodes, *(1.0 - node for node in self.base.nodes))

    @property
    def history(self) -> int:
        """0: weights depend on no earlier step."""
        return 0

    def needs(self, term: Term) -> Needs:
        """Return what the base asks of the path; refuse noise that cannot be run backward."""
        noise = term.noise
        if noise is not None and noise.calculus == "ito" and noise.kind != "additive":
            raise InputError(
                "Reversible steps back along the noise, which the Ito calculus of multiplicative noise does not "
                "allow: state the equation in the Stratonovich calculus (Noise(calculus='stratonovich'))"
            )
        needs = needs_of(self.base, term)
        if needs.rates is not None:
            raise InputError(
                "Reversible takes no method with exact Ornstein-Uhlenbeck increments, which run one way: use "
                "StochasticHeun"
            )
        return needs

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> Coupled:
        """Make the weights of steps h and -h."""
        if math.isinf(h):
            raise InputError("a reversible step must be finite: an infinite one forgets where it came from")
        steps = (self.base.plan(linear, h, y), self.base.plan(linear, -h, y))
        if linear is None:
            return Coupled(*steps, None, None)
        pairs = list(zip(linear.rates(len(leaves(y))), leaves(y), strict=True))
        flow, inverse = (tuple(_flow(rate, g, part) for rate, part in pairs) for g in (h, -h))
        return Coupled(*steps, flow, inverse)

    def start(self, term: Term, at: At, y: State) -> State:
        """The second copy starts where the first does."""
        return y

    def step(self, term: Term, at: At, y: State, memory: State, plan: Coupled) -> tuple[State, State]:
        """Advance both copies."""
        z = memory
        difference = _scaled(_carry(plan.flow, _minus(y, z)), self.coupling)
        y = each(Tensor.add, difference, self._forward(term, at, z, plan))
        back = _carry(plan.flow, _minus(z, self._backward(term, at, y, plan)))
        return y, each(Tensor.add, y, back)

    def undo(self, term: Term, at: At, y: State, memory: State, plan: Coupled) -> tuple[State, State]:
        """Return the copies before the step that ended in (y, memory)."""
        z = each(Tensor.add, self._backward(term, at, y, plan), _carry(plan.inverse, _minus(memory, y)))
        difference = _carry(plan.inverse, _minus(y, self._forward(term, at, z, plan)))
        return each(Tensor.add, z, _scaled(difference, 1.0 / self.coupling)), z

    def _forward(self, term: Term, at: At, y: State, plan: Coupled) -> State:
        at = At(at.times[: len(self.base.nodes)], at.noise)
        return self.base.step(term, at, y, self.base.start(term, at, y), plan.forward)[0]

    def _backward(self, term: Term, at: At, y: State, plan: Coupled) -> State:
        at = At(at.times[len(self.base.nodes) :], None if at.noise is None else turned(at.noise))
        return self.base.step(term, at, y, self.base.start(term, at, y), plan.backward)[0]


def _flow(rate: Tensor, h: float, y: Tensor) -> Tensor:
    weight = phi(0, h * rate)
    return weight.to(device=y.device, dtype=y.dtype if weight.is_complex() else y.real.dtype)


def _carry(flow: Flow, y: State) -> State:
    return y if flow is None else like(y, tuple(f * part for f, part in zip(flow, leaves(y), strict=True)))


def _minus(a: State, b: State) -> State:
    return each(Tensor.sub, a, b)


def _scaled(y: State, factor: float) -> State:
    return each(lambda part: part * factor, y)


@dataclass(frozen=True)
class Copies:
    """A reversible method on the pair (y, z) of its two copies: what to keep if a solve is to be undone exactly.

    Parameters
    ----------
    method
        The method.
    undo
        True: take the steps back. On the reversed times of a solve, from the pair it ended in, this returns the
        pair it began with, to rounding.

    Examples
    --------
    >>> import torch
    >>> from sciode.solve import RungeKutta, solve, tableaus
    >>> term = Term(lambda s, y: torch.cos(y))
    >>> x0, method = torch.ones(1, 2, dtype=torch.float64), Reversible(RungeKutta(tableaus.HEUN))
    >>> there = solve(term, (x0, x0), [0.0, 1.0], solver=Copies(method), dt=0.1).y
    >>> pair = tuple(part[:, -1] for part in there)
    >>> back = solve(term, pair, [1.0, 0.0], solver=Copies(method, undo=True), dt=0.1).y
    >>> bool((back[0][:, -1] - x0).abs().max() < 1e-14)
    True
    """

    method: Reversible
    undo: bool = False

    @property
    def order(self) -> int:
        """That of the method."""
        return self.method.order

    @property
    def nodes(self) -> tuple[float, ...]:
        """The method's, which a step taken back meets from the other end."""
        return tuple(1.0 - node for node in self.method.nodes) if self.undo else self.method.nodes

    @property
    def history(self) -> int:
        """0."""
        return 0

    def plan(self, linear: Diagonal | None, h: float, y: State, past: tuple[float, ...] = ()) -> Coupled:
        """Make the weights of the forward step."""
        return self.method.plan(linear, -h if self.undo else h, leaves(y)[0])

    def start(self, term: Term, at: At, y: State) -> tuple[()]:
        """Nothing is remembered beside the state."""
        return ()

    def step(self, term: Term, at: At, y: State, memory: tuple[()], plan: Coupled) -> tuple[State, tuple[()]]:
        """Advance both copies, or take their step back."""
        first, second = leaves(y)
        move = self.method.undo if self.undo else self.method.step
        y, z = move(term, at, first, second, plan)
        assert isinstance(y, Tensor) and isinstance(z, Tensor)
        return (y, z), ()

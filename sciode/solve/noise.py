r"""The stochastic part of an equation, :math:`G(s, y)\,\mathrm{d}W`.

Noise is a path: the same question gets the same answer, however often and in whatever order it is asked.

Symbols: ``G`` amplitude, ``W`` Wiener increment of a step, ``m`` number of Wiener processes, ``s`` time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.core.typing import State, Time, each, leaves
from sciode.solve.driver import GENERATOR, Coarse, convolving
from sciode.solve.increment import NOTHING, Driver, Increment, Needs, Query
from sciode.solve.steps import Steps

Kind: TypeAlias = Literal["additive", "diagonal", "scalar", "general", "fractional"]
Calculus: TypeAlias = Literal["ito", "stratonovich"]


class Bank(NamedTuple):
    """Ornstein--Uhlenbeck modes that share one Wiener process per element: fractional noise, made Markov."""

    rates: Tensor  # gamma, [K] float64, 1/time
    weights: Tensor  # omega, [K] float64


@dataclass(frozen=True)
class Noise:
    r"""The stochastic part, :math:`G(s, y)\,\mathrm{d}W`.

    Parameters
    ----------
    amplitude
        G(s, y), in the chart's coordinates, of the dtype of ``y``; real for a complex state if you like.
        Shaped like ``y``, with a last axis ``m`` more for general noise; for a tuple state a tuple.
    kind
        ``"additive"``: one Wiener process per element, G does not depend on y.
        ``"diagonal"``: one per element, and element i of G depends on element i of y alone.
        ``"scalar"``: one per sample, which drives all elements.
        ``"general"``: ``m`` per sample; G is ``"b ... m"``.
        (``"fractional"`` is what :func:`fractional` makes.)
    seed
        Names the path.
    calculus
        ``"ito"`` or ``"stratonovich"``.
    size
        m, for general noise only.
    growth
        kappa, 1/time: an additive amplitude that is known to go as :math:`e^{\kappa s}` within a step. Used by
        :class:`ExponentialEulerMaruyama`, which is then exact.
    driver
        Where the numbers come from: :class:`Generator` by default, :class:`BrownianTree`, :class:`Path`,
        :class:`Field` for the noise of a real field in a Fourier chart.

    Raises
    ------
    InputError
        For an unknown kind or calculus, and a size where it does not belong or is missing.

    Examples
    --------
    >>> from sciode.solve import EulerMaruyama, Term, solve
    >>> noise = Noise(lambda s, y: 0.1 * y, kind="diagonal", seed=1)
    >>> geometric = Term(lambda s, y: 0.5 * y, noise=noise)
    >>> solve(geometric, torch.ones(3, 2), [0.0, 1.0], solver=EulerMaruyama(), dt=0.1).y.shape
    torch.Size([3, 2, 2])
    """

    amplitude: Callable[[Time, State], State]
    kind: Kind = "diagonal"
    seed: int = 0
    calculus: Calculus = "ito"
    size: int | None = None
    growth: float = 0.0
    driver: Driver = GENERATOR
    bank: Bank | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown(str(self.kind), get_args(Kind), "kind of noise")
        if self.calculus not in get_args(Calculus):
            raise unknown(str(self.calculus), get_args(Calculus), "calculus")
        if self.kind == "general" and (self.size is None or self.size < 1):
            raise InputError(f"general noise needs size=, its number of Wiener processes; found {self.size}")
        if self.kind != "general" and self.size is not None:
            raise InputError(f"size is for general noise only; {self.kind} noise has the size of the state")
        if (self.kind == "fractional") != (self.bank is not None):
            raise InputError("fractional noise is made by sciode.solve.fractional(term, hurst)")
        if not callable(self.amplitude):
            raise InputError(f"amplitude must be a function of (s, y), found {type(self.amplitude).__name__}")
        if not hasattr(self.driver, "grid"):
            raise InputError(f"driver takes an object such as BrownianTree(), found {self.driver!r}")

    def source(self, y: State, steps: Steps, needs: Needs = NOTHING) -> Callable[[int], Increment]:
        """Return the increments of each step of a fixed grid: a function of the step's number."""
        source = self.driver.grid(self.wiener(y), steps, self.seed, needs)
        return convolving(source, [float(h) for h in steps.sizes], needs)

    def path(self, y: State, start: float, end: float) -> Query:
        """Return the path over a span, which can be asked for any interval of it."""
        return self.driver.path(self.wiener(y), start, end, self.seed)

    def coarsen(self, factor: int) -> "Noise":
        """Return the same path for steps ``factor`` times as long.

        A solve with ``noise.coarsen(4)`` and dt = 0.04 sees the very path that one with ``noise`` and dt = 0.01
        sees: what measures strong convergence.
        """
        return replace(self, driver=Coarse(factor, self.driver))

    def wiener(self, y: State) -> State:
        """Return a state shaped like W: one leaf per leaf of y, or one for the sample."""
        first = leaves(y)[0].detach()
        real = first.real if first.is_complex() else first
        if self.kind == "scalar":
            return real.new_empty(first.shape[0])
        if self.kind == "general":
            assert self.size is not None
            return real.new_empty(first.shape[0], self.size)
        if self.kind == "fractional":
            return first
        return each(Tensor.detach, y)

    def apply(self, amplitude: State, W: State) -> State:
        """Return G W, shaped like the state."""
        if self.kind in ("additive", "diagonal"):
            return each(torch.mul, W, amplitude)
        if self.kind == "fractional":
            return self._banked(amplitude, W)
        driver = leaves(W)[0]
        product = _scalar if self.kind == "scalar" else _general
        return each(lambda part: product(part, driver), amplitude)

    def _banked(self, amplitude: State, W: State) -> State:
        # x gets s (sum of omega) dW, and each mode dW itself.
        assert self.bank is not None
        driver, part = leaves(W)[0], leaves(amplitude)[0]
        total = self.bank.weights.sum().to(part)
        modes = driver[..., None].expand(*driver.shape, len(self.bank.rates))
        return part * driver * total, modes

    def checked(self) -> "Noise":
        """Return the same noise with an amplitude that raises :class:`InputError` for a wrong shape."""

        def amplitude(s: Time, y: State) -> State:
            value = self.amplitude(s, y)
            parts = leaves(y)[:1] if self.kind == "fractional" else leaves(y)
            found = leaves(value)
            if len(found) != len(parts):
                raise InputError(f"the amplitude returned {len(found)} tensors for a state of {len(parts)}")
            for given, part in zip(found, parts, strict=True):
                wanted = [*part.shape, self.size] if self.kind == "general" else list(part.shape)
                if list(given.shape) != wanted or given.dtype not in (part.dtype, part.real.dtype):
                    raise InputError(
                        f"the amplitude of {self.kind} noise returned {given.dtype} {list(given.shape)}, "
                        f"a state {part.dtype} {list(part.shape)} needs {wanted}"
                    )
            return value

        return replace(self, amplitude=amplitude)

    def check(self, solver: str, kinds: Iterable[str], stratonovich: bool, ito: bool) -> None:
        """Raise :class:`InputError` unless a solver that takes these kinds and calculi can take this noise.

        For additive noise the two calculi are the same.
        """
        known = [kind for kind in get_args(Kind) if kind in set(kinds)]
        if self.kind not in known:
            raise InputError(f"{solver} takes {', '.join(known)} noise, found {self.kind}")
        right = stratonovich if self.calculus == "stratonovich" else ito
        if not right and self.kind != "additive":
            other = "stratonovich" if stratonovich else "ito"
            raise InputError(f"{solver} takes calculus={other!r} for {self.kind} noise, found {self.calculus!r}")


def _scalar(amplitude: Tensor, W: Tensor) -> Tensor:
    return amplitude * W.reshape(-1, *[1] * (amplitude.dim() - 1))


def _general(amplitude: Tensor, W: Tensor) -> Tensor:
    flat = amplitude.reshape(len(W), -1, W.shape[-1])
    return torch.bmm(flat, W.to(flat.dtype)[..., None]).reshape(amplitude.shape[:-1])

"""Several steps as one unit: compiled to fused kernels, or captured as a CUDA graph.

A unit takes ``size`` steps that share a plan. It is a pure function of state, memory, times, noise and the
tensors of the plan, while the numbers of the plan are constants in it. Units are kept in the capture object, found
by the term, the method, the plan's numbers and the shapes: a second solve of the same term with the same capture
object makes none anew.

The first step of every plan is taken eagerly. It checks the drift, shows whether gradients are wanted, and counts
the drift calls of a step, which cannot be counted inside a unit.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.trees import fill, split
from sciode.core.typing import State, leaves
from sciode.solve.step import At, Solver
from sciode.solve.term import Term

_KEPT = 32  # units; each holds the term it was made from, and perhaps a network with it

Hook: TypeAlias = Callable[[Tensor, State], State]
"""A map of the state after each step, given the time reached: projection, inpainting, resampling."""

Unit: TypeAlias = Callable[[State, Any, Tensor, tuple[Any, ...], list[Tensor]], tuple[State, Any]]
"""(y, memory, times [size, nodes], noise of each step, tensors of the plan) -> (y, memory)."""


class Chunk(NamedTuple):
    """What a unit is made from."""

    solver: Solver
    term: Term
    hooks: tuple[Hook, ...]
    skeleton: Any  # of the plan, see :func:`split`
    size: int

    def function(self) -> Callable[..., tuple[State, Any]]:
        """Return the plain function that a unit speeds up."""
        solver, term, hooks, skeleton, size = self

        def run(
            y: State, memory: Any, times: Tensor, noise: tuple[Any, ...], tensors: list[Tensor]
        ) -> tuple[State, Any]:
            plan = fill(skeleton, tensors)
            for index in range(size):
                at = At(times[index].unbind(), noise[index])
                y, memory = solver.step(term, at, y, memory, plan)
                for hook in hooks:
                    y = hook(at.times[-1], y)
            return y, memory

        return run

    def key(self) -> Hashable:
        """Return what tells chunks apart: objects that users make count by identity."""
        term = self.term
        names = (id(term.drift), id(term.linear), id(term.noise), *(id(hook) for hook in self.hooks))
        return self.solver, names, _frozen(self.skeleton), self.size


class Capture(Protocol):
    """A way to run a chunk of steps as one unit."""

    @property
    def steps(self) -> int:
        """How many steps one unit takes."""
        ...

    def check(self, y: State) -> None:
        """Raise :class:`InputError` for a state that cannot be captured."""
        ...

    def unit(self, chunk: Chunk, sample: Any) -> Unit:
        """Return the unit of a chunk; ``sample`` is like all that it will be called with."""
        ...


@dataclass(frozen=True)
class Compiled:
    r"""Compile chunks of steps, drift included, by ``torch.compile`` into one graph without breaks.

    The drift must be traceable. Works on CPU and GPU, with and without gradients. Compiling takes seconds to a
    minute, once per term, method, step size, shape and capture object: keep the object, and the term. Complex
    states (Fourier charts) are not fused by the compiler, which says so and runs their operations one by one.

    Parameters
    ----------
    steps
        Steps per unit, >= 1. More steps save calls and cost compile time. Steps that do not fill a unit before
        the next asked time go through a unit of one step.
    backend
        Of ``torch.compile``.
    mode
        Of ``torch.compile``, for example ``"max-autotune"``.

    Raises
    ------
    InputError
        For ``steps`` below 1.

    Examples
    --------
    >>> from sciode.solve import Term, RungeKutta, solve, tableaus
    >>> term, fast = Term(lambda s, y: -y), Compiled(steps=4, backend="eager")
    >>> x0 = torch.ones(1, 1, dtype=torch.float64)
    >>> solution = solve(term, x0, [0.0, 1.0], solver=RungeKutta(tableaus.RK4), dt=0.01, capture=fast)
    >>> round(solution.y[0, 1].item(), 9)
    0.367879441
    """

    steps: int = 8
    backend: str = "inductor"
    mode: str | None = None
    units: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def check(self, y: State) -> None:
        """Accept any state."""

    def unit(self, chunk: Chunk, sample: Any) -> Unit:
        """Return the compiled chunk."""

        def make() -> Unit:
            run = chunk.function()
            # The compiler keeps a few variants per code object: a code object of its own for every unit.
            own = FunctionType(run.__code__.replace(), run.__globals__, closure=run.__closure__)
            compiled: Unit = torch.compile(
                own, fullgraph=True, dynamic=False, backend=self.backend, mode=self.mode
            )
            return compiled

        unit: Unit = kept(self.units, (chunk.key(), _look(sample)), make)
        return unit


@dataclass(frozen=True)
class CudaGraph:
    """Record chunks of steps as CUDA graphs: one launch per chunk, no work on the host within it.

    For inference on a GPU. Buffers are static: state, memory, times and noise are copied in before each replay and
    the results copied out. Tensors that the drift closes over are read where they lie, so change them in place
    between solves, or not at all. The drift must not draw random numbers or wait for the device.

    Parameters
    ----------
    steps
        Steps per unit, >= 1.
    warmups
        Runs on a side stream before recording, >= 1, so that libraries make their plans and workspaces.

    Raises
    ------
    InputError
        For a state that is not on a CUDA device, where gradients are wanted, and for counts below 1.
    """

    steps: int = 8
    warmups: int = 3
    units: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if self.warmups < 1:
            raise InputError(f"CudaGraph takes at least one warm-up, found warmups={self.warmups}")

    def check(self, y: State) -> None:
        """Refuse a state that is not on a CUDA device, or needs gradients."""
        for part in leaves(y):
            if not part.is_cuda:
                raise InputError(
                    f"CudaGraph needs a state on a CUDA device, found {part.device}: move x0, or use Compiled()"
                )
        _refuse_gradients(leaves(y))

    def unit(self, chunk: Chunk, sample: Any) -> Unit:
        """Return the chunk as a graph that is recorded at its first call."""
        key = (chunk.key(), _look(sample))
        unit: Unit = kept(self.units, key, lambda: _Graph(chunk.function(), self.warmups))
        return unit


class _Graph:
    """A recorded chunk with its static buffers."""

    def __init__(self, run: Callable[..., tuple[State, Any]], warmups: int) -> None:
        self._run, self._warmups = run, warmups
        self._graph: Any = None
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._left: Any = None  # skeleton of the outputs
        self._last: list[Tensor] = []  # the plan's tensors that the buffers hold

    def __call__(
        self, y: State, memory: Any, times: Tensor, noise: tuple[Any, ...], tensors: list[Tensor]
    ) -> tuple[State, Any]:
        moving: list[Tensor] = []
        skeleton = split((y, memory, times, noise), moving, shared=False)
        _refuse_gradients([*moving, *tensors])
        with torch.inference_mode(False), torch.no_grad():
            if self._graph is None:
                self._record(skeleton, moving, tensors)
            for held, new in zip(self._inputs, moving, strict=False):
                held.copy_(new)
            if any(old is not new for old, new in zip(self._last, tensors, strict=True)):
                for held, new in zip(self._inputs[len(moving) :], tensors, strict=True):
                    held.copy_(new)
                self._last = list(tensors)
            self._graph.replay()
            result: tuple[State, Any] = fill(self._left, [part.clone() for part in self._outputs])
        return result

    def _record(self, skeleton: Any, moving: list[Tensor], tensors: list[Tensor]) -> None:
        self._inputs = [part.clone() for part in (*moving, *tensors)]
        self._last = list(tensors)
        arguments = (*fill(skeleton, self._inputs), self._inputs[len(moving) :])
        with torch.cuda.device(self._inputs[0].device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(self._warmups):
                    self._run(*arguments)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = self._run(*arguments)
        self._left = split(result, self._outputs, shared=False)
        self._graph = graph


class Chunks:
    """Where units may be used on a grid, given the plan ``keys`` of its steps.

    It depends on the grid alone, so that a stretch run again is run in the same units.
    """

    def __init__(self, keys: Sequence[Hashable], steps: int) -> None:
        self._keys, self._steps = keys, steps
        self._uses = Counter(keys)
        self._firsts = {key: index for index, key in reversed(list(enumerate(keys)))}

    def length(self, index: int, last: int) -> int:
        """Return how many steps from ``index`` on, before ``last``, form a unit; 0 for an eager step.

        A plan that cannot fill one unit in the whole solve is not worth making one.
        """
        key, steps = self._keys[index], self._steps
        if index == self._firsts[key] or self._uses[key] <= steps:
            return 0
        whole = index + steps <= last and all(other == key for other in self._keys[index : index + steps])
        return steps if whole else 1


def _look(tree: Any) -> Hashable:
    tensors: list[Tensor] = []
    skeleton = split(tree, tensors, shared=False)
    return _frozen(skeleton), tuple((tuple(part.shape), part.dtype, part.device) for part in tensors)


def _frozen(skeleton: Any) -> Hashable:
    if isinstance(skeleton, tuple | list):
        return (type(skeleton), *(_frozen(part) for part in skeleton))
    return skeleton if isinstance(skeleton, Hashable) else id(skeleton)


def kept(units: dict[Hashable, Any], key: Hashable, make: Callable[[], Any]) -> Any:
    """Return the unit of a key, made if it is not there yet; the oldest goes when there are many."""
    # A unit holds the objects whose identities stand in its key, so none of these numbers is given out again.
    if key not in units:
        if len(units) == _KEPT:
            del units[next(iter(units))]
        units[key] = make()
    return units[key]


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise InputError(f"a unit takes at least one step, found steps={steps}")


def _refuse_gradients(parts: Sequence[Tensor]) -> None:
    if torch.is_grad_enabled() and any(part.requires_grad for part in parts):
        raise InputError("CudaGraph keeps no record for gradients: solve under torch.no_grad(), or use Compiled()")

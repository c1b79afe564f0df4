r"""Exact gradients with little memory: keep a state now and then, and take the steps between them again.

Symbols: ``N`` steps, ``m`` steps in a segment, ``S`` bytes of a state with the method's memory, ``A`` bytes that
autograd keeps of one step.

The forward pass keeps N / m states, the backward pass brings back the record of one segment. The peak is about
``S N / m + A m``, least at ``m = sqrt(N S / A)``. The well-known sqrt(N) is the case A = S; for a network A is
tens of states, and the best segment is one or two steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from sciode.core.errors import InputError
from sciode.core.trees import split
from sciode.core.typing import State, leaves
from sciode.solve.adjoint import Direct
from sciode.solve.loop import FixedLoop
from sciode.solve.method import Method
from sciode.solve.solution import Report, Rows
from sciode.solve.term import Term


@dataclass(frozen=True)
class Checkpointed:
    r"""The gradient of :class:`Direct`, to the bit, for the memory of a few states and about 1.5 times its time.

    Parameters
    ----------
    segment
        Steps between kept states, >= 1. None chooses :math:`\sqrt{N S / A}` from measured sizes, for which the
        first step is taken twice. Segments end at asked times, whose states are kept anyhow.

    Notes
    -----
    Needs no list of parameters, and may be differentiated twice. A drift must do the same when it is called
    again: it may not draw from the global random generator (the noise of a term may be random: it is a path).
    Under step control the accepted steps are found first, without a record, and then taken as a given grid.

    References
    ----------
    Griewank and Walther, Evaluating Derivatives (2008), chapter 12.

    Examples
    --------
    >>> from sciode.solve import Term, solve
    >>> x0 = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    >>> y = solve(Term(lambda s, y: -y), x0, [0.0, 1.0], dt=0.1, adjoint=Checkpointed()).y
    >>> y[:, 1].sum().backward()
    >>> round(x0.grad[0, 0].item(), 5)  # 1/e
    0.36788
    """

    segment: int | None = None

    def __post_init__(self) -> None:
        whole = isinstance(self.segment, int) and not isinstance(self.segment, bool)
        if self.segment is not None and not (whole and self.segment >= 1):
            raise InputError(
                f"Checkpointed(segment=) takes a number of steps >= 1, or None; found {self.segment!r}"
            )

    def run(self, method: Method, term: Term, y: State, times: Sequence[float]) -> tuple[Rows, Report]:
        """Integrate segment by segment."""
        run = method.replayed(term, y, times) if torch.is_grad_enabled() else None
        if run is None or not len(run.loop.steps.sizes):
            return Direct().run(method, term, y, times)
        loop = run.loop
        advance = _replayable(loop, y)
        memory = _recomputed(loop.start, y)
        size = self.segment or best_segment(loop, y, memory)
        rows, state = [y], y
        for first, last in zip(loop.steps.marks[:-1], loop.steps.marks[1:], strict=True):
            for start, end in _cuts(first, last, size):
                state, memory = _recomputed(advance, state, memory, start, end)
            rows.append(state)
        return rows, run.report(rows)


def best_segment(loop: FixedLoop, y: State, memory: Any) -> int:
    """Return the number of steps for which kept states and one segment's record take least memory together.

    One step is recorded and dropped. What autograd saved of it and what dies with it is its record; tensors
    that live on are parameters, weights, or the state itself.
    """
    count = len(loop.steps.sizes)
    saved: dict[int, tuple[StorageWeakRef, int]] = {}

    def note(part: Tensor) -> Tensor:
        storage = part.untyped_storage()
        saved[storage.data_ptr()] = (StorageWeakRef(storage), storage.nbytes())
        return part.detach()  # itself it would hold the node that saves it, which holds it: for ever

    loop.plan(0, y)  # weights outlive the step
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
        loop.advance(y, memory, 0, 1)
    record = sum(size for reference, size in saved.values() if reference.expired())
    tensors: list[Tensor] = []
    split((y, memory), tensors)
    kept = sum(part.nbytes for part in tensors)
    return max(1, min(count, round((count * kept / max(record, 1)) ** 0.5)))


def _replayable(loop: FixedLoop, y: State) -> Any:
    """Return ``advance``, in a form that records the same whenever it is called.

    Weights with a gradient are part of the record, and so must not depend on which weights happen to be at
    hand. If all steps share theirs they are made here, once; else each segment makes its own.
    """
    linear = loop.term.linear
    if linear is None or not any(rate.requires_grad for rate in linear.rates(len(leaves(y)))):
        return loop.advance
    if len({loop.key(index) for index in range(len(loop.steps.sizes))}) == 1:
        loop.plan(0, y)
        return loop.advance

    def advance(y: State, memory: Any, first: int, last: int) -> tuple[State, Any]:
        loop.forget()
        return loop.advance(y, memory, first, last)

    return advance


def _recomputed(function: Any, *arguments: Any) -> Any:
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


def _cuts(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield stretches of at most ``size`` steps, as even as can be: the longest decides the peak."""
    pieces = -(-(last - first) // size)
    for piece in range(pieces):
        yield first + (last - first) * piece // pieces, first + (last - first) * (piece + 1) // pieces

"""What the adjoints share: which tensors a term depends on, how a state is taken apart, what is refused."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from sciode.core.errors import InputError
from sciode.core.trees import fill, split
from sciode.core.typing import State, Time, leaves, like
from sciode.solve.method import Method
from sciode.solve.term import Term


def apart(tree: Any, shared: bool = False) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Any]]:
    """Return the tensors of nested tuples, and the function that puts others in their places."""
    tensors: list[Tensor] = []
    return tensors, partial(fill, split(tree, tensors, shared))


def loose(parts: Sequence[Tensor]) -> list[Tensor]:
    """Return the same tensors cut off from their past, each the start of a record of its own."""
    return [part.detach().requires_grad_(part.is_floating_point() or part.is_complex()) for part in parts]


def pull(outputs: Sequence[Tensor], cotangents: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return J^H v, with zeros where the outputs do not depend on an input. Recorded if autograd records."""
    pairs = [(o, v) for o, v in zip(outputs, cotangents, strict=True) if o.requires_grad and v is not None]
    places = [i for i, x in enumerate(inputs) if x.requires_grad]
    known: dict[int, Tensor | None] = {}
    if pairs and places:
        values, vectors = zip(*pairs, strict=True)
        wanted = [inputs[i] for i in places]
        found = torch.autograd.grad(
            values, wanted, vectors, create_graph=torch.is_grad_enabled(), allow_unused=True
        )
        known = dict(zip(places, found, strict=True))
    return [torch.zeros_like(x) if (g := known.get(i)) is None else g for i, x in enumerate(inputs)]


def learned(term: Term, y: State) -> tuple[list[Tensor], list[Tensor]]:
    """Return the listed parameters, and the rates of the linear part, that ask for a gradient."""
    rates = () if term.linear is None else term.linear.rates(len(leaves(y)))
    return [p for p in term.parameters if p.requires_grad], [r for r in rates if r.requires_grad]


def check_listed(term: Term, s: Time, y: State, name: str) -> None:
    """Refuse a term that depends on a tensor with a gradient which its ``parameters`` do not hold.

    Such a tensor would get no gradient, without a word. One drift is recorded and its graph walked to its
    leaves; nothing is differentiated.
    """
    functions = [term.drift] if term.noise is None else [term.drift, term.noise.amplitude]
    points = loose(leaves(y))
    known = [*points, *(p for p in term.parameters if p.requires_grad)]
    with torch.enable_grad():
        outputs = [part for f in functions for part in leaves(f(s, like(y, tuple(points))))]
        seen: set[Any] = {_edge(part) for part in known}
        todo: list[Any] = [_edge(part) for part in outputs if part.requires_grad]
    while todo:
        edge = todo.pop()
        node = edge[0]
        if node is None or edge in seen:
            continue
        seen.add(edge)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            raise InputError(
                f"the drift or the amplitude depends on a tensor {list(leaf.shape)} that requires a gradient and "
                f"is not in Term(parameters=...), so {name} would give it none: list it (for a module, "
                "parameters=tuple(module.parameters())), detach it, or use Direct or Checkpointed"
            )
        todo.extend(node.next_functions)


def _edge(part: Tensor) -> tuple[Any, int]:
    edge = get_gradient_edge(part)
    return edge.node, edge.output_nr


def check_undoing(method: Method, term: Term, y: State, times: Sequence[float], name: str) -> None:
    """Refuse a solve whose state cannot be recovered from its end: damping, hooks, infinite steps.

    Going back over a gap multiplies rounding errors by e^(-Re L gap). More than 1 / sqrt(eps) leaves less than
    half of the digits.
    """
    if method.hooks:
        raise InputError(f"{name} cannot undo hooks: use Direct or Checkpointed")
    gaps = [after - before for before, after in pairwise(times)]
    if any(math.isinf(gap) for gap in gaps):
        raise InputError(f"{name} needs finite times, found {list(times)}: use Direct or Checkpointed")
    if term.linear is None or not gaps:
        return
    rates = [rate.detach().real.to(torch.float64) for rate in term.linear.rates(len(leaves(y)))]
    growth = max(float((-rate * gap).max()) for rate in rates for gap in (min(gaps), max(gaps)))
    limit = -0.5 * math.log(torch.finfo(leaves(y)[0].dtype).eps)
    if growth > limit:
        raise InputError(
            f"{name} goes back from state to earlier state, and between asked times the linear part of this "
            f"equation multiplies errors by e^{growth:.3g} then (e^{limit:.3g} leaves half of the digits of "
            f"{leaves(y)[0].dtype}): use Continuous(resolve='stored') or Checkpointed, or ask for more times"
        )


class _Refuse(torch.autograd.Function):
    """The first ``count`` tensors, seen as functions of all, with no derivative."""

    @staticmethod
    def forward(ctx: Any, name: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.adjoint = name
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise InputError(
            f"{ctx.adjoint} cannot be differentiated twice: use Direct or Checkpointed for second derivatives"
        )


def only_once(grads: Sequence[Tensor], name: str, causes: Sequence[Tensor | None]) -> list[Tensor]:
    """Return first derivatives that raise if they are differentiated by any of their ``causes``.

    Autograd's own ``once_differentiable`` lets a cotangent without gradient pass (that of a plain sum): the
    second derivative would then be missing without a word.
    """
    if not torch.is_grad_enabled():
        return list(grads)
    seen = [cause for cause in causes if cause is not None]
    return list(_Refuse.apply(name, len(grads), *(grad.detach() for grad in grads), *seen))

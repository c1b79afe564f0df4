r"""Noise as a path: the same question gets the same answer, however often and in whatever order it is asked.

Symbols: ``W`` Wiener increment of a step, ``H`` its space--time Levy area, ``h`` step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch

from sciode.core.random import derive_seed
from sciode.core.typing import State, Time, each, leaves
from sciode.solve.steps import Steps

Kind: TypeAlias = Literal["additive", "diagonal", "scalar", "general"]


class Increment(NamedTuple):
    """What a step needs of the path: W over the step, and H where the method asks for it."""

    W: State
    H: State | None = None


@dataclass(frozen=True)
class Noise:
    """The stochastic part, G(s, y) dW."""

    amplitude: Callable[[Time, State], State]
    kind: Kind = "diagonal"
    seed: int = 0
    calculus: Literal["ito", "stratonovich"] = "ito"

    def source(self, y: State, steps: Steps, area: bool = False) -> Callable[[int], Increment]:
        """Return the increments of each step of a fixed grid: a function of the step's number."""
        device = leaves(y)[0].device
        stream = torch.Generator(device=device)
        roots = [math.sqrt(abs(h)) for h in steps.sizes.tolist()]

        def increment(index: int) -> Increment:
            stream.manual_seed(derive_seed(self.seed, index))
            root = roots[index]

            def draw(part: torch.Tensor) -> torch.Tensor:
                return torch.empty_like(part).normal_(0.0, root, generator=stream)

            return Increment(each(draw, y))

        return increment

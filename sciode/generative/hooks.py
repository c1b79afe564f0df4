"""Hooks: what is done to the state after a step."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from sciode.core.typing import State

Hook: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(t reached, x) -> x, after every step: inpainting, projection, resampling."""


def centred(hook: Hook, centre: Tensor) -> Callable[[Tensor, State], State]:
    """Return a hook on x - centre that does what ``hook`` does to x."""

    def call(t: Tensor, y: State) -> State:
        assert isinstance(y, Tensor)
        return hook(t, y + centre.to(y)) - centre.to(y)

    return call

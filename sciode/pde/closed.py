r"""Initial-boundary value problems with closed-form solutions, as data: solution, mass from the left, and front.

The generalised porous medium family of ProbConserv. ``x`` is ``"n"``, ``t`` broadcasts as ``"t 1"``, a
parameter as ``"b 1 1"``; results are ``"b t n"``, in float64. The mass from the left end to x gives totals
and cell averages exactly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sciode.core.errors import InputError

_SQRT_PI = math.sqrt(math.pi)


def _heat(x: Tensor, t: Tensor, conductivity: Tensor) -> Tensor:
    return torch.exp(-conductivity * t) * torch.sin(x)


def _heat_mass(x: Tensor, t: Tensor, conductivity: Tensor) -> Tensor:
    return torch.exp(-conductivity * t) * (1.0 - torch.cos(x))


def _porous(x: Tensor, t: Tensor, exponent: Tensor) -> Tensor:
    return (exponent * (t - x).clamp_min(0.0)) ** (1.0 / exponent)


def _porous_mass(x: Tensor, t: Tensor, exponent: Tensor) -> Tensor:
    power = 1.0 + 1.0 / exponent
    behind = torch.minimum(x, t)
    return ((exponent * t) ** power - (exponent * (t - behind)) ** power) / (exponent + 1.0)


def _porous_front(t: Tensor, exponent: Tensor) -> Tensor:
    return t.expand(torch.broadcast_shapes(t.shape, exponent.shape))


def stefan_root(threshold: Tensor) -> Tensor:
    r"""Return z with :math:`u^* \mathrm{erf}(z)\, z e^{z^2} = (1 - u^*)/\sqrt\pi`; the front is at :math:`2 z
    \sqrt t`.

    >>> [round(2 * z, 4) for z in stefan_root(torch.tensor([0.5, 0.6], dtype=torch.float64)).tolist()]
    [1.2401, 1.0513]
    """
    level = threshold.double()
    if bool(((level <= 0) | (level >= 1)).any()):
        raise InputError(f"the threshold of a Stefan problem lies in (0, 1), found {threshold.tolist()}")
    low, high = torch.zeros_like(level), torch.full_like(level, 20.0)
    # The left side rises from 0 without bound: halving finds the root to the last bit.
    for _ in range(80):
        z = 0.5 * (low + high)
        below = level * torch.erf(z) * z * torch.exp(z * z) < (1.0 - level) / _SQRT_PI
        low, high = torch.where(below, z, low), torch.where(below, high, z)
    return 0.5 * (low + high)


def _stefan_front(t: Tensor, threshold: Tensor) -> Tensor:
    return 2.0 * stefan_root(threshold) * t.sqrt()


def _stefan(x: Tensor, t: Tensor, threshold: Tensor) -> Tensor:
    root = stefan_root(threshold)
    slope = (1.0 - threshold) / torch.erf(root)
    # At t = 0 the left end alone is warm: erf(x / 0) is 1 to its right.
    width = (2.0 * t.sqrt()).clamp_min(1e-150)
    u = 1.0 - slope * torch.erf(x / width)
    return torch.where((x <= 2.0 * root * t.sqrt()) | ((x == 0) & (t == 0)), u, 0.0)


def _stefan_mass(x: Tensor, t: Tensor, threshold: Tensor) -> Tensor:
    root = stefan_root(threshold)
    slope = (1.0 - threshold) / torch.erf(root)
    width = 2.0 * t.sqrt()
    behind = torch.minimum(x, root * width)
    scaled = behind / width.clamp_min(1e-150)
    within = behind * torch.erf(scaled) + width / _SQRT_PI * (torch.exp(-scaled.square()) - 1.0)
    return behind - slope * within


def _step(x: Tensor, t: Tensor, speed: Tensor) -> Tensor:
    return (x <= _step_front(t, speed)).double()


def _step_mass(x: Tensor, t: Tensor, speed: Tensor) -> Tensor:
    return torch.minimum(x, _step_front(t, speed))


def _step_front(t: Tensor, speed: Tensor) -> Tensor:
    return 0.5 + speed * t


@dataclass(frozen=True)
class Closed:
    """A problem with a closed form, as recipes see it; points include both ends.

    ``solution(x, t, parameter)``, ``mass(x, t, parameter)`` from the left end to x, ``front(t, parameter)`` where
    there is one; ``within`` bounds the parameter.

    >>> half = CLOSED["linear_step"].mass(torch.tensor([1.0]), torch.tensor([[0.1]]), torch.tensor(2.0))
    >>> round(half.item(), 6)
    0.7
    """

    parameter: str
    within: tuple[float, float]
    solution: Callable[[Tensor, Tensor, Tensor], Tensor]
    mass: Callable[[Tensor, Tensor, Tensor], Tensor]
    front: Callable[[Tensor, Tensor], Tensor] | None = None
    length: float = 1.0
    fields: ClassVar[tuple[str, ...]] = ("u",)
    dimensions: ClassVar[int] = 1
    cell_centred: ClassVar[bool] = False
    corner: ClassVar[float] = 0.0
    boundary: ClassVar[str] = "wall"
    averages: ClassVar[bool] = False
    solver: ClassVar[None] = None

    @property
    def varied(self) -> tuple[str, ...]:
        """The arguments that recipes may draw."""
        return (self.parameter,)

    def states(self, x: Tensor, times: Tensor, values: Tensor) -> Tensor:
        """Return the solution ``"b t n"`` at points ``"n"`` and times ``"t"`` for parameters ``"b"``.

        Raises :class:`InputError` for a parameter outside its bounds, and for times below zero.
        """
        return self._at(self.solution, x, times, values)

    def averages_over(self, edges: Tensor, times: Tensor, values: Tensor) -> Tensor:
        """Return the averages ``"b t n"`` over the cells between ``edges`` ``"n+1"``: exact."""
        return self._at(self.mass, edges, times, values).diff(dim=-1) / edges.double().diff()

    def total(self, times: Tensor, values: Tensor) -> Tensor:
        """Return the mass from 0 to ``length``, ``"b t"``."""
        return self._at(
            self.mass, torch.tensor([self.length], dtype=torch.float64, device=times.device), times, values
        )[..., 0]

    def _at(
        self, function: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, times: Tensor, values: Tensor
    ) -> Tensor:
        value, t = values.double(), times.double()
        low, high = self.within
        if bool(((value < low) | (value > high) | ~torch.isfinite(value)).any()):
            raise InputError(f"{self.parameter} lies between {low:g} and {high:g}, found {values.tolist()}")
        if bool((t < 0).any()):
            raise InputError(f"times start at 0, found {t.min().item():g}")
        return function(x.double(), t[:, None], value[:, None, None])


_ANY = (1e-3, 1e3)
CLOSED: dict[str, Closed] = {
    "heat": Closed("conductivity", _ANY, _heat, _heat_mass, length=2 * math.pi),
    "porous_medium": Closed("exponent", (0.1, 100.0), _porous, _porous_mass, _porous_front),
    "stefan": Closed("threshold", (1e-3, 0.999), _stefan, _stefan_mass, _stefan_front),
    "linear_step": Closed("speed", _ANY, _step, _step_mass, _step_front),
}
"""Name -> problem. Heat: sin x decays on a period, u_t = k u_xx. Porous medium: u_t = (u^m u_x)_x into an
empty line, u(0, t) = (m t)^(1/m). Stefan: k(u) = 1 where u >= u*, else 0, u(0, t) = 1, a shock of height u*.
Linear step: u_t + a u_x = 0, a step at 0.5."""

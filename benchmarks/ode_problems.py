"""The equations of the ODE benchmarks, as plain functions f(t, y) that every library takes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.random import generator
from sciode.solve import Pid, RungeKutta, Term, solve, tableaus


@dataclass(frozen=True)
class Problem:
    """An initial value problem ``y' = f(t, y)``, ``y(0) = x0 [b, n]``, to the time ``end``."""

    name: str
    f: Callable[[Tensor, Tensor], Tensor]
    x0: Tensor
    end: float
    weights: tuple[Tensor, ...]  # what a training would fit
    radius: float | None = None  # spectral radius, where it limits the step

    def reference(self) -> Tensor:
        """Integrate in float64 far more exactly than any run that is compared with it."""
        f, x0 = self.f, self.x0
        if x0.dtype is not torch.float64:
            network = _double(self)
            f, x0 = network.f, network.x0
        tight = Pid(rtol=1e-13, atol=1e-13)
        with torch.no_grad():
            return solve(Term(f), x0, [0.0, self.end], solver=RungeKutta(tableaus.DOPRI8), controller=tight).y[
                :, 1
            ]


def _double(problem: Problem) -> Problem:
    weights = tuple(w.detach().double() for w in problem.weights)
    return Problem(problem.name, _network(weights), problem.x0.double(), problem.end, weights)


def lotka_volterra(batch: int, device: str = "cpu") -> Problem:
    """Prey and predators, a little different in every sample: float64, two numbers a sample."""
    draw = torch.rand(batch, 2, generator=generator(0, "lotka"), dtype=torch.float64).to(device)
    rates = torch.tensor([1.5, -3.0], dtype=torch.float64, device=device)
    meet = torch.tensor([-1.0, 1.0], dtype=torch.float64, device=device)

    def f(t: Tensor, y: Tensor) -> Tensor:
        return y * torch.addcmul(rates, meet, y.flip(1))

    return Problem(f"Lotka-Volterra B={batch}", f, 0.5 + 1.5 * draw, 10.0, (rates, meet))


def burgers_lines(batch: int = 64, points: int = 256, device: str = "cpu") -> Problem:
    """Burgers' equation on a periodic grid by central differences: mildly stiff, memory bound."""
    nu, width = 0.01 / math.pi, 1.0 / points
    x = torch.arange(points, dtype=torch.float64) * width
    phase = torch.rand(batch, 1, generator=generator(0, "burgers"), dtype=torch.float64)
    x0 = (torch.sin(2 * torch.pi * (x + phase)) + 0.3 * torch.cos(4 * torch.pi * x)).to(device)
    diffusion = torch.tensor(nu / width**2, dtype=torch.float64, device=device)

    def f(t: Tensor, y: Tensor) -> Tensor:
        left, right = y.roll(1, 1), y.roll(-1, 1)
        return diffusion * (left + right - 2.0 * y) - (0.25 / width) * (right * right - left * left)

    return Problem(f"Burgers, lines, n={points} B={batch}", f, x0, 0.1, (diffusion,), 4.0 * nu / width**2)


def neural(batch: int = 256, width: int = 64, hidden: int = 128, device: str = "cpu") -> Problem:
    """A neural ODE with one hidden layer, float32."""
    stream = generator(0, "neural")

    def normal(*shape: int, scale: float) -> Tensor:
        return (scale * torch.randn(*shape, generator=stream)).to(device)

    weights = (
        normal(width, hidden, scale=2.0 / math.sqrt(width)),
        normal(hidden, scale=0.1),
        normal(hidden, width, scale=2.0 / math.sqrt(hidden)),
        normal(width, scale=0.1),
    )
    x0 = normal(batch, width, scale=1.0)
    return Problem(f"neural ODE {width}/{hidden} B={batch}", _network(weights), x0, 1.0, weights)


def _network(weights: tuple[Tensor, ...]) -> Callable[[Tensor, Tensor], Tensor]:
    inner, shift, outer, bias = weights

    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.addmm(bias, torch.tanh(torch.addmm(shift, y, inner)), outer)

    return f

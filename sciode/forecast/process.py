"""Gaussian-process forecasters: members are functions drawn from the posterior, each a path of its own."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.forecast.base import Forecaster
from sciode.forecast.baselines import LinearStep, Ridge
from sciode.forecast.design import Design
from sciode.forecast.frame import Frame
from sciode.forecast.learn import Draw
from sciode.forecast.rollout import OneStep
from sciode.processes import GaussianProcess


class ProcessForecaster(Forecaster):
    r"""Exact Gaussian process of what a ridge regression leaves; every member is one function of its posterior.

    A function is drawn by Matheron's rule, a prior function :math:`\Phi w` of random features moved by what the
    data say,

    .. math:: f(x) = \Phi(x) w + k(x, X)\,(K + \sigma^2 I)^{-1} (r - \Phi(X) w - \sigma\varepsilon),

    so a path of many ticks is of one function, not of a new one at every tick. Kernel: Matérn 5/2, a length
    for each input. Needs gpytorch, ``pip install gpytorch``.

    Parameters
    ----------
    members : int
        Functions.
    points : int
        Windows that the process is conditioned on, drawn at random; time grows as their cube.
    features : int
        Of the prior functions.
    steps : int
        Of Adam, on the marginal likelihood.
    seed : int
        Of windows and functions.
    design : Design
        What is looked at.

    References
    ----------
    Wilson et al., *Efficiently sampling functions from Gaussian process posteriors*, ICML 2020, equation (13).

    Examples
    --------
    >>> ProcessForecaster(points=100).members
    20
    """

    def __init__(
        self,
        members: int = 20,
        points: int = 400,
        features: int = 512,
        steps: int = 60,
        seed: int = 0,
        design: Design | None = None,
    ) -> None:
        super().__init__(design)
        if min(members, features, steps) < 1 or points < 2:
            raise InputError(
                f"members, features and steps are from 1 up and points from 2, found {members}, {features}, "
                f"{steps} and {points}"
            )
        self.members, self.points, self.features, self.steps, self.seed = members, points, features, steps, seed

    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Fit kernel and noise, and draw the functions; validation series are not needed."""
        draw = Draw(frame, self.design, 0.0, generator(self.seed, "process"))
        batch = draw(min(self.points, 4 * len(draw)))
        ridge = Ridge(design=self.design, seed=self.seed)
        ridge.channels_ = self.channels_
        line = ridge.learn(frame, None)
        assert isinstance(line, LinearStep)
        left = batch.y - line(batch.x[None])[0][0]
        process = GaussianProcess(steps=self.steps, learning_rate=0.1).fit(batch.x, left)
        step = drawn(process, self.members, self.features, self.seed)
        step.weight, step.bias = line.weight.clone(), line.bias.clone()
        return step


class ProcessStep(nn.Module):
    """Functions of a posterior as a one-step model, added to a regression; noise of one size."""

    points: Tensor
    length: Tensor
    waves: Tensor
    phase: Tensor
    prior: Tensor
    update: Tensor
    numbers: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, members: int, points: int, features: int, inside: int) -> None:
        super().__init__()
        shapes = {
            "points": (points, inside),
            "length": (inside,),
            "waves": (inside, features),
            "phase": (features,),
            "prior": (members, features),
            "update": (members, points),
            "numbers": (3,),  # mean, signal's variance, noise
            "weight": (inside,),  # of the regression
            "bias": (),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    @property
    def members(self) -> int:
        """How many functions."""
        return len(self.prior)

    def card(self) -> dict[str, Any]:
        """Return what :meth:`of` needs beside the tensors."""
        sizes = [self.members, len(self.points), len(self.phase), len(self.length)]
        return {"kind": "process", "sizes": sizes}

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "ProcessStep":
        """Return a step of the same shape, its tensors still to be loaded."""
        return cls(*card["sizes"])

    def forward(self, x: Float[Tensor, "*m b i"]) -> tuple[Float[Tensor, "m b"], Float[Tensor, "m b"]]:
        """Return mean and standard deviation."""
        left = self.functions(x.expand(self.members, *x.shape[-2:]))
        return x @ self.weight + self.bias + left, self.numbers[2].expand(left.shape)

    def functions(self, x: Float[Tensor, "m b i"]) -> Float[Tensor, "m b"]:
        """Return the value of each function at points of its own."""
        mean, variance, _ = self.numbers
        scaled = x / self.length
        near = matern(scaled, self.points / self.length)
        waves = (scaled @ self.waves + self.phase).cos() * math.sqrt(2.0 / len(self.phase))
        prior = (waves @ self.prior[..., None])[..., 0]
        moved = (near @ self.update[..., None])[..., 0]
        return mean + variance.sqrt() * prior + variance * moved


def drawn(process: GaussianProcess, members: int, features: int, seed: int) -> ProcessStep:
    """Return functions of a fitted process's posterior; computed in float64, kept in float32."""
    x, y, told = process.points_, process.values_, process.hyperparameters()
    length, variance, noise = told["length"], told["variance"], told["noise"]
    random = generator(seed, "functions")

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    # The spectrum of Matérn 5/2 is a Student's t of five degrees of freedom.
    degrees = normal(5, features).square().sum(0) / 5.0
    waves = normal(x.shape[1], features) / degrees.sqrt()
    phase = 2 * math.pi * torch.rand(features, generator=random, dtype=torch.float64)
    prior = normal(members, features)
    step = ProcessStep(members, len(x), features, x.shape[1]).double()
    step.points, step.length, step.waves, step.phase, step.prior = x, length, waves, phase, prior
    step.numbers = torch.stack([told["mean"], variance, noise.sqrt()])
    root = torch.linalg.cholesky(variance * matern(x / length, x / length) + noise * torch.eye(len(x)).to(x))
    off = noise.sqrt() * normal(members, len(x))
    before = step.functions(x.expand(members, -1, -1))  # the update is still zero
    step.update = torch.cholesky_solve((y - before - off).mT, root).mT
    return step.float().eval()


def matern(x: Float[Tensor, "*b n d"], y: Float[Tensor, "p d"]) -> Float[Tensor, "*b n p"]:
    """Return the Matérn 5/2 correlation of points in units of its lengths.

    >>> matern(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([[1.]])
    """
    far = math.sqrt(5.0) * torch.cdist(x, y.expand(*x.shape[:-2], *y.shape))
    return (1.0 + far + far.square() / 3.0) * torch.exp(-far)

"""Variational forecasters: a Gaussian over all weights of one network, fitted by the evidence's lower bound."""

import math

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.forecast.base import Forecaster
from sciode.forecast.design import Design
from sciode.forecast.frame import Frame
from sciode.forecast.learn import Batch, GaussianStep, Training, bounds_of, gaussian, nll, train
from sciode.forecast.rollout import OneStep
from sciode.nn import BatchedMLP
from sciode.nn.batched import layered

_DRAWS = 4  # networks in each step of the training


class VariationalForecaster(Forecaster):
    r"""A heteroscedastic network with Gaussian weights, :math:`q = N(m, \mathrm{diag}(s^2) + U U^T)`.

    Minimises :math:`-\sum_i E_q \log N(y_i; \mu, \sigma^2) + \mathrm{KL}(q \| N(0, p^2))`, the divergence in
    closed form. Forecasts are of ``members`` networks drawn from q.

    Parameters
    ----------
    rank : int
        Columns of U; 0: mean-field.
    members, width : int
        Networks drawn, and of their two hidden layers.
    prior : float
        p of a layer, times the root of its inputs.
    design, training
        What is looked at, and how it is trained.

    References
    ----------
    Blundell et al., *Weight uncertainty in neural networks*, ICML 2015, equation (2); Tomczak, Swaroop and Turner,
    *Efficient low rank Gaussian variational inference for neural networks*, NeurIPS 2020.

    Examples
    --------
    >>> VariationalForecaster(rank=2).rank
    2
    """

    def __init__(
        self,
        rank: int = 0,
        members: int = 20,
        width: int = 64,
        prior: float = 1.0,
        design: Design | None = None,
        training: Training | None = None,
    ) -> None:
        super().__init__(design)
        if rank < 0 or members < 1 or not prior > 0:
            raise InputError(
                f"rank is from 0 up, members from 1, the prior above zero: {rank!r}, {members!r}, {prior!r}"
            )
        self.rank, self.members, self.width, self.prior = rank, members, width, prior
        self.training = training or Training()

    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Fit the distribution, and draw networks from it."""
        seed = self.training.seed
        start = BatchedMLP(1, self.design.size(self.channels_), 2, self.width, 2, seed)
        bounds = bounds_of(frame, self.design)
        count = int(frame.target_good.sum())
        posterior = Posterior(start, self.prior, self.rank, seed)
        learner = _Variational(posterior, bounds, count, generator(seed, "weights"))
        train(learner, frame, validation, self.design, self.training, f"rank {self.rank}, steps")
        net = BatchedMLP(self.members, start.sizes[0], 2, self.width, 2, seed)
        with torch.no_grad():
            weights, biases = posterior.networks(self.members, generator(seed, "members"))
            for part, drawn in zip([*net.weights, *net.biases], [*weights, *biases], strict=True):
                part.copy_(drawn)
        return GaussianStep(net, self.members, bounds).eval()


class Posterior(nn.Module):
    """A Gaussian over the weights of a network, all in one vector: mean, standard deviations, low-rank factor."""

    prior: Tensor

    def __init__(self, start: BatchedMLP, prior: float, rank: int, seed: int) -> None:
        super().__init__()
        parts = [*start.weights, *start.biases]
        self.shapes = [part.shape[1:] for part in parts]
        inside = [part.shape[1] for part in start.weights]
        sizes = [prior / math.sqrt(fan) for fan in (*inside, *inside)]
        scale = torch.cat(
            [torch.full((math.prod(shape),), size) for shape, size in zip(self.shapes, sizes, strict=True)]
        )
        self.register_buffer("prior", scale)
        self.mean = nn.Parameter(torch.cat([part.detach().flatten() for part in parts]))
        # Narrow at first: wide weights would drown the data before anything is learned.
        self.log_std = nn.Parameter((0.02 * scale).log())
        random = generator(seed, "factor")
        self.factor = nn.Parameter(0.002 * scale[:, None] * torch.randn(len(scale), rank, generator=random))

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Return weight vectors, ``"k n"``, differentiable in the distribution."""
        noise = torch.randn(count, len(self.mean), generator=random)
        common = torch.randn(count, self.factor.shape[1], generator=random)
        return self.mean + self.log_std.exp() * noise + common @ self.factor.mT

    def networks(self, count: int, random: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
        """Return the weights and biases of drawn networks, layer by layer."""
        parts = self.draw(count, random).split([math.prod(shape) for shape in self.shapes], dim=1)
        shaped = [part.reshape(count, *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        half = len(shaped) // 2
        return shaped[:half], shaped[half:]

    def divergence(self) -> Tensor:
        r"""Return KL(q || prior), with :math:`\det(D + UU^T) = \det D\,\det(I + U^T D^{-1} U)`."""
        variance, wide = (2 * self.log_std).exp(), self.prior.square()
        trace = ((variance + self.factor.square().sum(1) + self.mean.square()) / wide).sum()
        inner = (
            torch.eye(self.factor.shape[1], dtype=wide.dtype) + (self.factor / variance[:, None]).mT @ self.factor
        )
        logdet = variance.log().sum() + torch.linalg.slogdet(inner).logabsdet
        return 0.5 * (trace - len(wide) + wide.log().sum() - logdet)


class _Variational:
    def __init__(
        self, posterior: Posterior, bounds: tuple[float, float], count: int, random: torch.Generator
    ) -> None:
        self.posterior, self.bounds, self.count, self.random = posterior, bounds, count, random

    def parameters(self) -> list[nn.Parameter]:
        return list(self.posterior.parameters())

    def loss(self, batch: Batch) -> Tensor:
        return self._score(batch, _DRAWS, self.random) + self.posterior.divergence() / self.count

    def scores(self, batch: Batch) -> Tensor:
        score = self._score(batch, 16, generator(0, "scores"))
        return score[None]

    def _score(self, batch: Batch, draws: int, random: torch.Generator) -> Tensor:
        weights, biases = self.posterior.networks(draws, random)
        mean, std = gaussian(layered(batch.x, weights, biases), batch.x[..., 0], self.bounds)
        return nll(mean, std, batch.y).mean()

"""Anchored ensembles: members that disagree where the data say nothing."""

import math

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.forecast.base import Forecaster
from sciode.forecast.design import Design
from sciode.forecast.frame import Frame
from sciode.forecast.learn import Batch, GaussianStep, Training, bounds_of, nll, train
from sciode.forecast.rollout import OneStep
from sciode.nn import BatchedMLP


class AnchoredEnsemble(Forecaster):
    r"""Heteroscedastic autoregressive networks, each drawn to a point of its own: randomised MAP.

    Member j minimises

    .. math:: \tfrac1N \sum_i -\log N(y_i; \mu_j, \sigma_j^2)
        + \tfrac{1}{2N} \sum_k (\theta_k - a_{jk})^2 / s_k^2, \qquad a_j \sim N(0, s^2),

    The members' mean is the posterior's for a linear model; where the data say nothing they spread as the prior
    does. The start is another draw than the anchor. All members are trained as one batched network.

    Parameters
    ----------
    members, width, hidden : int
        Networks, and the layers of each.
    prior : float or None
        s of a layer, times the root of its inputs. None: a plain ensemble, without anchors.
    design, training
        What is looked at, and how it is trained.

    References
    ----------
    Pearce et al., *Uncertainty in neural networks: approximately Bayesian ensembling*, AISTATS 2020, equation (8);
    Sengupta et al., arXiv:2107.06396: forecasts of thermoacoustic instability with such networks.

    Examples
    --------
    >>> AnchoredEnsemble(members=5, prior=None).members
    5
    """

    def __init__(
        self,
        members: int = 20,
        width: int = 64,
        hidden: int = 2,
        prior: float | None = 0.3,
        design: Design | None = None,
        training: Training | None = None,
    ) -> None:
        super().__init__(design)
        if prior is not None and not prior > 0:
            raise InputError(f"a prior's standard deviation is above zero, or None; found {prior!r}")
        self.members, self.width, self.hidden, self.prior = members, width, hidden, prior
        self.training = training or Training()

    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Train all members at once."""
        seed = self.training.seed
        inside = self.design.size(self.channels_)
        net = BatchedMLP(self.members, inside, 2, self.width, self.hidden, seed)
        step = GaussianStep(net, self.members, bounds_of(frame, self.design))
        count = int(frame.target_good.sum())
        learner = _Anchored(step, net, self.prior, count, seed)
        train(learner, frame, validation, self.design, self.training, f"{self.members} members, steps")
        return step.eval()


class _Anchored:
    def __init__(self, step: GaussianStep, net: BatchedMLP, prior: float | None, count: int, seed: int) -> None:
        self.step, self.net, self.count = step, net, count
        self.pairs: list[tuple[nn.Parameter, Tensor, float]] = []
        if prior is None:
            return
        random = [generator(seed, "anchor", member) for member in range(net.members)]
        for weight, bias in zip(net.weights, net.biases, strict=True):
            size = prior / math.sqrt(weight.shape[1])
            for part in (weight, bias):
                anchor = torch.stack([size * torch.randn(part.shape[1:], generator=draw) for draw in random])
                self.pairs.append((part, anchor, size))

    def parameters(self) -> list[nn.Parameter]:
        return list(self.net.parameters())

    def loss(self, batch: Batch) -> Tensor:
        fit = self.scores(batch).sum()
        pull = sum((((part - anchor) / size).square().sum() for part, anchor, size in self.pairs), start=fit * 0)
        return fit + pull / (2 * self.count)

    def scores(self, batch: Batch) -> Tensor:
        mean, std = self.step(batch.x)
        return nll(mean, std, batch.y).mean(1)

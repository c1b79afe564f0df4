"""Laplace forecasters: one trained network, and a Gaussian over its last layer."""

import math

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.forecast.anchored import AnchoredEnsemble
from sciode.forecast.base import Forecaster
from sciode.forecast.design import Design
from sciode.forecast.frame import Frame
from sciode.forecast.learn import Batch, Draw, GaussianStep, Training
from sciode.forecast.rollout import OneStep
from sciode.nn import BatchedMLP

_GRID = tuple(10.0 ** (0.5 * k) for k in range(-4, 13))


class LaplaceForecaster(Forecaster):
    r"""The network of highest posterior, with the curvature of its last layer as precision.

    For features :math:`\phi` (a 1 among them) the precision of the weights of the mean is
    :math:`\lambda I + \sum_i \phi_i \phi_i^T / \sigma_i^2`, of those of the noise
    :math:`\lambda I + \sum_i 2 (\partial\log\sigma_i)^2 \phi_i \phi_i^T`: the Fisher information of a Gaussian, in
    which the two do not mix. Forecasts are of ``members`` last layers drawn from it.

    Parameters
    ----------
    members, width, hidden : int
        Last layers drawn, and the body's layers.
    precision : float or None
        lambda; None: the one of highest evidence, of a grid.
    design, training
        What is looked at, and how it is trained.

    References
    ----------
    Daxberger et al., *Laplace redux*, NeurIPS 2021, section 2; MacKay, Neural Comput. 4 (1992), 448: the evidence.

    Examples
    --------
    >>> LaplaceForecaster(members=10).members
    10
    """

    def __init__(
        self,
        members: int = 20,
        width: int = 64,
        hidden: int = 2,
        precision: float | None = None,
        design: Design | None = None,
        training: Training | None = None,
    ) -> None:
        super().__init__(design)
        if members < 1 or (precision is not None and not precision > 0):
            raise InputError(f"members are from 1 up, a precision above zero: {members!r}, {precision!r}")
        self.members, self.width, self.hidden, self.precision = members, width, hidden, precision
        self.training = training or Training()

    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Train the network, measure the curvature, draw last layers."""
        single = AnchoredEnsemble(1, self.width, self.hidden, 1.0, self.design, self.training)
        single.channels_ = self.channels_
        step = single.learn(frame, validation)
        assert isinstance(step, GaussianStep) and isinstance(step.net, BatchedMLP)
        draw = Draw(frame, self.design, self.training.failures, generator(self.training.seed, "curvature"))
        batch = draw(len(draw))
        with torch.no_grad():
            means, noises = curvature(step, batch)
            last = torch.cat([step.net.weights[-1][0], step.net.biases[-1][0]]).double()
            chosen = [self.precision or _evident(matrix, last[:, k]) for k, matrix in enumerate((means, noises))]
            net = self._drawn(step.net, last, (means, noises), chosen)
        return GaussianStep(net, self.members, step.bounds).eval()

    def _drawn(
        self, body: BatchedMLP, last: Tensor, matrices: tuple[Tensor, Tensor], precisions: list[float]
    ) -> BatchedMLP:
        """Return networks with the same body and last layers drawn from the posterior."""
        net = BatchedMLP(self.members, body.sizes[0], 2, self.width, self.hidden, 0)
        for part, own in zip([*net.weights, *net.biases], [*body.weights, *body.biases], strict=True):
            part.copy_(own.expand_as(part))
        random = generator(self.training.seed, "last layer")
        for k, (matrix, precision) in enumerate(zip(matrices, precisions, strict=True)):
            root = torch.linalg.cholesky(matrix + precision * torch.eye(len(matrix), dtype=matrix.dtype))
            noise = torch.randn(self.members, len(matrix), 1, generator=random, dtype=matrix.dtype)
            rows = last[:, k] + torch.linalg.solve_triangular(root.mT, noise, upper=True)[..., 0]
            net.weights[-1][..., k] = rows[:, :-1].float()
            net.biases[-1][:, 0, k] = rows[:, -1].float()
        return net


def curvature(step: GaussianStep, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the information matrices of the last layer's weights, of mean and noise, ``"w+1 w+1"``, float64."""
    assert isinstance(step.net, BatchedMLP)
    features = step.net.features(batch.x)[0].double()
    phi = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
    _, std = step(batch.x)
    low, high = (math.log(bound) for bound in step.bounds)
    place = (std[0].double().log() - low) / (high - low)
    slope = (high - low) * place * (1.0 - place)  # of log sigma, along the head's output
    return (phi / std[0].double().square()[:, None]).mT @ phi, (phi * 2.0 * slope.square()[:, None]).mT @ phi


def _evident(matrix: Tensor, weights: Tensor) -> float:
    """Return the precision of highest evidence, half of n log(lambda) - lambda |w|^2 - log det(H + lambda I)."""
    values = torch.linalg.eigvalsh(matrix).clamp_min(0.0)
    size = float(weights.square().sum())

    def evidence(precision: float) -> float:
        return len(values) * math.log(precision) - precision * size - float((values + precision).log().sum())

    return max(_GRID, key=evidence)

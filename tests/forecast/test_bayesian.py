"""Posteriors over weights against closed forms."""

import math

import torch
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, kl_divergence

from sciode.core.random import generator
from sciode.forecast.laplace import _evident, curvature
from sciode.forecast.learn import Batch, GaussianStep
from sciode.forecast.variational import Posterior, _Variational
from sciode.nn import BatchedMLP

SIZE = 0.3


def problem(count: int = 40) -> tuple[Batch, torch.Tensor]:
    """A linear problem with known noise, and the features of its last layer."""
    random = generator(0, "problem")
    x = torch.randn(count, 2, generator=random) @ torch.tensor([[1.0, 0.6], [0.0, 0.8]])
    y = x[:, 0] + x @ torch.tensor([0.3, -0.2]) + SIZE * torch.randn(count, generator=random)
    return Batch(x, y), torch.cat([x, torch.ones(count, 1)], dim=1).double()


def test_the_divergence_is_that_of_torch() -> None:
    posterior = Posterior(BatchedMLP(1, 3, 2, 4, 1), 0.7, 3, 0).double()
    with torch.no_grad():
        posterior.factor.mul_(50.0)
    q = LowRankMultivariateNormal(posterior.mean, posterior.factor, (2 * posterior.log_std).exp())
    p = MultivariateNormal(torch.zeros_like(posterior.mean), torch.diag(posterior.prior.square()))
    full = MultivariateNormal(q.mean, q.covariance_matrix)
    assert torch.allclose(posterior.divergence(), kl_divergence(full, p), rtol=1e-10)


def test_draws_have_the_covariance() -> None:
    posterior = Posterior(BatchedMLP(1, 2, 2, hidden=0), 1.0, 2, 0)
    with torch.no_grad():
        posterior.factor.mul_(20.0)
        draws = posterior.draw(200_000, generator(0, "draws"))
    wanted = torch.diag((2 * posterior.log_std).exp()) + posterior.factor @ posterior.factor.mT
    assert torch.allclose(torch.cov(draws.mT), wanted.detach(), atol=0.02 * wanted.detach().max().item())


def test_mean_field_of_a_linear_model_is_the_closed_form() -> None:
    """Its variances are the inverses of the diagonal of the posterior's precision, its mean the posterior's."""
    batch, features = problem()
    net = BatchedMLP(1, 2, 2, hidden=0)
    posterior = Posterior(net, 1.0, 0, 0)
    learner = _Variational(posterior, (SIZE - 1e-6, SIZE + 1e-6), len(batch.y), generator(0, "weights"))
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.02)
    for step in range(3000):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 3000)
        loss = learner.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    precision = features.mT @ features / SIZE**2 + 2.0 * torch.eye(3, dtype=torch.float64)
    mean = torch.linalg.solve(precision, features.mT @ (batch.y - batch.x[:, 0]).double() / SIZE**2)
    # Weights "2 2" then biases "1 2", flattened: those of the mean are every second one.
    assert torch.allclose(posterior.mean.detach()[0::2].double(), mean, atol=0.01)
    variance = (2 * posterior.log_std).exp().detach()[0::2].double()
    assert torch.allclose(variance, 1.0 / precision.diagonal(), rtol=0.06)


def test_curvature_of_a_linear_model_is_that_of_bayesian_regression() -> None:
    batch, features = problem()
    step = GaussianStep(BatchedMLP(1, 2, 2, hidden=0), 1, (SIZE - 1e-6, SIZE + 1e-6))
    means, _ = curvature(step, batch)
    assert torch.allclose(means, features.mT @ features / SIZE**2, rtol=1e-4)


def test_curvature_of_the_noise_is_the_fisher_information() -> None:
    """Against the mean of second derivatives of the NLL over targets drawn from the model."""
    batch, _ = problem(5)
    step = GaussianStep(BatchedMLP(1, 2, 2, hidden=0), 1, (0.05, 2.0)).double()
    x = batch.x.double()
    with torch.no_grad():
        _, noises = curvature(step, Batch(x, batch.y))
        mean, std = step(x)
    draws = mean[0] + std[0] * torch.randn(40_000, 5, generator=generator(0, "targets"), dtype=torch.float64)
    bias = step.net.biases[0].detach().clone()

    def loss(moved: torch.Tensor) -> torch.Tensor:
        out = x @ step.net.weights[0][0].detach() + bias[0] + torch.stack([torch.zeros_like(moved), moved])
        low, high = (math.log(bound) for bound in step.bounds)
        log_std = low + (high - low) * torch.sigmoid(out[:, 1])
        centre = x[:, 0] + out[:, 0]
        return (0.5 * ((draws - centre) / log_std.exp()).square() + log_std).mean(0).sum()

    second = torch.func.hessian(loss)(torch.zeros((), dtype=torch.float64))
    assert torch.allclose(second, noises[-1, -1], rtol=0.02)


def test_the_evidence_finds_the_scale_of_the_weights() -> None:
    random = generator(0, "weights")
    weights = 0.1 * torch.randn(400, generator=random, dtype=torch.float64)
    assert 30 < _evident(1e6 * torch.eye(400, dtype=torch.float64), weights) < 400

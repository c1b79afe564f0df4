r"""Laws in the samplers of diffusion models.

A denoiser is a prediction of the clean state that knows its covariance: :math:`\mathrm{Cov}(x_0 \mid x_t) =
(\sigma^2/\alpha)\,\partial D/\partial x`. So a law conditions it like any other prediction, and the sampler
follows the conditional distribution. Symbols: ``D`` denoiser, ``G`` rows, ``b`` value, ``S`` covariance of
the clean state.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from sciode.constraints.covariance import Product
from sciode.constraints.linear import LinearConstraint
from sciode.core.errors import InputError

Denoise = Callable[[Tensor, Tensor], Tensor]


class Levels(Protocol):
    """What is needed of a noise schedule, t from 0 (noise) to 1 (data)."""

    def alpha(self, t: Tensor) -> Tensor:
        """Return the scale of the data."""
        ...

    def sigma(self, t: Tensor) -> Tensor:
        """Return the scale of the noise."""
        ...


class Conditional:
    r"""Guidance by a law: the denoised state given that G x0 = b, :math:`D - S G^T (G S G^T)^{-1} (G D - b)`.

    S g is a product of the denoiser's transposed Jacobian with a row: one backward pass for each row of the
    law. For Gaussian data the guided denoiser is exact at every noise level, so samples have the distribution
    of the data given the law; for others the covariance is right and the higher moments of x0 given x_t are
    left out. The last denoised state satisfies the law to round-off, and with it the sample of a solver that
    ends in it.

    Parameters
    ----------
    law : LinearConstraint
        On the flattened state ``"c *n"``; its slack is the noise of an observation.
    schedule
        The denoiser's, with ``alpha(t)`` and ``sigma(t)``.
    metric : {"posterior", "identity"}
        "identity" takes S = 1: no backward pass, the nearest state in place of the likeliest one.

    References
    ----------
    Boys et al., *Tweedie moment projected diffusions for inverse problems* (arXiv:2310.06721), equations (9)
    to (11).

    Examples
    --------
    >>> from sciode.generative import VP, presets
    >>> law = LinearConstraint(torch.full((1, 4), 0.25), torch.tensor([2.0]))
    >>> sampler = presets.dpm_solver_pp(VP(), 2, 8, end="zero")
    >>> x = sampler.sample(lambda x, t: 0.5 * x, torch.randn(3, 1, 4), guidance=[Conditional(law, VP())])
    >>> bool(law.residual(x).abs().max() < 1e-6)
    True
    """

    def __init__(self, law: LinearConstraint, schedule: Levels, metric: str = "posterior") -> None:
        if metric not in ("posterior", "identity"):
            raise InputError(f"metric is 'posterior' or 'identity', found {metric!r}")
        self.law, self.schedule, self.metric = law, schedule, metric

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the guided denoiser."""
        if self.metric == "identity":
            return lambda x, t: _projected(self.law, denoise(x, t))

        def guided(x: Tensor, t: Tensor) -> Tensor:
            recorded = torch.is_grad_enabled() and x.requires_grad
            with torch.enable_grad():
                at = x if recorded else x.detach().requires_grad_()
                x0 = denoise(at, t)
                rows = [
                    torch.autograd.grad(
                        x0,
                        at,
                        row.to(x0).reshape(x0.shape[1:]).expand_as(x0),
                        retain_graph=True,
                        create_graph=recorded,
                    )[0].flatten(1)
                    for row in self.law.operator
                ]
            time = t.double()
            scale = (self.schedule.sigma(time).square() / self.schedule.alpha(time)).reshape(-1, 1, 1)
            spread = torch.stack(rows, dim=1).double() * scale
            if not recorded:
                x0, spread = x0.detach(), spread.detach()
            known = Product(lambda _: spread, torch.ones_like(x0.flatten(1)))
            mean, _ = self.law.flat().condition(x0.flatten(1), known)
            return mean.reshape(x0.shape)

        return guided


def _projected(law: LinearConstraint, x: Tensor) -> Tensor:
    return law.flat().project(x.flatten(1)).reshape(x.shape)


class Towards:
    r"""A hook that draws the noisy state to the law, softly on the way and exactly at the end.

    Under the law the noisy state has :math:`G x_t \sim N(\alpha b,\ \sigma^2 G G^T)`. After each step what is
    missed of :math:`\alpha b` is taken away by the part :math:`\alpha^2 / (\alpha^2 + \sigma^2)`: nothing in
    noise, all at the end.

    >>> from sciode.generative import VP
    >>> law = LinearConstraint(torch.full((1, 4), 0.25), torch.tensor([2.0]))
    >>> Towards(law, VP())(torch.tensor(1.0), torch.zeros(1, 1, 4)).round(decimals=2).tolist()
    [[[2.0, 2.0, 2.0, 2.0]]]
    """

    def __init__(self, law: LinearConstraint, schedule: Levels) -> None:
        self.law, self.schedule = law, schedule

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        """Return the state, nearer to the law."""
        time = t.double()
        alpha, sigma = self.schedule.alpha(time), self.schedule.sigma(time)
        part = (alpha.square() / (alpha.square() + sigma.square())).reshape(-1, *(1,) * (x.dim() - 1))
        scale = alpha.reshape(part.shape)
        near = scale * _projected(self.law, x.double() / scale)
        return torch.lerp(x.double(), near, part).to(x.dtype)

r"""The Fokker--Planck residual: how far a model's scores are from those of one density that diffuses.

A sampler may follow the probability-flow equation or the reverse stochastic one; both end at the same law only if
the scores are gradients of a log-density u that solves the Fokker--Planck equation. In the library's time,

.. math::
    R = \partial_t u + d\,a + a\,x\cdot\nabla u + \sigma^2\lambda'\,(\Delta u + \lVert\nabla u\rVert^2),
    \qquad a = (\log\alpha)',

vanishes for it. The distance between the two laws is bounded by the residual.

Symbols: ``u`` potential, log p_t up to what R forgives, ``d`` elements of a sample, ``lam`` = log(alpha/sigma).

References
----------
Deveney et al., *Closing the ODE--SDE gap in score-based diffusion models through the Fokker--Planck equation*
(arXiv:2311.15996), equations (9) and (12).
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.denoiser import Denoise, column
from sciode.generative.schedule import Schedule

Potential: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(x ``"b ..."``, t ``[b]``) -> u ``[b]``."""

EXACT_UP_TO = 64


def residual(
    potential: Potential,
    schedule: Schedule,
    x: Tensor,
    t: Tensor,
    *,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return R at ``x`` ``"b ..."``, ``t`` ``[b]`` float64: ``[b]``, 1/time, with a graph to the parameters of u.

    Parameters
    ----------
    probes
        None: the exact Laplacian, with one backward pass per element of a sample, up to 64 of them. A number: so
        many Rademacher probes (Hutchinson), from ``generator``.

    Raises
    ------
    InputError
        For a potential that returns another shape than ``[b]``, and an exact Laplacian of a large sample.

    Examples
    --------
    The log-density of standard normal data does not change under a variance-preserving schedule:

    >>> from sciode.generative import VP
    >>> x, t = torch.randn(4, 3, dtype=torch.float64), torch.full((4,), 0.3, dtype=torch.float64)
    >>> bool(residual(lambda x, t: -0.5 * (x**2).sum(1) + 0 * t, VP(), x, t).abs().max() < 1e-12)
    True
    """
    count = x[0].numel()
    if probes is None and count > EXACT_UP_TO:
        raise InputError(f"the exact Laplacian of {count} elements takes as many passes: give probes=1 or more")
    x = x.detach().requires_grad_()
    t = t.detach().to(torch.float64).requires_grad_()
    u = potential(x, t)
    if u.shape != x.shape[:1]:
        raise InputError(f"a potential returns [b] = [{len(x)}], found {list(u.shape)}")
    slope, change = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
    bend = _laplacian(slope, x) if probes is None else _probed(slope, x, probes, generator)
    growth, rise = schedule.rates(t.detach())
    flat, at = slope.flatten(1), x.flatten(1)
    a, b = growth.to(x), (schedule.sigma(t.detach()) ** 2 * rise).to(x)
    return change.to(x) + a * (count + (at * flat).sum(1)) + b * (bend + (flat**2).sum(1))


def _laplacian(slope: Tensor, x: Tensor) -> Tensor:
    rows = slope.flatten(1).unbind(1)
    turned = (torch.autograd.grad(row.sum(), x, create_graph=True)[0] for row in rows)
    return torch.stack([row.flatten(1)[:, i] for i, row in enumerate(turned)]).sum(0)


def _probed(slope: Tensor, x: Tensor, probes: int, generator: torch.Generator | None) -> Tensor:
    if probes < 1:
        raise InputError(f"probes takes a number >= 1, found {probes}")
    total = torch.zeros_like(x[:, :1]).flatten(1)[:, 0]
    for _ in range(probes):
        coin = torch.randint(0, 2, x.shape, generator=generator, device=x.device)
        v = coin.to(x) * 2.0 - 1.0
        (turned,) = torch.autograd.grad((slope * v).sum(), x, create_graph=True)
        total = total + (turned * v).flatten(1).sum(1)
    return total / probes


def denoiser_of(potential: Potential, schedule: Schedule) -> Denoise:
    r"""Return the denoiser whose score is a potential's gradient: :math:`x_0 = (x + \sigma^2\nabla u)/\alpha`.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> schedule = VP()
    >>> denoise = denoiser_of(lambda x, t: -0.5 * (x**2).sum(1), schedule)
    >>> x, t = torch.ones(1, 2, dtype=torch.float64), schedule.at(0.5)
    >>> bool(torch.allclose(denoise(x, t), schedule.alpha(t) * x))
    True
    """

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        recorded = torch.is_grad_enabled()
        with torch.enable_grad():
            at = x if x.requires_grad else x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(potential(at, t.expand(len(x))).sum(), at, create_graph=recorded)
        alpha, sigma = (column(v.to(x), x) for v in (schedule.alpha(t), schedule.sigma(t)))
        return (x + sigma**2 * slope) / alpha

    return denoise

r"""Likelihoods by the change of variables along the probability-flow equation.

From data to noise, with y = x / sigma the equation is :math:`\mathrm{d}y/\mathrm{d}\lambda = y - \varepsilon`, and

.. math::
    \log p(x_0) = \log p_T(x_T) + d\,\log\frac{\sigma_T}{\sigma_0}
                  + \int_{\lambda_0}^{\lambda_T} \alpha\,\mathrm{tr}\frac{\partial x_0(x, \lambda)}{\partial x}
                    \,\mathrm{d}\lambda .

The state (y, integral) is a tuple, solved by the shared solver under step control. The linear part is not treated
exactly: over a span of ten in lam it is not stiff, and a method of fifth order is what tight tolerances ask for.

Symbols: ``d`` elements of a sample, ``T`` where sampling begins, ``lam`` = log(alpha/sigma).

References
----------
Chen et al., *Neural ordinary differential equations* (arXiv:1806.07366), theorem 1; Grathwohl et al., *FFJORD*
(arXiv:1810.01367) for the estimate of the trace; Song et al. (arXiv:2011.13456), section 4.3.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.typing import State
from sciode.generative.denoiser import Denoise, column, to_noise
from sciode.generative.grid import Grid, check_lam
from sciode.generative.schedule import Schedule
from sciode.solve import Pid, Save, Term, solve
from sciode.solve.counter import counter_keys, normals

Prior: TypeAlias = Callable[[Tensor], Tensor]
"""log p_T: states where sampling begins ``"b ..."`` -> ``[b]``."""

EXACT_UP_TO = 64


def log_prob(
    grid: Grid,
    denoise: Denoise,
    x0: Tensor,
    *,
    probes: int | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> Tensor:
    """Return log p of ``x0`` ``"b ..."`` at the end of ``grid``, ``[b]`` nats.

    Differentiable in ``x0`` where it requires a gradient, and in the parameters of a denoiser that is a module.

    Parameters
    ----------
    grid
        Its ends are the span; lam is finite at both.
    denoise
        (x, t) -> x0; t is ``[b]`` here.
    x0
        Data, ``"b ..."``.
    probes
        None: the exact trace, one backward pass per element, for up to 64 elements; above, one probe.
        A number: so many Rademacher probes (Hutchinson), the same all along: unbiased.
    prior
        log p of the states where sampling begins. None: normal around the schedule's centre with its
        ``prior_std``, which is what sampling draws from; the law that noising really ends at is near it.
    seed
        Of the probes.
    rtol, atol
        Tolerances of the solve; atol is in nats for the integral.

    Raises
    ------
    InputError
        For a grid that ends at zero noise or begins without signal, and a solve that fails.
    """
    schedule = grid.schedule
    ends = grid.lam[[0, -1]].tolist()
    check_lam(grid.lam[[0, -1]], "a likelihood")
    count = x0[0].numel()
    if probes is not None and probes < 1:
        raise InputError(f"probes takes a number >= 1, or None for the exact trace; found {probes}")
    if probes is None and count > EXACT_UP_TO:
        probes = 1
    directions = _basis(x0) if probes is None else _probes(x0, probes, seed)
    centre = 0.0 if schedule.centre is None else schedule.centre.to(x0)
    recorded = torch.is_grad_enabled() and (x0.requires_grad or _learns(denoise))
    equation = _equation(denoise, schedule, directions, probes, recorded)
    start = ((x0 - centre) / grid.sigma[-1].item(), x0.new_zeros(len(x0)))
    controller = Pid(rtol=rtol, atol=atol, per_sample=True)
    solution = solve(equation, start, ends[::-1], controller=controller, save=Save.END)
    if solution.message:
        raise InputError(f"{solution.message}; allow a larger rtol or atol")
    noise, gained = solution.y
    sigma = grid.sigma[0].item()
    law = _normal(schedule, grid) if prior is None else prior
    growth = count * (math.log(sigma) - grid.sigma[-1].log().item())
    return law(noise * sigma + centre) + growth + gained


def _learns(denoise: Denoise) -> bool:
    return isinstance(denoise, nn.Module) and any(p.requires_grad for p in denoise.parameters())


def _equation(
    denoise: Denoise, schedule: Schedule, directions: Tensor, probes: int | None, recorded: bool
) -> Term:
    """Return the equation of (x / sigma, integral) in lam; ``directions`` is ``"k b ..."``."""
    noise_of = to_noise(denoise, schedule)
    centre = 0.0 if schedule.centre is None else schedule.centre

    def drift(lam: Tensor, state: State) -> State:
        y, _ = state
        t = schedule.time(lam)
        sigma = column(schedule.sigma(t).to(y), y)
        with torch.enable_grad():
            x = y * sigma + centre
            x = x if x.requires_grad else x.detach().requires_grad_()
            many = x.expand(len(directions), *x.shape).flatten(0, 1)
            times = t if t.dim() == 0 else t.repeat(len(directions))
            eps = noise_of(many, times)
            turned = directions.flatten(0, 1)
            (back,) = torch.autograd.grad((eps * turned).sum(), many, create_graph=recorded)
        found = (back * turned).flatten(1).sum(1).reshape(len(directions), -1).sum(0)
        trace = found if probes is None else found / probes
        own = eps[: len(x)]
        # x0 = (x - sigma eps) / alpha, so alpha tr(dx0/dx) = d - sigma tr(deps/dx)
        rate = x[0].numel() - sigma.reshape(-1) * trace
        slope = y - own
        return (slope, rate) if recorded else (slope.detach(), rate.detach())

    return Term(drift)


def _basis(x: Tensor) -> Tensor:
    count = x[0].numel()
    unit = torch.eye(count, dtype=x.dtype, device=x.device).reshape(count, 1, *x.shape[1:])
    return unit.expand(count, *x.shape)


def _probes(x: Tensor, probes: int, seed: int) -> Tensor:
    """Return Rademacher vectors, the same throughout a solve: sample i has its own, in whatever batch."""
    keys = counter_keys(tuple(x.shape), seed, 0, 0, x.device)
    return torch.stack([normals(keys, probe)[0].sign() for probe in range(probes)]).to(x)


def _normal(schedule: Schedule, grid: Grid) -> Prior:
    spread = schedule.prior_std(grid.t[0]).item()

    def law(x: Tensor) -> Tensor:
        away = x if schedule.centre is None else x - schedule.centre.to(x)
        z = away.flatten(1) / spread
        return -0.5 * (z**2).sum(1) - z.shape[1] * (0.5 * math.log(2.0 * math.pi) + math.log(spread))

    return law


def bits_per_dimension(log_prob: Tensor, size: int, scale: float = 1.0) -> Tensor:
    """Return -log2 p per element of data whose unit is ``scale`` of the unit that the likelihood was found in.

    Pictures of 256 levels, scaled to [-1, 1], have ``scale = 2 / 256`` (with noise of one level added).

    >>> bits_per_dimension(torch.tensor([0.0]), 4, scale=0.5).tolist()
    [1.0]
    """
    return -(log_prob / size + math.log(scale)) / math.log(2.0)

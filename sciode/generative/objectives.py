r"""What a denoiser is trained on: the distance of its network's output from the target, at random times.

One affine pair relates output and data, :math:`x_0 = a\,x_t + b\,\text{out}`, so
:math:`\|\hat x_0 - x_0\|^2 = b^2\,\|\text{out} - \text{target}\|^2`: every kind of prediction is the same
objective with other weights. The weights of EDM are those that make the output's error count evenly.

Symbols: as in :mod:`sciode.generative.schedule`; ``d`` standard deviation of the data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.generative.check import check_data, noise_like
from sciode.generative.denoiser import Denoiser, Prediction, column
from sciode.generative.fokker_planck import Potential, residual
from sciode.generative.paths import LinearPath
from sciode.generative.schedule import Schedule

Times: TypeAlias = Callable[[Schedule, int, Generator | None], Tensor]
"""(schedule, count, generator) -> the library's times ``[count]``, float64."""

Weighting: TypeAlias = Callable[[Schedule, Tensor], Tensor]
"""(schedule, t ``[b]``) -> factors ``[b]`` of the squared error of the network's output."""


@dataclass(frozen=True)
class UniformTimes:
    """The law of times that is uniform in diffusion time, between the schedule's ends unless told otherwise.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> t = UniformTimes()(VP(), 1000, torch.Generator().manual_seed(0))
    >>> bool((VP().tau(t) >= VP().end).all()), round(t.mean().item(), 1)
    (True, 0.5)
    """

    begin: float | None = None
    end: float | None = None

    def __call__(self, schedule: Schedule, count: int, generator: Generator | None) -> Tensor:
        """Return times ``[count]``."""
        high = schedule.begin if self.begin is None else self.begin
        low = schedule.end if self.end is None else self.end
        schedule.check_span(high, low)
        return schedule.at(low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64))


@dataclass(frozen=True)
class LogNormalTimes:
    """EDM's law: log(sigma/alpha) is normal; clipped to the schedule's ends.

    Parameters
    ----------
    mean, std
        P_mean and P_std.

    References
    ----------
    Karras et al. (arXiv:2206.00364), table 1, "Noise distribution".

    Examples
    --------
    >>> from sciode.generative import EDM
    >>> t = LogNormalTimes()(EDM(), 10000, torch.Generator().manual_seed(0))
    >>> round(EDM().sigma(t).log().mean().item(), 1)
    -1.2
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not self.std > 0.0:
            raise InputError(f"std of the log-normal law must be positive, found {self.std:g}")

    def __call__(self, schedule: Schedule, count: int, generator: Generator | None) -> Tensor:
        """Return times ``[count]``."""
        level = self.mean + self.std * torch.randn(count, generator=generator, dtype=torch.float64)
        low, high = (-schedule.lam(schedule.at(tau)) for tau in (schedule.end, schedule.begin))
        return schedule.time(-level.clamp(low, high))


def denoising(
    denoiser: Denoiser,
    x0: Tensor,
    *,
    times: Times | None = None,
    weighting: Weighting | None = None,
    noise: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    r"""Return the loss of every sample: :math:`w\,\overline{|\text{out} - \text{target}|^2}` at a random time.

    The mean runs over the sample's entries. The factor w is one (for a score, sigma squared) times ``weighting``;
    for ``Prediction.EDM`` that is the published loss,
    :math:`\lambda(\sigma) |D - x_0|^2` with :math:`\lambda = (\sigma^2 + d^2)/(\sigma d)^2`.

    Parameters
    ----------
    denoiser
        What is trained; gives network, schedule and kind of prediction.
    x0
        Data, ``"b ..."``.
    times
        Law of the times; by default log-normal for ``Prediction.EDM``, else uniform in diffusion time.
    weighting
        Factors of the losses.
    noise
        Like ``x0``, in place of standard normal noise; that of :func:`sciode.generative.heavy_tailed` makes this
        the objective of PFGM++.
    generator
        Of times and noise, on the CPU; None: torch's own, which :func:`sciode.train.fit` seeds at every step.

    Returns
    -------
    Tensor
        ``[b]``, float.

    Raises
    ------
    InputError
        For data without a batch, or noise that is not like them.

    References
    ----------
    Karras et al. (arXiv:2206.00364), table 1 and equation (8); Song et al. (arXiv:2011.13456), equation (7).

    Examples
    --------
    >>> from sciode.generative import EDM
    >>> lazy = Denoiser(lambda x, label: torch.zeros_like(x), EDM(), Prediction.EDM, sigma_data=1.0)
    >>> x0 = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    >>> round(denoising(lazy, x0, generator=torch.Generator().manual_seed(1)).mean().item(), 1)
    1.0
    """
    check_data(x0, noise)
    schedule = denoiser.schedule
    if times is None:
        times = LogNormalTimes() if denoiser.prediction is Prediction.EDM else UniformTimes()
    t = times(schedule, len(x0), generator).to(x0.device)
    noise = noise_like(x0, generator) if noise is None else noise
    out = denoiser.output(schedule.marginal(x0, noise, t), t)
    factor, target = _target(denoiser, x0, noise, t)
    error = (column(factor.to(x0), x0) * (out - target)).square().flatten(1).mean(1)
    return error if weighting is None else error * weighting(schedule, t).to(error)


def flow_matching(
    denoiser: Denoiser,
    x0: Tensor,
    *,
    times: Times | None = None,
    weighting: Weighting | None = None,
    noise: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    r"""Return :math:`\overline{|\text{out} - (\varepsilon - x_0)|^2}` per sample: flow matching.

    This is :func:`denoising` for a network that predicts ``Prediction.FLOW`` on :class:`LinearPath`; arguments,
    result as there, and times uniform by default.

    References
    ----------
    Lipman et al. (arXiv:2210.02747), equation (23); Liu, Gong and Liu (arXiv:2209.03003), equation (1).

    Raises
    ------
    InputError
        For a denoiser of another schedule or prediction.

    Examples
    --------
    >>> still = Denoiser(lambda x, label: torch.zeros_like(x), LinearPath(), Prediction.FLOW)
    >>> x0, noise = torch.ones(3, 2), torch.zeros(3, 2)
    >>> flow_matching(still, x0, noise=noise).tolist()
    [1.0, 1.0, 1.0]
    """
    if denoiser.prediction is not Prediction.FLOW or not isinstance(denoiser.schedule, LinearPath):
        raise InputError(
            "flow matching trains Denoiser(network, LinearPath(), Prediction.FLOW); found "
            f"{type(denoiser.schedule).__name__} and {denoiser.prediction}: denoising() takes any"
        )
    return denoising(denoiser, x0, times=times, weighting=weighting, noise=noise, generator=generator)


def potential_matching(
    potential: Potential,
    schedule: Schedule,
    x0: Tensor,
    *,
    weight: float = 0.0,
    probes: int | None = None,
    times: Times | None = None,
    generator: Generator | None = None,
) -> Tensor:
    r"""Return :math:`\overline{|\sigma\nabla u + \varepsilon|^2} + w R^2` each, R being :func:`residual`.

    With a small R the samples of the deterministic and of the stochastic reverse equation have the same law.

    Parameters
    ----------
    potential
        u(x ``"b ..."``, t ``[b]``) -> ``[b]``, to become log p_t.
    schedule, x0, times, generator
        As in :func:`denoising`.
    weight, probes
        w, at the noisy states; and how :func:`sciode.generative.residual` takes the Laplacian.

    Returns
    -------
    Tensor
        ``[b]``.

    References
    ----------
    Deveney et al., *Closing the ODE-SDE gap in score-based diffusion models through the Fokker-Planck equation*
    (arXiv:2311.15996).

    Examples
    --------
    >>> from sciode.generative import VP
    >>> x0 = torch.randn(20000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> exact = lambda x, t: -0.5 * (x**2).sum(1) + 0 * t
    >>> plain, residual = (potential_matching(exact, VP(), x0, weight=w,
    ...     generator=torch.Generator().manual_seed(1)) for w in (0.0, 1.0))
    >>> bool(torch.allclose(plain, residual, atol=1e-9))
    True
    """
    if not weight >= 0.0:
        raise InputError(f"weight of the residual takes a number >= 0, found {weight:g}")
    check_data(x0, None)
    t = (UniformTimes() if times is None else times)(schedule, len(x0), generator).to(x0.device)
    noise = noise_like(x0, generator)
    x = schedule.marginal(x0, noise, t).detach().requires_grad_()
    (score,) = torch.autograd.grad(potential(x, t).sum(), x, create_graph=True)
    loss = (column(schedule.sigma(t).to(x), x) * score + noise).square().flatten(1).mean(1)
    if weight == 0.0:
        return loss
    gap = residual(potential, schedule, x, t, probes=probes, generator=generator)
    return loss + weight * gap.square()


def _target(denoiser: Denoiser, x0: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor of the error, ``[b]``, and what the network should return."""
    schedule = denoiser.schedule
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    one = torch.ones_like(sigma)
    # All but DATA predict in coordinates that are centred as the noise is.
    x = x0 if schedule.centre is None else x0 - schedule.centre.to(x0)
    match denoiser.prediction:
        case Prediction.DATA:
            return one, x0
        case Prediction.NOISE:
            return one, noise
        case Prediction.FLOW:
            return one, noise - x
        case Prediction.VELOCITY:
            return one, column(alpha.to(x), x) * noise - column(sigma.to(x), x) * x
        case Prediction.SCORE:
            return sigma, -noise / column(sigma.to(x), x)
    # (x0 - c_skip x / alpha) / c_out, with the common factors cancelled so that no noise level is singular
    d = denoiser.sigma_data
    rho = sigma / alpha
    size = d * torch.sqrt(rho**2 + d**2)
    return one, column((rho / size).to(x), x) * x - column((d**2 / size).to(x), x) * noise

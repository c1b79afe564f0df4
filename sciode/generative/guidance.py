r"""Changes of the model, and hooks on the state.

Guidance maps a denoiser to a denoiser, so it composes as functions do; a hook maps (t, x) to x after a step. The
places are fixed: what should be seen by the solver is guidance, what should correct its result is a hook.

Symbols: ``x0`` the denoised state, ``w`` strength of guidance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.denoiser import Denoise, column
from sciode.generative.schedule import Schedule
from sciode.solve.counter import counter_keys, normals


@dataclass(frozen=True, eq=False)
class ClassifierFree:
    r"""Classifier-free guidance: :math:`x_0 = x_0^{u} + w\,(x_0^{c} - x_0^{u})`.

    Parameters
    ----------
    unconditional
        The denoiser without the condition; the guided one is the conditional.
    strength
        w. 1 is the conditional model, 0 the unconditional.

    References
    ----------
    Ho and Salimans, *Classifier-free diffusion guidance* (arXiv:2207.12598), equation (6), in data prediction.

    Examples
    --------
    >>> guided = ClassifierFree(lambda x, t: 0 * x, 3.0)(lambda x, t: x)
    >>> guided(torch.ones(1, 2), torch.tensor(0.5))
    tensor([[3., 3.]])
    """

    unconditional: Denoise
    strength: float

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the guided denoiser."""

        def guided(x: Tensor, t: Tensor) -> Tensor:
            return torch.lerp(self.unconditional(x, t), denoise(x, t), self.strength)

        return guided


@dataclass(frozen=True)
class Clip:
    """Clip x0 to a range that the data are known to keep.

    >>> Clip(-1.0, 1.0)(lambda x, t: 5 * x)(torch.ones(1, 1), torch.tensor(0.5))
    tensor([[1.]])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"Clip takes low < high, found {self.low:g}, {self.high:g}")

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the clipped denoiser."""
        return lambda x, t: denoise(x, t).clamp(self.low, self.high)


@dataclass(frozen=True)
class Threshold:
    r"""Dynamic thresholding: x0 clipped to [-s, s] and divided by s, the quantile of \|x0\|, at least ``largest``.

    It changes the scale of x0: for pictures in [-1, 1], never for latent variables or fields with units.

    References
    ----------
    Saharia et al. (arXiv:2205.11487), section 2.3.
    """

    quantile: float = 0.995
    largest: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 < self.quantile <= 1.0 and self.largest > 0.0):
            raise InputError(
                f"Threshold takes a quantile within (0, 1] and largest > 0, found {self.quantile:g}, "
                f"{self.largest:g}"
            )

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the thresholded denoiser."""

        def guided(x: Tensor, t: Tensor) -> Tensor:
            x0 = denoise(x, t)
            size = x0.flatten(1).abs()
            # torch's quantile takes float32 and float64 alone, and at most 2^24 elements
            rank = max(1, round(self.quantile * size.shape[1]))
            s = column(size.kthvalue(rank, dim=1).values.clamp(min=self.largest), x0)
            return torch.clamp(x0, -s, s) / s * self.largest

        return guided


@dataclass(frozen=True, eq=False)
class Project:
    """Map x0 by a function before the solver sees it: a projection onto a constraint, a known mean.

    With ``end="zero"`` the last step returns x0, so the constraint holds exactly in the result.

    >>> centred = Project(lambda x0: x0 - x0.mean(-1, keepdim=True))(lambda x, t: x)
    >>> centred(torch.tensor([[1.0, 3.0]]), torch.tensor(0.5))
    tensor([[-1.,  1.]])
    """

    function: Callable[[Tensor], Tensor]

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the projected denoiser."""
        return lambda x, t: self.function(denoise(x, t))


@dataclass(frozen=True, eq=False)
class Likelihood:
    r"""Guidance by a likelihood: :math:`x_0 + \frac{\sigma^2}{\alpha}\, w\, \nabla_x \log p(y\mid x_0(x))`.

    By Tweedie's formula, the posterior mean of the data once the score of the observation is added, the likelihood
    being taken at the denoised state (diffusion posterior sampling). The result carries no gradient.

    Parameters
    ----------
    log_likelihood
        x0 ``"b ..."`` -> ``[b]``.
    schedule
        That of the denoiser.
    strength
        w.

    References
    ----------
    Chung et al., *Diffusion posterior sampling* (arXiv:2209.14687), equation (15).

    Examples
    --------
    >>> from sciode.generative import VP
    >>> schedule = VP()
    >>> seen = Likelihood(lambda x0: -((x0 - 2.0) ** 2).sum(1), schedule)
    >>> moved = seen(lambda x, t: 0.5 * x)(torch.ones(1, 1), schedule.at(0.5))
    >>> bool(moved.item() > 0.5)
    True
    """

    log_likelihood: Callable[[Tensor], Tensor]
    schedule: Schedule
    strength: float = 1.0

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the guided denoiser."""

        def guided(x: Tensor, t: Tensor) -> Tensor:
            with torch.enable_grad():
                at = x.detach().requires_grad_()
                x0 = denoise(at, t)
                (slope,) = torch.autograd.grad(self.log_likelihood(x0).sum(), at)
            factor = (self.schedule.sigma(t) ** 2 / self.schedule.alpha(t)).to(x) * self.strength
            return x0.detach() + column(factor, x) * slope

        return guided


@dataclass(frozen=True, eq=False)
class TimeShift:
    r"""Time shift: the network is shown, per sample, the time whose noise level fits the variance of the state.

    Among the discrete labels within ``window`` / 2 of the current one, the one whose :math:`\sigma^2` is
    nearest to the variance of x over its own elements; nothing below ``cutoff``. The solver does not change.

    Parameters
    ----------
    schedule
        Variance-preserving, with data that are centred or small.
    window
        Width of the search, in labels of which there are ``labels``.
    cutoff
        Diffusion time below which nothing is shifted.

    Notes
    -----
    The variance has a sampling error of about sqrt(2/d) for d elements: useless for small states. With an exact
    score there is nothing to gain; it helps where the model's notion of time is off.

    References
    ----------
    Li et al., *Alleviating exposure bias in diffusion models through sampling with shifted time steps*
    (arXiv:2305.15583), algorithm 2.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> schedule = VP()
    >>> shown = []
    >>> shift = TimeShift(schedule, window=200)(lambda x, t: (shown.append(schedule.tau(t).item()), x)[1])
    >>> x = torch.randn(1, 20000, generator=torch.Generator().manual_seed(0))
    >>> _ = shift(x * schedule.sigma(schedule.at(0.25)).item(), schedule.at(0.3))
    >>> round(shown[0], 2)
    0.25
    """

    schedule: Schedule
    window: int = 40
    cutoff: float = 0.2
    labels: int = 1000

    def __post_init__(self) -> None:
        if self.window < 2 or self.labels < 2:
            raise InputError(f"TimeShift takes a window and labels >= 2, found {self.window}, {self.labels}")

    def __call__(self, denoise: Denoise) -> Denoise:
        """Return the shifted denoiser."""
        steps = torch.arange(-(self.window // 2), self.window // 2 + 1, dtype=torch.float64) / self.labels

        def shifted(x: Tensor, t: Tensor) -> Tensor:
            tau = self.schedule.tau(t)
            near = (tau.reshape(-1, 1) + steps.to(tau.device)).clamp(1.0 / self.labels, self.schedule.begin)
            levels = torch.exp(2.0 * self.schedule.log_sigma_at(near))
            found = x.detach().flatten(1).var(1).to(torch.float64)
            best = (levels - found[:, None]).abs().argmin(1, keepdim=True)
            chosen = near.expand(len(x), -1).gather(1, best).squeeze(1)
            return denoise(x, self.schedule.at(torch.where(tau > self.cutoff, chosen, tau)))

        return shifted


@dataclass(frozen=True, eq=False)
class Inpaint:
    r"""Hook: where ``mask`` is true, replace the state by a forward sample of the known data, after every step.

    Parameters
    ----------
    known
        ``"b ..."``, broadcastable.
    mask
        Boolean, broadcastable.
    schedule
        That of the sampler.
    seed
        Of the forward samples; every time has its own numbers.

    References
    ----------
    Song et al. (arXiv:2011.13456), appendix I.2.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> hook = Inpaint(torch.ones(1, 2), torch.tensor([True, False]), VP())
    >>> hook(VP().at(0.0), torch.zeros(1, 2))
    tensor([[1., 0.]])
    """

    known: Tensor
    mask: Tensor
    schedule: Schedule
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mask.dtype is not torch.bool:
            raise InputError(f"mask takes booleans, found {self.mask.dtype}")
        if not bool(torch.isfinite(torch.where(self.mask, self.known, 0.0)).all()):
            raise InputError("known holds NaN or infinity where mask is true")

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        """Return x with the known part overwritten."""
        # Numbers by counter, of which the bits of the time are one: another sample at every time, and no wait.
        keys = counter_keys(tuple(x.shape), self.seed, 0, 0, x.device)
        noise = normals(keys, t.to(torch.float64).view(torch.int64))[0].to(x)
        known = torch.where(self.mask.to(x.device), self.known.to(x), 0.0).expand_as(x)
        return torch.where(self.mask.to(x.device), self.schedule.marginal(known, noise, t), x)

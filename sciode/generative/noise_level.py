r"""How noisy a state looks: :math:`p(t \mid x)` over a list of noise levels, and what a network for it learns.

Symbols: as in :mod:`sciode.generative.schedule`; ``K`` number of levels, the noisiest first.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from sciode.core.errors import InputError
from sciode.generative.check import check_data, noise_like
from sciode.generative.grid import Grid, grid
from sciode.generative.schedule import Schedule


class NoiseLevel(nn.Module):
    """A classifier of noise levels that are even in lam: geometric in sigma/alpha.

    Parameters
    ----------
    network
        States ``"b ..."`` -> logits ``[b, K]``: log p(level | x) up to a constant each, all levels being equally
        likely before x is seen.
    schedule
        The schedule.
    count
        K.
    begin, end
        Diffusion times of the first and of the last level; by default the schedule's.

    Examples
    --------
    Of a state without signal in two dimensions the level is known in closed form:

    >>> from sciode.generative import VE
    >>> schedule = VE()
    >>> def logits(x):
    ...     s = schedule.sigma(level.times).to(x)
    ...     return -0.5 * x.square().sum(1, keepdim=True) / s**2 - 2 * s.log()
    >>> level = NoiseLevel(logits, schedule, count=5)
    >>> level(torch.tensor([[50.0, 0.0], [0.01, 0.01]])).argmax(1).tolist()
    [0, 4]
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        schedule: Schedule,
        count: int = 1000,
        begin: float | None = None,
        end: float | None = None,
    ) -> None:
        super().__init__()
        if type(count) is not int or count < 2:
            raise InputError(f"count of noise levels takes a whole number >= 2, found {count!r}")
        self.network, self.schedule = network, schedule
        self.levels: Grid = grid(schedule, count - 1, "lam", begin, end)

    @property
    def times(self) -> Tensor:
        """The library's times of the levels, ``[K]`` float64."""
        return self.levels.t

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[b, K]``."""
        logits = self.network(x)
        if logits.shape != (len(x), len(self.times)):
            raise InputError(
                f"the network of a NoiseLevel returned {list(logits.shape)} for {len(x)} states and "
                f"{len(self.times)} levels: it takes 'b ...' to [b, K]"
            )
        return logits


def level_matching(
    level: NoiseLevel, x0: Tensor, *, noise: Tensor | None = None, generator: Generator | None = None
) -> Tensor:
    """Return the cross-entropy of every sample, noisy at a level drawn at random: ``[b]``.

    Least for the exact p(t | x), whose cross-entropy is the uncertainty that is left of the level.

    Parameters
    ----------
    level
        What is trained.
    x0, noise, generator
        As of :func:`sciode.generative.denoising`.

    References
    ----------
    Kim and Ye, *Denoising MCMC for accelerating diffusion-based generative models* (arXiv:2209.14593), section 3.

    Examples
    --------
    >>> from sciode.generative import VE
    >>> blind = NoiseLevel(lambda x: torch.zeros(len(x), 10), VE(), count=10)
    >>> round(level_matching(blind, torch.zeros(4, 2)).mean().item(), 4)  # log 10
    2.3026
    """
    check_data(x0, noise)
    schedule = level.schedule
    source = x0.device if generator is None else generator.device
    index = torch.randint(len(level.times), (len(x0),), generator=generator, device=source).to(x0.device)
    noise = noise_like(x0, generator) if noise is None else noise
    x = schedule.marginal(x0, noise, level.times.to(x0.device)[index])
    return nn.functional.cross_entropy(level(x), index, reduction="none")

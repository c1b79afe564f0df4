"""Drawing states: from a trained model, and from the Gaussian field that has the same spectrum."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.core.random import generator
from sciode.generative import Project, Sampler, Schedule, presets
from sciode.synthesis.model import FieldModel

# Noise of twenty spreads of the data hides them well enough; steps above it are lost to those below.
_BEGIN = 20.0

SAMPLERS: dict[str, Callable[[Schedule, int], Sampler]] = {
    "ddim": lambda schedule, steps: presets.ddim(schedule, steps=steps, begin=_BEGIN),
    "deis": lambda schedule, steps: presets.deis(schedule, steps=steps, begin=_BEGIN),
    "dpm_solver_pp": lambda schedule, steps: presets.dpm_solver_pp(schedule, steps=steps, begin=_BEGIN),
    "euler": lambda schedule, steps: presets.euler(schedule, steps=steps, begin=_BEGIN),
    "heun": lambda schedule, steps: presets.heun(schedule, steps=steps, begin=_BEGIN),
    "unipc": lambda schedule, steps: presets.unipc(schedule, steps=steps, begin=_BEGIN),
}
"""Samplers by name, (schedule, steps) -> sampler; all but ``heun`` call the network once a step."""


@torch.no_grad()
def sample_fields(
    model: FieldModel,
    sampler: Sampler,
    count: int,
    points: tuple[int, ...],
    *,
    mean: Tensor | None = None,
    seed: int = 0,
    batch: int = 64,
    quiet: bool = True,
) -> Float[Tensor, "count c *n"]:
    """Draw states in physical units, on the CPU; state i depends on the seed and i alone, whatever the batch.

    Parameters
    ----------
    model
        Trained.
    sampler
        For the model's schedule.
    count, points
        How many, and their grid.
    mean
        ``[c]``: the mean over space that every state has, by projection of what the network returns and of the
        last state; see :func:`conserved_mean`. None: as it comes.
    seed, batch, quiet
        Of the noise; how many at once; show no progress.
    """
    if count < 1 or batch < 1:
        raise InputError(f"count and batch must be at least 1, got {count} and {batch}")
    device = model.normaliser.mean.device
    shape = (model.config["channels"], *points)
    guidance = [] if mean is None else [Project(_Mean(model.normaliser.normalise(mean.to(device)[None])[0]))]
    done: list[Tensor] = []
    model.eval()
    with progress("sampling", count, quiet=quiet) as bar:
        for start in range(0, count, batch):
            numbers = range(start, min(start + batch, count))
            noise = torch.stack([torch.randn(shape, generator=generator(seed, "sample", i)) for i in numbers])
            made = sampler.sample(model.denoiser, noise.to(device), seed=seed, guidance=guidance)
            done.append(model.normaliser.restore(made).cpu())
            bar.advance(len(numbers))
    states = torch.cat(done)
    return states if mean is None else _Mean(mean.double())(states.double()).to(states.dtype)


@dataclass(frozen=True, eq=False)
class _Mean:
    """Shift states so that their mean over space is ``value`` ``[c]``."""

    value: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        axes = tuple(range(2, states.dim()))
        target = self.value.to(states).view(-1, *[1] * len(axes))
        return states + (target - states.mean(axes, keepdim=True))


def conserved_mean(states: Float[Tensor, "b c *n"]) -> Float[Tensor, " c"] | None:
    """Return the mean over space where all states share it, within 1e-5 of their spread; else None.

    >>> x = torch.arange(8) * 6.2832 / 8
    >>> conserved_mean(torch.stack([3 + torch.sin(x + k)[None] for k in range(5)])).round().tolist()
    [3.0]
    >>> conserved_mean(torch.randn(5, 1, 8)) is None
    True
    """
    flat = states.double().flatten(2)
    means, spread = flat.mean(2), flat.transpose(0, 1).flatten(1).std(1)
    same = bool(((means - means.mean(0)).abs() <= 1e-5 * spread).all())
    return means.mean(0) if same else None


def gaussian_fields(states: Float[Tensor, "b c *n"], count: int, *, seed: int = 0) -> Float[Tensor, "count c *n"]:
    """Draw Gaussian fields of the mean field and the spectrum of ``states``: every mode has a random phase.

    The baseline of a generative model: by construction it has the two-point statistics of a periodic,
    homogeneous field (channel by channel), and nothing beyond them.

    Examples
    --------
    >>> x = torch.arange(32) * 6.2832 / 32
    >>> states = torch.stack([torch.sin(x + k / 3)[None] for k in range(19)])
    >>> made = gaussian_fields(states, 2000)
    >>> abs(made.var().item() / states.var().item() - 1) < 0.1
    True
    """
    axes = tuple(range(2, states.dim()))
    mean = states.mean(0)
    modes = torch.fft.fftn(states - mean, dim=axes)
    spread = modes.abs().square().mean(0).sqrt()
    white = torch.randn(count, *states.shape[1:], generator=generator(seed, "gaussian field"))
    # White noise has modes of variance prod(n), and the symmetry of real fields.
    scale = spread / float(torch.tensor(states.shape[2:]).prod()) ** 0.5
    return mean + torch.fft.ifftn(torch.fft.fftn(white, dim=axes) * scale, dim=axes).real

"""What a state and a denoiser must be for a sampler to take them."""

import math

import torch
from torch import Generator, Tensor

from sciode.core.errors import InputError
from sciode.generative.denoiser import Denoise, Denoiser
from sciode.generative.schedule import Schedule
from sciode.solve.solution import finite


def check_noise(noise: Tensor, schedule: Schedule) -> None:
    """Raise :class:`InputError` unless a state can be sampled from: floating, ``"b ..."``, finite, fit for mu."""
    if not isinstance(noise, Tensor) or not noise.is_floating_point():
        kind = noise.dtype if isinstance(noise, Tensor) else type(noise).__name__
        raise InputError(f"noise takes a floating-point tensor 'b ...', found {kind}")
    if noise.dim() < 1 or noise.shape[0] == 0:
        raise InputError(f"noise takes shape 'b ...' with b >= 1, found {list(noise.shape)}")
    if not torch.isfinite(noise.detach().sum()) and not bool(finite(noise).all()):
        raise InputError("noise holds NaN or infinity")
    if schedule.centre is not None:
        try:
            fits = torch.broadcast_shapes(noise.shape, schedule.centre.shape) == noise.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise InputError(
                f"noise {list(noise.shape)} and the schedule's mu {list(schedule.centre.shape)} do not fit: noise "
                "takes the shape of the state, to which mu broadcasts"
            )


def check_denoiser(denoise: Denoise, schedule: Schedule, times: Tensor) -> None:
    """Raise :class:`InputError` for a denoiser of another schedule, or that says nothing at one of ``times``."""
    if not callable(denoise):
        raise InputError(f"denoise is a function of (x, t), found {type(denoise).__name__}")
    if isinstance(denoise, Denoiser):
        if not denoise.schedule.agrees(schedule):
            raise InputError(
                f"the denoiser is made for {denoise.schedule}, the sampler for {schedule}: build both from "
                "one schedule"
            )
        denoise.check(times)


def check_data(x0: Tensor, noise: Tensor | None) -> None:
    """Raise :class:`InputError` unless these are data ``"b ..."`` to learn from, and noise like them."""
    if not isinstance(x0, Tensor) or not x0.is_floating_point() or x0.dim() < 2 or math.prod(x0.shape) == 0:
        found = list(x0.shape) if isinstance(x0, Tensor) else type(x0).__name__
        raise InputError(f"data are a floating-point tensor 'b ...' with b >= 1 and entries, found {found}")
    if noise is not None and noise.shape != x0.shape:
        raise InputError(f"noise takes the shape of the data, {list(x0.shape)}, found {list(noise.shape)}")


def noise_like(x0: Tensor, generator: Generator | None) -> Tensor:
    """Return standard normal numbers like ``x0``, drawn where the generator lives."""
    source = x0.device if generator is None else generator.device
    return torch.randn(x0.shape, generator=generator, dtype=x0.dtype, device=source).to(x0.device)

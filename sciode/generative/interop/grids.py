"""The tables of ``diffusers``' schedulers, in float64: betas, and the times of a number of steps."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import unknown
from sciode.generative.interop.methods import Method
from sciode.generative.schedule import Schedule


def alphas_cumprod(config: Mapping[str, Any], method: Method, count: int) -> Tensor:
    """Return the products of 1 - beta, ``[count]``."""
    given = config.get("trained_betas")
    if given is not None:
        betas = torch.as_tensor(given, dtype=torch.float64).flatten()
        if len(betas) != count:
            raise InputError(f"trained_betas has {len(betas)} entries, num_train_timesteps = {count}")
        return torch.cumprod(1.0 - betas, 0)
    first = float(config.get("beta_start", method.betas[0]))
    last = float(config.get("beta_end", method.betas[1]))
    kind = config.get("beta_schedule", "linear")
    match kind:
        case "linear":
            betas = torch.linspace(first, last, count, dtype=torch.float64)
        case "scaled_linear":
            betas = torch.linspace(math.sqrt(first), math.sqrt(last), count, dtype=torch.float64) ** 2
        case "squaredcos_cap_v2":
            angle = (torch.arange(count + 1, dtype=torch.float64) / count + 0.008) / 1.008 * math.pi / 2
            bar = torch.cos(angle) ** 2
            betas = (1.0 - bar[1:] / bar[:-1]).clamp(max=0.999)
        case _:
            raise unknown(str(kind), ("linear", "scaled_linear", "squaredcos_cap_v2"), "beta_schedule")
    return torch.cumprod(1.0 - betas, 0)


def times(schedule: Schedule, config: Mapping[str, Any], steps: int, method: Method, count: int) -> Tensor:
    """Return the diffusion times of ``steps`` steps, ``[steps + 1]``."""
    labels = _labels(config, steps, method, count)
    every = torch.arange(1, count + 1, dtype=torch.float64) / count
    table = torch.exp(-schedule.lam(schedule.at(every))).numpy()
    sigmas = np.interp(labels, np.arange(count), table)
    ends = (table[-1], table[0]) if method.whole else (sigmas[0], sigmas[-1])
    if config.get("use_karras_sigmas"):
        power = np.linspace(ends[0] ** (1 / 7), ends[1] ** (1 / 7), steps)
        sigmas = power**7
    elif config.get("use_exponential_sigmas"):
        sigmas = np.exp(np.linspace(math.log(ends[0]), math.log(ends[1]), steps))
    inner = schedule.diffusion_time(-torch.from_numpy(sigmas).log())
    last = 0.0 if method.ends_at_zero(config) else 1.0 / count
    if not inner[-1] > last * (1.0 + 1e-9):
        raise InputError(
            "the last step has no length, as the grid's last time is the least that the network knows: set "
            "final_sigmas_type='zero' (set_alpha_to_one=True for DDIM), or steps_offset=1"
        )
    return torch.cat([inner.clamp(max=1.0), torch.tensor([last], dtype=torch.float64)])


def _labels(config: Mapping[str, Any], steps: int, method: Method, count: int) -> np.ndarray:
    """Return the times of the network, decreasing, ``[steps]``."""
    kind = config.get("timestep_spacing", method.spacing)
    if steps > count:
        raise InputError(f"{steps} steps of a network trained on {count} times")
    made: np.ndarray
    match kind:
        case "linspace":
            even = np.linspace(0, count - 1, steps + method.whole)[::-1]
            made = even[:steps].round() if method.rounds else even[:steps]
        case "leading":
            ratio = count // (steps + method.whole)
            made = (np.arange(steps + method.whole) * ratio)[::-1][:steps] + int(config.get("steps_offset", 0))
        case "trailing":
            made = np.arange(count, 0, -count / steps).round()[:steps] - 1
        case _:
            raise unknown(str(kind), ("linspace", "leading", "trailing"), "timestep_spacing")
    return np.asarray(made, dtype=float)


def flow_times(config: Mapping[str, Any], steps: int, count: int) -> Tensor:
    """Return the same of a rectified flow."""
    shift = float(config.get("shift", 1.0))
    if config.get("use_karras_sigmas") or config.get("use_exponential_sigmas"):
        raise InputError("a flow with use_karras_sigmas or use_exponential_sigmas cannot be read: only False can")

    def shifted(sigma: Tensor) -> Tensor:
        return shift * sigma / (1.0 + (shift - 1.0) * sigma)

    least = shifted(torch.tensor(1.0 / count, dtype=torch.float64)).item()
    even = torch.linspace(1.0, least, steps, dtype=torch.float64)
    return torch.cat([shifted(even), torch.zeros(1, dtype=torch.float64)])

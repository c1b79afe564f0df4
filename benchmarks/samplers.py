"""What a sampler costs beside the network: presets against diffusers' schedulers.

Same schedule, same sigmas, same number of evaluations, same formula: DPM-Solver++(2M), midpoint form, and UniPC of
order 2 with B(h) = e^h - 1, both ending at zero noise. ``Sampler.sample`` is timed whole, with all checks; of a
scheduler its ``step`` calls alone, without ``set_timesteps``.

    python benchmarks/samplers.py            # all rows
"""

import math
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from benchmarks.harness import machine, write
from sciode.generative import Denoise, Sampler, Tabulated, presets

STEPS = 20
REPEATS = 25


def dpm() -> Any:
    """Return diffusers' DPM-Solver++(2M)."""
    return diffusers.DPMSolverMultistepScheduler(prediction_type="sample", final_sigmas_type="zero")


def unipc() -> Any:
    """Return diffusers' UniPC-2."""
    return diffusers.UniPCMultistepScheduler(prediction_type="sample", final_sigmas_type="zero")


SAMPLERS: dict[str, tuple[Callable[[], Any], Callable[..., Sampler]]] = {
    "DPM-Solver++(2M)": (dpm, presets.dpm_solver_pp),
    "UniPC-2": (unipc, presets.unipc),
}


def theirs(scheduler: Any, model: Callable[[Tensor, float], Tensor], noise: Tensor) -> Callable[[], Tensor]:
    """Return the scheduler's loop."""
    sigmas = scheduler.sigmas.tolist()

    def run() -> Tensor:
        x = noise
        for i, t in enumerate(scheduler.timesteps):
            x = scheduler.step(model(x, sigmas[i]), t, x, return_dict=False)[0]
        return x

    return run


def prepared(name: str) -> tuple[Any, Sampler]:
    """Return diffusers' scheduler with its grid, and the sampler of the same schedule on the same grid."""
    make, preset = SAMPLERS[name]
    scheduler = make()
    scheduler.set_timesteps(STEPS)
    table = torch.cumprod(1.0 - scheduler.betas.double(), 0)
    times = [(step + 1) / len(table) for step in scheduler.timesteps.tolist()]
    return scheduler, preset(Tabulated(table), order=2, steps=STEPS, spacing=[*times, 0.0])


def ours(sampler: Sampler, denoise: Denoise, noise: Tensor) -> Callable[[], Tensor]:
    """Return our sampling."""
    return lambda: sampler.sample(denoise, noise)


def interleaved(calls: list[Callable[[], Any]], before: Callable[[], None], repeats: int) -> list[float]:
    """Return the median CPU seconds of each call; ``before`` every one, untimed."""
    taken: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 2):
        for kept, call in zip(taken, calls, strict=True):
            before()
            start = time.process_time()
            call()
            if repeat > 1:
                kept.append(time.process_time() - start)
    return [sorted(kept)[len(kept) // 2] for kept in taken]


def overhead(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Time a step beside a model that does nothing."""
    scheduler, sampler = prepared(name)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    image = 0.1 * noise
    calls = [theirs(scheduler, lambda x, sigma: image, noise), ours(sampler, lambda x, t: image, noise)]
    peer, own = interleaved(calls, lambda: scheduler.set_timesteps(STEPS), REPEATS)
    return {
        "case": f"{name}, null model",
        "shape": "x".join(map(str, shape)),
        "diffusers, us a step": peer / STEPS * 1e6,
        "sciode, us a step": own / STEPS * 1e6,
        "ratio": peer / own,
        "difference of samples": agreement(name),
    }


def agreement(name: str) -> float:
    """Return the largest difference of samples, float32, with the exact denoiser of Gaussian data."""
    scheduler, sampler = prepared(name)
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    schedule = sampler.schedule

    def denoised(x: Tensor, alpha: float, sigma: float) -> Tensor:
        gain = alpha * 0.25 / (alpha**2 * 0.25 + sigma**2)  # data N(0.3, 0.5^2)
        return 0.3 + gain * (x - alpha * 0.3)

    def model(x: Tensor, sigma: float) -> Tensor:
        alpha = 1.0 / math.sqrt(1.0 + sigma**2)
        return denoised(x, alpha, alpha * sigma)

    first = theirs(scheduler, model, noise)()
    second = sampler.sample(lambda x, t: denoised(x, schedule.alpha(t).item(), schedule.sigma(t).item()), noise)
    return (first - second).abs().max().item()


def network() -> nn.Module:
    """Return a stack of convolutions that takes tens of milliseconds."""
    layers: list[nn.Module] = [nn.Conv2d(3, 48, 3, padding=1)]
    for _ in range(6):
        layers += [nn.SiLU(), nn.Conv2d(48, 48, 3, padding=1)]
    return nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(48, 3, 3, padding=1)).eval()


def with_network() -> dict[str, Any]:
    """Time a whole sample beside as many bare calls of the network."""
    torch.manual_seed(0)
    net = network()
    scheduler, sampler = prepared("DPM-Solver++(2M)")
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    sample = ours(sampler, lambda x, t: net(x), noise)
    loop = theirs(scheduler, lambda x, sigma: net(x), noise)

    def bare() -> None:
        for _ in range(STEPS):
            net(noise)

    calls: list[Callable[[], Any]] = [bare, sample, loop]
    base, own, peer = interleaved(calls, lambda: scheduler.set_timesteps(STEPS), 9)
    return {
        "case": f"DPM-Solver++(2M), total / (calls x network of {base / STEPS * 1e3:.0f} ms)",
        "shape": "4x3x32x32",
        "diffusers": peer / base,
        "sciode": own / base,
    }


def main() -> None:
    """Print the tables and keep them."""
    torch.set_num_threads(1)
    with torch.no_grad():
        shapes = ((4, 3, 32, 32), (16, 3, 128, 128))
        rows = [overhead(name, shape) for shape in shapes for name in SAMPLERS]
        whole = with_network()
    notes = (
        f"{STEPS} steps, float32, no gradients, one thread; process CPU time, interleaved, medians of {REPEATS}. "
        "diffusers is given its grid for free. Differences of samples: exact denoiser of Gaussian data, "
        "4x3x32x32.\n\n"
        f"Beside a network, {whole['case']}, {whole['shape']}: diffusers {whole['diffusers']:.3f}, "
        f"sciode {whole['sciode']:.3f}."
    )
    where = {**machine("cpu", ["diffusers"]), "with a network": whole}
    write("samplers-cpu", "Samplers: the cost beside the network", notes, where, rows)


if __name__ == "__main__":
    main()

"""What a sampler costs beside the network: exponential Adams methods against diffusers' schedulers.

Same sigmas, same number of evaluations, same formula: DPM-Solver++(2M), midpoint form, and UniPC of order 2 with
B(h) = e^h - 1, both ending at zero noise. ``solve`` is timed whole, with all checks and the grid; of a scheduler
its ``step`` calls alone, without ``set_timesteps``.

    python benchmarks/samplers.py            # all rows
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from benchmarks.harness import machine, write
from sciode.solve import MIDPOINT, Adams, Diagonal, Save, Term, solve

STEPS = 20
REPEATS = 25


@dataclass(frozen=True)
class Data:
    """The data chart of a variance-preserving diffusion: y = x / alpha, t = sigma / alpha, s = -log t."""

    def clock(self, t: Tensor) -> Tensor:
        """Return lambda; infinite at zero noise."""
        return -torch.log(t)

    def time(self, s: Tensor) -> Tensor:
        """Return sigma / alpha."""
        return torch.exp(-s)

    def enter(self, x: Tensor, s: Tensor) -> Tensor:
        """Divide by alpha."""
        return x / _alpha(s.item())

    def leave(self, y: Tensor, s: Tensor) -> Tensor:
        """Multiply by alpha."""
        return y * _alpha(s.item())


def _alpha(lam: float) -> float:
    return 1.0 / math.sqrt(1.0 + math.exp(-2.0 * lam))


def dpm() -> Any:
    """Return diffusers' DPM-Solver++(2M)."""
    return diffusers.DPMSolverMultistepScheduler(prediction_type="sample", final_sigmas_type="zero")


def unipc() -> Any:
    """Return diffusers' UniPC-2."""
    return diffusers.UniPCMultistepScheduler(prediction_type="sample", final_sigmas_type="zero")


ORDERS = (1, *[2] * (STEPS - 2), 1)
SAMPLERS: dict[str, tuple[Callable[[], Any], Adams]] = {
    "DPM-Solver++(2M)": (dpm, Adams(2, rule=MIDPOINT, orders=ORDERS)),
    "UniPC-2": (unipc, Adams(3, corrector=True, rule=MIDPOINT, orders=ORDERS)),
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


def ours(solver: Adams, sigmas: list[float], drift: Any, noise: Tensor) -> Callable[[], Tensor]:
    """Return our solve."""
    term = Term(drift, Diagonal(-1.0), chart=Data())

    def run() -> Tensor:
        y = solve(term, noise, sigmas, solver=solver, dt=math.inf, save=Save.END).y
        assert isinstance(y, Tensor)
        return y

    return run


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
    make, solver = SAMPLERS[name]
    scheduler = make()
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    image = 0.1 * noise
    sigmas = scheduler.sigmas.tolist()
    calls = [
        theirs(scheduler, lambda x, sigma: image, noise),
        ours(solver, sigmas, lambda s, y: image, noise),
    ]
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
    make, solver = SAMPLERS[name]
    scheduler = make()
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def denoised(y: Tensor, sigma: float | Tensor) -> Tensor:
        ratio = 0.25 / (0.25 + sigma**2)  # data N(0.3, 0.5^2), y = x / alpha
        return (0.3 + ratio * (y - 0.3)).to(y.dtype)

    def model(x: Tensor, sigma: float) -> Tensor:
        return denoised(x * math.sqrt(1 + sigma**2), sigma)

    first = theirs(scheduler, model, noise)()
    second = ours(solver, scheduler.sigmas.tolist(), lambda s, y: denoised(y, torch.exp(-s)), noise)()
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
    solver = SAMPLERS["DPM-Solver++(2M)"][1]
    scheduler = dpm()
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    sample = ours(solver, scheduler.sigmas.tolist(), lambda s, y: net(y), noise)
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

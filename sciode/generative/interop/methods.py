"""The methods of ``diffusers``' schedulers, as plans."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.generative import presets
from sciode.generative.coordinates import DATA, NOISE, Coordinates
from sciode.generative.grid import grid
from sciode.generative.plan import multistep
from sciode.generative.presets.unipc import VARIANTS
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import EXACT, HALVED, MIDPOINT, Adams

Config = Mapping[str, Any]
Make = Callable[[Schedule, Tensor, Config], Sampler]


@dataclass(frozen=True)
class Method:
    """What tells one scheduler from another."""

    make: Make
    spacing: str = "linspace"  # unless the config says
    whole: bool = False  # n + 1 times are spaced and the last left out; Karras' ends are the whole table's
    rounds: bool = True  # times are whole numbers
    clips: bool = False  # x0, unless the config says
    zero: str = "final_sigmas_type"  # the option that says where the last step ends
    default: Any = "zero"
    betas: tuple[float, float] = (1e-4, 0.02)  # the first and the last, unless the config says

    def ends_at_zero(self, config: Config) -> bool:
        """Whether the last step ends at zero noise."""
        value = config.get(self.zero, self.default)
        if value not in ("zero", "sigma_min", True, False):
            raise InputError(f"{self.zero} takes 'zero' or 'sigma_min', found {value!r}")
        return value in ("zero", True)


def _adams(
    name: str,
    schedule: Schedule,
    times: Tensor,
    coordinates: Coordinates,
    method: Adams,
    counts: Sequence[int],
    eta: float = 0.0,
) -> Sampler:
    where = grid(schedule, len(times) - 1, times)
    return Sampler(name, multistep(where, coordinates, method, counts, eta), method)


def _order(config: Config) -> int:
    order = int(config.get("solver_order", 2))
    if order not in (1, 2, 3):
        raise InputError(f"solver_order = {order} cannot be read: only 1, 2 and 3 can")
    return order


def _counts(order: int, steps: int, config: Config) -> list[int]:
    """Return how many slopes each step combines: few at the start, and below 15 steps few at the end."""
    few = bool(config.get("lower_order_final", True)) and steps < 15
    return [min(order, i + 1, steps - i if few else order) for i in range(steps)]


def _dpm(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    order, steps = _order(config), len(times) - 1
    kind = config.get("algorithm_type", "dpmsolver++")
    known = {"dpmsolver++": (DATA, 0.0), "dpmsolver": (NOISE, 0.0), "sde-dpmsolver++": (DATA, 1.0)}
    coordinates, eta = lookup(kind, known, "algorithm_type")
    form = lookup(config.get("solver_type", "midpoint"), {"midpoint": MIDPOINT, "heun": EXACT}, "solver_type")
    if order == 3 and (form is EXACT or eta):
        raise InputError("solver_order = 3 can be read with solver_type = 'midpoint' and no noise only")
    counts = _counts(order, steps, config)
    if config.get("euler_at_final") or times[-1] == 0.0:
        counts[-1] = 1
    name = f"{'SDE-' * bool(eta)}DPM-Solver{'++' * (coordinates is DATA)}({order}M)"
    rule = HALVED if order == 3 else form
    return _adams(name, schedule, times, coordinates, Adams(order, rule=rule), counts, eta)


def _unipc(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    order, steps = _order(config), len(times) - 1
    kind = config.get("solver_type", "bh2")
    rule = lookup(kind, {name: VARIANTS[name] for name in ("bh1", "bh2")}, "solver_type")
    coordinates = DATA if config.get("predict_x0", True) else NOISE
    lower = bool(config.get("lower_order_final", True))
    counts = [min(order, i + 1, steps - i if lower else order) for i in range(steps)]
    method = Adams(order + 1, corrector=True, rule=rule)
    return _adams(f"UniPC-{order}({kind})", schedule, times, coordinates, method, counts)


def _deis(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    """Its polynomials are in log(sigma/alpha), which is lam: the exact exponential Adams method on eps."""
    order, steps = _order(config), len(times) - 1
    counts = _counts(order, steps, config)
    return _adams(f"logrho-DEIS-{order}", schedule, times, NOISE, Adams(order), counts)


def _ddim(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    return presets.ddim(schedule, len(times) - 1, times)


def _ddpm(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    return presets.ddim(schedule, len(times) - 1, times, eta=1.0)


def _heun(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    return presets.heun(schedule, len(times) - 1, times)


def _euler(schedule: Schedule, times: Tensor, config: Config) -> Sampler:
    return presets.euler(schedule, len(times) - 1, times)


METHODS: dict[str, Method] = {
    "DDIMScheduler": Method(_ddim, "leading", clips=True, zero="set_alpha_to_one", default=True),
    "DDPMScheduler": Method(_ddpm, "leading", clips=True, zero="", default=True),
    "DPMSolverMultistepScheduler": Method(_dpm, whole=True),
    "UniPCMultistepScheduler": Method(_unipc, whole=True),
    "DEISMultistepScheduler": Method(_deis, whole=True, zero="", default=False),
    "EulerDiscreteScheduler": Method(_ddim, rounds=False),
    "HeunDiscreteScheduler": Method(_heun, rounds=False, zero="", default=True, betas=(8.5e-4, 0.012)),
    "FlowMatchEulerDiscreteScheduler": Method(_euler),
}
"""Euler's method in sigma/alpha, on states divided by alpha, is DDIM."""

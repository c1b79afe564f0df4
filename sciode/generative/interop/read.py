"""Read a scheduler of ``diffusers``: schedule, grid, method, and what the network predicts of which time.

The library itself is not imported: a scheduler's ``config`` is a dictionary of plain values.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.generative.denoiser import Denoise, Denoiser, Guidance, Prediction, discrete_label, guided
from sciode.generative.guidance import Clip
from sciode.generative.interop.grids import alphas_cumprod, flow_times, times
from sciode.generative.interop.methods import METHODS
from sciode.generative.paths import LinearPath
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.generative.schedules_of_data import Tabulated

PREDICTIONS = {
    "epsilon": Prediction.NOISE,
    "sample": Prediction.DATA,
    "v_prediction": Prediction.VELOCITY,
}

REFUSED: dict[str, tuple[Any, ...]] = {
    "thresholding": (False,),
    "rescale_betas_zero_snr": (False,),
    "use_beta_sigmas": (False,),
    "use_lu_lambdas": (False,),
    "use_flow_sigmas": (False,),
    "use_dynamic_shifting": (False,),
    "invert_sigmas": (False,),
    "stochastic_sampling": (False,),
    "shift_terminal": (None,),
    "disable_corrector": ([], ()),
    "solver_p": (None,),
    "sigma_min": (None,),
    "sigma_max": (None,),
    "timestep_type": ("discrete",),
    "interpolation_type": ("linear",),
    "variance_type": (None, "fixed_small"),
    "lambda_min_clipped": (-float("inf"), "-inf"),
}
"""Options that are read only at these values: any other changes the method in a way that has no counterpart."""


class Imported(NamedTuple):
    """What a scheduler says.

    Attributes
    ----------
    schedule, sampler
        The noise schedule, and the method on its grid.
    prediction, label
        What the network returns, and the time that it is told: see :class:`sciode.generative.Denoiser`.
    guidance
        The clipping of x0 that the scheduler does within its steps.
    timesteps
        How many times the network was trained on.
    """

    schedule: Schedule
    sampler: Sampler
    prediction: Prediction
    label: Callable[[Schedule, Tensor], Tensor]
    guidance: tuple[Guidance, ...]
    timesteps: int

    def denoiser(self, network: Callable[..., Any]) -> Denoise:
        """Return the denoiser of a network; one that returns an object with ``sample``, as diffusers', will do."""
        return guided(Denoiser(_Plain(network), self.schedule, self.prediction, label=self.label), self.guidance)


class _Plain(nn.Module):
    """A network whose output is a tensor; a module, so that its parameters are found."""

    def __init__(self, network: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        out = self.network(x, label)
        return out if isinstance(out, Tensor) else out.sample


def config_of(source: Any) -> dict[str, Any]:
    """Return the configuration of a scheduler, with its class among it; a dictionary is one already."""
    config = getattr(source, "config", source)
    if not isinstance(config, Mapping):
        raise InputError(f"from_diffusers takes a scheduler or its config, found {type(source).__name__}")
    named = dict(config)
    if config is not source:
        named["_class_name"] = type(source).__name__
    if "_class_name" not in named:
        raise InputError("the config names no _class_name: add, for example, 'DPMSolverMultistepScheduler'")
    return named


def from_diffusers(source: Any, steps: int | None = None) -> Imported:
    r"""Read a scheduler of ``diffusers``: the schedule it discretises, and the sampler that takes its steps.

    Parameters
    ----------
    source
        A scheduler, or its config with ``_class_name``: DDIM, DDPM, DPMSolverMultistep, UniPCMultistep,
        DEISMultistep, EulerDiscrete, HeunDiscrete or FlowMatchEulerDiscrete.
    steps
        Steps of the grid. None: those the scheduler is set to, else 20.

    Returns
    -------
    Imported
        Unpacks as (schedule, sampler, ...). The grid's sigmas are those of ``set_timesteps``. States are
        :math:`\alpha x_0 + \sigma\varepsilon` throughout, where diffusers divides those of Euler and Heun by
        alpha. The network is told the exact time of a sigma, where diffusers rounds it for Karras' spacing. DDIM
        and DDPM step to the next time of the grid, which diffusers does where ``steps`` divides the number of
        times.

    Raises
    ------
    InputError
        Naming the option that cannot be read; for ends that coincide with the last time but one.
    UnknownName
        For an unknown scheduler, prediction, spacing or beta schedule.

    Examples
    --------
    >>> config = {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 2, "final_sigmas_type": "zero"}
    >>> made = from_diffusers(config, steps=10)
    >>> made.sampler.name, made.sampler.evaluations, made.prediction.name
    ('DPM-Solver++(2M)', 10, 'NOISE')
    """
    config = config_of(source)
    name = config["_class_name"]
    method = lookup(name, METHODS, "scheduler")
    for option, allowed in REFUSED.items():
        if option in config and config[option] not in allowed:
            raise InputError(f"{name} with {option} = {config[option]!r} cannot be read: only {allowed[0]!r} can")
    if steps is None:
        steps = getattr(source, "num_inference_steps", None) or 20
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps takes a whole number >= 1, found {steps!r}")
    count = int(config.get("num_train_timesteps", 1000))
    if name == "FlowMatchEulerDiscreteScheduler":
        path = LinearPath()
        sampler = method.make(path, flow_times(config, steps, count), config)
        return Imported(path, sampler, Prediction.FLOW, _flow_label(count), (), count)
    schedule = Tabulated(alphas_cumprod(config, method, count))
    sampler = method.make(schedule, times(schedule, config, steps, method, count), config)
    prediction = lookup(config.get("prediction_type", "epsilon"), PREDICTIONS, "prediction_type")
    return Imported(schedule, sampler, prediction, discrete_label(count), _clip(config, method.clips), count)


def _flow_label(count: int) -> Callable[[Schedule, Tensor], Tensor]:
    return lambda schedule, t: schedule.tau(t) * count


def _clip(config: Mapping[str, Any], default: bool) -> tuple[Guidance, ...]:
    if not config.get("clip_sample", default):
        return ()
    most = float(config.get("clip_sample_range", 1.0))
    return (Clip(-most, most),)

"""A sampler with the face of a ``diffusers`` scheduler: pipelines call it step by step."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.generative.denoiser import Denoise
from sciode.generative.interop.read import Imported, config_of, from_diffusers
from sciode.generative.sampler import Sampler
from sciode.solve import FixedLoop


class Stepped(NamedTuple):
    """What a step returns."""

    prev_sample: Tensor


class Config(dict[str, Any]):
    """A dictionary whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class SciodeScheduler:
    r"""Takes the rows of a sampler one by one, each call of ``step`` to the next evaluation of the network.

    States are :math:`\alpha x_0 + \sigma\varepsilon`: ``scale_model_input`` returns its argument.

    Parameters
    ----------
    source
        As in :func:`from_diffusers`.
    preset
        Another method on the same times: a function of :mod:`sciode.generative.presets` with one evaluation a
        step, or of two as Heun's. None: the scheduler's own.
    options
        Keywords of ``preset``.

    Raises
    ------
    InputError
        For what :func:`from_diffusers` refuses, and for steps out of order.

    Examples
    --------
    >>> scheduler = SciodeScheduler({"_class_name": "DDIMScheduler", "clip_sample": False})
    >>> scheduler.set_timesteps(4)
    >>> scheduler.timesteps
    tensor([750, 500, 250,   0])
    >>> x = torch.ones(1, 2)
    >>> for t in scheduler.timesteps:
    ...     x = scheduler.step(torch.zeros_like(x), t, x).prev_sample
    >>> x.shape
    torch.Size([1, 2])
    """

    order = 1

    def __init__(self, source: Any, preset: Callable[..., Sampler] | None = None, **options: Any) -> None:
        self.config = Config(config_of(source))
        self._preset, self._options = preset, options
        self._read = self._made(20)
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(self._read.timesteps).flip(0)
        self._labels: list[float] = []
        self._run: _Run | None = None

    def _made(self, steps: int) -> Imported:
        read = from_diffusers(self.config, steps)
        if self._preset is None:
            return read
        schedule, where = read.schedule, read.sampler.grid
        made = self._preset(schedule, steps=where.steps, spacing=schedule.tau(where.t), **self._options)
        return read._replace(sampler=made)

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the first state."""
        grid = self._read.sampler.grid
        return self._read.schedule.prior_std(grid.t[0]).item()

    @property
    def sampler(self) -> Sampler:
        """The sampler of the last ``set_timesteps``."""
        return self._read.sampler

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Make the grid; ``timesteps`` then holds what the network is told, once for every evaluation."""
        self._read = self._made(num_inference_steps)
        plan = self._read.sampler.plan
        asked = [row.evaluates for row in plan.rows]
        labels = self._read.label(self._read.schedule, plan.times[asked])
        whole = labels.round()
        discrete = bool((labels - whole).abs().max() < 1e-6)
        self.timesteps = (whole.long() if discrete else labels.float()).to(device)
        self._labels = self.timesteps.tolist()
        self.num_inference_steps = num_inference_steps
        self._run = None

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """Return ``sample``."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> Stepped | tuple[Tensor]:
        """Take the rows up to the next evaluation, the network having returned ``model_output`` at ``sample``.

        ``generator`` seeds the noise, at the first step; ``sample`` may be changed between steps.
        """
        if self._run is None or self._run.index == len(self._labels):
            self._run = _Run(self._read, sample, _seeds(generator, len(sample)))
        self._check(timestep, self._run.index)
        reached = self._run.take(model_output, sample)
        return Stepped(reached) if return_dict else (reached,)

    def _check(self, timestep: float | Tensor, index: int) -> None:
        if isinstance(timestep, Tensor) and (timestep.device.type != "cpu" or timestep.dim()):
            return  # a look at it would wait for the device
        expected = self._labels[index] if self._labels else None
        if expected is None or abs(float(timestep) - expected) > 1e-3:
            raise InputError(
                f"step {index} is at timestep {expected}, found {float(timestep):g}: call set_timesteps, then "
                "step once for each of timesteps, in order"
            )

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return alpha x0 + sigma noise at the network's times ``[b]``."""
        schedule, count = self._read.schedule, self._read.timesteps
        shift = self._read.label(schedule, schedule.at(1.0)).item() - count  # of the label beside tau * count
        tau = (timesteps.to(torch.float64) - shift) / count
        return schedule.marginal(original_samples, noise, schedule.at(tau))

    def __len__(self) -> int:
        return self._read.timesteps


class _Run:
    """The rows of one sample, taken piece by piece."""

    def __init__(self, read: Imported, x: Tensor, seeds: Sequence[int]) -> None:
        rows = read.sampler.plan.rows
        self.output = x
        denoise: Denoise = read.denoiser(lambda state, label: self.output)
        self.loop: FixedLoop = read.sampler.loop(denoise, x, seeds)
        # each call begins with a row that evaluates; rows before the first one belong to the first call
        starts = [number for number, row in enumerate(rows) if row.evaluates]
        self.ends = [*starts[1:], len(rows)]
        if starts[0] != 0:
            raise InputError("the first row draws noise before the network is asked, which no scheduler can do")
        self.memory: Any = self.loop.start(x)
        self.index = self.row = 0

    def take(self, output: Tensor, x: Tensor) -> Tensor:
        self.output = output
        end = self.ends[self.index]
        y, self.memory = self.loop.advance(x, self.memory, self.row, end)
        self.row, self.index = end, self.index + 1
        assert isinstance(y, Tensor)
        return y


def _seeds(generator: Any, count: int) -> list[int]:
    """Return a seed for every sample, drawn from the caller's stream or streams."""
    if isinstance(generator, list | tuple):
        if len(generator) != count:
            raise InputError(f"{len(generator)} generators for a batch of {count} samples: give one, or one each")
        return [_seeds(one, 1)[0] for one in generator]
    device = "cpu" if generator is None else generator.device
    return [int(n) for n in torch.randint(1 << 62, (count,), generator=generator, device=device).tolist()]

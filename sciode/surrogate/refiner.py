r"""PDE-Refiner: a prediction, made better by denoising it at ever smaller noise.

The difference to the next state, ``y``, is drawn from a diffusion model that knows the last state. Its few levels
of noise reach far below the size of y, so that the loss sees what a squared error does not: the faint fine scales,
which later decide how long a rollout stays right. The sampler is one of :mod:`sciode.generative`; no loop is here.

Symbols: ``v`` normalised state, ``y`` difference over the increment, ``x`` noisy y, ``K`` refinements.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.core.random import derive_seed
from sciode.generative import Denoiser, Prediction, Refinement, Sampler, denoising, presets, sample_seeds
from sciode.generative.schedule import Schedule
from sciode.nn import strict_float32
from sciode.surrogate.conditional import BODIES, network_for
from sciode.surrogate.emulator import Emulator, Sized, sizes_of

PREDICTIONS = {"data": Prediction.DATA, "noise": Prediction.DATA, "velocity": Prediction.VELOCITY}
"""What the network returns; noise says nothing of the data at the first call, where it returns the data."""


def _ddpm(schedule: Schedule, levels: list[float]) -> Sampler:
    return presets.ddim(schedule, len(levels), levels, end="zero", eta=1.0)


def _ddim(schedule: Schedule, levels: list[float]) -> Sampler:
    return presets.ddim(schedule, len(levels), levels, end="zero")


def _dpm(schedule: Schedule, levels: list[float]) -> Sampler:
    return presets.dpm_solver_pp(schedule, order=2, steps=len(levels), spacing=levels, end="zero")


SAMPLERS: dict[str, Callable[[Schedule, list[float]], Sampler]] = {"ddim": _ddim, "ddpm": _ddpm, "dpm++": _dpm}
"""How to refine, by name: the published one draws noise anew at every level, the others do not."""


class Refiner(Emulator):
    """A surrogate that predicts, then refines its prediction K times.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions.
    steps : int
        K, refinements after the first prediction.
    sigma_min : float
        Standard deviation of the last noise, in units of the typical change of the state. The published
        ``min_noise_std`` is its square. It should lie below the error of a model trained by squared error.
    sampler : {"ddpm", "ddim", "dpm++"}
        "ddpm" as published.
    evaluations : int, optional
        Calls of the network for one step, ``steps + 1`` unless told otherwise; fewer leave levels out.
    body : {"unet", "modern-unet", "dilated", "fno", "poseidon"}
        The network inside.
    network : mapping
        Its arguments, those of the surrogate of that name.
    prediction : {"velocity", "noise", "data"}
        What the network returns: "velocity" as in the published code, "noise" as in the paper, whose first call
        predicts the data and the others the noise (algorithms 1 and 2).

    Raises
    ------
    InputError
        For a schedule that cannot be, more evaluations than levels, and ``sigma_min`` below the resolution of the
        weights' dtype.

    References
    ----------
    Lippe et al., *PDE-Refiner: achieving accurate long rollouts with neural PDE solvers* (arXiv:2308.05732).

    Examples
    --------
    >>> model = Refiner(channels=1, dimensions=1, network={"width": 8, "depth": 2})
    >>> model(torch.zeros(3, 1, 16), torch.ones(3)).shape, model.sampler.evaluations
    (torch.Size([3, 1, 16]), 4)
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        steps: int = 3,
        sigma_min: float = 4e-7**0.5,
        sampler: str = "ddpm",
        evaluations: int | None = None,
        body: str = "unet",
        network: Mapping[str, Any] | None = None,
        prediction: str = "velocity",
    ) -> None:
        kept: dict[str, Any] = {
            "channels": channels,
            "dimensions": dimensions,
            "steps": steps,
            "sigma_min": sigma_min,
        }
        kept |= {"sampler": sampler, "evaluations": evaluations, "body": body, "network": dict(network or {})}
        super().__init__({**kept, "prediction": prediction, "residual": True})
        del self.config["residual"]
        schedule = Refinement(steps, sigma_min)
        self.sampler = _sampler(schedule, sampler, evaluations)
        kind = lookup(body, BODIES, "body of a refiner")
        self.body: nn.Module = kind(channels, dimensions, **kept["network"])
        predicted = lookup(prediction, PREDICTIONS, "prediction")
        self._denoiser = Denoiser(_unconditioned, schedule, predicted, label=_Level(steps))
        self._of_noise = _noise_to_data(schedule) if prediction == "noise" else None
        self._grid: tuple[int, tuple[int, ...]] = -1, ()
        self._teacher: list[Refiner] = []  # in a list: its weights are not this model's

    def forward(
        self, u: Float[Tensor, "b c *n"], dt: Float[Tensor, " b"], seed: int = 0
    ) -> Float[Tensor, "b c *n"]:
        """Return the state ``dt`` after ``u``; the same ``seed`` gives the same, whatever the batch."""
        return self._step(u, dt, partial(self.tendency, seed=seed))

    def tendency(
        self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"], seed: int = 0
    ) -> Float[Tensor, "b c *n"]:
        """Return the refined difference for the normalised state ``v``."""
        self._check_resolution()
        self._check_grid(v)
        seeds = sample_seeds(seed, len(v))
        # What the sampler makes of a channel that never changes is its own noise, and nothing that was learnt.
        return self.moving() * self.sampler.sample(self.given(v, tau), first_noise(v, seeds), seed=seeds)

    def given(self, v: Tensor, tau: Tensor) -> Denoiser:
        """Return the denoiser of the difference, given the normalised state and the lead time."""

        moving = self.moving().to(v)

        def network(x: Tensor, level: Tensor) -> Tensor:
            # The difference of a channel that never changes is zero: neither seen, nor said, nor in the loss.
            x = x * moving
            # What the last level has to say is smaller than what TF32 rounds away.
            with strict_float32():
                out: Tensor = moving * self.body(torch.cat([x, v], dim=1), tau, level)
            if self._of_noise is None:
                return out
            # By the number of the level; the device is not waited for.
            a, b = self._of_noise.to(x)[:, level.round().long()].unflatten(1, (-1, *(1,) * (x.dim() - 1)))
            return torch.addcmul(a * x, b, out)

        return self._denoiser.around(network)

    def losses(self, u: Tensor, later: Tensor, dt: Tensor) -> Float[Tensor, " b"]:
        """Return the loss of every sample, at a level drawn uniformly: what training makes small.

        Noise is added to the true difference, never to the model's own guess. Random numbers are torch's own.
        """
        self._check(u, dt)
        tau, v = self.leads(dt), self.normalised(u)
        if self._teacher:
            return self._imitation(u, dt)
        size = self._size(tau)
        y = (later - u) / torch.where(size == 0, 1.0, size)
        noise = torch.randn_like(y) * self.moving()
        weighting = None if self._of_noise is None else self._as_noise
        return denoising(self.given(v, tau), y, times=_uniform_levels, weighting=weighting, noise=noise)

    def _as_noise(self, schedule: Schedule, t: Tensor) -> Tensor:
        """Return what turns an error of the data into one of what the network returns."""
        assert self._of_noise is not None
        level = (schedule.tau(t) * self.config["steps"]).round().long()
        return self._of_noise[1].to(t.device)[level] ** -2

    def seeded(self, seed: int) -> "Draws":
        """Return the model as one member of an ensemble: noise is drawn anew at every step, from ``seed``."""
        return Draws(self, seed)

    def student(self) -> "Refiner":
        """Return a refiner of one call that begins with these weights and whose training imitates this model.

        From the same noise it is to return what this model's K + 1 calls return, without noise in between (DDIM):
        a map of noise and state. :func:`sciode.train.fit` trains it like any other; saved and loaded it is an
        ordinary refiner of one call.

        References
        ----------
        Liu et al., *Flow straight and fast* (arXiv:2209.03003), section 2.2: distillation of a coupling.
        """
        twin = self.resampled("ddim", 1)
        twin._teacher = [self.resampled("ddim").eval().requires_grad_(False)]
        return twin

    def resampled(self, sampler: str, evaluations: int | None = None) -> "Refiner":
        """Return a copy with the same weights under another sampler, of ``evaluations`` calls."""
        drawn = _sampler(Refinement(self.config["steps"], self.config["sigma_min"]), sampler, evaluations)
        twin = copy.deepcopy(self)
        twin.sampler = drawn
        twin.config |= {"sampler": sampler, "evaluations": evaluations}
        twin._teacher = []
        return twin

    def _imitation(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the distance from the teacher's difference, ``[b]``, in physical units: theirs may differ."""
        teacher = self._teacher[0].to(u.device)
        seed = int(torch.randint(2**62, ()))
        with torch.no_grad():
            goal = teacher._difference(u, dt, seed)
        size = self._size(self.leads(dt))
        distance = (self._difference(u, dt, seed) - goal) / torch.where(size == 0, 1.0, size)
        return distance.square().flatten(1).mean(1)

    def _difference(self, u: Tensor, dt: Tensor, seed: int) -> Tensor:
        tau = self.leads(dt)
        return self._size(tau) * self.tendency(self.normalised(u), tau, seed=seed)

    def _size(self, tau: Tensor) -> Tensor:
        """Return the typical change over each lead, in physical units, ``"b c ..."``."""
        size = tau.view(-1, *(1,) * (self.dimensions + 1)) * self._per_channel(self.increment)
        return size * self._per_channel(self.normaliser.std)

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the shape of ``data``, and the network inside too."""
        network = network_for(data, config.get("body", "unet"), config.get("network", {}))
        return cls(**{**sizes_of(data), **config, "network": network})

    def _check_grid(self, v: Tensor) -> None:
        """Refuse another grid than that of the training: noise of a size per point is another noise on it."""
        version = self.points._version  # looked at anew where it was written: a look waits for the device
        if self._grid[0] != version:
            self._grid = version, tuple(self.points.tolist())
        known = self._grid[1]
        if any(known) and known != tuple(v.shape[2:]):
            raise InputError(
                f"this refiner was trained on a grid {known}, the states have {tuple(v.shape[2:])}: resample them "
                "(sciode.spectral.resample), or train on their grid"
            )

    def _check_resolution(self) -> None:
        dtype = next((p.dtype for p in self.body.parameters()), torch.float64)
        least = torch.finfo(dtype).eps
        if self.config["sigma_min"] < least:
            raise InputError(
                f"sigma_min = {self.config['sigma_min']:g} is below what {dtype} resolves, {least:g}: take "
                "that or more, or weights in float32"
            )


class Draws:
    """A refiner whose noise follows from a seed and the number of the step: a member of an ensemble.

    >>> model = Refiner(1, 1, network={"width": 4, "depth": 1})
    >>> u, dt = torch.zeros(2, 1, 8), torch.ones(2)
    >>> bool((model.seeded(1)(u, dt) == model.seeded(1)(u, dt)).all())
    True
    """

    def __init__(self, model: Refiner, seed: int) -> None:
        self.model, self.seed, self.step = model, seed, 0

    def __call__(self, u: Tensor, dt: Tensor) -> Tensor:
        """Return the state ``dt`` after ``u``."""
        self.step += 1
        return self.model(u, dt, seed=derive_seed(self.seed, "step", self.step))


class _Level:
    """The number of the level, 0 .. K, by time."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, schedule: Schedule, t: Tensor) -> Tensor:
        return schedule.tau(t) * self.steps


def _sampler(schedule: Refinement, name: str, evaluations: int | None) -> Sampler:
    make = lookup(name, SAMPLERS, "sampler of a refiner")
    return make(schedule, _levels(schedule.steps, schedule.steps + 1 if evaluations is None else evaluations))


def _noise_to_data(schedule: Refinement) -> Tensor:
    """Return (a, b) of x0 = a x + b out for every level, ``[2, K + 1]``; out is x0 where all is noise."""
    t = schedule.at(torch.arange(schedule.steps + 1, dtype=torch.float64) / schedule.steps)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    pairs = torch.stack([1.0 / alpha, -sigma / alpha])
    pairs[:, -1] = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return pairs


def _levels(steps: int, evaluations: int) -> list[float]:
    """Return the diffusion times of the calls, all of trained levels: the first and the last, and some between."""
    if type(evaluations) is not int or not 1 <= evaluations <= steps + 1:
        raise InputError(f"a refiner of {steps} steps takes 1 to {steps + 1} evaluations, found {evaluations!r}")
    if evaluations == 1:
        return [1.0]
    return [round(steps * (1 - i / (evaluations - 1))) / steps for i in range(evaluations)]


def _uniform_levels(schedule: Schedule, count: int, generator: Generator | None) -> Tensor:
    assert isinstance(schedule, Refinement)
    # As equal in number as the batch allows, which a few levels of very different size are glad of.
    levels = schedule.steps + 1
    shift = torch.randint(levels, (1,), generator=generator)
    level = (torch.randperm(count, generator=generator) + shift) % levels
    return schedule.at(level.double() / schedule.steps)


def _unconditioned(x: Tensor, level: Tensor) -> Tensor:
    raise InputError("a refiner's denoiser needs the state that it starts from: take Refiner.given")


def first_noise(like: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return standard normal numbers; every sample has a stream of its own, so that a batch may be split."""
    noise = torch.empty_like(like)
    for one, own in zip(noise, seeds, strict=True):
        one.normal_(generator=Generator(like.device).manual_seed(derive_seed(own, "first")))
    return noise

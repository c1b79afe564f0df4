"""Learning a one-step model: windows whose sensors fail now and then, and the best weights kept."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.core.random import generator
from sciode.forecast.design import Design, windows
from sciode.forecast.frame import Frame
from sciode.nn import BatchedMLP


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    steps, batch : int
        Of Adam, and windows in each.
    learning_rate : float
        At the start; falls to zero as a cosine.
    failures : float
        Probability that a sensor is missing in a training window: what makes a model stand its loss.
    seed : int
        Of weights, anchors and batches.
    quiet : bool
        Show no progress.
    """

    steps: int = 2000
    batch: int = 256
    learning_rate: float = 2e-3
    failures: float = 0.15
    seed: int = 0
    quiet: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0 or not 0 <= self.failures < 1:
            raise InputError(
                f"steps and batch are at least 1, the rate above zero and failures in [0, 1), found "
                f"{self.steps!r}, {self.batch!r}, {self.learning_rate!r}, {self.failures!r}"
            )


class Batch(NamedTuple):
    """Inputs ``"b i"`` and what came, ``"b"``."""

    x: Float[Tensor, "b i"]
    y: Float[Tensor, " b"]


class Draw:
    """Draws training windows of a frame: any tick, any lead, sensors failing at random."""

    def __init__(self, frame: Frame, design: Design, failures: float, random: torch.Generator) -> None:
        self.frame, self.design, self.failures, self.random = frame, design, failures, random
        self.series, self.tick = windows(frame, design)

    def __len__(self) -> int:
        """Return the number of windows, each tick counted once."""
        return len(self.series)

    def __call__(self, count: int) -> Batch:
        """Return so many windows."""
        chosen = torch.randint(len(self.series), (count,), generator=self.random)
        series, tick = self.series[chosen], self.tick[chosen]
        part = torch.rand(count, generator=self.random)
        most = (tick - self.design.history).clamp_max(self.design.horizon - 1)
        ahead = (part * (most + 1)).long().clamp_max(most)
        kept = (torch.rand(count, 1 + self.frame.past.shape[-1], generator=self.random) >= self.failures).float()
        return window_batch(self.frame, self.design, series, tick, ahead, kept)


def window_batch(
    frame: Frame, design: Design, series: Tensor, tick: Tensor, ahead: Tensor, kept: Tensor | None = None
) -> Batch:
    """Return the windows whose target is at ``tick``, seen from ``ahead + 1`` ticks before it.

    ``kept`` is 0 for sensors that fail, the target first. A failed target is missing as far as it was measured;
    the values since the origin are a forecast's own.
    """
    lags, good = design.lagged(frame, series, tick)
    own = torch.arange(design.lags) < ahead[:, None]
    good = torch.where(own, 1.0, good)
    heard = None
    if kept is not None:
        good, heard = torch.where(own, good, good * kept[:, :1]), kept[:, 1:]
    rest = design.known(frame, series, tick - 1 - ahead, ahead, heard)
    return Batch(design.joined(lags, good, rest), frame.target[series, tick])


class GaussianStep(nn.Module):
    r"""A network as a one-step model: :math:`\mu = y_t + a(x)`, :math:`\sigma` between two bounds.

    Without bounds, heads of variance collapse or explode away from the data.
    """

    def __init__(self, net: nn.Module, members: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        if not 0 < bounds[0] < bounds[1]:
            raise InputError(f"standard deviations lie between two bounds above zero, found {bounds}")
        self.net, self.bounds, self._members = net, bounds, members

    @property
    def members(self) -> int:
        """How many networks."""
        return self._members

    def card(self) -> dict[str, Any]:
        """Return what :meth:`of` needs beside the tensors."""
        sizes = self.net.sizes if isinstance(self.net, BatchedMLP) else ()
        return {"kind": "gaussian", "members": self.members, "sizes": list(sizes), "bounds": list(self.bounds)}

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "GaussianStep":
        """Return a step of the same shape, its weights still to be loaded."""
        inside, *hidden, outside = card["sizes"]
        net = BatchedMLP(card["members"], inside, outside, hidden[0] if hidden else 1, len(hidden))
        return cls(net, card["members"], (card["bounds"][0], card["bounds"][1]))

    def forward(self, x: Float[Tensor, "*m b i"]) -> tuple[Float[Tensor, "m b"], Float[Tensor, "m b"]]:
        """Return mean and standard deviation."""
        return gaussian(self.net(x), x[..., 0], self.bounds)


def gaussian(
    out: Float[Tensor, "m b 2"], last: Tensor, bounds: tuple[float, float]
) -> tuple[Float[Tensor, "m b"], Float[Tensor, "m b"]]:
    """Return what two outputs of a network mean: a change, and the place of log sigma between its bounds."""
    low, high = (math.log(bound) for bound in bounds)
    return last + out[..., 0], torch.exp(low + (high - low) * torch.sigmoid(out[..., 1]))


def nll(mean: Tensor, std: Tensor, y: Tensor) -> Tensor:
    """Return minus the Gaussian log-density."""
    return 0.5 * ((y - mean) / std).square() + std.log() + 0.5 * math.log(2 * math.pi)


def bounds_of(frame: Frame, design: Design) -> tuple[float, float]:
    """Return the bounds of sigma: a twentieth of the usual change in a tick, and twice the scale."""
    series, tick = windows(frame, design)
    change = frame.target[series, tick] - frame.target[series, tick - 1]
    held = frame.target_good[series, tick - 1] > 0
    usual = float(change[held].std()) if int(held.sum()) > 1 else 1.0
    return min(max(0.05 * usual, 1e-4), 0.1), 2.0


class Learner(Protocol):
    """What is trained: a loss for its parameters, and a score for each member on held-out windows."""

    def loss(self, batch: Batch) -> Tensor:
        """Return what to minimise."""
        ...

    def scores(self, batch: Batch) -> Float[Tensor, " m"]:
        """Return the mean NLL of each member; smaller is better."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained, the members along the first axis of each."""
        ...


def train(
    learner: Learner, frame: Frame, validation: Frame | None, design: Design, training: Training, label: str
) -> None:
    """Train; with validation series each member ends with its own best weights.

    Raises :class:`InputError` where the loss is no longer finite.
    """
    draw = Draw(frame, design, training.failures, generator(training.seed, "windows"))
    held = None
    if validation is not None:
        held = Draw(validation, design, 0.0, generator(training.seed, "validation"))(4096)
    parameters = learner.parameters()
    optimizer = torch.optim.Adam(parameters, lr=training.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
    keep = _Best(parameters, learner.scores, held)
    with progress(label, training.steps, quiet=training.quiet) as bar:
        for step in range(training.steps):
            loss = learner.loss(draw(training.batch))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 50.0)
            optimizer.step()
            schedule.step()
            if (step + 1) % 50 == 0 or step + 1 == training.steps:
                if not torch.isfinite(loss.detach()):
                    raise InputError(f"the loss is {loss.item()} at step {step + 1}: take a lower learning_rate")
                keep.look()
            bar.advance(1)
    keep.restore()


class _Best:
    """The best weights of each member so far."""

    def __init__(
        self, parameters: list[nn.Parameter], scores: Callable[[Batch], Tensor], held: Batch | None
    ) -> None:
        self.parameters, self.scores, self.held = parameters, scores, held
        self.score: Tensor | None = None
        self.kept: list[Tensor] = []

    @torch.no_grad()
    def look(self) -> None:
        if self.held is None:
            return
        found = self.scores(self.held)
        if self.score is None:
            self.score, self.kept = found, [p.detach().clone() for p in self.parameters]
            return
        better = found < self.score
        self.score = torch.where(better, found, self.score)
        for kept, now in zip(self.kept, self.parameters, strict=True):
            # One score is for the whole of every parameter, which then need not have an axis of members.
            chosen = better[0].expand(len(kept)) if len(better) == 1 else better
            kept[chosen] = now[chosen]

    @torch.no_grad()
    def restore(self) -> None:
        for parameter, kept in zip(self.parameters, self.kept, strict=False):
            parameter.copy_(kept)

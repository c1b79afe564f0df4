"""How to train, as plain values that go into the checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from sciode.core.errors import InputError
from sciode.core.names import check_keys, lookup

PRECISIONS = {"no": "no", "bf16": "bf16", "fp16": "fp16"}
_DEFAULT_EPOCHS = 20


@dataclass(frozen=True)
class FitConfig:
    """Settings of :func:`sciode.train.fit`.

    Parameters
    ----------
    epochs, steps : int, optional
        Length of training, one or the other; 20 epochs where neither is given.
    batch : int
        Windows in a step, over all processes together.
    learning_rate, weight_decay : float
        Of AdamW; the rate is the peak of the schedule, and biases and norms do not decay.
    warmup : float
        Part of the training in which the rate climbs linearly; then it falls to zero as a cosine.
    unroll : int
        States predicted in a row, each from the one before.
    pushforward : bool
        Take loss and gradient from the last of them alone (Brandstetter et al., arXiv:2202.03376).
    leads : tuple of int
        Lead times, in steps of the data; several mix in a batch. The smallest above 0 is the reference; 0, a
        state that is its own target, teaches the identity. :func:`sciode.train.all_to_all` gives all of them.
    starts : int, optional
        At most so many starts of windows in a trajectory, from the first state on; None for all.
    stride : int
        States from one start to the next.
    rates : dict
        Factors of the learning rate by group of weights, for models with ``rate_groups()``; 1 for the others.
    clip : float
        Largest norm of the gradient; 0 for no limit.
    ema : float
        Decay of the averaged weights per step, reached gradually; 0 for no average.
    precision : {"no", "bf16", "fp16"}
        Mixed precision.
    patience : int, optional
        Stop after so many validations without a better one.
    seed : int
        Order of the windows, and the randomness inside the model.
    sharded : bool
        Spread weights, gradients, averages and the optimizer's state over the processes (FSDP2, torch 2.6 or
        later), in place of a copy on each. The result and its files are the same. Refused in one process alone,
        with fp16, and for complex weights.
    workers : int
        Processes that read the file, where it does not fit in ``memory``.
    memory : float
        MiB; trajectories are held on the device when they take no more.
    validate_every, checkpoint_every : int
        In epochs. The last epoch does both.
    checkpoint_steps : int, optional
        Save within an epoch too, every so many steps.
    windows_per_epoch : int, optional
        Largest number of windows in an epoch, drawn anew each time.
    """

    epochs: int | None = None
    steps: int | None = None
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    unroll: int = 1
    pushforward: bool = False
    leads: tuple[int, ...] = (1,)
    starts: int | None = None
    stride: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "no"
    patience: int | None = None
    seed: int = 0
    sharded: bool = False
    workers: int = 0
    memory: float = 512.0
    validate_every: int = 1
    checkpoint_every: int = 1
    checkpoint_steps: int | None = None
    windows_per_epoch: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any work starts."""
        object.__setattr__(self, "leads", _leads(self.leads))
        if self.epochs is not None and self.steps is not None:
            raise InputError(f"give epochs or steps, not both: epochs={self.epochs}, steps={self.steps}")
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", _DEFAULT_EPOCHS)
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        for name, low, high in _RANGES:
            _check_range(name, getattr(self, name), low, high)
        for name, factor in self.rates.items():
            _check_range(f"rates[{name!r}]", factor, 0.0, math.inf)
        if self.learning_rate == 0:
            raise InputError("learning_rate must be above 0")
        lookup(self.precision, PRECISIONS, "precision")
        if self.pushforward and self.unroll < 2:
            raise InputError("pushforward needs unroll of at least 2: with one step there is nothing to push")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Build from keys and values; an unknown key is an error that names the nearest known one.

        >>> FitConfig.of({"batch": 8}).batch
        8
        """
        check_keys(config, [field.name for field in fields(cls)], "training option")
        return cls(**config)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {**asdict(self), "leads": list(self.leads), "rates": dict(self.rates)}

    @property
    def reference(self) -> int:
        """The lead time that counts as one."""
        return min(lead for lead in self.leads if lead)


_COUNTS = (
    "starts", "stride", "epochs", "steps", "batch", "unroll", "patience", "validate_every", "checkpoint_every",
    "checkpoint_steps", "windows_per_epoch",
)  # fmt: skip
_OPTIONAL = {"starts", "epochs", "steps", "patience", "checkpoint_steps", "windows_per_epoch"}
_RANGES = (
    ("learning_rate", 0.0, math.inf), ("weight_decay", 0.0, math.inf), ("warmup", 0.0, 1.0),
    ("clip", 0.0, math.inf), ("ema", 0.0, 1.0), ("workers", 0, math.inf), ("memory", 0.0, math.inf),
)  # fmt: skip


def _leads(leads: Any) -> tuple[int, ...]:
    values = (leads,) if isinstance(leads, int) else tuple(leads)
    if not any(values) or any(type(lead) is not int or lead < 0 for lead in values):
        raise InputError(f"leads takes whole numbers of data steps from 0 up, one above 0, got {leads!r}")
    if len(set(values)) != len(values):
        raise InputError(f"leads holds a value twice: {values}")
    return values


def all_to_all(times: int, stride: int = 1, identity: bool = True) -> tuple[int, ...]:
    """Return the leads that pair every state with every later one, and with itself.

    For trajectories of ``times`` states, of which every ``stride``-th is used: give ``stride`` to ``fit`` too.
    Such pairs hold because solutions form a semigroup; they make n (n + 1) / 2 samples of n states.
    Source: Herde et al. (arXiv:2405.19101), section 2.

    >>> all_to_all(15, stride=2)
    (0, 2, 4, 6, 8, 10, 12, 14)
    >>> all_to_all(3, identity=False)
    (1, 2)
    """
    if times < 2 or stride < 1 or stride >= times:
        raise InputError(f"all_to_all pairs at least two states, got times={times}, stride={stride}")
    return tuple(range(0 if identity else stride, times, stride))


def _check_count(name: str, value: Any) -> None:
    if value is None and name in _OPTIONAL:
        return
    if type(value) is not int or value < 1:
        raise InputError(f"{name} takes a whole number from 1 up, got {value!r}")


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (low <= value <= high) or (value == high):
        raise InputError(f"{name} takes a number from {low:g} to below {high:g}, got {value!r}")

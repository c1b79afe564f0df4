r"""One contract for all models: ``denoise(x, t)`` receives x = alpha x0 + sigma eps and returns x0.

Symbols: ``x`` noisy state, ``t`` the library's time, ``out`` what the network returns, ``rho`` = sigma/alpha.
"""

import math
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.generative.schedule import Schedule
from sciode.generative.tabled import Tabled

Denoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(x ``"b ..."``, t ``[]`` or ``[b]`` float64) -> x0 ``"b ..."``."""

Guidance: TypeAlias = Callable[[Denoise], Denoise]
"""A change of the model: guidance composes as functions do."""

Coefficients: TypeAlias = tuple[Tensor, Tensor]


class Prediction(Enum):
    r"""What a network returns.

    ``NOISE`` eps; ``DATA`` x0; ``VELOCITY`` alpha eps - sigma x0; ``SCORE`` -eps / sigma; ``FLOW`` eps - x0;
    ``EDM`` the raw network F of arXiv:2206.00364, equation (7), in x / alpha at noise level sigma / alpha.
    """

    NOISE = "noise"
    DATA = "data"
    VELOCITY = "velocity"
    SCORE = "score"
    FLOW = "flow"
    EDM = "edm"


class Denoiser(nn.Module):
    r"""A network, seen as the conditional mean of the data.

    Parameters
    ----------
    network
        ``(x, label) -> out``, ``"b ..."`` each; ``label`` is ``[b]`` in x's dtype.
    schedule
        The schedule it was trained for.
    prediction
        What it returns.
    label
        The network's own notion of time: a function of (schedule, t). None: the diffusion time, and for
        ``EDM`` :math:`\tfrac14 \log(\sigma/\alpha)`. See :func:`discrete_label`.
    sigma_data
        Standard deviation of the data, for ``EDM``.

    Raises
    ------
    InputError
        For a schedule and a prediction that cannot be combined at a time that sampling needs, such as a score
        at zero noise.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> schedule = VP()
    >>> denoise = Denoiser(lambda x, label: torch.zeros_like(x), schedule, Prediction.NOISE)
    >>> x = torch.ones(2, 3)
    >>> bool(torch.allclose(denoise(x, torch.tensor(0.5)) * schedule.alpha(0.5).float(), x))
    True
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        schedule: Schedule,
        prediction: Prediction = Prediction.DATA,
        *,
        label: Callable[[Schedule, Tensor], Tensor] | None = None,
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__()
        if not isinstance(prediction, Prediction):
            names = ", ".join(f"Prediction.{kind.name}" for kind in Prediction)
            raise InputError(f"prediction takes one of {names}; found {prediction!r}")
        self.network, self.schedule, self.prediction = network, schedule, prediction
        self.label, self.sigma_data = label, sigma_data
        self._tables: dict[Any, Tabled] = {}

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return x0."""
        out = self.output(x, t)
        if self.prediction is Prediction.DATA:
            return out
        return self._affine(self._at(t, x, self._to_data), x, out, self.schedule.centre)

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eps, without a way round by x0 where the network returns it."""
        out = self.output(x, t)
        if self.prediction is Prediction.NOISE:
            return out
        if self.prediction is Prediction.DATA and self.schedule.centre is not None:
            out = out - self.schedule.centre.to(out)  # the other predictions are of centred data
        return self._affine(self._at(t, x, self._to_noise), x, out, None)

    def around(self, network: Callable[..., Tensor]) -> "Denoiser":
        """Return this denoiser with another network, such as one that knows a condition; numbers are shared."""
        twin = Denoiser(network, self.schedule, self.prediction, label=self.label, sigma_data=self.sigma_data)
        twin._tables = self._tables
        return twin

    def check(self, t: Tensor) -> None:
        """Raise :class:`InputError` where the conversion to x0 is singular, ``t`` float64 ``[k]`` on the host."""
        a, b = self._to_data(t)
        bad = ~(torch.isfinite(a) & torch.isfinite(b))
        if bool(bad.any()):
            at = t[bad][0]
            raise InputError(
                f"a network that predicts {self.prediction.name} says nothing of the data at t = {at:.6g}, where "
                f"alpha = {self.schedule.alpha(at):.3g} and sigma = {self.schedule.sigma(at):.3g}: begin later "
                "or end earlier"
            )

    def output(self, x: Tensor, t: Tensor) -> Tensor:
        """Return what the network returns, of a state ``"b ..."`` at times ``[]`` or ``[b]``."""
        label = self._at(t, x, self._label)
        scaled = x * column(self._at(t, x, self._input_scale), x) if self.prediction is Prediction.EDM else x
        return self.network(scaled, label.expand(x.shape[0]))

    def _at(self, t: Tensor, x: Tensor, function: Callable[[Tensor], Any]) -> Any:
        """Return a function of time at ``t``, in x's dtype."""
        key = (function.__name__, x.dtype)
        if key not in self._tables:
            self._tables[key] = tabled_as(x.dtype, function)
        return self._tables[key](t)

    def _affine(self, pair: Coefficients, x: Tensor, out: Tensor, back: Tensor | None) -> Tensor:
        """Return a x + b out, in coordinates centred as the noise is; ``back``: and out of them again."""
        if self.schedule.centre is None:
            return affine(pair, x, out)
        moved = affine(pair, x - self.schedule.centre.to(x), out)
        return moved if back is None else moved + back.to(x)

    def _label(self, t: Tensor) -> Tensor:
        if self.label is not None:
            return self.label(self.schedule, t)
        if self.prediction is Prediction.EDM:
            return -0.25 * self.schedule.lam(t)
        return self.schedule.tau(t)

    def _input_scale(self, t: Tensor) -> Tensor:
        rho = torch.exp(-self.schedule.lam(t))
        return 1.0 / (torch.sqrt(rho**2 + self.sigma_data**2) * self.schedule.alpha(t))

    def _to_data(self, t: Tensor) -> Coefficients:
        """Return (a, b) of x0 = a x + b out."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        match self.prediction:
            case Prediction.DATA:
                return torch.zeros_like(alpha), torch.ones_like(alpha)
            case Prediction.NOISE:
                return 1.0 / alpha, -sigma / alpha
            case Prediction.SCORE:
                # At zero noise the score may be anything: no limit to take.
                return 1.0 / alpha, torch.where(sigma > 0.0, sigma**2 / alpha, math.nan)
            case Prediction.VELOCITY:
                total = alpha**2 + sigma**2
                return alpha / total, -sigma / total
            case Prediction.FLOW:
                return 1.0 / (alpha + sigma), -sigma / (alpha + sigma)
        rho, data = sigma / alpha, self.sigma_data
        return data**2 / (rho**2 + data**2) / alpha, rho * data / torch.sqrt(rho**2 + data**2)

    def _to_noise(self, t: Tensor) -> Coefficients:
        """Return (a, b) of eps = a x + b out."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        a, b = self._to_data(t)
        return (1.0 - alpha * a) / sigma, -alpha * b / sigma


def discrete_label(count: int = 1000) -> Callable[[Schedule, Tensor], Tensor]:
    """Return the label of networks trained on ``count`` discrete times: (tau - 1 / count) * count, from 0.

    >>> from sciode.generative import VP
    >>> discrete_label(1000)(VP(), torch.tensor(0.5, dtype=torch.float64)).item()
    499.0
    """
    return lambda schedule, t: schedule.tau(t) * count - 1.0


def guided(denoise: Denoise, guidance: Sequence[Guidance]) -> Denoise:
    """Return a denoiser wrapped by guidance, of which the first is the outermost."""
    for wrap in reversed(guidance):
        denoise = wrap(denoise)
    return denoise


def to_noise(denoise: Denoise, schedule: Schedule) -> Denoise:
    """Return eps(x, t) of a denoiser: directly where it can, else (x - alpha x0) / sigma."""
    direct = getattr(denoise, "noise", None)
    if direct is not None:
        return direct

    def coefficients(t: Tensor) -> Coefficients:
        sigma = schedule.sigma(t)
        return 1.0 / sigma, -schedule.alpha(t) / sigma

    tables: dict[torch.dtype, Tabled] = {}

    def noise(x: Tensor, t: Tensor) -> Tensor:
        if x.dtype not in tables:
            tables[x.dtype] = tabled_as(x.dtype, coefficients)
        x0 = denoise(x, t)
        if schedule.centre is not None:
            x, x0 = x - schedule.centre.to(x), x0 - schedule.centre.to(x)
        return affine(tables[x.dtype](t), x, x0)

    return noise


def tabled_as(dtype: torch.dtype, function: Callable[[Tensor], Any]) -> Tabled:
    """Return a tabled function whose values have the given dtype."""

    def cast(t: Tensor) -> Any:
        value = function(t)
        return tuple(v.to(dtype) for v in value) if isinstance(value, tuple) else value.to(dtype)

    return Tabled(cast)


def affine(pair: Coefficients, x: Tensor, out: Tensor) -> Tensor:
    """Return a x + b out, for numbers ``[]`` or ``[b]``."""
    a, b = (column(value, x) for value in pair)
    return torch.addcmul(x * a, b, out)


def column(value: Tensor, x: Tensor) -> Tensor:
    """Let a tensor ``[]`` or ``[b]`` broadcast over ``"b ..."``."""
    return value.reshape(-1, *[1] * (x.dim() - 1)) if value.dim() else value

"""Series as tensors: which channel is what, on which scale, and which of its values are good."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError

_HELD = 1.0  # s, the age at which a held value tells no more about its age


@dataclass(frozen=True)
class Channels:
    """What a model reads and forecasts: names by role, their units, and the rate of the clock, Hz."""

    target: str
    past: tuple[str, ...]
    known: tuple[str, ...]
    units: Mapping[str, str]
    rate: float

    @property
    def names(self) -> tuple[str, ...]:
        """All channels, the target first."""
        return (self.target, *self.past, *self.known)

    @classmethod
    def of(cls, series: xr.Dataset) -> Self:
        """Read the channels from the attributes ``role`` and ``units`` of the variables.

        Raises :class:`InputError` unless exactly one is the target, and without ``sample_rate``.
        """
        roles = {str(n): str(v.attrs["role"]) for n, v in series.data_vars.items() if "role" in v.attrs}
        targets = [name for name, role in roles.items() if role == "target"]
        if len(targets) != 1:
            raise InputError(
                f"a forecaster has one target, a variable with role = 'target'; found {targets or 'none'}"
            )
        if "sample_rate" not in series.attrs:
            raise InputError("the series lack the attribute sample_rate, Hz")
        past = tuple(sorted(name for name, role in roles.items() if role == "past_covariate"))
        known = tuple(sorted(name for name, role in roles.items() if role == "known_future"))
        units = {name: str(series[name].attrs.get("units", "")) for name in (*targets, *past, *known)}
        return cls(targets[0], past, known, units, float(series.attrs["sample_rate"]))

    def check(self, series: xr.Dataset, names: tuple[str, ...]) -> None:
        """Raise :class:`InputError`, saying which, where channels, units or rate are not the model's."""
        missing = [name for name in names if name not in series]
        if missing:
            raise InputError(f"the series lack {', '.join(missing)}; they have {', '.join(map(str, series))}")
        for name in names:
            found = str(series[name].attrs.get("units", ""))
            if found != self.units[name]:
                raise InputError(
                    f"{name} is in {found!r}, the model was fitted to {self.units[name]!r}: convert it first"
                )
            if set(series[name].dims) != {"series", "time"}:
                raise InputError(f"{name} has dimensions {series[name].dims}, expected (series, time)")
        rate = float(series.attrs.get("sample_rate", float("nan")))
        if not abs(rate - self.rate) <= 1e-6 * self.rate:
            raise InputError(f"the series are at {rate:g} Hz, the model was fitted at {self.rate:g} Hz")


@dataclass(frozen=True)
class Scale:
    """A channel's scale: z = (f(x) - mean) / std, where f is the logarithm of at least ``floor`` or nothing."""

    mean: float
    std: float
    floor: float | None = None

    @classmethod
    def of(cls, values: Tensor, log: bool, name: str) -> Self:
        """Fit a scale to good values."""
        if not len(values):
            raise InputError(f"{name} has no good value in the training series")
        floor = None
        if log:
            above = values[values > 0]
            if not len(above):
                raise InputError(f"{name} has no value above zero, its logarithm is asked for")
            floor = 1e-3 * float(above.median())
            values = values.clamp_min(floor).log()
        std = float(values.std(correction=0))
        return cls(float(values.mean()), std if std > 1e-12 else 1.0, floor)

    def into(self, values: Tensor) -> Tensor:
        """Return physical values on the scale."""
        shaped = values if self.floor is None else values.clamp_min(self.floor).log()
        return (shaped - self.mean) / self.std

    def out(self, z: Tensor) -> Tensor:
        """Return values on the scale as physical ones."""
        shaped = z * self.std + self.mean
        return shaped if self.floor is None else shaped.exp()

    def card(self) -> dict[str, Any]:
        """Return what goes into a JSON card."""
        return asdict(self)


@dataclass(frozen=True)
class Frame:
    """Series as tensors on the model's scale, zero where not good.

    ``target`` ``"s t"``, its mask, and the mask of what a model may look at; ``past`` ``"s t c"``, mask and age
    (in units of a second, at most 1);
    ``known`` ``"s t u"`` and mask. Masks are 0 or 1, of the dtype of the values.
    """

    target: Float[Tensor, "s t"]
    target_good: Float[Tensor, "s t"]
    target_heard: Float[Tensor, "s t"]
    past: Float[Tensor, "s t c"]
    past_good: Float[Tensor, "s t c"]
    past_age: Float[Tensor, "s t c"]
    known: Float[Tensor, "s t u"]
    known_good: Float[Tensor, "s t u"]

    @classmethod
    def of(
        cls,
        series: xr.Dataset,
        channels: Channels,
        scales: Mapping[str, Scale],
        dtype: torch.dtype,
        deaf: tuple[str, ...] = (),
    ) -> "Frame":
        """Put series on the scales; the measurements of ``deaf`` channels count as missing."""
        target, good, _ = _column(series, channels.target, scales, dtype)
        past = [_column(series, name, scales, dtype, name in deaf) for name in channels.past]
        known = [_column(series, name, scales, dtype, name in deaf) for name in channels.known]
        heard = torch.zeros_like(good) if channels.target in deaf else good
        return cls(target, good, heard, *_table(past, target), *_table(known, target)[:2])

    def to(self, device: torch.device) -> "Frame":
        """Return the same tensors on a device."""
        return Frame(**{name: value.to(device) for name, value in vars(self).items()})


def values(series: xr.Dataset, name: str) -> tuple[Tensor, Tensor]:
    """Return physical values ``"s t"``, float64, and which of them are good: finite, and so marked."""
    x = torch.from_numpy(series[name].transpose("series", "time").values.astype("float64"))
    good = torch.isfinite(x)
    if f"{name}_good" in series:
        marked = series[f"{name}_good"].transpose("series", "time").values.astype(bool)
        good &= torch.from_numpy(marked.copy())
    return x, good


def _column(
    series: xr.Dataset, name: str, scales: Mapping[str, Scale], dtype: torch.dtype, deaf: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    x, good = values(series, name)
    good = torch.zeros_like(good) if deaf else good
    z = torch.where(good, scales[name].into(torch.where(good, x, 1.0)), 0.0)
    age = torch.zeros_like(z)
    if f"{name}_age" in series:
        told = torch.from_numpy(series[f"{name}_age"].transpose("series", "time").values.astype("float64"))
        age = (told / _HELD).nan_to_num(1.0).clamp(0.0, 1.0)
    return z.to(dtype), good.to(dtype), torch.where(good, age, 1.0).to(dtype)


def _table(columns: list[tuple[Tensor, Tensor, Tensor]], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not columns:
        return tuple(like.new_zeros(*like.shape, 0) for _ in range(3))  # type: ignore[return-value]
    z, good, age = (torch.stack(part, dim=-1) for part in zip(*columns, strict=True))
    return z, good, age

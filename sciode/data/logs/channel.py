"""What a log says of a channel: name, unit, role, how it is stored, and when its samples were taken."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import InputError, LayoutError
from sciode.core.names import lookup

ROLES = ("target", "past_covariate", "known_future", "ignore")
KINDS = ("continuous", "discrete", "event", "angle")
BITS = ("gap", "clipped", "spike", "stale", "interpolated", "manual")
"""Names of the quality bits, from the lowest; 0 is a good sample."""


@dataclass(frozen=True)
class Channel:
    """One measured quantity.

    Parameters
    ----------
    name : str
        Unique within a run; also the name of its dataset.
    units : str
        Of the physical values, a string that pint reads, "" for a number without one.
    role : {"target", "past_covariate", "known_future", "ignore"}
        What a forecaster may do with it; "known_future" is a control signal that is planned ahead.
    kind : {"continuous", "discrete", "event", "angle"}
        Whether values between samples mean anything.
    long_name, sensor_id : str
        For people.
    scale, offset : float
        physical = scale * stored + offset.
    valid_min, valid_max : float, optional
        Physical; values beyond are not good.
    fill_value : float, optional
        Stored value that stands for nothing, of integer channels.
    period : float, optional
        Of an angle, in its unit.
    latency : float
        Seconds from the moment that a sample is of until it is known.

    Raises
    ------
    InputError
        For a name that is no name of a dataset, a unit that pint does not know, an unknown role or kind.

    Examples
    --------
    >>> Channel("p_dyn", "bar", role="target").units
    'bar'
    """

    name: str
    units: str = ""
    role: str = "past_covariate"
    kind: str = "continuous"
    long_name: str = ""
    scale: float = 1.0
    offset: float = 0.0
    valid_min: float | None = None
    valid_max: float | None = None
    fill_value: float | None = None
    period: float | None = None
    sensor_id: str = ""
    latency: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name in (".", "quality", "time"):
            raise InputError(
                f"{self.name!r} is no name of a channel: not empty, without '/', not 'quality' or 'time'"
            )
        lookup(self.role, dict.fromkeys(ROLES), f"role of channel {self.name}")
        lookup(self.kind, dict.fromkeys(KINDS), f"kind of channel {self.name}")
        check_units(self.units, self.name)
        if self.scale == 0 or not math.isfinite(self.scale) or not math.isfinite(self.offset):
            raise InputError(
                f"channel {self.name}: scale is finite and not 0, found {self.scale!r}, {self.offset!r}"
            )
        if not (self.latency >= 0 and math.isfinite(self.latency)):
            raise InputError(f"channel {self.name}: latency is in seconds from 0 up, found {self.latency!r}")

    def attributes(self) -> dict[str, Any]:
        """Return what is written beside the dataset: all that says something."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}
        return {key: value for key, value in own.items() if value is not None and (value != "" or key == "units")}

    @classmethod
    def of(cls, name: str, attributes: dict[str, Any], where: str) -> "Channel":
        """Read a channel from the attributes of its dataset.

        Raises :class:`LayoutError` naming ``where`` for values that make no channel.
        """
        known = {f.name for f in fields(cls)} - {"name"}
        try:
            return cls(name, **{key: plain(value) for key, value in attributes.items() if key in known})
        except (InputError, TypeError) as error:
            raise LayoutError(f"{where}: {error}") from error

    def physical(self, stored: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return values in their unit, NaN where there is none, and which are good by themselves.

        >>> Channel("t", "kelvin", scale=0.5, fill_value=-1).physical(np.array([4, -1]))[0]
        array([ 2., nan])
        """
        values = stored.astype(np.float64)
        good = np.isfinite(values)
        if self.fill_value is not None:
            good &= stored != self.fill_value
        values = np.where(good, self.scale * values + self.offset, np.nan)
        with np.errstate(invalid="ignore"):
            if self.valid_min is not None:
                good &= values >= self.valid_min
            if self.valid_max is not None:
                good &= values <= self.valid_max
        return values, good


@dataclass(frozen=True, eq=False)
class Clock:
    """When the samples of a group were taken, in seconds from the start of the run.

    Regular: sample i at ``start + i / (rate (1 + ppm / 1e6))``. Irregular: ``times``, strictly increasing.

    >>> Clock(start=1.0, rate=10.0).time(np.array([0, 5]))
    array([1. , 1.5])
    """

    start: float = 0.0
    rate: float | None = None
    ppm: float = 0.0
    times: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.times is None):
            raise InputError("a clock has a rate or times, one of them")
        if self.rate is not None and not (self.rate > 0 and math.isfinite(self.rate)):
            raise InputError(f"a sample rate is in Hz above zero, found {self.rate!r}")
        if not (math.isfinite(self.start) and abs(self.ppm) < 1e6):
            raise InputError(
                f"a clock starts at a finite time and drifts by ppm, found {self.start!r}, {self.ppm!r}"
            )

    @property
    def step(self) -> float:
        """Seconds between samples; the median where they are irregular, NaN for fewer than two."""
        if self.rate is not None:
            return 1.0 / (self.rate * (1.0 + self.ppm / 1e6))
        assert self.times is not None
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else math.nan

    def time(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the times of samples."""
        if self.times is not None:
            return np.asarray(self.times[index], dtype=np.float64)
        return self.start + np.asarray(index, dtype=np.float64) * self.step

    def before(self, time: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the number of the last sample at or before each time; -1 where there is none.

        >>> Clock(rate=10.0).before(np.array([-0.1, 0.0, 0.3, 0.35])).tolist()
        [-1, 0, 3, 3]
        """
        if self.times is not None:
            return np.searchsorted(self.times, time, side="right").astype(np.int64) - 1
        position = (np.asarray(time, dtype=np.float64) - self.start) / self.step
        # A time that is a sample's own but for round-off is that sample's.
        whole = np.rint(position)
        near = np.abs(position - whole) <= 1e-9 * np.maximum(1.0, np.abs(position))
        return np.maximum(np.where(near, whole, np.floor(position)), -1.0).astype(np.int64)


def check_units(units: str, channel: str) -> None:
    """Raise :class:`InputError` for a unit that pint does not know."""
    try:
        _registry().parse_units(units)
    except Exception as error:
        raise InputError(f"channel {channel}: pint does not know the unit {units!r} ({error})") from error


def conversion(found: str, wanted: str, channel: str) -> tuple[float, float]:
    """Return (scale, offset) from one unit to another.

    Raises :class:`InputError` where one measures something else.

    >>> conversion("degC", "kelvin", "T")
    (1.0, 273.15)
    """
    registry = _registry()
    try:
        zero, one = (registry.Quantity(value, found).to(wanted).magnitude for value in (0.0, 1.0))
    except Exception as error:
        raise InputError(f"channel {channel} is in {found!r}, expected {wanted!r}: {error}") from error
    return round(one - zero, 12), float(zero)


def _registry() -> Any:
    import pint

    return pint.get_application_registry()


def plain(value: Any) -> Any:
    """Return an HDF5 attribute as a Python value: bytes decoded, numpy scalars unwrapped."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value

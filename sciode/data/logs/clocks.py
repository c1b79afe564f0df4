"""When the samples of a foreign file were taken: its clocks as seconds of a run, exact to the nanosecond."""

import datetime
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import InputError, LayoutError
from sciode.core.names import lookup
from sciode.data.logs.channel import conversion, plain
from sciode.data.logs.columns import Column, column

_SOURCES = ("rate", "attribute", "dataset")
_ZERO = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_GPS = 315_964_800  # 1980-01-06, seconds of Unix time.
# GPS seconds at which UTC took a leap second (IERS Bulletin C; none after 2017 has been announced).
_LEAPS = (
    *(46828800, 78364801, 109900802, 173059203, 252028804, 315187205, 346723206, 393984007, 425520008),
    *(457056009, 504489610, 551750411, 599184012, 820108813, 914803214, 1025136015, 1119744016, 1167264017),
)


@dataclass(frozen=True)
class ClockSpec:
    """Where the times of a group of channels are.

    Parameters
    ----------
    source : {"rate", "attribute", "dataset", ""}
        "rate": ``rate`` in Hz is known. "attribute": ``path`` names an attribute, of the first channel, with the
        seconds between samples. "dataset": ``path`` is a dataset of times, in ``units``, or of ISO 8601 texts.
        "": the one dataset that looks like times is looked for; several are an error.
    path : str
        See above; of a dataset, relative to the run's group, or absolute.
    rate : float
        Hz.
    start : float
        Time of the first sample, s; added to what the file says.
    units : str
        Of a dataset of times.
    zero : {"first", "run"}
        What times of a dataset are counted from, where there is no epoch.
    epoch : str
        What times are counted from: ISO 8601 with offset, "gps", or "@NAME", an attribute (of the first channel,
        or of the dataset of times) that holds ISO 8601. A run then begins with its earliest sample.
    offset : str
        Name of an attribute of the first channel: seconds after the epoch at which it begins.
    timezone : str
        Of texts without an offset, such as "Europe/Berlin" or "UTC": of stamps, and of an epoch in an attribute.
    """

    source: str = "rate"
    path: str = ""
    rate: float = 0.0
    start: float = 0.0
    units: str = "s"
    zero: str = "first"
    epoch: str = ""
    offset: str = ""
    timezone: str = ""

    def check(self, where: str) -> None:
        """Raise :class:`InputError` for a clock that cannot be read."""
        if self.source:
            lookup(self.source, dict.fromkeys(_SOURCES), f"source of the clock {where}")
        lookup(self.zero, {"first": 0, "run": 0}, f"zero of the clock {where}")
        if self.source == "rate" and not self.rate > 0:
            raise InputError(f"clock {where}: give rate = ... in Hz, found {self.rate!r}")
        if self.source in ("attribute", "dataset") and not self.path:
            raise InputError(f"clock {where}: source {self.source!r} needs path = ...")
        if self.offset and not self.epoch:
            raise InputError(f'clock {where}: offset = "{self.offset}" needs an epoch that it is counted from')
        if self.epoch not in ("", "gps") and not self.epoch.startswith("@"):
            moment(self.epoch, f"epoch of clock {where}")
        if self.timezone:
            _zone(self.timezone, where)
        conversion(self.units, "s", f"clock {where}")


@dataclass(frozen=True, eq=False)
class Stamps:
    """A clock as found: regular (``hertz``) or ``ticks`` in units of ``scale`` s; ``epoch`` in ns of Unix time."""

    hertz: float | None
    ticks: NDArray[Any]
    scale: Fraction
    epoch: int | None
    start: Fraction
    zero: str = "run"

    @property
    def begins(self) -> int | None:
        """Moment of the earliest sample, ns of Unix time; None where it is not known."""
        if self.epoch is None:
            return None
        if self.hertz is not None:
            return self.epoch + floor(self.start * 10**9)
        kept = self.ticks[np.isfinite(self.ticks)]
        return (
            None if not len(kept) else self.epoch + floor((_exact(kept.min()) * self.scale + self.start) * 10**9)
        )

    def times(self, begun: int | None) -> NDArray[np.float64]:
        """Return times of all samples, seconds after ``begun``; of a regular clock, of the first sample alone."""
        since = Fraction(0) if self.epoch is None or begun is None else Fraction(self.epoch - begun, 10**9)
        if self.hertz is not None:
            return np.array([float(since + self.start)])
        if not len(self.ticks):
            return np.zeros(0)
        # Absolute times have no digits to spare: whole ticks go first, in the numbers' own type.
        if self.epoch is None:
            base = self.ticks[0] if self.zero == "first" else 0
            rest = self.start
        else:
            base = floor((-since - self.start) / self.scale)
            rest = since + self.start + base * self.scale
        return np.asarray((self.ticks - base) * float(self.scale) + float(rest), dtype=np.float64)


def read_stamps(group: h5py.Group, spec: ClockSpec, first: Column, count: int, where: str) -> Stamps:
    """Read a clock for a rate whose first channel is ``first``.

    Raises :class:`LayoutError` for what the file lacks and for times that cannot be told.
    """
    start = Fraction(spec.start)
    if spec.offset:
        start += Fraction(float(plain(_attribute(first.data, spec.offset))))
    if spec.source == "rate":
        return Stamps(spec.rate, np.zeros(0), Fraction(1), _epoch(spec, first.data, start), start)
    if spec.source == "attribute":
        step = float(plain(_attribute(first.data, spec.path)))
        if not step > 0:
            raise LayoutError(f"{first.data.name} has no attribute {spec.path} above zero, found {step:g}")
        return Stamps(1.0 / step, np.zeros(0), Fraction(1), _epoch(spec, first.data, start), start)
    found = column(group, spec.path)
    if len(found) != count:
        raise LayoutError(f"{group.name}: {spec.path} has {len(found)} times, its channels {count} samples")
    ticks, kind = found.rows(0, count), found.dtype.kind
    if kind in "SUO":
        nanos = texts(ticks.tolist(), spec.timezone, f"{group.name}: {spec.path}")
        return Stamps(None, nanos, Fraction(1, 10**9), 0, start)
    if kind not in "fiu":
        raise LayoutError(f"{group.name}: {spec.path} holds no times but {found.dtype}")
    ticks = ticks.astype(np.int64 if kind in "iu" else np.float64)
    scale = Fraction(conversion(spec.units, "s", where)[0]).limit_denominator(10**12)
    earliest = start if not count else _exact(np.nanmin(ticks)) * scale + start
    return Stamps(None, ticks, scale, _epoch(spec, found.data, earliest), start, spec.zero)


def moment(text: str, where: str) -> int:
    """Return ISO 8601 with offset as ns of Unix time.

    >>> moment("1970-01-01T01:00:00.5+01:00", "the start")
    500000000
    """
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{where} is ISO 8601, found {text!r}") from error
    if found.tzinfo is None:
        raise InputError(f"{where}, {text!r}, has no offset from UTC: end it with Z or +hh:mm")
    return (found - _ZERO) // datetime.timedelta(microseconds=1) * 1000


def iso(nanos: int) -> str:
    """Return ns of Unix time as ISO 8601, to the microsecond below.

    >>> iso(500_000_000)
    '1970-01-01T00:00:00.500000Z'
    """
    return f"{_ZERO + datetime.timedelta(microseconds=nanos // 1000):%Y-%m-%dT%H:%M:%S.%fZ}"


def texts(stamps: Sequence[bytes | str], zone: str, where: str) -> NDArray[np.int64]:
    """Return ISO 8601 texts as ns of Unix time.

    Raises :class:`LayoutError` for texts that are none, that have no offset though no zone is given, and for local
    times that a change of the clocks makes happen twice or never.
    """
    local = _zone(zone, where) if zone else None
    found = np.empty(len(stamps), dtype=np.int64)
    for i, stamp in enumerate(stamps):
        text = stamp.decode("utf-8", "replace") if isinstance(stamp, bytes) else str(stamp)
        try:
            when = datetime.datetime.fromisoformat(text.strip().rstrip("\0"))
        except ValueError as error:
            raise LayoutError(f"{where}: stamp {i}, {text!r}, is not ISO 8601") from error
        if when.tzinfo is None:
            if local is None:
                raise LayoutError(
                    f'{where}: stamp {i}, {text!r}, has no offset from UTC: add timezone = "UTC" (or the zone it '
                    "was written in) to the clock"
                )
            early, late = when.replace(tzinfo=local, fold=0), when.replace(tzinfo=local, fold=1)
            if early.utcoffset() != late.utcoffset():
                raise LayoutError(f"{where}: stamp {i}, {text!r}, happens twice or never in {zone}: log in UTC")
            when = early
        found[i] = (when - _ZERO) // datetime.timedelta(microseconds=1) * 1000
    return found


def _epoch(spec: ClockSpec, data: h5py.Dataset, first: Fraction) -> int | None:
    """Return the epoch in ns of Unix time; ``first`` says how many leap seconds GPS time has had."""
    if not spec.epoch:
        return None
    if spec.epoch == "gps":
        return (_GPS - sum(first >= leap for leap in _LEAPS)) * 10**9
    if not spec.epoch.startswith("@"):
        return moment(spec.epoch, "epoch")
    name = spec.epoch[1:]
    return int(texts([plain(_attribute(data, name))], spec.timezone, f"{data.name}, attribute {name}")[0])


def _attribute(data: h5py.Dataset, name: str) -> Any:
    if name not in data.attrs:
        raise LayoutError(f"{data.name} has no attribute {name}; it has {', '.join(data.attrs)}")
    value = data.attrs[name]
    return value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value


def _zone(name: str, where: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"clock {where}: {name!r} is no time zone such as Europe/Berlin") from error


def _exact(tick: Any) -> Fraction:
    return Fraction(int(tick)) if isinstance(tick, np.integer) else Fraction(float(tick))

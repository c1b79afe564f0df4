"""Other people's logs: a description in TOML of where runs, times and channels are."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sciode.core.errors import InputError
from sciode.core.names import check_keys, lookup
from sciode.data.logs.channel import Channel, conversion

_CLOCKS = ("rate", "attribute", "dataset")


@dataclass(frozen=True)
class ClockSpec:
    """Where the times of a group of channels are.

    Parameters
    ----------
    source : {"rate", "attribute", "dataset"}
        "rate": ``rate`` in Hz is known. "attribute": ``path`` names an attribute of the first channel with "
        "the seconds
        between samples. "dataset": ``path`` is a dataset of times, in ``units``.
    path : str
        See above; of a dataset, relative to the run's group, or absolute.
    rate : float
        Hz.
    start : float
        Time of the first sample, s of the run; times of a dataset are counted from its first where ``zero``
        is "first".
    units : str
        Of a dataset of times.
    zero : {"first", "run"}
        What times of a dataset are counted from.
    """

    source: str = "rate"
    path: str = ""
    rate: float = 0.0
    start: float = 0.0
    units: str = "s"
    zero: str = "first"

    def check(self, where: str) -> None:
        """Raise :class:`InputError` for a clock that cannot be read."""
        lookup(self.source, dict.fromkeys(_CLOCKS), f"source of the clock {where}")
        lookup(self.zero, {"first": 0, "run": 0}, f"zero of the clock {where}")
        if self.source == "rate" and not self.rate > 0:
            raise InputError(f"clock {where}: give rate = ... in Hz, found {self.rate!r}")
        if self.source != "rate" and not self.path:
            raise InputError(f"clock {where}: source {self.source!r} needs path = ...")
        conversion(self.units, "s", f"clock {where}")


@dataclass(frozen=True)
class RateSpec:
    """Channels that share a clock: path of each in a run, and what it is; ``missing`` values stand for nothing."""

    name: str
    clock: ClockSpec
    channels: tuple[tuple[str, Channel], ...]
    missing: tuple[float, ...] = ()


@dataclass(frozen=True)
class LogSpec:
    """Where a file of another layout has its runs.

    Parameters
    ----------
    rates : tuple of RateSpec
        The channels.
    runs : str
        Paths of the groups that are runs, with wildcards; "/" for a file that is one run.
    pattern : str
        Regular expression on the path of a run (of the file's name where the run is "/") whose named groups
        are numbers: the run's conditions.
    start, start_attribute : str
        When runs began, ISO 8601 with offset: one for all, or the name of an attribute of each.
    title : str
        Of the log.

    Examples
    --------
    >>> spec = LogSpec.parse('''
    ... runs = "/shot_*"
    ... start = "2026-01-01T00:00:00Z"
    ... [[rates]]
    ... name = "fast"
    ... clock = { source = "rate", rate = 1000.0 }
    ... channels = [{ path = "pressure", name = "p", units = "bar", role = "target" }]
    ... ''')
    >>> spec.rates[0].channels[0][1].role
    'target'
    """

    rates: tuple[RateSpec, ...]
    runs: str = "/"
    pattern: str = ""
    start: str = ""
    start_attribute: str = ""
    title: str = ""

    @classmethod
    def parse(cls, text: str, where: str = "the log spec") -> "LogSpec":
        """Read a spec from TOML.

        Raises :class:`InputError`, :class:`UnknownName` naming what is missing, unknown or cannot be.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{where} is not TOML: {error}") from error
        check_keys(table, [f.name for f in fields(cls)], f"key of {where}")
        if not table.get("rates"):
            raise InputError(f"{where} has no [[rates]]: name a clock and its channels")
        rates = tuple(_rate(entry, where) for entry in table.pop("rates"))
        spec = cls(rates, **table)
        if bool(spec.start) == bool(spec.start_attribute):
            raise InputError(
                f'{where}: say when runs began, with start = "2026-01-01T00:00:00Z" or start_attribute = "..."'
            )
        try:
            re.compile(spec.pattern)
        except re.error as error:
            raise InputError(f"{where}: pattern {spec.pattern!r} is no regular expression: {error}") from error
        return spec

    @classmethod
    def read(cls, path: str | Path) -> "LogSpec":
        """Read a spec from a file."""
        file = Path(path)
        if not file.is_file():
            raise InputError(f"no log spec at {file}")
        return cls.parse(file.read_text(encoding="utf-8"), str(file))


def _rate(entry: Mapping[str, Any], where: str) -> RateSpec:
    check_keys(entry, ["name", "clock", "channels", "missing"], f"key of [[rates]] in {where}")
    name = str(entry.get("name", ""))
    if not name or not entry.get("channels"):
        raise InputError(f"{where}: every [[rates]] has a name and channels")
    told = dict(entry.get("clock", {}))
    check_keys(told, [f.name for f in fields(ClockSpec)], f"key of the clock {name}")
    clock = ClockSpec(**told)
    clock.check(name)
    known, channels = [f.name for f in fields(Channel)], []
    for channel in entry["channels"]:
        check_keys(channel, ["path", *known], f"key of a channel of {name}")
        if "path" not in channel:
            raise InputError(f"{where}: a channel of {name} lacks path = ...")
        own = {key: value for key, value in channel.items() if key != "path"}
        channels.append((str(channel["path"]), Channel(**{"name": Path(channel["path"]).name, **own})))
    return RateSpec(name, clock, tuple(channels), tuple(float(x) for x in entry.get("missing", ())))

"""Other people's logs: a description in TOML of where runs, times and channels are."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sciode.core.errors import InputError
from sciode.core.names import check_keys
from sciode.data.logs.channel import Channel
from sciode.data.logs.clocks import ClockSpec


@dataclass(frozen=True)
class RateSpec:
    """Channels that share a clock: path of each in a run, and what it is; ``missing`` values stand for nothing.

    A path is a dataset's, ``name[3]`` for a column of a table, ``name[field]`` for a field of records.
    """

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
        When runs began, ISO 8601 with offset: one for all, or the name of an attribute of each. Not needed where a
        clock has an epoch.
    title : str
        Of the log.
    repair : bool
        Sort times that do not rise, and keep the last of those stamped twice.

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
    repair: bool = False

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
        told = any(rate.clock.epoch or rate.clock.timezone for rate in rates)
        if (spec.start and spec.start_attribute) or not (spec.start or spec.start_attribute or told):
            raise InputError(
                f'{where}: say when runs began, with start = "2026-01-01T00:00:00Z" or start_attribute = "...", '
                "or give a clock an epoch"
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
    told = dict(entry.get("clock", {"source": ""}))
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

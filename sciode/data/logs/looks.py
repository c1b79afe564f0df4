"""What looks like a clock in a file that says little: names, units and sizes of numbers."""

import datetime
import json
import re
from typing import Any

import h5py
import numpy as np

from sciode.core.errors import LayoutError
from sciode.data.logs.channel import plain
from sciode.data.logs.clocks import ClockSpec
from sciode.data.logs.columns import Column

# A lone T is a temperature, a lone t is not.
_NAMES = re.compile(r"(?i:(^|_)(times?|timestamps?|stamps?|datetime|epoch|utc|gps)(_|\d*$))|^t\d*(_m?s)?$")
_SINCE = re.compile(r"^\s*(\w+)\s+since\s+(.+?)\s*$", re.IGNORECASE)
_ISO = "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}"
_UNIX = "1970-01-01T00:00:00Z"
_UNITS = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns", "msec": "ms", "sec": "s", "secs": "s"}
_EPOCHS = (("s", 1e9), ("ms", 1e12), ("us", 1e15), ("ns", 1e18))


def times_of(group: h5py.Group, length: int) -> dict[str, ClockSpec]:
    """Return the datasets of a group that look like the times of so many samples, by name."""
    found = {}
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and item.shape == (length,):
            clock = as_clock(name, item)
            if clock is not None:
                found[name] = clock
    return found


def the_clock(group: h5py.Group, first: Column, rate: str) -> ClockSpec:
    """Return the only clock for a channel's samples.

    Raises :class:`LayoutError` with the lines to choose from where there are several, and the line to add where
    there is none.
    """
    found = times_of(group, len(first))
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise LayoutError(
            f"{group.name} has no dataset of {len(first)} times for {rate}: add the line\n"
            'clock = { source = "rate", rate = 1000.0 }\nwith its rate in Hz'
        )
    raise LayoutError(
        f"{group.name} has {len(found)} datasets that could be the time of {rate}: add one of the lines\n"
        + "\n".join(f"clock = {inline(clock)}" for clock in found.values())
    )


def as_clock(name: str, data: h5py.Dataset | Column, anyway: bool = False, path: str = "") -> ClockSpec | None:
    """Return how a dataset of times is read; None where it does not look like one, by its unit or its name.

    ``anyway`` takes it as times whatever its name; ``path`` is where it is, its name unless told.
    """
    path, kind = path or name, data.dtype.kind
    notes = {} if isinstance(data, Column) else data.attrs
    told = text(notes.get("units", notes.get("unit", "")))
    since = _SINCE.match(told)
    if since is not None and kind in "fiu":
        return ClockSpec("dataset", path, units=_UNITS.get(since[1].lower(), since[1]), epoch=_reference(since[2]))
    if not anyway and _NAMES.search(name.split("__")[0]) is None:
        return None
    if kind in "SO":
        return ClockSpec("dataset", path, epoch=_UNIX)
    if kind not in "fiu":
        return None
    units = _UNITS.get(told.lower(), told) or (name.split("__")[1] if "__" in name else "")
    by_size = _by_size(data)
    if "start" in notes:
        return ClockSpec("dataset", path, units=units or "s", epoch="@start")
    if by_size and units in ("", by_size):
        return ClockSpec("dataset", path, units=by_size, epoch=_UNIX)
    return ClockSpec("dataset", path, units=units or "s")


def text(value: Any) -> str:
    """Return an attribute as text, "" for what is none."""
    found = plain(value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value)
    return found.strip() if isinstance(found, str) else ""


def _by_size(data: h5py.Dataset | Column) -> str:
    """Return the unit that makes Unix time of the numbers: years 2001 to 2286 in s, ms, us or ns."""
    rows = data.rows(0, 1) if isinstance(data, Column) else data[:1]
    first = float(rows[0]) if len(rows) else 0.0
    return next((unit for unit, size in _EPOCHS if size <= first < 10 * size), "")


def _reference(since: str) -> str:
    """Return the moment of a CF unit, which is UTC unless it says otherwise, as ISO 8601 with offset."""
    bare = re.sub(r"\s*(UTC|Z)$", "", since)
    try:
        moment = datetime.datetime.fromisoformat(bare)
    except ValueError:
        # Days and months of one digit, as older files have them.
        numbers = [int(number) for number in re.findall(r"\d+", bare)[:6]]
        if len(numbers) < 3:
            return since
        moment = datetime.datetime.fromisoformat(_ISO.format(*numbers, *[0] * (6 - len(numbers))))
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).isoformat()


def inline(clock: ClockSpec) -> str:
    """Return a clock as an inline table of TOML, without what it says anyway."""
    own = {
        key: value for key, value in vars(clock).items() if key == "source" or value != getattr(ClockSpec(), key)
    }
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in own.items()) + " }"

"""A log spec for a file of another layout, from what is in it; what cannot be decided is said, not guessed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from sciode.core.errors import InputError, LayoutError, SciodeError
from sciode.core.names import lookup, unknown
from sciode.data.logs.channel import check_units
from sciode.data.logs.clocks import ClockSpec, read_stamps
from sciode.data.logs.columns import column
from sciode.data.logs.convert import find_runs
from sciode.data.logs.looks import as_clock, inline
from sciode.data.logs.profiles import PROFILES, Table, detect
from sciode.data.logs.spec import LogSpec
from sciode.data.store import open_file

_UNITS = {
    **{"°C": "degC", "℃": "degC", "Cel": "degC", "deg C": "degC", "°F": "degF", "%": "percent", "°": "degree"},
    **{"Ω": "ohm", "-": "", "1": "", "none": "", "ratio": "", "µm": "um", "U/min": "rpm", "1/min": "rpm"},
}


class Undecided(NamedTuple):
    """What a file does not say, and the lines of TOML of which one says it."""

    what: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Inferred:
    """A proposal: ``text`` is TOML with what was decided, and why, in comments."""

    profile: str
    text: str
    undecided: tuple[Undecided, ...]

    def spec(self) -> LogSpec:
        """Return the spec; raises :class:`InputError` with the lines to add where something is undecided."""
        if self.undecided:
            raise InputError("\n".join(f"{what}: add\n" + "\n".join(lines) for what, lines in self.undecided))
        return LogSpec.parse(self.text, "the inferred spec")


def infer_log(
    path: str | Path, *, profile: str | None = None, time: str | None = None, start: str = "", target: str = ""
) -> Inferred:
    """Look at an HDF5 file of another layout, and propose how to read it.

    Parameters
    ----------
    path : path
        The file.
    profile : str, optional
        "tdms", "asammdf", "gwpy", "nexus", "pandas", "netcdf" or "flat"; by content unless told.
    time : str, optional
        Name of the dataset of times, where several could be.
    start : str
        When runs began, ISO 8601 with offset, where the file has relative times.
    target : str
        Name of the channel to forecast.

    Raises
    ------
    LayoutError
        For a file that cannot be opened, or holds nothing that looks like a log.
    UnknownName
        For an unknown profile or target.
    """
    with open_file(Path(path)) as file:
        if profile is None:
            name, tables = detect(file)
        else:
            name, tables = profile, lookup(profile, PROFILES, "profile of logs")(file)
        if not tables:
            raise LayoutError(f"{path} holds no channels that {profile or 'any known profile'} describes")
        tables = [_told(file, table, time) for table in tables]
        runs, groups, rates = _fold(tables)
        draft = _Draft(f"profile {name}, {'by content' if profile is None else 'as told'}")
        draft.head(Path(path).name, runs, groups, start, any(clock.epoch for t in rates for clock in t.clocks))
        if runs != "/" and find_runs(file, runs, path) != sorted(groups):
            raise LayoutError(
                f"{path}: {runs} matches other groups than {', '.join(groups)}: write the spec by hand"
            )
        names = {str(c.get("name", key)) for table in rates for key, c in table.channels}
        if target and target not in names:
            raise unknown(target, sorted(names), "channel")
        for number, table in enumerate(rates, 1):
            draft.rate(f"rate{number}", table, target)
            for group in groups:
                draft.times(file[group], table, f"rate{number}")
        return Inferred(name, draft.written(), tuple(draft.undecided))


def _told(file: h5py.File, table: Table, time: str | None) -> Table:
    """Return a table with the clock that a user has named."""
    if time is None:
        return table
    known = [clock for clock in table.clocks if clock.path.rpartition("/")[2] == time or clock.path == time]
    if not known and isinstance(file[table.group].get(time), h5py.Dataset):
        clock = as_clock(time, file[table.group][time], anyway=True)
        known = [] if clock is None else [clock]
    if not known:
        return table
    channels = tuple(channel for channel in table.channels if channel[0] != known[0].path)
    others: tuple[tuple[str, Mapping[str, Any]], ...] = tuple(
        (clock.path, {}) for clock in table.clocks if clock.path != known[0].path and _numeric(file, table, clock)
    )
    return replace(table, clocks=(known[0],), channels=channels + others)


def _numeric(file: h5py.File, table: Table, clock: ClockSpec) -> bool:
    return clock.source == "dataset" and column(file[table.group], clock.path).dtype.kind in "fiub"


def _fold(tables: Sequence[Table]) -> tuple[str, list[str], list[Table]]:
    """Return the pattern of runs, their groups, and the rates of each: groups of equal channels are runs."""
    by_group: dict[str, list[Table]] = {}
    for table in tables:
        by_group.setdefault(table.group, []).append(table)
    groups = list(by_group)
    if len({str(_sign(by_group[group])) for group in groups}) == len({group.count("/") for group in groups}) == 1:
        parts = [group.strip("/").split("/") for group in groups]
        pattern = "/" + "/".join(escape(p[0]) if len(set(p)) == 1 else "*" for p in zip(*parts, strict=True))
        return pattern, groups, by_group[groups[0]]
    taken: set[str] = set()
    rates = []
    for table in tables:
        rates.append(_below(table, taken))
        taken |= {str(c["name"]) for _, c in rates[-1].channels}
    relative = [table for table in rates if any(c.source == "dataset" and not c.epoch for c in table.clocks)]
    if len(relative) > 1:  # They share a zero that is not their first sample's.
        rates = [replace(t, clocks=tuple(replace(c, zero="run") for c in t.clocks)) for t in rates]
    return "/", ["/"], rates


def _sign(tables: Sequence[Table]) -> list[Any]:
    return sorted(
        (tuple(key for key, _ in table.channels), tuple(clock.path for clock in table.clocks)) for table in tables
    )


def _below(table: Table, taken: set[str]) -> Table:
    """Return a table as seen from the root; names that others have are led by their group's."""
    stem = table.group.strip("/")
    lead = f"{stem}/" if stem else ""
    channels = []
    for key, notes in table.channels:
        name = str(notes.get("name", key.rpartition("/")[2]))
        unique = name if name not in taken else f"{stem.replace('/', '.')}.{name}"
        channels.append((lead + key, {**notes, "name": unique}))
    clocks = tuple(
        replace(clock, path=lead + clock.path) if clock.source == "dataset" and clock.path[0] != "/" else clock
        for clock in table.clocks
    )
    return Table("/", clocks, tuple(channels))


class _Draft:
    """Lines of TOML, with what is undecided among them."""

    def __init__(self, why: str) -> None:
        self.top, self.lines = [f"# {why}"], [""]
        self.undecided: list[Undecided] = []
        self.repair = False

    def ask(self, what: str, *lines: str, top: bool = False) -> None:
        self.undecided.append(Undecided(what, lines))
        where = self.top if top else self.lines
        where += [
            f"# UNDECIDED: {what}; {'one of' if len(lines) > 1 else 'such as'}",
            *(f"# {line}" for line in lines),
        ]

    def head(self, title: str, runs: str, groups: Sequence[str], start: str, absolute: bool) -> None:
        self.top += [f"title = {json.dumps(title)}", f"runs = {json.dumps(runs)}  # {len(groups)} found"]
        if start:
            self.top.append(f"start = {json.dumps(start)}")
        elif not absolute:
            self.ask("the file does not say when its runs began", 'start = "2026-01-01T00:00:00Z"', top=True)

    def rate(self, name: str, table: Table, target: str) -> None:
        self.lines += ["[[rates]]", f'name = "{name}"']
        if len(table.clocks) == 1:
            self.lines.append(f"clock = {inline(table.clocks[0])}")
        elif table.clocks:
            several = [f"clock = {inline(clock)}" for clock in table.clocks]
            self.ask(f"{table.group}: {len(several)} datasets could be the time of {name}", *several)
        else:
            self.ask(
                f"{table.group}: no dataset is the time of {name}", 'clock = { source = "rate", rate = 1000.0 }'
            )
        self.lines.append("channels = [")
        for path, notes in table.channels:
            self.channel(path, notes, target)
        self.lines += ["]", ""]

    def channel(self, path: str, notes: Mapping[str, Any], target: str) -> None:
        told = dict(notes)
        told["name"] = _name(str(told.get("name", path.rpartition("/")[2])))
        bad = None
        if "units" in told:
            units = readable(str(told["units"]), told["name"])
            bad, told["units"] = (told["units"], "") if units is None else (None, units)
        if told["name"] == target:
            told["role"] = "target"
        entry = ", ".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in {"path": path, **told}.items()
        )
        if bad is None:
            self.lines.append(f"  {{ {entry} }},{'' if 'units' in told else '  # the file says no unit'}")
            return
        fixed = entry.replace('units = ""', 'units = "..."')
        self.ask(f"channel {path} has unit {bad!r}, which pint does not know", f"  {{ {fixed} }},")

    def times(self, group: h5py.Group, table: Table, name: str) -> None:
        """Try the clock: texts without offset and times that do not rise are undecided."""
        if len(table.clocks) != 1:
            return
        clock, first = table.clocks[0], column(group, table.channels[0][0])
        try:
            times = read_stamps(group, clock, first, len(first), name).times(None)
        except SciodeError as error:
            zone = replace(clock, timezone="UTC") if "offset from UTC" in str(error) else clock
            self.ask(str(error), f"clock = {inline(zone)}")
            return
        falls = int((~(np.diff(times) > 0)).sum())
        if falls and not self.repair:
            self.repair = True
            self.ask(
                f"{group.name}: times of {name} do not rise at {falls} of {len(times)} samples",
                "repair = true",
                top=True,
            )

    def written(self) -> str:
        return "\n".join([*self.top, *self.lines]) + "\n"


def readable(units: str, channel: str) -> str | None:
    """Return a unit as pint reads it; None where there is no telling.

    >>> readable("m s-1", "v"), readable("°C", "T"), readable("furlongs per", "x")
    ('m s**-1', 'degC', None)
    """
    powers = re.sub(r"([A-Za-z])(-?\d+)", r"\1**\2", units.strip())
    for told in (_UNITS.get(units, units), powers, " * ".join(powers.split())):
        try:
            check_units(told, channel)
        except InputError:
            continue
        return told
    return None


def _name(name: str) -> str:
    return f"{name}_" if name in ("time", "quality") else name.replace("/", ".") or "values"

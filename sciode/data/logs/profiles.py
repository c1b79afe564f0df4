"""What other loggers write into HDF5, told by what a file holds: tables of channels that share a clock."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from sciode.data.logs.clocks import ClockSpec
from sciode.data.logs.columns import column
from sciode.data.logs.looks import as_clock, text, times_of

_RATES = ("sample_rate", "sampling_rate", "sampling_frequency", "fs", "rate_hz")


@dataclass(frozen=True)
class Table:
    """Channels of one group that share a clock.

    ``clocks`` are those that it could be; ``channels`` are paths below the group, and what is known of each.
    """

    group: str
    clocks: tuple[ClockSpec, ...]
    channels: tuple[tuple[str, Mapping[str, Any]], ...]


def detect(file: h5py.File) -> tuple[str, list[Table]]:
    """Return the first profile that finds anything, and its tables; "" where none does."""
    for name, look in PROFILES.items():
        tables = look(file)
        if tables:
            return name, tables
    return "", []


def tdms(file: h5py.File) -> list[Table]:
    """Channels with the attributes of a waveform, as npTDMS writes them."""
    found: dict[Any, list[tuple[str, Mapping[str, Any]]]] = {}
    for group, name, data in _series(file):
        step = data.attrs.get("wf_increment")
        if step is None or not float(step) > 0:
            continue
        names = ("wf_start_time", "wf_start_offset")
        start = tuple(key for key in names if key in data.attrs)
        key = (group, len(data), float(step), start, *(text(data.attrs[k]) or data.attrs[k] for k in start))
        units = text(data.attrs.get("unit_string", data.attrs.get("NI_UnitDescription", "")))
        found.setdefault(key, []).append((name, {"units": units}))
    tables = []
    for (group, _, _, start, *_), channels in found.items():
        epoch = "@wf_start_time" if "wf_start_time" in start else ""
        offset = "wf_start_offset" if epoch and "wf_start_offset" in start else ""
        clock = ClockSpec("attribute", "wf_increment", epoch=epoch, offset=offset)
        tables.append(Table(group, (clock,), tuple(channels)))
    return tables


def asammdf(file: h5py.File) -> list[Table]:
    """Groups whose attribute ``master`` names the dataset of times, as asammdf exports them."""
    tables = []
    for path, group in _groups(file):
        master = text(group.attrs.get("master", ""))
        if master and isinstance(group.get(master), h5py.Dataset):
            channels = [(name, _notes(data)) for name, data in _own(group) if name != master]
            clock = as_clock(master, group[master], anyway=True)
            if channels and clock is not None:
                tables.append(Table(path, (clock,), tuple(channels)))
    return tables


def gwpy(file: h5py.File) -> list[Table]:
    """Datasets with ``x0`` and ``dx`` in GPS seconds, as GWpy writes them."""
    found: dict[Any, list[tuple[str, Mapping[str, Any]]]] = {}
    for group, name, data in _series(file):
        if "x0" in data.attrs and "dx" in data.attrs and text(data.attrs.get("xunit", "s")) == "s":
            key = (group, len(data), float(data.attrs["x0"]), float(data.attrs["dx"]))
            found.setdefault(key, []).append((name, _notes(data)))
    clock = ClockSpec("attribute", "dx", epoch="gps", offset="x0")
    return [Table(group, (clock,), tuple(channels)) for (group, *_), channels in found.items()]


def nexus(file: h5py.File) -> list[Table]:
    """Groups of class NXlog: ``value`` (or ``raw_value``) and its ``time``; an NXentry is a run."""
    tables = []
    for path, group in _groups(file):
        if text(group.attrs.get("NX_class", "")) != "NXlog" or not isinstance(group.get("time"), h5py.Dataset):
            continue
        value = next((key for key in ("value", "raw_value") if isinstance(group.get(key), h5py.Dataset)), None)
        entry = path
        while entry and text(file[entry].attrs.get("NX_class", "")) != "NXentry":
            entry = entry.rpartition("/")[0]
        below = path[len(entry) :].strip("/")
        clock = as_clock("time", group["time"], anyway=True, path=f"{below}/time")
        if value is None or clock is None or group[value].ndim != 1 or "scaling_factor" in group["time"].attrs:
            continue
        parent, _, leaf = path.rpartition("/")
        name = parent.rpartition("/")[2] if leaf in ("value_log", "log") else leaf
        tables.append(
            Table(entry or "/", (clock,), ((f"{below}/{value}", {**_notes(group[value]), "name": name}),))
        )
    return tables


def pandas(file: h5py.File) -> list[Table]:
    """Frames and series of pandas, fixed or as tables; what is pickled in them is not read."""
    tables = []
    for path, group in _groups(file):
        kind = text(group.attrs.get("pandas_type", ""))
        if kind == "frame" and "axis1" in group:
            index, channels = "axis1", _blocks(group)
        elif kind == "series" and "index" in group and "values" in group:
            index, channels = "index", [("values", {"name": path.rpartition("/")[2]})]
        elif kind in ("frame_table", "series_table", "appendable_frame") and "table" in group:
            index, channels = "table[index]", _fields(group["table"], "table")
        else:
            continue
        channels = [channel for channel in channels if channel[0] != index]
        clocks = _index(group, index)
        clocks += [c for key, note in channels if (c := _as_clock(group, key, str(note.get("name", key))))]
        taken = {clock.path for clock in clocks}
        rest = tuple(channel for channel in channels if channel[0] not in taken)
        if rest:
            tables.append(Table(path, tuple(clocks), rest))
    return tables


def netcdf(file: h5py.File) -> list[Table]:
    """Variables of netCDF-4 along a coordinate whose unit is "... since ...", by the CF conventions."""
    found: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    scales: dict[str, ClockSpec] = {}
    for _, _, data in _series(file):
        clock = as_clock(data.name, data) if data.is_scale else None
        if clock is not None and clock.epoch:
            scales[data.name] = clock
    for group, name, data in _series(file):
        if not data.is_scale and len(data.dims[0]) and data.dims[0][0].name in scales:
            found.setdefault((group, data.dims[0][0].name), []).append((name, _packed(data)))
    return [Table(group, (scales[time],), tuple(channels)) for (group, time), channels in found.items()]


def flat(file: h5py.File) -> list[Table]:
    """Datasets beside a dataset of times of the same length, or with their rate in an attribute."""
    tables = []
    for path, group in _groups(file):
        lengths: dict[int, list[tuple[str, Mapping[str, Any]]]] = {}
        for name, data in _own(group):
            lengths.setdefault(len(data), []).append((name, _notes(data)))
        for length, channels in lengths.items():
            clocks = times_of(group, length)
            rest = tuple(channel for channel in channels if channel[0] not in clocks)
            known = tuple(clocks.values()) or _rate(group, [name for name, _ in rest])
            if rest:
                tables.append(Table(path, known, rest))
        tables += _records(path, group)
    # Groups of settings hold numbers too: where some table has a clock, those without are not logs.
    timed = [table for table in tables if table.clocks]
    return timed or tables


PROFILES: dict[str, Callable[[h5py.File], list[Table]]] = {
    "tdms": tdms,
    "asammdf": asammdf,
    "gwpy": gwpy,
    "nexus": nexus,
    "pandas": pandas,
    "netcdf": netcdf,
    "flat": flat,
}


def _groups(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    yield "/", file["/"]
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Group) else None)
    for name in sorted(found):
        yield f"/{name}", file[name]


def _own(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for name, data in group.items():
        if isinstance(data, h5py.Dataset) and data.ndim == 1 and data.dtype.kind in "fiub":
            yield name, data


def _series(file: h5py.File) -> Iterator[tuple[str, str, h5py.Dataset]]:
    for path, group in _groups(file):
        for name, data in _own(group):
            yield path, name, data


def _notes(data: h5py.Dataset) -> dict[str, Any]:
    """Return what attributes, and a name such as ``p__bar``, say of a channel."""
    found: dict[str, Any] = {}
    leaf = str(data.name).rpartition("/")[2]
    name, _, suffix = leaf.partition("__")
    units = text(data.attrs.get("units", data.attrs.get("unit", "")))
    if suffix and name:
        found["name"] = name
    if units or suffix:
        found["units"] = units or suffix
    for key in ("long_name", "comment"):
        if text(data.attrs.get(key, "")):
            found.setdefault("long_name", text(data.attrs[key]))
    return found


def _packed(data: h5py.Dataset) -> dict[str, Any]:
    """Return the notes of a netCDF variable; its bounds are of stored values, ours of physical ones."""
    number = {key: float(np.ravel(data.attrs[key])[0]) for key in _PACKING if key in data.attrs}
    scale, offset = number.pop("scale_factor", 1.0), number.pop("add_offset", 0.0)
    found = _notes(data) | {
        key: value for key, value in (("scale", scale), ("offset", offset)) if value != int(key == "scale")
    }
    fill = number.get("_FillValue", number.get("missing_value", np.nan))
    if np.isfinite(fill):
        found["fill_value"] = fill
    bounds = sorted(scale * number[key] + offset for key in ("valid_min", "valid_max") if key in number)
    if len(bounds) == 2:
        found["valid_min"], found["valid_max"] = bounds
    return found


_PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "valid_min", "valid_max")


def _blocks(group: h5py.Group) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for key in group:
        if re.fullmatch(r"block\d+_items", key) and group[key].dtype.kind == "S":
            values = key.replace("_items", "_values")
            for i, item in enumerate(group[key][:]):
                if group[values].dtype.kind in "fiub":
                    found.append((f"{values}[{i}]", {"name": item.decode("utf-8", "replace")}))
    return found


def _fields(data: h5py.Dataset, path: str) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for name in data.dtype.names or ():
        kind = data.dtype[name]
        if kind.shape == () and (kind.kind in "fiub"):
            found.append((f"{path}[{name}]", {"name": name}))
        elif len(kind.shape) == 1 and kind.base.kind in "fiub":
            found += [(f"{path}[{name}][{i}]", {"name": f"{name}_{i}"}) for i in range(kind.shape[0])]
    return found


def _records(path: str, group: h5py.Group) -> list[Table]:
    """Return the tables of records, with the times among their fields."""
    tables = []
    for key, data in group.items():
        if isinstance(data, h5py.Dataset) and data.ndim == 1 and data.dtype.names:
            fields = _fields(data, key)
            clocks = [c for field, note in fields if (c := _as_clock(group, field, str(note["name"])))]
            taken = {clock.path for clock in clocks}
            rest = tuple(field for field in fields if field[0] not in taken)
            if rest:
                tables.append(Table(path, tuple(clocks), rest))
    return tables


def _as_clock(group: h5py.Group, path: str, name: str) -> ClockSpec | None:
    return as_clock(name, column(group, path), path=path)


def _index(group: h5py.Group, index: str) -> list[ClockSpec]:
    """Return the index of a frame as a clock: moments, or numbers of which no integer is a time."""
    data = column(group, index)
    notes = group[index].attrs if index in group else group["table"].attrs
    kind = text(notes.get("kind", notes.get("index_kind", "")))
    moments = re.fullmatch(r"datetime64(?:\[(\w+)\])?", kind)
    if moments:
        return [ClockSpec("dataset", index, units=moments[1] or "ns", epoch="1970-01-01T00:00:00Z")]
    return [ClockSpec("dataset", index)] if data.dtype.kind == "f" else []


def _rate(group: h5py.Group, names: list[str]) -> tuple[ClockSpec, ...]:
    for notes in [group[name].attrs for name in names[:1]] + [group.attrs]:
        for key in notes:
            if key.lower() in _RATES and np.size(notes[key]) == 1 and float(np.ravel(notes[key])[0]) > 0:
                return (ClockSpec("rate", rate=float(np.ravel(notes[key])[0])),)
    return ()

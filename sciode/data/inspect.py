"""What is in a file, for people: read from its metadata alone."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciode.data import coordinates
from sciode.data.attributes import MARK, plain
from sciode.data.coordinates import LayoutWarning
from sciode.data.layout import LABELS
from sciode.data.reading import dataset_name
from sciode.data.trajectories import Trajectories, open_trajectories

_SPLITS = {
    "pdebench-a": "first 10 % test, rest train",
    "pdebench-b": "first 10 % test, rest train",
    "pdebench-c": "last 10 % of the seeds test, rest train",
}


@dataclass(frozen=True)
class Stored:
    """How one dataset lies on disk; of a layout with groups, that of the first group."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    compression: str | None

    def __str__(self) -> str:
        layout = "contiguous" if self.chunks is None else f"chunks {_times(self.chunks)}"
        packed = f", {self.compression}" if self.compression else ""
        return f"/{self.name}: {_times(self.shape)} {self.dtype}, {layout}{packed}"


@dataclass(frozen=True)
class Description:
    """What :func:`inspect` found. ``str()`` gives the text.

    ``times`` is (first, last), ``dt`` None where not uniform, ``times_stored`` the length of the time coordinate
    on disk (None if there is none), ``size`` the file's bytes, ``version`` the sciode that wrote it.
    """

    path: Path
    schema: str
    shape: tuple[int, ...]
    fields: tuple[str, ...]
    times: tuple[float, float]
    dt: float | None
    times_stored: int | None
    grid: tuple[tuple[float, float], ...]
    lengths: tuple[float, ...]
    stored: tuple[Stored, ...]
    groups: int
    size: int
    parameters: dict[str, Any]
    version: str | None
    warnings: tuple[str, ...]

    @property
    def label(self) -> str:
        """Name of the layout, in words."""
        return LABELS[self.schema]

    def __str__(self) -> str:
        b, t, _, *n = self.shape
        kind = "field" if len(self.fields) == 1 else "fields"
        lines = [
            f"{self.path.name}: {self.label}, {_times((b, t, *n))}, {kind} {', '.join(self.fields)}",
            f"  time      {self._time()}",
            *(f"  {letter}         {self._axis(i)}" for i, letter in enumerate("xyz"[: len(n)])),
            *(f"  data      {entry}" for entry in self.stored),
        ]
        if self.groups:
            lines.append(f"  groups    {self.groups}")
        lines.append(f"  size      {self.size / 2**20:.1f} MiB")
        if self.schema in _SPLITS:
            lines.append(f"  split     rule pdebench: {_SPLITS[self.schema]}; rule sciode: 80/10/10 by seed")
        if self.version is not None:
            lines.append(f"  written   by sciode {self.version}")
        lines += [f"  parameter {name} = {_short(value)}" for name, value in self.parameters.items()]
        lines += [f"  warning   {text}" for text in self.warnings]
        return "\n".join(lines)

    def _time(self) -> str:
        step = "not uniform" if self.dt is None else f"dt {self.dt:.6g}"
        extra = self.times_stored is not None and self.times_stored != self.shape[1]
        note = f", t-coordinate {self.times_stored} -> {self.shape[1]}" if extra else ""
        return f"{self.times[0]:g} to {self.times[1]:g}, {step if self.shape[1] > 1 else 'one state'}{note}"

    def _axis(self, i: int) -> str:
        low, high = self.grid[i]
        return f"{low:g} to {high:g}, {self.shape[3 + i]} points, length {self.lengths[i]:g}"


def inspect(path: str | Path) -> Description:
    """Describe a data file from its metadata; no field values are read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from sciode.data import write_trajectories
    >>> path = write_trajectories(Path(tempfile.mkdtemp()) / "waves.hdf5", source=[np.zeros((2, 3, 1, 8))],
    ...     shape=(2, 3, 1, 8), fields=["u"], times=[0.0, 0.5, 1.0], grid=[np.arange(8) / 8])
    >>> print(str(inspect(path)).splitlines()[0])
    waves.hdf5: PDEBench tensor file (schema A), 2×3×8, field u
    >>> inspect(path).times_stored
    4
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LayoutWarning)
        data = open_trajectories(path)
    with data:
        return _describe(data, tuple(str(w.message) for w in caught if issubclass(w.category, LayoutWarning)))


def _describe(data: Trajectories, notes: tuple[str, ...]) -> Description:
    rows = data.run_times
    version = data.store.file.attrs.get(MARK)
    return Description(
        path=data.path,
        schema=data.schema,
        shape=data.shape,
        fields=data.fields,
        times=(float(rows[0, 0]), float(rows[0, -1])),
        dt=coordinates.spacing(rows[0]) if (rows == rows[0]).all() else None,
        times_stored=_times_stored(data),
        grid=tuple((float(axis[0]), float(axis[-1])) for axis in data.grid),
        lengths=data.lengths,
        stored=_stored(data),
        groups=len(data.layout.groups),
        size=data.path.stat().st_size,
        parameters=data.parameters,
        version=None if version is None else str(plain(version)),
        warnings=notes,
    )


def _times_stored(data: Trajectories) -> int | None:
    names = ["t-coordinate", "t", "dimensions/time"] + [f"{name}/grid/t" for name in data.layout.groups[:1]]
    found = [data.store.file[name].shape[-1] for name in names if name in data.store.file]
    return int(found[0]) if found else None


def _stored(data: Trajectories) -> tuple[Stored, ...]:
    names = dict.fromkeys(dataset_name(data.layout, variable, 0) for variable in data.layout.variables)
    items = [(name, data.store.file[name]) for name in names]
    return tuple(Stored(name, item.shape, str(item.dtype), item.chunks, item.compression) for name, item in items)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _short(value: Any, most: int = 100) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."

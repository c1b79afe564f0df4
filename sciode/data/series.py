"""Runs of a sensor log as series on one clock: what a forecaster learns from.

A series never crosses a run, nor a gap of the target or of a planned signal; gaps of other sensors stay inside,
marked as not good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.data.logs.align import WAYS
from sciode.data.logs.read import LogRun, SensorLog
from sciode.data.sensor_log import aligned


@dataclass(frozen=True)
class SeriesSpec:
    """How a log becomes series.

    Parameters
    ----------
    rate : float
        Of the common clock, Hz.
    how : mapping of str to str
        How each channel gets there, see :func:`sciode.data.logs.align`; what is not named takes "mean" where its
        own rate is above the clock's, "asof" elsewhere. Known futures always take "asof".
    channels : sequence of str
        All whose role is not "ignore" unless told.
    max_age : float
        A sample older than this counts as none, s.
    stuck : int
        A past channel whose new samples repeat the value exactly so often is not good from then on; 0 never. Not
        for channels whose kind is not "continuous".

    Examples
    --------
    >>> SeriesSpec(rate=100.0, how={"p_dyn": "rms"}).stuck
    8
    """

    rate: float = 100.0
    how: Mapping[str, str] = field(default_factory=dict)
    channels: Sequence[str] = ()
    max_age: float = 1.0
    stuck: int = 8

    def __post_init__(self) -> None:
        for channel, way in self.how.items():
            lookup(way, dict.fromkeys(WAYS), f"way to align {channel}")
        if not (self.rate > 0 and np.isfinite(self.rate)) or self.stuck < 0 or not self.max_age > 0:
            raise InputError(
                f"rate and max_age are above zero and stuck from 0 up, found {self.rate!r}, {self.max_age!r}, "
                f"{self.stuck!r}"
            )


def read_series(
    log: SensorLog, spec: SeriesSpec, runs: Sequence[str] | None = None, *, least: int = 2
) -> xr.Dataset:
    """Return runs of a log as series, in memory that grows with the common clock and not with the log.

    Parameters
    ----------
    log : SensorLog
        The log.
    spec : SeriesSpec
        How.
    runs : sequence of str, optional
        Names; all unless told.
    least : int
        Pieces with fewer ticks are left out.

    Returns
    -------
    xarray.Dataset
        Dimensions ``(series, time)``, shorter series filled up with what is not good. Each channel with ``units``
        and ``role``, its mask ``NAME_good`` and its age ``NAME_age`` (s); ``run`` and ``start`` (s of the run)
        along ``series``, conditions too. ``time`` counts from the start of each series, s.

    Raises
    ------
    InputError
        For unknown runs and channels, and where no piece is long enough.

    Examples
    --------
    >>> import tempfile
    >>> from sciode.data.logs import Channel, LogWriter
    >>> file = tempfile.mkdtemp() + "/a.h5"
    >>> with LogWriter(file) as writer:
    ...     run = writer.run("r1", start="2026-01-01T00:00:00Z")
    ...     channel = Channel("p", "bar", role="target")
    ...     run.rate("fast", [channel], sample_rate=1000.0).append({"p": np.arange(1000.0)})
    >>> found = read_series(SensorLog(file), SeriesSpec(rate=10.0))
    >>> found.p.shape, found.p.attrs["units"]
    ((1, 10), 'bar')
    """
    chosen = [log[name] for name in (log.runs if runs is None else runs)]
    pieces = [piece for run in chosen for piece in _pieces(run, spec, least)]
    if not pieces:
        names = ", ".join(run.name for run in chosen)
        raise InputError(f"no run is {least} ticks long at {spec.rate:g} Hz without a gap in its target: {names}")
    every = {str(name) for piece in pieces for name in piece.data_vars}
    lacking = {p.attrs["run"]: sorted(every - {str(name) for name in p.data_vars}) for p in pieces}
    if any(lacking.values()):
        raise InputError(
            f"runs have different channels; missing are { ({k: v for k, v in lacking.items() if v}) }"
        )
    return _stacked(pieces, spec.rate)


def latest(run: LogRun, spec: SeriesSpec, target: str, history: int, ahead: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Return (history, plan) at the newest tick of a run that its target has reached: one series each.

    For runs that are still being written. Ticks count from the target's first sample. A plan that ends early is
    held for ``spec.max_age``, and not good beyond.

    Raises :class:`InputError` where the run is shorter than the history.
    """
    chosen = list(spec.channels) or [n for n, signal in run.signals.items() if signal.channel.role != "ignore"]
    first, last = run[target].span
    count = int(np.floor((last - first) * spec.rate * (1 + 1e-12) + 1e-9)) + 1 if last >= first else 0
    if count < history:
        raise InputError(f"run {run.name} is {count} ticks long, {history} are looked back")
    now = first + (count - 1) / spec.rate
    half = 0.5 / spec.rate
    before = aligned(
        run, spec.rate, chosen, start=now - (history - 1) / spec.rate, stop=now + half,
        how={name: _way(run, name, spec) for name in chosen}, max_age=spec.max_age,
    )  # fmt: skip
    planned = [name for name in chosen if run[name].channel.role == "known_future"]
    step = 1.0 / spec.rate
    after = aligned(
        run, spec.rate, planned, start=now + step, stop=now + ahead * step + half, max_age=spec.max_age
    )
    return _stacked([_watched(before, run, chosen, spec)], spec.rate), _stacked([after], spec.rate)


def _pieces(run: LogRun, spec: SeriesSpec, least: int) -> list[xr.Dataset]:
    chosen = list(spec.channels) or [n for n, signal in run.signals.items() if signal.channel.role != "ignore"]
    for name in chosen:
        run[name]
    roles = {name: run[name].channel.role for name in chosen}
    whole = [name for name in chosen if roles[name] in ("target", "known_future")]
    found = []
    for start, stop in run.segments(whole, least=1.0 / spec.rate):  # what falls between two ticks is no gap
        if (stop - start) * spec.rate + 1 < least:
            continue
        data = aligned(
            run, spec.rate, chosen, start=start, stop=float(np.nextafter(stop, np.inf)),
            how={name: _way(run, name, spec) for name in chosen}, max_age=spec.max_age,
        )  # fmt: skip
        found.append(_watched(data, run, chosen, spec))
    return found


def _way(run: LogRun, name: str, spec: SeriesSpec) -> str:
    signal = run[name]
    if signal.channel.role == "known_future":
        return "asof"
    fast = signal.clock.step * spec.rate < 0.75
    return spec.how.get(name, "mean" if fast else "asof")


def _watched(data: xr.Dataset, run: LogRun, channels: list[str], spec: SeriesSpec) -> xr.Dataset:
    """Mark what is stuck, and note the way each channel came."""
    for name in channels:
        channel = run[name].channel
        data[name].attrs["how"] = _way(run, name, spec)
        if spec.stuck and channel.role != "known_future" and channel.kind == "continuous":
            good = data[f"{name}_good"].values
            data[f"{name}_good"].values = good & ~stuck(data[name].values, data[f"{name}_age"].values, spec)
    return data


def stuck(values: NDArray[np.float64], age: NDArray[np.float64], spec: SeriesSpec) -> NDArray[np.bool_]:
    """Return where a channel has repeated its value in ``spec.stuck`` new samples or more, looking back only.

    >>> stuck(np.array([1.0, 2, 2, 2, 2, 3]), np.zeros(6), SeriesSpec(stuck=2)).astype(int).tolist()
    [0, 0, 0, 1, 1, 0]
    """
    before = np.concatenate([[np.nan], values[:-1]])
    with np.errstate(invalid="ignore"):
        same = np.abs(values - before) <= 1e-9 * np.abs(values)
        aged = np.concatenate([[np.inf], age[:-1]]) + 0.5 / spec.rate
        new = ~(age >= aged)  # a sample that is merely held grows older by a tick
    count = np.cumsum(same & new)
    reset = np.maximum.accumulate(np.where(~same, count, 0))
    out: NDArray[np.bool_] = (count - reset >= spec.stuck) & same
    return out


def _stacked(pieces: list[xr.Dataset], rate: float) -> xr.Dataset:
    count = max(piece.sizes["time"] for piece in pieces)
    time = xr.DataArray(np.arange(count) / rate, dims="time", attrs={"units": "s"})
    variables: dict[str, xr.DataArray] = {}
    for name in pieces[0].data_vars:
        first = pieces[0][name]
        empty: float | bool = False if first.dtype == bool else np.nan
        table = np.full((len(pieces), count), empty, dtype=first.dtype)
        for row, piece in zip(table, pieces, strict=True):
            row[: piece.sizes["time"]] = piece[name].values
        variables[str(name)] = xr.DataArray(table, dims=("series", "time"), attrs=first.attrs)
    along = {"run": [p.attrs["run"] for p in pieces], "start": [float(p.time[0]) for p in pieces]}
    conditions: dict[str, xr.DataArray] = {
        str(name): xr.DataArray(
            [float(p[name]) if name in p.coords else np.nan for p in pieces], dims="series", attrs=coord.attrs
        )
        for name, coord in pieces[0].coords.items()
        if name != "time"
    }
    labels = {key: xr.DataArray(value, dims="series") for key, value in along.items()}
    told = {"sample_rate": rate, "log": pieces[0].attrs["log"]}
    return xr.Dataset(variables, coords={"time": time, **conditions, **labels}, attrs=told)

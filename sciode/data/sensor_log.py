"""Sensor logs as xarray: channels of a run on one clock, with units, masks and ages; and splits by run."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from sciode.core.errors import InputError
from sciode.core.random import derive_seed
from sciode.data.logs.align import align_run, ticks
from sciode.data.logs.check import check_split
from sciode.data.logs.read import LogRun, SensorLog


def aligned(
    run: LogRun,
    rate: float,
    channels: Sequence[str] | None = None,
    *,
    start: float | None = None,
    stop: float | None = None,
    how: str | Mapping[str, str] = "asof",
    max_age: float = np.inf,
) -> xr.Dataset:
    """Return channels of a run on one clock: variables with units, ``NAME_good`` and ``NAME_age`` beside each.

    Reads the asked stretch only.

    Parameters
    ----------
    run : LogRun
        From :class:`sciode.data.logs.SensorLog`.
    rate : float
        Of the clock, Hz.
    channels : sequence of str, optional
        All whose role is not "ignore" unless told.
    start, stop : float, optional
        Seconds of the run; all that the channels cover unless told.
    how, max_age
        See :func:`sciode.data.logs.align`; ``how`` may differ by channel.

    Returns
    -------
    xarray.Dataset
        Dimension ``time`` in seconds of the run; conditions are scalar coordinates.

    Raises
    ------
    InputError
        For a run or a stretch without samples, and what :func:`sciode.data.logs.align` refuses.

    Examples
    --------
    >>> import tempfile
    >>> from sciode.data.logs import Channel, LogWriter
    >>> file = tempfile.mkdtemp() + "/a.h5"
    >>> with LogWriter(file) as log:
    ...     run = log.run("r1", start="2026-01-01T00:00:00Z", conditions={"mixture_ratio": (6.0, "")})
    ...     run.rate("fast", [Channel("p", "bar")], sample_rate=100.0).append({"p": np.arange(100.0)})
    >>> data = aligned(SensorLog(file)["r1"], 10.0)
    >>> data.p.values[:3].tolist(), data.p.attrs["units"], float(data.mixture_ratio)
    ([0.0, 10.0, 20.0], 'bar', 6.0)
    """
    names = [name for name, signal in run.signals.items() if signal.channel.role != "ignore"]
    chosen = names if channels is None else list(channels)
    for name in chosen:
        run[name]  # an unknown one is named before anything is read
    first, last = run.span
    begin, end = first if start is None else start, np.nextafter(last, np.inf) if stop is None else stop
    if not begin < end:
        raise InputError(f"run {run.name} has no samples from {begin:g} s to {end:g} s")
    times = ticks(begin, end, rate)
    ways = how if isinstance(how, str) else dict(how)
    found = align_run(run, chosen, times, ways, max_age=max_age)
    variables: dict[str, xr.DataArray] = {}
    for name, part in found.items():
        channel = run[name].channel
        about = {"units": channel.units, "long_name": channel.long_name or name, "role": channel.role}
        variables[name] = xr.DataArray(part.values, dims="time", attrs=about)
        variables[f"{name}_good"] = xr.DataArray(part.good, dims="time")
        variables[f"{name}_age"] = xr.DataArray(part.age, dims="time", attrs={"units": "s"})
    time = xr.DataArray(times, dims="time", attrs={"units": "s", "long_name": "time since the start of the run"})
    conditions = {
        key: xr.DataArray(told.value, attrs={"units": told.units}) for key, told in run.conditions.items()
    }
    origin = {"run": run.name, "start": run.start, "sample_rate": rate, "log": run.store.path.name}
    return xr.Dataset(variables, coords={"time": time, **conditions}, attrs=origin)


def split_runs(
    log: SensorLog, *, parts: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0
) -> dict[str, list[str]]:
    """Return the runs for "train", "val" and "test": as the file says, the others drawn; aborted ones to "train".

    A whole run is on one side: windows of one run on both sides would be a leak. Which side a run is drawn
    for depends on the seed and on the names of the undecided runs.

    Raises
    ------
    InputError
        For parts that do not add up to 1, and fewer undecided runs than parts, where the file decides none.
    """
    if min(parts) < 0 or abs(sum(parts) - 1.0) > 1e-9:
        raise InputError(f"parts of a split add up to 1, found {parts}")
    names = ("train", "val", "test")
    found: dict[str, list[str]] = {name: [] for name in names}
    open_runs: list[str] = []
    for run in log.runs.values():
        if run.split in found:
            found[run.split].append(run.name)
        elif run.status != "ok":
            found["train"].append(run.name)
        else:
            open_runs.append(run.name)
    wanted = sum(part > 0 for part in parts)
    if not any(found[name] for name in ("val", "test")) and len(open_runs) < wanted:
        raise InputError(
            f"{len(open_runs)} runs cannot be split into {wanted} parts by run: record more, or name them"
        )
    order = np.random.default_rng(derive_seed(seed, "runs")).permutation(len(open_runs))
    counts = _counts(len(open_runs), parts)
    edges = np.cumsum([0, *counts])
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        found[name] += sorted(open_runs[i] for i in order[low:high])
    check_split(found)
    return found


def _counts(total: int, parts: tuple[float, ...]) -> list[int]:
    """Return whole numbers in proportion to the parts; a wanted one gets a run while the first keeps one."""
    counts = [int(total * part) for part in parts]
    counts[0] += total - sum(counts)
    for i, part in enumerate(parts):
        if part > 0 and counts[i] == 0 and counts[0] > 1:
            counts[0], counts[i] = counts[0] - 1, 1
    return counts

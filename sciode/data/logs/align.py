"""Channels of different rates on one clock. The default looks back only: what a forecaster could have known."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.data.logs.read import LogRun, Signal

Floats = NDArray[np.float64]

WAYS = ("asof", "mean", "rms", "std", "linear")
"""How samples of another clock become one value a tick."""
_AT_ONCE = 2**20


class Aligned(NamedTuple):
    """One channel on a common clock.

    ``values`` are physical, NaN where not ``good``; ``age`` is how long before the tick the newest sample
    that went in was taken, seconds, NaN where there is none.
    """

    values: Floats
    good: NDArray[np.bool_]
    age: Floats


def ticks(start: float, stop: float, rate: float) -> Floats:
    """Return the times of a clock in [start, stop), each computed from its number.

    >>> ticks(0.0, 0.3, 10.0).tolist()
    [0.0, 0.1, 0.2]
    """
    if not (rate > 0 and np.isfinite([start, stop, rate]).all()):
        raise InputError(f"a clock has finite ends and a rate above zero, found {start!r}, {stop!r}, {rate!r}")
    count = int(np.ceil((stop - start) * rate - 1e-9))
    return start + np.arange(max(count, 0)) / rate


def align(signal: Signal, times: Floats, how: str = "asof", *, max_age: float = np.inf) -> Aligned:
    """Return a channel at the given times, reading only the stretch that they need.

    Parameters
    ----------
    signal : Signal
        A channel of a run.
    times : array
        Rising, seconds of the run.
    how : {"asof", "mean", "rms", "std", "linear"}
        "asof": the newest good sample that was known at the time, latency included. "mean": the average of the
        good samples known since the last tick, the newest where there is none: no aliasing of fast channels.
        "rms": the root of their mean square. "std": their standard deviation, an amplitude without the steady
        part. "linear": between the samples on both sides, for signals that are known in advance; it looks ahead.
    max_age : float
        A sample older than this counts as none, seconds.

    Raises
    ------
    InputError
        For times that do not rise, and "linear" of a channel that is neither target nor known in advance.

    Examples
    --------
    >>> from sciode.data.logs.align import newest
    >>> newest(np.array([0.0, 1.0]), np.array([5.0, 6.0]), np.array([0.5, 1.0, 3.0]), 1.0).values
    array([ 5.,  6., nan])
    """
    lookup(how, dict.fromkeys(WAYS), "way to align")
    if times.ndim != 1 or (np.diff(times) <= 0).any() or not np.isfinite(times).all():
        raise InputError("ticks are finite and rise")
    if how == "linear" and signal.channel.role == "past_covariate":
        raise InputError(
            f"channel {signal.channel.name} is a past covariate: linear looks ahead of the tick; take asof or mean"
        )
    if len(times) == 0 or len(signal) == 0:
        return _nothing(len(times))
    parts = [
        _align(signal, times[block], how, max_age, times[block.start - 1] if block.start else None)
        for block in _blocks(signal, times)
    ]
    return Aligned(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _blocks(signal: Signal, times: Floats) -> Iterator[slice]:
    """Cut the ticks such that no part needs more than a million samples, however long the stretch."""
    step = signal.clock.step
    samples = (times[-1] - times[0]) / step if step > 0 else len(signal)
    size = max(int(len(times) * min(_AT_ONCE / max(samples, 1.0), 1.0)), 1)
    for first in range(0, len(times), size):
        yield slice(first, min(first + size, len(times)))


def _align(signal: Signal, times: Floats, how: str, max_age: float, before: float | None) -> Aligned:
    stamp, values = _good_samples(signal, times, ahead=how == "linear", before=before)
    if how == "linear":
        return _between(stamp, values, times, max_age)
    known = stamp + signal.channel.latency
    if how == "asof":
        return newest(known, values, times, max_age, stamp)
    return _gathered(known, values, times, max_age, stamp, how, before)


def _good_samples(
    signal: Signal, times: Floats, ahead: bool, before: float | None = None
) -> tuple[Floats, Floats]:
    """Return times and values of the good samples that the ticks can see: from one before the first tick on."""
    if before is None:
        before = times[0] if len(times) < 2 else 2 * times[0] - times[1]
    first, last = signal.clock.before(np.array([before - signal.channel.latency, times[-1]]))
    begin, reach = max(int(first), 0), 64
    while True:  # back to the newest good sample before the first tick
        samples = signal.read(begin, int(last) + (2 if ahead else 1))
        seen = samples.good & (samples.time + signal.channel.latency <= times[0])
        if begin == 0 or seen.any():
            break
        begin, reach = max(begin - reach, 0), 4 * reach
    if ahead:
        stop, reach = int(last) + 2, 64
        while stop < len(signal) and not (samples.good & (samples.time >= times[-1])).any():
            stop, reach = stop + reach, 4 * reach
            samples = signal.read(begin, stop)
    return samples.time[samples.good], samples.values[samples.good]


def newest(
    known: Floats, values: Floats, times: Floats, max_age: float = np.inf, stamp: Floats | None = None
) -> Aligned:
    """Return the last of the samples known at each time; ``stamp`` is when they were taken."""
    if len(values) == 0:
        return _nothing(len(times))
    at = np.searchsorted(known, times * (1 + 1e-15) + 1e-12, side="right") - 1
    age = times - (known if stamp is None else stamp)[np.maximum(at, 0)]
    age = np.where((at < 0), np.nan, np.maximum(age, 0.0))
    with np.errstate(invalid="ignore"):
        good = (at >= 0) & (age <= max_age)
    return Aligned(np.where(good, values[np.maximum(at, 0)], np.nan), good, age)


def _gathered(
    known: Floats, values: Floats, times: Floats, max_age: float, stamp: Floats, how: str, before: float | None
) -> Aligned:
    """Return mean, root mean square or standard deviation of what became known since the last tick."""
    last = newest(known, values, times, max_age, stamp)
    if len(values) == 0 or (len(times) < 2 and before is None):
        return last
    edge = 2 * times[0] - times[1] if before is None else before
    edges = np.searchsorted(known, np.concatenate([[edge], times]) * (1 + 1e-15) + 1e-12, side="right")
    first, after = edges[:-1], edges[1:]
    count = np.maximum(after - first, 1)
    # Sums from a shifted total, which a mean far from zero costs no digits; by the first value, which later ones
    # do not change.
    shift = values[0]
    mean = _sums(values - shift, first, after) / count
    fresh = after - first > (1 if how == "std" else 0)
    if how == "mean":
        return Aligned(np.where(fresh & last.good, mean + shift, last.values), last.good, last.age)
    variance = np.maximum(_sums((values - shift) ** 2, first, after) / count - mean**2, 0.0)
    found = np.sqrt(variance + (0.0 if how == "std" else (mean + shift) ** 2))
    good = last.good & fresh  # one old sample says nothing of an amplitude
    return Aligned(np.where(good, found, np.nan), good, last.age)


def _sums(values: Floats, first: NDArray[np.int64], after: NDArray[np.int64]) -> Floats:
    total = np.concatenate([[0.0], np.cumsum(values)])
    out: Floats = total[after] - total[first]
    return out


def _between(stamp: Floats, values: Floats, times: Floats, max_age: float) -> Aligned:
    if len(values) == 0:
        return _nothing(len(times))
    at = np.searchsorted(stamp, times, side="right") - 1
    inside = (times >= stamp[0]) & (times <= stamp[-1])
    age = np.where(inside, times - stamp[np.clip(at, 0, len(stamp) - 1)], np.nan)
    wide = stamp[np.clip(at + 1, 0, len(stamp) - 1)] - stamp[np.clip(at, 0, len(stamp) - 1)]
    good = inside & (wide <= max_age)
    return Aligned(np.where(good, np.interp(times, stamp, values), np.nan), good, age)


def _nothing(count: int) -> Aligned:
    return Aligned(np.full(count, np.nan), np.zeros(count, dtype=bool), np.full(count, np.nan))


def align_run(
    run: LogRun,
    channels: list[str],
    times: Floats,
    how: str | dict[str, str] = "asof",
    *,
    max_age: float = np.inf,
) -> dict[str, Aligned]:
    """Return channels of a run at the given times, by name; ``how`` may differ by channel."""
    ways = dict.fromkeys(channels, how) if isinstance(how, str) else how
    return {name: align(run[name], times, ways.get(name, "asof"), max_age=max_age) for name in channels}

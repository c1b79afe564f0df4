"""A log of engine runs: a combustor driven through planned operating points, seen by imperfect sensors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.progress import progress
from sciode.core.random import derive_seed
from sciode.data.logs import Channel, LogWriter, RunWriter
from sciode.pde import Combustor, thermoacoustic
from sciode.solve import StochasticRungeKutta, solve, stochastic_tableaus

Floats = NDArray[np.float64]

_PLAN = 100.0  # Hz, of the planned controls
_STEP = 5e-5  # s, of the integration
_AMBIENT = 290.0  # K
_BAR = 10.0  # of pressure in a unit of the mode


@dataclass(frozen=True)
class EngineLog:
    """What to record.

    Parameters
    ----------
    runs : int
        How many.
    duration : float
        Of each, s.
    rate : float
        Of the fast channels, Hz.
    faults : bool
        Sensors fail: dropouts, spikes, a clipped run, clocks that drift, samples without a value.
    seed : int
        Of plans, noise and faults; run i depends on it and on i alone, but for the batch's turbulence.
    mode : Combustor
        The acoustic mode.
    """

    runs: int = 16
    duration: float = 5.0
    rate: float = 10_000.0
    faults: bool = True
    seed: int = 0
    mode: Combustor = field(default_factory=Combustor)

    def __post_init__(self) -> None:
        if self.runs < 1 or not self.duration >= 0.5:
            raise InputError(f"a log has a run of half a second or more, found {self.runs!r}, {self.duration!r} s")
        if not 10 * self.mode.frequency <= self.rate <= 1 / _STEP:
            raise InputError(
                f"a mode of {self.mode.frequency:g} Hz is recorded at {10 * self.mode.frequency:g} to "
                f"{1 / _STEP:g} Hz, found {self.rate:g}"
            )


def engine_log(path: str | Path, settings: EngineLog | None = None, *, quiet: bool = False) -> Path:
    """Integrate the runs with :mod:`sciode.solve`, and write what the sensors saw.

    Fast: dynamic pressure ``p_dyn`` (bar, the target) and flame luminosity ``oh`` (V). 100 Hz: chamber
    pressure ``p_c`` (bar), and the planned ``mixture_ratio`` and ``flow`` (kg/s), known ahead. 10 Hz:
    injector temperature ``t_inj`` (K), a thermocouple with a lag of half a second. The mode goes unstable
    where mixture ratio and chamber pressure are high.

    The same settings give the same values on the same machine.

    Raises :class:`InputError` for settings that make no log.
    """
    settings = settings or EngineLog()
    plans = [_plan(settings, number) for number in range(settings.runs)]
    states = _integrate(settings, np.stack([gain for _, _, gain in plans]), quiet)
    with LogWriter(path, title="generated engine runs", source="sciode.generate.engine_log") as log:
        for number, (mixture, flow, gain) in enumerate(plans):
            start = f"2026-01-{1 + number // 8:02d}T{8 + number % 8:02d}:00:00Z"
            aborted = settings.faults and number == settings.runs - 1 and settings.runs > 8
            run = log.run(
                f"run-{number:03d}",
                start=start,
                status="aborted" if aborted else "ok",
                conditions={"fuel_temperature": (100.0 + number % 3, "kelvin")},
            )
            _record(run, settings, number, states[number], mixture, flow, gain)
    return Path(path)


def _draw(settings: EngineLog, name: str, number: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(settings.seed, name, number))


def _plan(settings: EngineLog, number: int) -> tuple[Floats, Floats, Floats]:
    """Return mixture ratio, flow and the flame's gain over time, at the plan's rate: plateaus and ramps."""
    draw = _draw(settings, "plan", number)
    times = np.arange(round(settings.duration * _PLAN) + 2) / _PLAN
    knots, levels = [0.0], [draw.uniform(0.0, 0.55)]
    while knots[-1] < times[-1]:
        knots += [knots[-1] + draw.uniform(0.3, 0.9), 0.0]
        knots[-1] = knots[-2] + draw.uniform(0.1, 0.4)
        levels += [levels[-1], draw.uniform(0.0, 1.0)]
    load = np.interp(times, knots, levels)
    mixture = 5.0 + 1.5 * load
    flow = 60.0 + 20.0 * np.interp(times, [0.0, times[-1]], draw.uniform(0.0, 1.0, 2))
    # Unstable where mixture ratio and pressure are high: half way up at the mean flow.
    push = 0.4 + 0.9 * load + 0.4 * (flow - 70.0) / 20.0
    return mixture, flow, settings.mode.critical_gain() * push


def _integrate(settings: EngineLog, gains: Floats, quiet: bool) -> Floats:
    """Return (pressure, delayed velocity) ``"r t 2"`` at the fast rate."""
    table = torch.from_numpy(gains)
    last = table.shape[1] - 2

    def gain(t: Tensor) -> Tensor:
        at = (t * _PLAN).clamp(0, last)
        left = at.floor().long()
        return torch.lerp(table[:, left], table[:, left + 1], at - left)

    term = thermoacoustic(settings.mode, gain, derive_seed(settings.seed, "turbulence"))
    solver = StochasticRungeKutta(stochastic_tableaus.SRA3)
    count = round(settings.duration * settings.rate)
    state, found = settings.mode.at_rest(settings.runs), []
    with progress("engine runs, samples", count, quiet=quiet) as bar, torch.no_grad():
        for first in range(0, count, 4096):  # a few at a time: only two of the state's numbers are kept
            times = torch.arange(first, min(first + 4096, count) + 1, dtype=torch.float64) / settings.rate
            path = solve(term, state, times.tolist(), solver=solver, dt=_STEP).y
            assert isinstance(path, Tensor)
            state = path[:, -1]
            found.append(path[:, :-1][..., [0, -1]].numpy())
            bar.advance(len(times) - 1)
    return np.concatenate(found, axis=1)


def _record(
    run: RunWriter, settings: EngineLog, number: int, states: Floats, mixture: Floats, flow: Floats, gain: Floats
) -> None:
    draw = _draw(settings, "sensors", number)
    _fast(run, settings, number, states, gain, draw)
    count = round(settings.duration * _PLAN)
    amplitude = np.sqrt(np.maximum(_lag(states[:, 0] ** 2, settings.rate, 0.02), 0.0))
    rms = amplitude[(np.arange(count) * settings.rate / _PLAN).astype(int)]
    pressure = flow[:count] * (1.3 + 0.02 * (mixture[:count] - 5.75)) + 0.5 * rms
    planned = [
        Channel("mixture_ratio", "", role="known_future", long_name="mixture ratio, planned"),
        Channel("flow", "kg/s", role="known_future", long_name="total flow, planned"),
    ]
    plan = run.rate("plan", planned, sample_rate=_PLAN, dtype="f8")
    plan.append({"mixture_ratio": mixture[:count], "flow": flow[:count]})
    static = _lag(pressure, _PLAN, 0.03) + 0.05 * draw.normal(size=count)
    if settings.faults and number % 4 == 1:
        gap = int(draw.uniform(0.2, 0.8) * count)
        static[gap : gap + 30] = np.nan
    slow = run.rate("slow", [Channel("p_c", "bar", long_name="chamber pressure", latency=0.01)], sample_rate=_PLAN)
    slow.append({"p_c": static})
    _thermal(run, settings, number, pressure, rms, draw)


def _fast(
    run: RunWriter, settings: EngineLog, number: int, states: Floats, gain: Floats, draw: np.random.Generator
) -> None:
    count = len(states)
    limit = 2.0 if settings.faults and number % 8 == 3 else 8.0
    sound = _BAR * states[:, 0] + 0.1 * draw.normal(size=count)
    pressure = np.clip(sound, -limit, limit)
    light = (
        1.0
        + 0.6 * states[:, 1] * np.interp(np.arange(count) / settings.rate, np.arange(len(gain)) / _PLAN, gain) / 60
    )
    light = light + 0.05 * draw.normal(size=count)
    marks = np.zeros((count, 2), dtype="u1")
    marks[:, 0] = np.where(np.abs(sound) >= limit, 2, 0)
    if settings.faults and number % 5 == 2:
        spikes = draw.integers(0, count, 20)
        light[spikes] += 10.0
        marks[spikes, 1] = 4
    channels = [
        Channel("p_dyn", "bar", role="target", long_name="dynamic pressure", sensor_id="P1"),
        Channel("oh", "volt", long_name="OH* luminosity", sensor_id="L1"),
    ]
    ppm = float(draw.uniform(-50, 50)) if settings.faults else 0.0
    fast = run.rate("fast", channels, sample_rate=settings.rate, ppm=ppm, quality=True)
    fast.append({"p_dyn": pressure, "oh": light}, quality=marks)


def _thermal(
    run: RunWriter, settings: EngineLog, number: int, pressure: Floats, rms: Floats, draw: np.random.Generator
) -> None:
    """Record the injector's temperature as tenths of a kelvin, with a fill value where the logger missed one."""
    warm = _lag(_AMBIENT + 0.4 * pressure + 60.0 * rms, _PLAN, 0.5)[:: round(_PLAN / 10.0)]
    drift = 0.5 * np.arange(len(warm)) / 10.0 if settings.faults and number % 6 == 4 else 0.0
    stored: NDArray[Any] = np.rint(10.0 * (warm + drift + 0.3 * draw.normal(size=len(warm)))).astype("i2")
    if settings.faults:
        stored[draw.integers(1, len(stored), 2)] = -9999
    channel = Channel(
        "t_inj", "kelvin", long_name="injector temperature", scale=0.1, fill_value=-9999, latency=0.1
    )
    run.rate("thermal", [channel], sample_rate=10.0, dtype="i2").append({"t_inj": stored})


def _lag(values: Floats, rate: float, constant: float) -> Floats:
    """Return a first-order lag of a signal, at rest on its first value."""
    keep = float(np.exp(-1.0 / (rate * constant)))
    out: Floats = lfilter([1.0 - keep], [1.0, -keep], values, zi=[keep * values[0]])[0]
    return out

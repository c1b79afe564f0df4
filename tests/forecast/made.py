"""Series with a known law: an amplitude that a plan drives, and a sensor that follows it."""

import numpy as np
import xarray as xr


def made(count: int = 8, ticks: int = 160, seed: int = 0, first: int = 0) -> xr.Dataset:
    """Return series of log-amplitude 0.8 y + 0.3 plan + noise of size 0.1, seen by a noisy sensor in volts."""
    draw = np.random.default_rng(seed)
    plan = np.repeat(draw.uniform(-1, 1, (count, ticks // 20 + 1)), 20, axis=1)[:, :ticks]
    y = np.zeros((count, ticks))
    for k in range(1, ticks):
        y[:, k] = 0.8 * y[:, k - 1] + 0.3 * plan[:, k] + 0.1 * draw.normal(size=count)
    sensor = 2.0 + y + 0.2 * draw.normal(size=y.shape)
    variables = {
        "p": (("series", "time"), np.exp(y), {"units": "bar", "role": "target"}),
        "light": (("series", "time"), sensor, {"units": "volt", "role": "past_covariate"}),
        "plan": (("series", "time"), plan, {"units": "", "role": "known_future"}),
    }
    marks = {
        f"{name}_{what}": (("series", "time"), np.full(y.shape, value))
        for name in variables
        for what, value in (("good", True), ("age", 0.0))
    }
    coords = {
        "time": ("time", np.arange(ticks) / 50.0, {"units": "s"}),
        "run": ("series", [f"run-{first + k}" for k in range(count)]),
        "start": ("series", np.zeros(count)),
    }
    return xr.Dataset({**variables, **marks}, coords=coords, attrs={"sample_rate": 50.0, "log": "made.h5"})

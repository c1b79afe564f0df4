"""From sampled paths to a labelled result: samples with units, and what each kind of ignorance contributes."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from sciode.forecast.frame import Channels, Scale


def parts(draws: Float[Tensor, "m p s h"]) -> tuple[Float[Tensor, "s h"], Float[Tensor, "s h"]]:
    r"""Return the variances (aleatoric, epistemic): mean of the members' variances, variance of their means.

    The second is freed of what p samples leave of the first; an estimate below zero is cut there.

    >>> one = torch.randn(1, 500, 1, 1, generator=torch.Generator().manual_seed(0))
    >>> inside, between = parts(torch.cat([one, one + 3.0]))
    >>> round(inside.item(), 1), round(between.item(), 1)
    (1.0, 4.5)
    """
    within = draws.var(dim=1).mean(0)
    if len(draws) == 1:
        return within, torch.zeros_like(within)
    between = draws.mean(1).var(dim=0) - within / draws.shape[1]
    return within, between.clamp_min(0.0)


def dataset(
    draws: Float[Tensor, "m p s h"], history: xr.Dataset, channels: Channels, scale: Scale, samples: int, seed: int
) -> xr.Dataset:
    """Return a forecast, dimensions ``(sample, series, time)``; samples of the members take turns."""
    members = len(draws)
    inside, between = (part.sqrt() * scale.std for part in parts(draws))
    rows = draws.transpose(0, 1).flatten(0, 1)[:samples]
    name, units = channels.target, channels.units[channels.target]
    said = f"log {name}" if scale.floor is not None else name
    last = float(history.time[-1])
    lead = np.arange(1, draws.shape[-1] + 1) / channels.rate
    spread = {"units": "" if scale.floor is not None else units}
    about: dict[str, str | float] = {
        "units": units,
        "role": "target",
        "scale": "log" if scale.floor is not None else "linear",
    }
    if scale.floor is not None:
        about["floor"] = scale.floor
    variables = {
        name: (("sample", "series", "time"), scale.out(rows.double()).numpy(), about),
        f"{name}_aleatoric": (
            ("series", "time"),
            inside.double().numpy(),
            _told(spread, said, "members' own noise"),
        ),
        f"{name}_epistemic": (("series", "time"), between.double().numpy(), _told(spread, said, "members' means")),
    }
    kept = {key: value for key, value in history.coords.items() if value.dims == ("series",)}
    coords = {
        "time": ("time", last + lead, {"units": "s"}),
        "lead": ("time", lead, {"units": "s", "long_name": "time after the last measurement"}),
        "member": ("sample", np.arange(samples) % members),
        **kept,
    }
    return xr.Dataset(variables, coords=coords, attrs={"sample_rate": channels.rate, "seed": seed})


def _told(attributes: dict[str, str], name: str, what: str) -> dict[str, str]:
    return {**attributes, "long_name": f"standard deviation of {name} by {what}"}

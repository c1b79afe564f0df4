"""Attributions add up, are exact for a linear model."""

import numpy as np
import pytest

from sciode.core.errors import InputError
from sciode.forecast import AnchoredEnsemble, Design, Ridge, Training
from sciode.forecast.attribution import attribute, incompleteness, shares
from tests.forecast.made import made

DESIGN = Design(horizon=6, lags=2, looks=(0,), plans=(0,), log=("p",))


def windows() -> tuple:
    series = made(5, seed=3, first=300)
    return series.isel(time=slice(0, 50)), series.isel(time=slice(50, 60))


def test_linear_attributions_are_exact() -> None:
    """One step ahead a linear model's attribution is weight times input."""
    model = Ridge(design=DESIGN).fit(made())
    history, future = windows()
    found = attribute(model, history, future, lead=1, points=1)
    frame = model.frame(history, future, 1)
    weight = model.step_.weight
    assert np.allclose(found.p.sel(back=0), frame.target[:, -2] * weight[0], atol=1e-6)
    assert np.allclose(found.p.sel(back=1), frame.target[:, -3] * weight[1], atol=1e-6)
    names = model.design.names(model.channels_)
    at = names.index(("plan", "value", 0))
    assert np.allclose(found["plan"].sel(back=-1), frame.known[:, -1, 0] * weight[at], atol=1e-6)
    assert incompleteness(found) < 1e-5


def test_attributions_of_networks_add_up() -> None:
    model = AnchoredEnsemble(3, 16, 2, design=DESIGN, training=Training(steps=100)).fit(made())
    history, future = windows()
    coarse, fine = (incompleteness(attribute(model, history, future, points=points)) for points in (2, 64))
    assert fine < 0.01
    assert fine < coarse
    found = attribute(model, history, future)
    part = shares(found)
    assert abs(sum(part.values()) - 1.0) < 1e-9
    assert max(part, key=lambda name: part[name]) == "plan"  # which drives the made series
    assert (found.light.sel(back=1) == 0).all()  # not looked at


def test_a_lead_beyond_the_horizon_is_refused() -> None:
    model = Ridge(design=DESIGN).fit(made())
    with pytest.raises(InputError, match="lead is 1 to 6"):
        attribute(model, *windows(), lead=7)

"""A forecaster that is stored and read again is the same one; other files are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sciode.core.checkpoint import save_checkpoint
from sciode.core.errors import InputError
from sciode.data.series import SeriesSpec
from sciode.forecast import (
    AnchoredEnsemble,
    Forecaster,
    LaplaceForecaster,
    LatentSDE,
    Persistence,
    Ridge,
    Seasonal,
    VariationalForecaster,
)
from sciode.forecast.recalibrate import recalibrate
from sciode.forecast.store import Artefact, load_forecaster, save_forecaster
from tests.forecast.made import made
from tests.forecast.test_forecasters import DESIGN, SHORT, parts

MODELS = [
    AnchoredEnsemble(3, 8, 2, design=DESIGN, training=SHORT),
    AnchoredEnsemble(3, 8, 0, None, design=DESIGN, training=SHORT),
    VariationalForecaster(2, 3, 8, design=DESIGN, training=SHORT),
    LaplaceForecaster(3, 8, 1, design=DESIGN, training=SHORT),
    Persistence(DESIGN),
    Seasonal(4, DESIGN),
    Ridge(design=DESIGN),
    LatentSDE(2, 8, design=DESIGN, training=SHORT),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_round_trip(model: Forecaster, tmp_path: Path) -> None:
    model.fit(made())
    if isinstance(model, Ridge):
        recalibrate(model, made(3, seed=1, first=100))
    spec = SeriesSpec(rate=50.0, how={"p": "std"}, stuck=3)
    file = save_forecaster(tmp_path / "model.safetensors", Artefact(model, spec, {"runs": ["a"], "seed": 1}))
    again = load_forecaster(file)
    assert again.spec == spec
    assert again.about == {"runs": ["a"], "seed": 1}
    assert again.forecaster.settings().keys() == model.settings().keys()
    history, future = parts()
    one, two = (m.predict(history, samples=12, future=future).p.values for m in (model, again.forecaster))
    assert np.array_equal(one, two)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint"):
        load_forecaster(tmp_path / "none.safetensors")
    file = tmp_path / "other.safetensors"
    save_checkpoint(file, {"a": torch.zeros(1)}, {"kind": "surrogate"})
    with pytest.raises(InputError, match="holds no forecaster"):
        load_forecaster(file)
    file.write_bytes(b"\x00" * 40)
    with pytest.raises(InputError, match="not a whole safetensors"):
        load_forecaster(file)
    with pytest.raises(InputError, match="cannot be stored"):
        save_forecaster(file, Artefact(Ridge(), SeriesSpec(), {}))

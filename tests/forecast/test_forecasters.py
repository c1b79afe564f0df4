"""Every forecaster: what it returns, what it refuses, and that it learns."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

from sciode.core.errors import InputError
from sciode.forecast import (
    AnchoredEnsemble,
    Design,
    Forecaster,
    LaplaceForecaster,
    Persistence,
    Ridge,
    Seasonal,
    Training,
    VariationalForecaster,
    backtest,
    judge,
)
from tests.forecast.made import made

DESIGN = Design(horizon=10, lags=3, looks=(0, 2), plans=(0, 3), log=("p",))
SHORT = Training(steps=150, batch=128, learning_rate=1e-2)
KINDS: dict[str, Callable[[], Forecaster]] = {
    "anchored": lambda: AnchoredEnsemble(4, 16, 1, design=DESIGN, training=SHORT),
    "plain": lambda: AnchoredEnsemble(4, 16, 1, None, design=DESIGN, training=SHORT),
    "mean-field": lambda: VariationalForecaster(0, 4, 16, design=DESIGN, training=SHORT),
    "low-rank": lambda: VariationalForecaster(2, 4, 16, design=DESIGN, training=SHORT),
    "laplace": lambda: LaplaceForecaster(4, 16, 1, design=DESIGN, training=SHORT),
    "persistence": lambda: Persistence(DESIGN),
    "seasonal": lambda: Seasonal(5, DESIGN),
    "ridge": lambda: Ridge(design=DESIGN),
    "ar": lambda: Ridge(own=True, design=DESIGN),
}


@pytest.fixture(scope="module", params=list(KINDS))
def fitted(request: pytest.FixtureRequest) -> Forecaster:
    return KINDS[request.param]().fit(made(), made(3, seed=1, first=100))


def parts(seed: int = 2, count: int = 2) -> tuple[xr.Dataset, xr.Dataset]:
    series = made(count, seed=seed, first=200)
    return series.isel(time=slice(0, 60)), series.isel(time=slice(60, 75))


class TestEveryForecaster:
    def test_result_is_labelled(self, fitted: Forecaster) -> None:
        history, future = parts()
        found = fitted.predict(history, samples=40, seed=1, future=future)
        assert found.p.dims == ("sample", "series", "time")
        assert found.p.shape == (40, 2, 10)
        assert found.p.attrs["units"] == "bar"
        assert list(found.run.values) == ["run-200", "run-201"]
        assert np.allclose(found.lead, np.arange(1, 11) / 50.0)
        assert np.isfinite(found.p.values).all()
        assert (found.p.values > 0).all()
        assert (found.p_aleatoric.values > 0).all()
        assert (found.p_epistemic.values >= 0).all()

    def test_a_seed_repeats(self, fitted: Forecaster) -> None:
        history, future = parts()
        one, same, other = (
            fitted.predict(history, samples=20, seed=seed, future=future).p.values for seed in (1, 1, 2)
        )
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)

    def test_missing_values_are_fine(self, fitted: Forecaster) -> None:
        history, future = parts()
        broken = history.copy(deep=True)
        broken["light"].values[:] = np.nan
        broken["p"].values[0, -3:] = np.nan
        assert np.isfinite(fitted.predict(broken, samples=20, future=future).p.values).all()

    def test_wrong_input_is_named(self, fitted: Forecaster) -> None:
        history, future = parts()
        with pytest.raises(InputError, match="lack light"):
            fitted.predict(history.drop_vars("light"), future=future)
        wrong = history.copy()
        wrong["light"] = wrong.light.assign_attrs(units="millivolt")
        with pytest.raises(InputError, match="light is in 'millivolt'"):
            fitted.predict(wrong, future=future)
        with pytest.raises(InputError, match="100 Hz"):
            fitted.predict(history.assign_attrs(sample_rate=100.0), future=future)
        with pytest.raises(InputError, match="ticks long"):
            fitted.predict(history.isel(time=slice(0, 1)).isel(time=[]), future=future)
        with pytest.raises(InputError, match="plan"):
            fitted.predict(history)
        with pytest.raises(InputError, match="covers 4 ticks"):
            fitted.predict(history, future=future.isel(time=slice(0, 4)))
        with pytest.raises(InputError, match="two samples"):
            fitted.predict(history, samples=1, future=future)


@pytest.mark.parametrize("kind", list(KINDS))
def test_unfitted_is_said(kind: str) -> None:
    history, future = parts()
    with pytest.raises(InputError, match="fit this"):
        KINDS[kind]().predict(history, future=future)


@pytest.mark.parametrize("kind", list(KINDS))
def test_fit_forgets(kind: str) -> None:
    series, other = made(4), made(4, seed=5)
    again = KINDS[kind]()
    assert again.fit(other) is again
    history, future = parts()
    found = again.fit(series).predict(history, samples=20, future=future)
    once = KINDS[kind]().fit(series).predict(history, samples=20, future=future)
    assert np.array_equal(found.p.values, once.p.values)


def test_training_data_are_checked() -> None:
    series = made(4)
    nothing = series.copy(deep=True)
    nothing["p"].values[:] = np.nan
    with pytest.raises(InputError, match="p has no good value"):
        Ridge(design=DESIGN).fit(nothing)
    with pytest.raises(InputError, match="light has no good value"):
        deaf = series.copy(deep=True)
        deaf["light_good"].values[:] = False
        Ridge(design=DESIGN).fit(deaf)
    with pytest.raises(InputError, match="no window"):
        Ridge(design=DESIGN).fit(series.isel(time=slice(0, 3)))
    with pytest.raises(InputError, match="leak"):
        Ridge(design=DESIGN).fit(series, series.isel(series=[0]))
    with pytest.raises(InputError, match="did you mean 'light'"):
        Ridge(design=Design(log=("ligt",))).fit(series)
    two = series.copy()
    two["light"] = two.light.assign_attrs(role="target")
    with pytest.raises(InputError, match="one target"):
        Ridge().fit(two)


def test_learned_models_beat_persistence() -> None:
    train, held, test = made(12), made(3, seed=1, first=100), made(6, seed=2, first=200)
    scores = {
        kind: judge(backtest(KINDS[kind]().fit(train, held), test, every=5, samples=100, history=5)).isel(time=-1)
        for kind in ("anchored", "mean-field", "low-rank", "laplace", "ridge", "persistence")
    }
    for kind in ("anchored", "mean-field", "low-rank", "laplace", "ridge"):
        assert float(scores[kind].rmse) < 0.75 * float(scores["persistence"].rmse)
        assert float(scores[kind].nll_mixture) < float(scores["persistence"].nll_mixture)
    assert float(scores["anchored"].nll_mixture) <= float(scores["anchored"].nll_best_member) + 0.05


def test_ridge_is_the_known_law() -> None:
    """The forecast's moments are those of y' = 0.8 y + 0.3 plan + 0.1 noise: mean, and 0.1^2 sum of 0.64^k."""
    model = Ridge(penalty=1e-3, design=Design(horizon=10, lags=1, looks=(0,), plans=(0,), log=("p",)))
    model.fit(made(60, 400))
    history, future = parts(count=4)
    found = np.log(model.predict(history, samples=20000, future=future).p.values)
    y, plan = np.log(history.p.values[:, -1]), future["plan"].values
    for k in range(10):
        y = 0.8 * y + 0.3 * plan[:, k]
        spread = 0.1 * np.sqrt((0.64 ** np.arange(k + 1)).sum())
        assert np.allclose(found[..., k].mean(0), y, atol=0.02)
        assert np.allclose(found[..., k].std(0), spread, rtol=0.04)


def test_persistence_holds_the_last_value() -> None:
    model = Persistence(DESIGN).fit(made(40))
    history, future = parts()
    found = np.log(model.predict(history, samples=4000, future=future).p.values)
    assert np.allclose(found.mean(0), np.log(history.p.values[:, -1:]), atol=0.03)


def test_seasonal_repeats_the_period() -> None:
    model = Seasonal(5, DESIGN).fit(made(40))
    history, future = parts()
    found = np.log(model.predict(history, samples=8000, future=future).p.values).mean(0)
    assert np.allclose(found, np.tile(np.log(history.p.values[:, -5:]), 2), atol=0.05)


def test_anchored_members_of_a_linear_model() -> None:
    """Of a linear model with known noise, members have the posterior's mean, and the spread that anchors bring."""
    from sciode.forecast.anchored import _Anchored
    from sciode.forecast.learn import Batch, GaussianStep
    from sciode.nn import BatchedMLP

    members, count, size = 400, 30, 0.3
    random = torch.Generator().manual_seed(0)
    x = torch.randn(count, 2, generator=random)
    y = x[:, 0] + x @ torch.tensor([0.3, -0.2]) + size * torch.randn(count, generator=random)
    net = BatchedMLP(members, 2, 2, hidden=0, seed=0)
    step = GaussianStep(net, members, (size - 1e-6, size + 1e-6))
    learner = _Anchored(step, net, 1.0, count, 0)
    batch = Batch(x, y)
    optimizer = torch.optim.LBFGS(learner.parameters(), lr=1.0, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = learner.loss(batch)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    weight = net.weights[0].detach()[..., 0].double()
    features, prior = torch.cat([x, torch.ones(count, 1)], 1).double(), 2.0
    precision = features.mT @ features / size**2 + prior * torch.eye(3, dtype=torch.float64)
    target = (y - x[:, 0]).double()
    mean = torch.linalg.solve(precision, features.mT @ target / size**2)
    assert torch.allclose(weight.mean(0), mean[:2], atol=0.01)
    # With the data fixed, anchors alone spread the members by A^-1 (1/s^2) A^-1.
    inverse = torch.linalg.inv(precision)
    expected = prior * (inverse @ inverse).diagonal()[:2]
    assert torch.allclose(weight.var(0), expected, rtol=0.25)

"""Gaussian-process and SDE forecasters: posterior functions against the posterior, scores, learning."""

import pytest
import torch

from sciode.core.errors import InputError
from sciode.forecast import Design, LatentSDE, Persistence, ProcessForecaster, Training, backtest, judge
from sciode.forecast.attribution import attribute, incompleteness
from sciode.forecast.latent import proper_score
from sciode.forecast.process import drawn, matern
from sciode.metrics.probabilistic import energy_score
from sciode.processes import GaussianProcess
from tests.forecast.made import made
from tests.forecast.test_forecasters import parts

DESIGN = Design(horizon=8, lags=3, looks=(0, 2), plans=(0, 2), log=("p",))


class Known:
    """A process whose kernel is told."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.points_, self.values_ = x, y

    def hyperparameters(self) -> dict[str, torch.Tensor]:
        one = torch.ones((), dtype=torch.float64)
        return {"mean": 0.5 * one, "variance": 2.0 * one, "noise": 0.1 * one, "length": 0.7 * one.expand(2)}


def test_functions_are_of_the_posterior() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(12, 2, generator=random, dtype=torch.float64)
    y = torch.randn(12, generator=random, dtype=torch.float64)
    at = torch.cat([x[:3], 3.0 * torch.rand(5, 2, generator=random, dtype=torch.float64)])
    step = drawn(Known(x, y), 4000, 2000, 1)  # type: ignore[arg-type]
    found = step.functions(at.float().expand(4000, -1, -1)).double()
    told = Known(x, y).hyperparameters()
    scaled, to = x / told["length"], at / told["length"]
    inverse = torch.linalg.inv(2.0 * matern(scaled, scaled) + 0.1 * torch.eye(12, dtype=torch.float64))
    cross = 2.0 * matern(to, scaled)
    mean = 0.5 + cross @ inverse @ (y - 0.5)
    variance = 2.0 - (cross @ inverse * cross).sum(1)
    # Standard errors of 4000 functions: 1.6 % of a standard deviation, 2.2 % of a variance; 4000 features add 2 %.
    assert torch.all((found.mean(0) - mean).abs() < 5 * (variance / 4000).sqrt() + 0.02)
    torch.testing.assert_close(found.var(0), variance, rtol=0.15, atol=0.01)


def test_kernel_is_gpytorchs() -> None:
    gpytorch = pytest.importorskip("gpytorch")
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    peer = gpytorch.kernels.MaternKernel(nu=2.5).double()
    peer.lengthscale = 1.0
    torch.testing.assert_close(matern(x, x), peer(x).to_dense().detach(), rtol=1e-6, atol=1e-6)
    process = GaussianProcess(steps=5).fit(x, x[:, 0])
    told = process.hyperparameters()
    _, covariance = process.predict(x)
    kernel = told["variance"] * matern(x / told["length"], x / told["length"])
    inverse = torch.linalg.inv(kernel + told["noise"] * torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(covariance.matrix, kernel - kernel @ inverse @ kernel, rtol=1e-4, atol=1e-6)


def test_a_process_beats_persistence() -> None:
    pytest.importorskip("gpytorch")
    train, test = made(), made(4, seed=5, first=100)
    model = ProcessForecaster(5, 200, 128, steps=20, design=DESIGN).fit(train)
    ours, theirs = (_error(m, test) for m in (model, Persistence(DESIGN).fit(train)))
    assert ours < 0.8 * theirs
    found = model.predict(parts()[0], samples=20, future=parts()[1])
    assert float(found.p_epistemic.isel(time=-1).min()) > 0 and found.p.sizes["sample"] == 20


def _error(model, test) -> float:  # type: ignore[no-untyped-def]
    return float(judge(backtest(model, test, every=10, samples=40, history=12)).rmse.isel(time=-1))


def test_the_score_is_the_energy_score() -> None:
    random = torch.Generator().manual_seed(0)
    paths, truth = torch.randn(6, 3, 9, generator=random), torch.randn(3, 9, generator=random)
    whole = energy_score(paths, truth).mean() / 3.0
    singles = energy_score(paths[..., None], truth[..., None]).mean()
    torch.testing.assert_close(proper_score(paths, truth, torch.ones(3, 9)), whole + singles, rtol=1e-4, atol=1e-5)
    # What is missing does not count.
    good = torch.ones(3, 9)
    good[:, 4:] = 0.0
    changed = truth.clone()
    changed[:, 4:] = 1e3
    torch.testing.assert_close(proper_score(paths, truth, good), proper_score(paths, changed, good))


def test_an_sde_learns_and_repeats() -> None:
    train, test = made(16), made(4, seed=5, first=100)
    training = Training(steps=150, batch=32, learning_rate=5e-3)
    model = LatentSDE(2, 16, design=DESIGN, training=training).fit(train)
    assert _error(model, test) < 0.8 * _error(Persistence(DESIGN).fit(train), test)
    history, future = parts()
    one, two = (model.predict(history, samples=16, seed=3, future=future).p.values for _ in range(2))
    assert (one == two).all() and (one.std(0) > 0).all()
    assert float(model.predict(history, samples=16, future=future).p_epistemic.max()) == 0.0
    assert incompleteness(attribute(model, history, future, points=64)) < 0.02


def test_bad_settings_are_named() -> None:
    with pytest.raises(InputError, match="hidden states are from 0"):
        LatentSDE(-1)
    with pytest.raises(InputError, match="points from 2"):
        ProcessForecaster(points=1)
    with pytest.raises(InputError, match=r"no series holds 3 ticks of history and 800 of horizon"):
        LatentSDE(2, 8, design=Design(horizon=800, lags=3, looks=(0,), plans=(0,)), training=Training(2)).fit(
            made(3)
        )

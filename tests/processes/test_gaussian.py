"""The Gaussian process against regression written out, and under a law."""

from importlib.util import find_spec

import pytest
import torch

from sciode.constraints import LinearConstraint, integral
from sciode.core.errors import InputError
from sciode.processes import GaussianProcess

CLASH = find_spec("pyro") is not None and find_spec("pyro.distributions") is None
needs_gpytorch = pytest.mark.skipif(find_spec("gpytorch") is None or CLASH, reason="needs gpytorch")

AT = torch.linspace(0, 1, 8, dtype=torch.float64)[:, None]
Y = torch.sin(3 * AT[:, 0]) + 2
TO = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None]


@needs_gpytorch
def test_prediction_is_gaussian_regression() -> None:
    process = GaussianProcess(steps=60).fit(AT, Y)
    mean, covariance = process.predict(TO)
    model = process.model_
    with torch.no_grad():
        kernel = [model.kernel(a, b).to_dense() for a, b in ((AT, AT), (TO, AT), (TO, TO))]
        noise, level = model.likelihood.noise.item(), model.mean.constant.item()
    weights = torch.linalg.solve(kernel[0] + noise * torch.eye(8).double(), kernel[1].mT).mT
    want = weights @ ((Y - process.shift_) / process.scale_ - level) + level
    torch.testing.assert_close(mean, want * process.scale_ + process.shift_, rtol=0, atol=1e-6)
    both = (kernel[2] - weights @ kernel[1].mT) * process.scale_**2
    torch.testing.assert_close(covariance.matrix, both, rtol=0, atol=1e-6)


@needs_gpytorch
def test_it_learns_and_keeps_a_law() -> None:
    mean, covariance = GaussianProcess().fit(AT, Y).predict(TO)
    truth = torch.sin(3 * TO[:, 0]) + 2
    assert float((mean - truth).abs().max()) < 0.02
    law = LinearConstraint(integral([TO[:, 0]]), integral([TO[:, 0]]) @ truth)
    after, posterior = law.condition(mean, covariance)
    assert float(law.residual(after).abs()) < 1e-13
    assert float((after - truth).square().mean()) <= 1.01 * float((mean - truth).square().mean())
    assert bool((posterior.diagonal() <= covariance.diagonal() + 1e-15).all())


@needs_gpytorch
@pytest.mark.parametrize(
    ("at", "y", "match"),
    [(AT, Y[:3], "points 'c d' and values 'c'"), (AT, Y * float("nan"), "NaN or infinity")],
)
def test_bad_points_are_named(at: torch.Tensor, y: torch.Tensor, match: str) -> None:
    with pytest.raises(InputError, match=match):
        GaussianProcess().fit(at, y)


def test_bad_settings_are_named() -> None:
    with pytest.raises(InputError, match="steps are at least 1"):
        GaussianProcess(steps=0)
    with pytest.raises(InputError, match="fit the process first"):
        GaussianProcess().predict(TO)


@pytest.mark.skipif(not CLASH, reason="needs another package named pyro")
def test_a_clash_of_names_is_named() -> None:
    with pytest.raises(InputError, match="pyro-hydro"):
        GaussianProcess().fit(AT, Y)

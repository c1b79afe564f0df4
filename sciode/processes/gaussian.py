"""Gaussian processes of one function, on gpytorch: the classical base model, with a dense covariance."""

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.constraints import Dense
from sciode.core.errors import InputError, MissingExtra


class GaussianProcess:
    """Exact Gaussian process with a Matérn 5/2 kernel, a length for each coordinate, noise and constant mean.

    Needs gpytorch, ``pip install gpytorch``. In float64 throughout; not differentiable in the data.

    Parameters
    ----------
    steps : int
        Adam steps on the marginal likelihood.
    learning_rate : float
        Of these.

    References
    ----------
    Rasmussen and Williams, *Gaussian processes for machine learning* (2006), section 2.2 and 5.4.

    Examples
    --------
    >>> at = torch.linspace(0, 1, 9)[:, None]
    >>> mean, covariance = GaussianProcess(steps=50).fit(at, at[:, 0] ** 2).predict(at)  # doctest: +SKIP
    >>> LinearConstraint(integral([at[:, 0]]), torch.tensor([1 / 3])).condition(mean, covariance)  # doctest: +SKIP
    """

    def __init__(self, steps: int = 200, learning_rate: float = 0.05) -> None:
        if steps < 1 or not learning_rate > 0:
            raise InputError(f"steps are at least 1 and the rate above zero, found {steps!r}, {learning_rate!r}")
        self.steps, self.learning_rate = steps, learning_rate

    def fit(self, at: Float[Tensor, "c d"], y: Float[Tensor, " c"]) -> Self:
        """Learn kernel and noise from points and values; the result does not depend on any random number.

        Raises :class:`InputError` for shapes that do not fit and values that are not finite, :class:`MissingExtra`
        without gpytorch.
        """
        gp = _gpytorch()
        if at.dim() != 2 or y.shape != at.shape[:1] or len(y) < 2:
            raise InputError(
                f"a fit takes points 'c d' and values 'c', found {list(at.shape)} and {list(y.shape)}"
            )
        if not bool(torch.isfinite(at).all() & torch.isfinite(y).all()):
            raise InputError("points or values hold NaN or infinity")
        self.shift_, size = y.double().mean(), y.double().std()
        self.scale_ = torch.where(size > 0, size, 1.0)
        x, target = at.double(), (y.double() - self.shift_) / self.scale_
        likelihood = gp.likelihoods.GaussianLikelihood(noise_constraint=gp.constraints.GreaterThan(1e-6))
        self.model_: Any = _exact(gp, x, target, likelihood).double().train()
        likelihood.double().train()
        marginal = gp.mlls.ExactMarginalLogLikelihood(likelihood, self.model_)
        optimizer = torch.optim.Adam(self.model_.parameters(), lr=self.learning_rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            loss = -marginal(self.model_(x), target)
            loss.backward()
            optimizer.step()
        self.model_.eval()
        self.points_, self.values_ = x, y.double()
        return self

    def hyperparameters(self) -> dict[str, Tensor]:
        """Return the constant mean, the kernel's variance, the noise's, and the ``length`` of each coordinate."""
        if not hasattr(self, "model_"):
            raise InputError("fit the process first")
        kernel, size = self.model_.kernel, self.scale_.square()
        return {
            "mean": self.model_.mean.constant.detach() * self.scale_ + self.shift_,
            "variance": kernel.outputscale.detach() * size,
            "noise": self.model_.likelihood.noise.detach()[0] * size,
            "length": kernel.base_kernel.lengthscale.detach()[0],
        }

    def predict(self, to: Float[Tensor, "m d"]) -> tuple[Float[Tensor, " m"], Dense]:
        """Return mean and covariance of the function, without the noise of observations, in float64."""
        if not hasattr(self, "model_"):
            raise InputError("fit the process first")
        with torch.no_grad():
            found = self.model_(to.double())
            matrix = found.covariance_matrix * self.scale_.square()
        return found.mean * self.scale_ + self.shift_, Dense(0.5 * (matrix + matrix.mT))


def _exact(gp: ModuleType, x: Tensor, y: Tensor, likelihood: Any) -> Any:
    class _Model(gp.models.ExactGP):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__(x, y, likelihood)
            self.mean = gp.means.ConstantMean()
            self.kernel = gp.kernels.ScaleKernel(gp.kernels.MaternKernel(nu=2.5, ard_num_dims=x.shape[-1]))

        def forward(self, at: Tensor) -> Any:
            return gp.distributions.MultivariateNormal(self.mean(at), self.kernel(at))

    return _Model()


def _gpytorch() -> ModuleType:
    # gpytorch takes any package of the name pyro for the probabilistic one, and fails inside where it is another.
    if find_spec("pyro") is not None and find_spec("pyro.distributions") is None:
        raise InputError(
            "gpytorch does not work beside the pyro that is installed here (pyro-hydro): take an environment "
            "without it"
        )
    try:
        return importlib.import_module("gpytorch")
    except ModuleNotFoundError as error:
        raise MissingExtra("a GaussianProcess needs gpytorch: pip install gpytorch") from error

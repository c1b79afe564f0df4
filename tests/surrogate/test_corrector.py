"""A coarse solver with a correction: it begins as the solver, and learns what the solver misses."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.data import Trajectories, open_trajectories, split
from sciode.generate import generate, load_recipe
from sciode.metrics import nrmse
from sciode.pde import EQUATIONS
from sciode.surrogate import Corrector, DilatedResNet, load_surrogate, rollout, stepper
from sciode.train import fit

NETWORK = {"width": 8, "blocks": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    change = {"points": 64, "trajectories": 40, "times": 21, "end": 10.0, "burn_in": 20.0, "dt": 0.05}
    recipe = load_recipe("kuramoto_sivashinsky_64", change=change)
    path: Path = tmp_path_factory.mktemp("ks") / "a.hdf5"
    return open_trajectories(generate(recipe, out=path, quiet=True))


def made(data: Trajectories, **config: object) -> Corrector:
    torch.manual_seed(0)
    return Corrector.for_data(data, body="dilated", network=NETWORK, points=40, substeps=5, **config)


def test_untrained_it_is_the_solver(data: Trajectories) -> None:
    model = made(data).double()
    model.normaliser.std.fill_(1.3)
    model.increment.fill_(0.2)
    u, dt = data[:3][:, 0].double(), torch.full((3,), 0.5, dtype=torch.float64)
    term = EQUATIONS["kuramoto_sivashinsky"].build(points=40, length=64.0)
    want = stepper(term, substeps=5, points=(40,))(u, dt)
    torch.testing.assert_close(model(u, dt), want, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(u, 0 * dt), u, rtol=0, atol=0)


def test_gradients_flow_through_solver_and_network(data: Trajectories) -> None:
    model = made(data).double()
    model.gain.data.fill_(0.5)
    u = data[:1][:, 0].double().requires_grad_()
    dt = torch.full((1,), 0.5, dtype=torch.float64)
    direction = torch.randn(u.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(v: torch.Tensor) -> torch.Tensor:
        return rollout(model, v, 2, 0.5).square().sum()

    (gradient,) = torch.autograd.grad(value(u), u)
    with torch.no_grad():
        numeric = (value(u + 1e-5 * direction) - value(u - 1e-5 * direction)) / 2e-5
    assert (gradient * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-5)
    model(u, dt).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_it_beats_its_solver_and_its_network(data: Trajectories, tmp_path: Path) -> None:
    torch.manual_seed(0)
    alone, hybrid = DilatedResNet.for_data(data, **NETWORK), made(data)
    before = made(data)
    settings = {"steps": 300, "batch": 16, "learning_rate": 3e-3, "quiet": True}
    fit(alone, data, **settings)
    history = fit(hybrid, data, directory=tmp_path, **settings)
    u = data[split(data).test]
    with torch.no_grad():
        errors = [
            nrmse(rollout(model.eval(), u[:, 0], 1, data.dt), u[:, 1:2]).item()
            for model in (hybrid, alone, before, load_surrogate(history.checkpoint))
        ]
    print(f"hybrid {errors[0]:.3g}, network {errors[1]:.3g}, solver {errors[2]:.3g}")
    assert errors[0] < errors[1]
    assert errors[0] < 0.5 * errors[2]
    assert errors[3] == pytest.approx(errors[0], rel=1e-5)


def test_a_state_that_is_not_finite_stays_so_and_spoils_no_other(data: Trajectories) -> None:
    model, u, dt = made(data), data[:2][:, 0], torch.full((2,), 0.5)
    want = model(u, dt)[1]
    u[0, 0, 3] = torch.nan
    later = model(u, dt)
    assert bool(later[0].isnan().all())
    torch.testing.assert_close(later[1], want)


def test_bad_equations_are_named(data: Trajectories) -> None:
    with pytest.raises(UnknownName, match="did you mean 'burgers'"):
        Corrector(1, 1, "burger", 1.0, 16)
    with pytest.raises(InputError, match="fitzhugh_nagumo has 2 in 2D, wall"):
        Corrector(2, 2, "fitzhugh_nagumo", 1.0, 16)
    with pytest.raises(InputError, match="incompressible_flow has 2 in 2D"):
        Corrector(1, 1, "incompressible_flow", 1.0, 16)

    class Plain:
        shape = (4, 5, 1, 32)

    class Drawn(Plain):
        parameters: ClassVar[dict] = {"recipe": {"name": "varied", "draws": {"length": [1.0, 2.0]}}}

    with pytest.raises(InputError, match="varied draws length anew for each trajectory"):
        Corrector.for_data(Drawn())
    with pytest.raises(InputError, match="needs equation="):
        Corrector.for_data(Plain())

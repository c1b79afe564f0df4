"""Attentive processes: symmetries, likelihood, training against a baseline, checkpoints, constrained mixtures."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sciode.constraints import LinearConstraint, integral
from sciode.core.errors import InputError, UnknownName
from sciode.data import open_trajectories, split
from sciode.generate import generate, load_recipe
from sciode.processes import Attend, AttentiveProcess, FieldPoints, Mixture, load_process, together
from sciode.train import fit


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**changes) -> AttentiveProcess:
    torch.manual_seed(0)
    return AttentiveProcess(**{"width": 16, "heads": 2, "decoder": 32, **changes}).double().eval()


def points(b: int = 2, c: int = 6, m: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    at, y, to = (
        torch.rand(b, k, d, dtype=torch.float64, generator=draw(k + d)) for k, d in ((c, 2), (c, 1), (m, 2))
    )
    return at, y, to


def test_the_published_size() -> None:
    with torch.device("meta"):
        model = AttentiveProcess()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(0.99e6, rel=0.1)


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours = Attend(8, 2).double()
    q, k = torch.randn(3, 5, 8, dtype=torch.float64), torch.randn(3, 7, 8, dtype=torch.float64)
    found = torch.nn.functional.scaled_dot_product_attention(
        *(
            layer(x).unflatten(-1, (2, 4)).transpose(1, 2)
            for layer, x in ((ours.query, q), (ours.key, k), (ours.value, k))
        )
    )
    want = ours.norm(q + ours.join(torch.cat([q, found.transpose(1, 2).flatten(2)], dim=-1)))
    torch.testing.assert_close(ours(q, k, k), want, rtol=0, atol=1e-12)


def test_the_order_of_points_says_nothing() -> None:
    at, y, to = points()
    turn = torch.randperm(6, generator=draw(0))
    model = small()
    one, other = model.predict(at, y, to, 3), model.predict(at[:, turn], y[:, turn], to, 3)
    torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=1e-12)
    back = torch.arange(4, -1, -1)
    torch.testing.assert_close(model.predict(at, y, to[:, back], 3).mean, one.mean[:, :, back], rtol=0, atol=1e-12)
    torch.testing.assert_close(model.predict(at[:1], y[:1], to[:1], 3).variance, one.variance[:, :1])


def test_units_are_those_of_the_data() -> None:
    at, y, to = points()
    model = small()
    before = model.predict(at, y, to, 4)
    model.normaliser.mean += 10.0
    model.normaliser.std *= 3.0
    after = model.predict(at, 10 + 3 * y, to, 4)
    torch.testing.assert_close(after.mean, 10 + 3 * before.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(after.variance, 9 * before.variance, rtol=0, atol=1e-9)


def test_gradients_of_derivatives_agree_with_differences() -> None:
    at, y, to = points(1, 4, 3)
    model = small()

    def bend(to: Tensor) -> Tensor:
        z = model.latent(at, y).mean
        mean, _ = model.decode(model.attended(at, y, to), z, to)
        (slope,) = torch.autograd.grad(mean.sum(), to, create_graph=True)
        return torch.autograd.grad(slope[..., 1].sum(), to, create_graph=True)[0][..., 1]

    step = torch.zeros_like(to)
    step[..., 1] = 1e-4
    with torch.no_grad():
        mean = [
            model.decode(model.attended(at, y, p), model.latent(at, y).mean, p)[0]
            for p in (to - step, to, to + step)
        ]
    want = (mean[0] - 2 * mean[1] + mean[2]) / 1e-8
    torch.testing.assert_close(bend(to.requires_grad_()), want, rtol=1e-3, atol=1e-4)


def heat(tmp_path: Path, trajectories: int = 60):
    recipe = load_recipe("heat", change={"points": 17, "times": 17, "trajectories": trajectories})
    return open_trajectories(generate(recipe, out=tmp_path / "heat.hdf5", quiet=True))


def test_a_trained_process_beats_the_mean_of_its_context(tmp_path: Path) -> None:
    data = heat(tmp_path)
    torch.manual_seed(0)
    model = AttentiveProcess(channels=2, width=16, heads=2, decoder=32, dropout=0.0)
    task = FieldPoints(states=17, times=6, points=6)
    fit(model, data, task=task, steps=150, batch=16, learning_rate=3e-3, directory=tmp_path / "run", quiet=True)
    back = load_process(tmp_path / "run" / "checkpoints" / "best.safetensors")
    u = data[split(data).test]
    torch.manual_seed(1)
    at, y = task._context(u[:, :, 0])
    to, target = task._targets(u[:, :, 0])
    mean, variance = back.predict(at, y, to, 20).moments()
    error, base = (mean - target[..., 0]).square().mean(), (y.mean(1) - target[..., 0]).square().mean()
    assert float(error) < 0.5 * float(base)
    z = (mean - target[..., 0]) / variance.sqrt()
    assert 0.2 < float(z.square().mean()) < 5.0


def test_a_soft_constraint_makes_the_residual_smaller(tmp_path: Path) -> None:
    data = heat(tmp_path)
    left = {}
    for weight in (0.0, 10.0):
        torch.manual_seed(0)
        model = AttentiveProcess(channels=2, width=16, heads=2, decoder=32, dropout=0.0)
        task = FieldPoints(states=17, times=5, points=5, equation="heat", weight=weight, length=6.2832)
        fit(model, data, task=task, steps=60, batch=16, learning_rate=3e-3, quiet=True)
        u = data[split(data).test]
        torch.manual_seed(1)
        (at, y), (to, target) = task._context(u[:, :, 0]), task._targets(u[:, :, 0])
        left[weight] = task._residual(model, at, y, to, target, u).mean().item()
    assert left[10.0] < 0.5 * left[0.0]


def test_the_truth_has_no_residual() -> None:
    """The residual of SoftC sees the equation: zero for its solution, written as a process."""

    class Known:
        def units(self) -> tuple[Tensor, Tensor]:
            return torch.ones(1).double(), torch.zeros(1).double()

        def attended(self, at: Tensor, y: Tensor, to: Tensor) -> None:
            return None

        def latent(self, at: Tensor, y: Tensor) -> torch.distributions.Normal:
            return torch.distributions.Normal(torch.zeros(1).double(), torch.ones(1).double())

        def decode(self, r: None, z: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
            t, x = to.unbind(-1)
            return torch.exp(-2.0 * t) * torch.sin(6.283185307179586 * x), x

    u = torch.full((2, 11, 2, 8), 2.0, dtype=torch.float64)
    task = FieldPoints(states=11, equation="heat", length=6.283185307179586)
    at, y, to = points(2, 100, 100)
    assert float(task._residual(Known(), at, y, to, y, u).max()) < 1e-20
    wrong = torch.full((2, 11, 2, 8), 1.0, dtype=torch.float64)
    assert float(task._residual(Known(), at, y, to, y, wrong).min()) > 1.0


def law(n: int = 9) -> LinearConstraint:
    return LinearConstraint(integral([torch.linspace(0, 1, n)]), torch.tensor([0.4]))


def mixture(dtype: torch.dtype = torch.float64) -> Mixture:
    mean = torch.randn(5, 3, 9, dtype=dtype, generator=draw(0))
    return Mixture(mean, torch.rand(5, 3, 9, dtype=dtype, generator=draw(1)) + 0.01)


def test_components_and_the_whole_keep_the_law() -> None:
    after, covariance = mixture().given(law())
    assert float(law().residual(after.mean).abs().max()) < 1e-15
    assert float(law().residual(after.moments()[0]).abs().max()) < 1e-15
    draws = after.mean + covariance.sample((5, 3), draw(2))
    assert float(law().residual(draws).abs().max()) < 1e-14
    assert bool((after.variance <= mixture().variance).all())
    hard = mixture().projected(law())
    assert float(law().residual(hard.mean).abs().max()) < 1e-15
    assert torch.equal(hard.variance, mixture().variance)


def test_moments_are_those_of_draws() -> None:
    two = mixture()
    choice = torch.randint(5, (200000,), generator=draw(3))
    x = (
        two.mean[choice, 0, 0]
        + two.variance[choice, 0, 0].sqrt() * torch.randn(200000, generator=draw(4)).double()
    )
    mean, variance = (value[0, 0].item() for value in two.moments())
    assert x.mean().item() == pytest.approx(mean, abs=0.01)
    assert x.var().item() == pytest.approx(variance, rel=0.02)
    torch.testing.assert_close(together(two, two).moments()[0], two.moments()[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: small().predict(*points()[:2], torch.rand(3, 5, 2)), "for a batch of 2"),
        (lambda: small().predict(points()[0], points()[1][..., 0], points()[2]), "values 'b c 1'"),
        (lambda: small().predict(points()[0] * float("nan"), *points()[1:]), "context points hold NaN"),
        (lambda: FieldPoints(states=4), "cannot give 10"),
        (lambda: FieldPoints(states=11, equation="heat").losses(small(), torch.rand(2, 11, 1, 8).double(),
        None), "one field only"), (lambda: Mixture(torch.zeros(2, 3), torch.zeros(2, 4)), "means and variances"),
        (lambda: together(mixture(), Mixture(torch.zeros(2, 3), torch.ones(2, 3))), "members have one shape"),
        (lambda: Attend(10, 4), "no multiple of 4 heads"),
        (lambda: AttentiveProcess(least=0.0), "above zero"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()  # type: ignore[operator]


def test_an_unknown_equation_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="heat"):
        FieldPoints(states=11, equation="heet")


def test_a_prediction_has_no_dropout() -> None:
    model = small(dropout=0.5).train()
    one, other = (model.predict(*points(), samples=2).mean for _ in range(2))
    assert torch.equal(one, other) and model.training

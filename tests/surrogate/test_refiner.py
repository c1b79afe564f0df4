"""PDE-Refiner: its schedule, exact denoisers, its samplers, ensembles, training."""

import math

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.generative import Refinement
from sciode.surrogate import Persistence, Refiner, load_surrogate, rollout
from sciode.train import Sobolev, fit
from tests.train.waves import wave_file

SMALL = {"width": 8, "depth": 2}
PUBLISHED = 4e-7**0.5


def model(**config) -> Refiner:
    torch.manual_seed(0)
    return Refiner(1, 1, network=SMALL, **config)


def state(batch: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 1, 16, generator=torch.Generator().manual_seed(seed))


def test_levels_are_the_published_ones():
    # 1 - prod (1 - s^(k / K)) in exact arithmetic, of s = 4e-7 and K = 3
    levels = Refinement(3, PUBLISHED).levels
    assert levels == pytest.approx([6.324555e-4, 7.395155e-3, 8.615305e-2, 1.0], abs=1e-6)
    assert [f"{level:.2e}" for level in levels] == ["6.32e-04", "7.40e-03", "8.62e-02", "1.00e+00"]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_schedule_is_inverted(steps):
    schedule = Refinement(steps, 1e-3)
    t = torch.linspace(0.01, 1, 23, dtype=torch.float64)
    torch.testing.assert_close(schedule.time(schedule.lam(t)), t, rtol=0, atol=1e-12)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
@pytest.mark.parametrize("evaluations", [1, 2, 4])
def test_an_exact_denoiser_returns_the_truth(sampler, evaluations):
    made = model(sampler=sampler, evaluations=evaluations).double()
    u, later = state().double(), state(seed=1).double()

    class Exact(torch.nn.Module):
        def forward(self, x, tau, level):
            """Return the velocity whose x0 is the true difference."""
            noisy = x[:, :1]
            schedule = made.sampler.schedule
            t = schedule.at(level.double() / 3)
            alpha, sigma = (v.view(-1, 1, 1) for v in (schedule.alpha(t), schedule.sigma(t)))
            return (alpha * noisy - (later - u)) / sigma

    made.body = Exact()
    assert made.sampler.evaluations == evaluations
    predicted = made(u, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(predicted, later, rtol=0, atol=1e-12)


class _ExactNoise(torch.nn.Module):
    """Returns the noise within x, and the data where x is all noise."""

    def __init__(self, made: Refiner, y: torch.Tensor) -> None:
        super().__init__()
        self.schedule, self.y = made.sampler.schedule, y

    def forward(self, x, tau, level):
        """Return noise or data."""
        t = self.schedule.at(level.double() / 3)
        alpha, sigma = (v.view(-1, 1, 1) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        return torch.where(level.view(-1, 1, 1) > 2.5, self.y, (x[:, :1] - alpha * self.y) / sigma)


def test_noise_as_in_the_paper_first_predicts_the_data():
    made = model(prediction="noise").double()
    u, later = state().double(), state(seed=1).double()
    made.body = _ExactNoise(made, later - u)
    dt = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(made(u, dt), later, rtol=0, atol=1e-12)
    torch.testing.assert_close(made.losses(u, later, dt), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-20)


def test_the_loss_of_noise_is_the_error_of_the_noise_and_first_of_the_data():
    made, u = model(prediction="noise").double(), state(300).double()
    later, dt = u + 3 * state(300, seed=1).double(), torch.ones(300, dtype=torch.float64)

    class Off(_ExactNoise):
        def forward(self, x, tau, level):
            """Miss by half."""
            return super().forward(x, tau, level) + 0.5

    made.body = Off(made, later - u)
    torch.testing.assert_close(made.losses(u, later, dt), torch.full_like(dt, 0.25), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_the_last_step_adds_no_noise(sampler):
    noises = [row.noise for row in model(sampler=sampler).sampler.plan.rows]
    assert not noises[-1]


def test_the_network_is_called_once_a_level_with_its_number():
    made, seen = model(), []
    made.body.register_forward_hook(lambda body, args, out: seen.append(args[2][0].item()))
    made(state(), torch.ones(3))
    assert seen == pytest.approx([3.0, 2.0, 1.0, 0.0], abs=1e-6)


def test_noise_follows_the_seed_and_each_sample_its_own():
    made, u, dt = model().eval(), state(), torch.ones(3)
    assert torch.equal(made(u, dt, seed=1), made(u, dt, seed=1))
    assert not torch.equal(made(u, dt, seed=1), made(u, dt, seed=2))
    member = made.seeded(7)
    first, second = member(u, dt), member(u, dt)
    assert not torch.equal(first, second)  # noise anew at every step
    assert torch.equal(made.seeded(7)(u, dt), first)
    torch.testing.assert_close(made(u[:2], dt[:2], seed=1), made(u, dt, seed=1)[:2], rtol=0, atol=1e-6)


def test_a_rollout_draws_anew_at_every_step_and_differs_by_seed():
    made, u = model().eval(), state()
    with torch.no_grad():
        path, other = (rollout(made, u, 2, 1.0, seed=seed) for seed in (0, 1))
        again = rollout(made.seeded(0), u, 2, 1.0)
    assert torch.equal(path, again)
    assert not torch.equal(path, other)
    assert not torch.equal(path[:, 1], made(path[:, 0], torch.ones(3)))


def test_the_loss_of_a_lazy_network_is_the_size_of_the_velocity():
    made, u = model(), state(4000)
    made.body = _Lazy()
    torch.manual_seed(1)
    later = u + torch.randn(u.shape)
    loss = made.losses(u, later, torch.ones(len(u))).mean()
    # v = alpha eps - sigma y has unit variance at every level where y has
    assert loss.item() == pytest.approx(1.0, abs=0.03)


class _Lazy(torch.nn.Module):
    def forward(self, x, tau, level):
        """Return nothing."""
        return torch.zeros_like(x[:, :1])


@pytest.mark.parametrize("body", ["fno", "poseidon", "unet"])
def test_any_network_fits_inside(body, tmp_path):
    from types import SimpleNamespace

    data = SimpleNamespace(shape=(4, 5, 2, 16, 16))
    network = {
        "fno": {"width": 4, "layers": 1},
        "poseidon": {"depths": [1], "heads": [1], "skips": [0], "window": 4},
    }
    made = Refiner.for_data(data, body=body, network=network.get(body, SMALL))
    u = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    assert made(u, torch.ones(2)).shape == u.shape
    twin = Refiner(**made.config)
    twin.load_state_dict(made.state_dict())
    torch.testing.assert_close(twin(u, torch.ones(2)), made(u, torch.ones(2)), rtol=0, atol=1e-6)


def test_it_learns_and_comes_back_from_its_file(tmp_path):
    data = wave_file(tmp_path)
    made = Refiner.for_data(data, sigma_min=2e-2, network=SMALL)
    history = fit(made, data, steps=300, batch=32, learning_rate=3e-3, directory=tmp_path / "run", quiet=True)
    from sciode.data import split
    from sciode.metrics import nrmse

    u = data[split(data).test]
    dt = torch.full((len(u),), data.dt)
    with torch.no_grad():
        error = nrmse(made(u[:, 0], dt)[:, None], u[:, 1:2])
        still = nrmse(Persistence()(u[:, 0], dt)[:, None], u[:, 1:2])
        back = load_surrogate(history.checkpoint)
        torch.testing.assert_close(back(u[:, 0], dt), made(u[:, 0], dt))
        ahead = rollout(made.seeded(0), u[:, 0], 5, data.dt)
    with pytest.raises(InputError, match=r"trained on a grid \(32,\), the states have \(16,\): resample"):
        back(u[:, 0, :, ::2], dt)
    with pytest.raises(InputError, match="takes states 'b 1 x', got shape"):
        back(u[:, 0].repeat(1, 2, 1), dt)
    print(f"refiner {error:.3g}, persistence {still:.3g}")
    assert error < 0.3 * still
    assert bool(torch.isfinite(ahead).all())


def test_a_student_learns_to_say_at_once_what_its_teacher_says_in_four_calls(tmp_path):
    from sciode.data import split

    data = wave_file(tmp_path)
    torch.manual_seed(0)
    teacher = Refiner.for_data(data, sigma_min=2e-2, network=SMALL)
    fit(teacher, data, steps=200, batch=32, learning_rate=3e-3, quiet=True)
    student = teacher.student()
    u = data[split(data).test][:, 0]
    dt = torch.full((len(u),), data.dt)
    slow = Refiner(**{**teacher.config, "sampler": "ddim"})
    slow.load_state_dict(teacher.state_dict())
    with torch.no_grad():
        goal, before = slow(u, dt, seed=5), student(u, dt, seed=5)
    weights = [p.clone() for p in teacher.parameters()]
    history = fit(student, data, steps=200, batch=32, learning_rate=1e-3, directory=tmp_path / "run", quiet=True)
    with torch.no_grad():
        after, back = student(u, dt, seed=5), load_surrogate(history.checkpoint)
        calls = []
        back.body.register_forward_hook(lambda body, args, out: calls.append(1))
        torch.testing.assert_close(back(u, dt, seed=5), after)
    assert len(calls) == 1
    assert all(torch.equal(a, b) for a, b in zip(weights, teacher.parameters(), strict=True))
    distance = [(x - goal).square().mean().sqrt().item() for x in (before, after)]
    print(f"distance from the teacher: {distance[0]:.3g} before, {distance[1]:.3g} after")
    assert distance[1] < 0.7 * distance[0]


@pytest.mark.parametrize("body", ["unet", "fno"])
def test_a_student_begins_as_its_teacher_in_one_call(body):
    network = {"width": 8, "depth": 1} if body == "unet" else {"width": 8, "layers": 1, "modes": 4}
    teacher = Refiner(1, 1, body=body, network=network).double()
    student, once = teacher.student(), teacher.resampled("ddim", 1)
    u, dt = state(3).double(), torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(student(u, dt, seed=2), once(u, dt, seed=2), rtol=0, atol=0)
    kinds = [{key: value.dtype for key, value in model.state_dict().items()} for model in (teacher, student)]
    assert kinds[0] == kinds[1] and teacher.sampler.evaluations == 4 and student.config["evaluations"] == 1
    assert bool((student.losses(u, u, dt) > 0).all())


def test_a_student_imitates_in_physical_units():
    teacher, u = model().eval(), state()
    student, dt = teacher.student(), torch.ones(3)
    student.reference_dt.fill_(2.0)
    student.normaliser.std.fill_(3.0)
    student._teacher[0].sampler = student.sampler  # one call, so that equal units would give no distance
    size = student._size(student.leads(dt))
    torch.manual_seed(4)
    found = student.losses(u, u, dt)
    torch.manual_seed(4)
    seed = int(torch.randint(2**62, ()))
    want = ((student(u, dt, seed=seed) - teacher.student()(u, dt, seed=seed)) / size).square().flatten(1).mean(1)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("config", "error", "match"),
    [
        ({"sigma_min": 0.0}, InputError, "sigma_min lies between 0 and 1, found 0"),
        ({"sigma_min": 1.5}, InputError, "found 1.5"),
        ({"sigma_min": math.nan}, InputError, "found nan"),
        ({"steps": 0}, InputError, "steps must be at least 1|whole number of steps from 1 up, found 0"),
        ({"evaluations": 5}, InputError, "1 to 4 evaluations, found 5"),
        ({"sampler": "ddmp"}, UnknownName, "did you mean 'ddpm'"),
        ({"body": "unit"}, UnknownName, "did you mean 'unet'"),
        ({"prediction": "velicity"}, UnknownName, "did you mean 'velocity'"),
    ],
)
def test_bad_settings_are_named(config, error, match):
    with pytest.raises(error, match=match):
        model(**config)


def test_weights_too_coarse_for_the_last_level_are_refused():
    made = model().to(torch.bfloat16)
    with pytest.raises(InputError, match=r"sigma_min = 0.000632456 is below what torch.bfloat16 resolves"):
        made(state(), torch.ones(3))


def test_states_of_another_shape_and_unrolling_are_refused(tmp_path):
    with pytest.raises(InputError, match="takes states 'b 1 x'"):
        model()(torch.zeros(2, 2, 16), torch.ones(2))
    data = wave_file(tmp_path)
    with pytest.raises(InputError, match="loss of its own"):
        fit(Refiner.for_data(data, network=SMALL), data, steps=1, unroll=2, quiet=True)
    with pytest.raises(InputError, match="leave loss out"):
        fit(Refiner.for_data(data, network=SMALL), data, steps=1, loss=Sobolev(1.0), quiet=True)

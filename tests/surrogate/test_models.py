"""Every model of the library passes the same suite; a new one is one more line in ``CASES``."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sciode.core.checkpoint import save_checkpoint
from sciode.core.errors import InputError
from sciode.nn import module_tensors
from sciode.surrogate import FNO, Emulator, UNet, load_surrogate, surrogates

SIZES = {1: (32,), 2: (16, 24), 3: (8, 8, 16)}
CASES = [
    *(("fno", n, {"modes": 3, "width": 8, "layers": 2}) for n in SIZES),
    ("fno", 2, {"modes": 3, "width": 8, "layers": 2, "periodic": False}),
    *(("unet", n, {"width": 8, "depth": 2}) for n in SIZES),
    ("unet", 2, {"width": 8, "depth": 2, "heads": 2}),
    ("unet", 1, {"width": 8, "depth": 2, "norm": True}),
    ("unet", 1, {"width": 8, "depth": 3, "padding": "replicate"}),
    *(("modern-unet", n, {"width": 4, "multiples": (1, 2, 2), "blocks": 1}) for n in SIZES),
    ("modern-unet", 1, {"width": 4, "multiples": (2, 1), "padding": "replicate"}),
    *(("dilated", n, {"width": 8, "blocks": 1}) for n in SIZES),
]
PERIODIC = [case for case in CASES if case[2].get("periodic", True) and "padding" not in case[2]]


def _name(case: tuple) -> str:
    extra = "".join(f"-{key}" for key in case[2] if key in ("periodic", "padding", "heads", "norm"))
    return f"{case[0]}{case[1]}d{extra}"


def make(case: tuple, channels: int = 2, **extra: object) -> Emulator:
    name, dimensions, config = case
    torch.manual_seed(0)
    model = surrogates[name](channels, dimensions, **{**config, **extra})
    for parameter in model.parameters():
        if not parameter.any():  # blocks that begin as nothing
            torch.nn.init.normal_(parameter, std=0.1)
    model.normaliser.mean.copy_(torch.tensor([3.0, -1.0])[:channels])
    model.normaliser.std.copy_(torch.tensor([2.0, 0.5])[:channels])
    model.reference_dt.fill_(0.1)
    return model.eval()


def state(case: tuple, seed: int = 0, batch: int = 2) -> Tensor:
    torch.manual_seed(seed)
    return 1 + torch.randn(batch, 2, *SIZES[case[1]])


@pytest.mark.parametrize("case", CASES, ids=_name)
class TestSurrogateSuite:
    def test_shape_and_dtype(self, case: tuple) -> None:
        u, dt = state(case), torch.tensor([0.1, 0.2])
        model = make(case)
        with torch.no_grad():
            assert model(u, dt).shape == u.shape
            assert model(u, dt).dtype == torch.float32
            assert model(u.double(), dt.double()).dtype == torch.float64

    def test_gradients_reach_every_parameter(self, case: tuple) -> None:
        model = make(case).train()
        model(state(case), torch.tensor([0.1, 0.2])).square().mean().backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
        assert dead == []

    def test_no_time_no_change(self, case: tuple) -> None:
        u = state(case)
        assert torch.equal(make(case)(u, torch.zeros(2)), u)

    def test_without_residual_the_output_is_the_state(self, case: tuple) -> None:
        u, model = state(case), make(case, residual=False)
        v = (u - model.normaliser.mean.view(1, 2, *(1,) * case[1])) / model.normaliser.std.view(
            1, 2, *(1,) * case[1]
        )
        with torch.no_grad():
            f = model.tendency(v, torch.ones(2))
            out = model(u, torch.full((2,), 0.1))
        scale, shift = (getattr(model.normaliser, n).view(1, 2, *(1,) * case[1]) for n in ("std", "mean"))
        assert torch.allclose(out, scale * f + shift, atol=1e-5)

    def test_samples_do_not_mix(self, case: tuple) -> None:
        u, dt, model = state(case), torch.tensor([0.1, 0.3]), make(case)
        with torch.no_grad():
            assert torch.allclose(model(u, dt)[1:], model(u[1:], dt[1:]), atol=1e-5)
            assert not torch.allclose(model(u, dt)[1:], model(u[1:], dt[:1]), atol=1e-3)

    def test_twin_from_card(self, case: tuple, tmp_path) -> None:
        model, u, dt = make(case), state(case), torch.tensor([0.1, 0.2])
        card = {"model": {"name": type(model).__name__, "config": model.config}}
        weights = {f"model.{name}": tensor for name, tensor in module_tensors(model).items()}
        save_checkpoint(tmp_path / "a.safetensors", {**weights, "train.x": torch.ones(1)}, card)
        with torch.no_grad():
            assert torch.equal(load_surrogate(tmp_path / "a.safetensors")(u, dt), model(u, dt))

    def test_state_dict_holds_tensors_only(self, case: tuple) -> None:
        model = make(case)
        assert all(isinstance(value, Tensor) for value in model.state_dict().values())
        make(case).load_state_dict(model.state_dict())

    def test_mixed_precision_stays_near(self, case: tuple) -> None:
        u, dt, model = state(case), torch.full((2,), 0.1), make(case)
        with torch.no_grad():
            exact = model(u, dt)
            with torch.autocast("cpu", torch.bfloat16):
                rough = model(u, dt)
        assert rough.dtype == torch.float32
        change = (exact - u).abs().max()
        assert 0 < (rough - exact).abs().max() < 0.1 * change

    def test_wrong_inputs(self, case: tuple) -> None:
        u, model = state(case), make(case)
        with pytest.raises(InputError, match="takes states 'b 2"):
            model(u[:, :1], torch.ones(2))
        with pytest.raises(InputError, match="takes states 'b 2"):
            model(u[0], torch.ones(2))
        with pytest.raises(InputError, match="one lead time a sample"):
            model(u, torch.tensor(0.1))


@pytest.mark.parametrize("case", PERIODIC, ids=_name)
def test_commutes_with_translations(case: tuple) -> None:
    model, u, dt = make(case).double(), state(case).double(), torch.tensor([0.1, 0.2]).double()
    shift = tuple(4 * (axis + 1) for axis in range(case[1]))
    axes = tuple(range(2, 2 + case[1]))
    with torch.no_grad():
        moved, still = model(u.roll(shift, axes), dt), model(u, dt).roll(shift, axes)
        assert torch.allclose(moved, still, atol=1e-5 if case[0] == "fno" else 1e-12)
        assert not torch.allclose(moved, model(u, dt), atol=1e-3)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_fno_does_not_see_the_grid(dimensions: int) -> None:
    torch.manual_seed(0)
    model = FNO(1, dimensions, modes=4, width=8, layers=2)
    coarse, fine = (_smooth(n, dimensions) for n in (64, 128))
    with torch.no_grad():
        a, b = model(coarse, torch.ones(1)), model(fine, torch.ones(1))
    every_second = (..., *(slice(None, None, 2),) * dimensions)
    change = (a - coarse).abs().max()
    # Not to rounding: the activation makes modes that the coarse grid aliases.
    assert (b[every_second] - a).abs().max() < 1e-4 * change


def _smooth(points: int, dimensions: int) -> Tensor:
    x = 2 * torch.pi * torch.arange(points) / points
    axes = torch.meshgrid(*[x] * dimensions, indexing="ij")
    return torch.stack([sum(torch.sin(2 * a + 0.3) + 0.5 * torch.cos(a) for a in axes)])[None]


def test_unet_refuses_a_grid_it_cannot_halve() -> None:
    model = UNet(1, 1, width=8, depth=3)
    with pytest.raises(InputError, match=r"divisible by 8, got \(36,\)"):
        model(torch.zeros(1, 1, 36), torch.ones(1))


@pytest.mark.parametrize("config", [{"width": 0}, {"dimensions": 4}, {"dimensions": 0}, {"channels": 0}])
@pytest.mark.parametrize("model", [FNO, UNet])
def test_impossible_sizes(model: type, config: dict) -> None:
    with pytest.raises(InputError, match="must be"):
        model(**{"channels": 1, "dimensions": 1, **config})


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (FNO, (9, 5, 2, 10), {"channels": 2, "dimensions": 1, "modes": 4}),
        (FNO, (9, 5, 1, 64, 64), {"dimensions": 2, "modes": 12}),
        (FNO, (9, 5, 1, 32, 32, 32), {"dimensions": 3, "modes": 8}),
        (UNet, (9, 5, 1, 36, 64), {"dimensions": 2, "depth": 2}),
        (UNet, (9, 5, 3, 128), {"channels": 3, "depth": 3}),
    ],
)
def test_sized_for_data(model: type, shape: tuple, expected: dict) -> None:
    made = model.for_data(SimpleNamespace(shape=shape), width=8)
    assert {key: made.config[key] for key in expected} == expected
    assert made.config["width"] == 8
    u = torch.zeros(1, *shape[2:])
    assert made(u, torch.ones(1)).shape == u.shape

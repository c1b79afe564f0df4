"""Poseidon: published sizes, start and names; any grid, any lead; other fields; the same numbers all ways."""

from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sciode.core.errors import InputError, UnknownName
from sciode.surrogate import Poseidon, build, load_published
from sciode.surrogate.poseidon import SIZES
from sciode.surrogate.published import from_published

MILLIONS = {"tiny": 20.8, "small": 39.9, "base": 157.7, "large": 628.6}
SMALL = {"width": 8, "depths": (2, 2), "heads": (2, 2), "skips": (1, 0), "window": 4, "patch": 2}


def model(channels: int = 2, seed: int = 0, **config: object) -> Poseidon:
    """Return a small model whose branches all speak."""
    made = Poseidon(channels, **{**SMALL, **config})  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return made


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "millions"), [("tiny", 20.8), ("small", 39.9), ("base", 157.7), ("large", 628.6)]
)
def test_the_published_sizes(size: str, millions: float) -> None:
    with torch.device("meta"):
        made = Poseidon(4, size=size)
    assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


def test_the_published_start() -> None:
    torch.manual_seed(0)
    made = Poseidon(2, size="nano")
    u = normal(3, 2, 32, 32)
    assert made(u, torch.zeros(3)).abs().max() == 0.0  # nothing passes a norm at lead time 0
    late = made.network(u, torch.ones(3))
    assert 0.0 < late.std() < 1e-2
    weights = torch.cat([p.flatten() for n, p in made.named_parameters() if n.endswith("mix.0.weight")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    block = made.network.encoder[0].blocks[0]  # type: ignore[union-attr]
    x = normal(2, 8, 8, 32)
    assert (block(x, torch.ones(2)) - x).std() < 0.05  # type: ignore[operator]


@pytest.mark.parametrize("sizes", [(16, 16), (13, 18), (7, 32)])
def test_any_grid_in_any_batch(sizes: tuple[int, int]) -> None:
    made, u, dt = model(), normal(3, 2, *sizes), torch.tensor([0.0, 1.5, 7.0])
    whole = made(u, dt)
    assert whole.shape == u.shape
    for i in range(3):
        assert torch.allclose(made(u[i : i + 1], dt[i : i + 1])[0], whole[i], atol=1e-5)


def test_a_shift_by_whole_windows_is_not_seen_inside() -> None:
    """Without shifted windows and levels, tokens of one window know nothing of the others but through the join."""
    made = model(depths=(1,), heads=(2,), skips=(0,), patch=2)
    with torch.no_grad():
        made.network.recover.join.weight.zero_()
        made.network.recover.join.weight[:, :, 2, 2] = torch.eye(2)
    u = normal(1, 2, 16, 16)
    moved = u.roll(8, 2)
    time = torch.ones(1)
    assert torch.allclose(made.network(moved, time), made.network(u, time).roll(8, 2), atol=1e-5)


def test_outputs_are_related_as_they_should() -> None:
    u, dt = normal(2, 2, 16, 16), torch.tensor([0.5, 3.0])
    solution, residual, derivative = (model(output=kind) for kind in ("solution", "residual", "derivative"))
    f = solution(u, dt)
    assert torch.allclose(residual(u, dt), u + f, atol=1e-6)
    assert torch.allclose(derivative(u, dt), u + dt[:, None, None, None] * f, atol=1e-5)
    assert torch.equal(derivative(u, torch.zeros(2)), u)


def test_lead_time_counts_in_horizons() -> None:
    u = normal(2, 2, 16, 16)
    near, far = model(horizon=5.0), model(horizon=20.0)
    assert torch.allclose(near(u, torch.ones(2)), far(u, 4 * torch.ones(2)), atol=1e-6)
    assert not torch.allclose(near(u, torch.ones(2)), near(u, 2 * torch.ones(2)), atol=1e-3)


def test_checkpointing_and_compiling_change_nothing() -> None:
    u, dt = normal(2, 2, 16, 16), torch.ones(2)
    plain, saving = model(), model(checkpointing=True)
    grads = []
    for made in (plain, saving):
        made(u, dt).square().sum().backward()
        grads.append([p.grad for p in made.parameters()])
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]
    compiled = torch.compile(plain, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(u, dt), plain(u, dt), rtol=1e-4, atol=1e-5)


def test_half_precision_is_near() -> None:
    made, u, dt = model(), normal(2, 2, 16, 16), torch.ones(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = made(u, dt)
    high = made(u, dt)
    assert (low - high).norm() < 0.05 * high.norm()


def test_other_fields_keep_the_body() -> None:
    made = model(channels=4)
    other = made.adapted(3)
    theirs, ours = made.network.state_dict(), other.network.state_dict()
    for name, tensor in ours.items():
        same = theirs[name].shape == tensor.shape and bool((theirs[name] == tensor).all())
        assert same is not name.startswith(("embed.project", "recover", "embed.norm")), name
    assert other(normal(2, 3, 16, 16), torch.ones(2)).shape == (2, 3, 16, 16)


def published(
    width: int, depths: tuple[int, ...], heads: tuple[int, ...], skips: tuple[int, ...]
) -> dict[str, Tensor]:
    """Names and shapes of the published checkpoints, 4 fields, patches of 4."""
    made: dict[str, tuple[int, ...]] = {
        "embeddings.patch_embeddings.projection.weight": (width, 4, 4, 4),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "patch_recovery.projection.weight": (width, 4, 4, 4),
        "patch_recovery.projection.bias": (4,),
        "patch_recovery.mixup.weight": (4, 4, 5, 5),
    }

    def norm(name: str, c: int) -> None:
        for kind in ("weight", "bias"):
            made[f"{name}.{kind}.weight"], made[f"{name}.{kind}.bias"] = (c, 1), (c,)

    def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        made[f"{name}.weight"] = (outputs, inputs)
        if bias:
            made[f"{name}.bias"] = (outputs,)

    norm("embeddings.norm", width)
    count = len(depths)
    for side, level in product(("encoder", "decoder"), range(count)):
        c = width * 2**level
        stage = f"{side}.layers.{level if side == 'encoder' else count - 1 - level}"
        for number in range(depths[level]):
            block = f"{stage}.blocks.{number}"
            for part in ("query", "key", "value"):
                linear(f"{block}.attention.self.{part}", c, c, bias=part != "key")
            made[f"{block}.attention.self.logit_scale"] = (heads[level], 1, 1)
            linear(f"{block}.attention.self.continuous_position_bias_mlp.0", 2, 512)
            linear(f"{block}.attention.self.continuous_position_bias_mlp.2", 512, heads[level], bias=False)
            linear(f"{block}.attention.output.dense", c, c)
            linear(f"{block}.intermediate.dense", c, 4 * c)
            linear(f"{block}.output.dense", 4 * c, c)
            norm(f"{block}.layernorm_before", c)
            norm(f"{block}.layernorm_after", c)
        if side == "encoder" and level < count - 1:
            linear(f"{stage}.downsample.reduction", 4 * c, 2 * c, bias=False)
            norm(f"{stage}.downsample.norm", 2 * c)
        if side == "decoder" and level > 0:
            linear(f"{stage}.upsample.upsample", c, 2 * c, bias=False)
            linear(f"{stage}.upsample.mixup", c // 2, c // 2, bias=False)
            norm(f"{stage}.upsample.norm", c // 2)
    for level, number in ((i, j) for i in range(count) for j in range(skips[i])):
        c, name = width * 2**level, f"residual_blocks.{level}.{number}"
        made[f"{name}.dwconv.weight"], made[f"{name}.dwconv.bias"] = (c, 1, 7, 7), (c,)
        norm(f"{name}.norm", c)
        linear(f"{name}.pwconv1", c, 4 * c)
        linear(f"{name}.pwconv2", 4 * c, c)
        made[f"{name}.weight"] = (c,)
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in made.items()}


def test_published_weights_find_their_places(tmp_path: Path) -> None:
    tensors = published(12, (2, 3), (3, 6), (2, 0))
    save_file(tensors, tmp_path / "weights.safetensors")
    made = load_published(tmp_path / "weights.safetensors", window=4)
    assert made.config["depths"] == [2, 3] and made.config["heads"] == [3, 6] and made.config["skips"] == [2, 0]
    own = dict(made.network.named_parameters())
    assert sum(p.numel() for p in own.values()) == sum(t.numel() for t in tensors.values())
    coarse = "decoder.layers.0.blocks.1"  # the published decoder begins at the coarsest level
    key = tensors[f"{coarse}.attention.self.key.weight"]
    assert torch.equal(own["decoder.1.blocks.1.attention.read.weight"][24:48], key)
    after = tensors[f"{coarse}.layernorm_after.bias.weight"][:, 0]
    assert torch.equal(own["decoder.1.blocks.1.norm_mix.slope"][1], after)
    assert torch.equal(own["unmerge.0.mix.weight"], tensors["decoder.layers.0.upsample.mixup.weight"])
    assert torch.equal(own["bridge.0.1.scale"], tensors["residual_blocks.0.1.weight"])
    assert made(normal(1, 4, 32, 32), torch.ones(1)).shape == (1, 4, 32, 32)


@pytest.mark.parametrize("size", ["tiny", "base"])
def test_published_names_hold_the_published_sizes(size: str) -> None:
    numbers = SIZES[size]
    with torch.device("meta"):
        made = Poseidon(4, size=size)
    names = {"width": numbers["width"], "depths": numbers["depths"], "heads": numbers["heads"]}
    if size == "tiny":
        loaded = from_published(published(**names, skips=numbers["skips"]))
        assert {n: p.shape for n, p in loaded.named_parameters()} == {
            n: p.shape for n, p in made.named_parameters()
        }
    assert made.config["skips"] == [2, 2, 2, 0]


def test_bad_weights_are_named(tmp_path: Path) -> None:
    tensors = published(12, (2, 2), (3, 6), (1, 0))
    with pytest.raises(InputError, match="not a published Poseidon"):
        from_published({"weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"key\.weight"):
        from_published({n: t for n, t in tensors.items() if "1.blocks.0.attention.self.key" not in n})
    with pytest.raises(InputError, match="another model"):
        from_published({**tensors, "head.weight": torch.zeros(2)})
    (tmp_path / "cut.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be read"):
        load_published(tmp_path / "cut.safetensors")


def test_bad_input_is_refused() -> None:
    with pytest.raises(UnknownName, match="nano"):
        Poseidon(2, size="nanno")
    with pytest.raises(InputError, match="2D grids"):
        Poseidon(2, dimensions=3)
    with pytest.raises(InputError, match="one number a level"):
        Poseidon(2, depths=(2, 2, 2))
    with pytest.raises(InputError, match="take no 3 heads"):
        Poseidon(2, heads=(3, 4))
    with pytest.raises(UnknownName, match="residual"):
        Poseidon(2, output="resdual")
    with pytest.raises(InputError, match="states 'b 2 x y'"):
        model()(normal(2, 3, 16, 16), torch.ones(2))
    assert isinstance(build("poseidon", channels=2, dimensions=2), Poseidon)

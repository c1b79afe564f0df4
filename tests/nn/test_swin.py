"""Swin blocks: against another library's, their windows and masks, and what a lead time of zero gives."""

import math

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.nn import LeadTimeNorm, PatchEmbedding, PatchMerging, PatchRecovery, PatchUnmerging, SwinBlock
from sciode.nn.swin import WindowAttention, forbidden, from_windows, to_windows


def scrambled(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("sizes", [(8, 8), (12, 8), (4, 4)])
@pytest.mark.parametrize("shifted", [False, True])
def test_a_block_agrees_with_another_library(sizes: tuple[int, int], shifted: bool) -> None:
    swin = pytest.importorskip("transformers.models.swinv2.modeling_swinv2")
    config = swin.Swinv2Config(window_size=4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    theirs = swin.Swinv2Layer(config, 8, sizes, num_heads=2, shift_size=2 if shifted else 0).double().eval()
    ours = SwinBlock(8, heads=2, window=4, shifted=shifted)
    scrambled(ours)
    with torch.no_grad():
        for norm, their in (
            (ours.norm_attention, theirs.layernorm_before),
            (ours.norm_mix, theirs.layernorm_after),
        ):
            norm.slope.zero_()
            their.weight.copy_(norm.offset[0])
            their.bias.copy_(norm.offset[1])
        attention, own = theirs.attention.self, ours.attention
        parts = attention.query, attention.key, attention.value
        for part, weight in zip(parts, own.read.weight.chunk(3), strict=True):
            part.weight.copy_(weight)
        attention.query.bias.copy_(own.query_bias)
        attention.value.bias.copy_(own.value_bias)
        attention.logit_scale.copy_(own.sharpness.view(2, 1, 1))
        attention.continuous_position_bias_mlp.load_state_dict(own.position.state_dict())
        theirs.attention.output.dense.load_state_dict(own.write.state_dict())
        theirs.intermediate.dense.load_state_dict(ours.mix[0].state_dict())
        theirs.output.dense.load_state_dict(ours.mix[2].state_dict())
    x = normal(3, *sizes, 8)
    with torch.no_grad():
        want = theirs(x.flatten(1, 2), sizes)[0].view(x.shape)
        assert torch.allclose(ours(x, torch.ones(3)), want, rtol=1e-6, atol=1e-6)  # their table is float32


def test_cosine_attention_is_what_its_formula_says() -> None:
    attention = scrambled(WindowAttention(8, heads=2))
    x = normal(2, 1, 6, 8)
    with torch.no_grad():
        bias = attention._bias((2, 3), None, 1)[0]
        qkv = x @ attention.read.weight.T
        q, k, v = (part.view(2, 6, 2, 4).transpose(1, 2) for part in qkv[:, 0].chunk(3, -1))
        q = q + attention.query_bias.view(2, 1, 4)
        v = v + attention.value_bias.view(2, 1, 4)
        cosine = (q @ k.mT) / (q.norm(dim=-1)[..., None] * k.norm(dim=-1)[..., None, :])
        weights = torch.softmax(cosine * attention.sharpness.exp()[:, None, None] + bias, -1)
        want = attention.write((weights @ v).transpose(1, 2).reshape(2, 6, 8))
        assert torch.allclose(attention(x, (2, 3))[:, 0], want, rtol=1e-12, atol=1e-12)


def test_logits_are_no_sharper_than_a_hundred() -> None:
    attention = scrambled(WindowAttention(8, heads=2))
    x = normal(2, 1, 4, 8)
    with torch.no_grad():
        attention.sharpness.fill_(math.log(100.0))
        want = attention(x, (2, 2))
        attention.sharpness.fill_(50.0)
        assert torch.equal(attention(x, (2, 2)), want)


@pytest.mark.parametrize("sizes", [(8, 8), (7, 10), (3, 9)])
@pytest.mark.parametrize("shifted", [False, True])
def test_tokens_see_their_neighbours_and_no_others(sizes: tuple[int, int], shifted: bool) -> None:
    block = SwinBlock(4, heads=1, window=4, shifted=shifted)
    scrambled(block)
    x = normal(1, *sizes, 4).requires_grad_()
    y = block._attend(x)
    for place in ((0, 0), (sizes[0] - 1, sizes[1] - 1), (sizes[0] // 2, 5)):
        (slope,) = torch.autograd.grad(y[0, place[0], place[1]].sum(), x, retain_graph=True)
        seen = slope[0].abs().sum(-1) > 0
        assert seen[place]
        rows, columns = torch.where(seen)
        for found, at, n in ((rows, place[0], sizes[0]), (columns, place[1], sizes[1])):
            side = min(4, n)
            shift = side // 2 if shifted and n > side else 0
            window = (at - shift) // side
            inside = torch.arange(n)[(torch.arange(n) - shift) // side == window]
            assert found.unique().tolist() == inside.tolist()


def test_padding_does_not_change_what_is_seen() -> None:
    """A grid that windows do not divide gives what the same tokens give where the rest does not exist."""
    block = SwinBlock(4, heads=1, window=4, shifted=False)
    scrambled(block)
    x = normal(2, 4, 6, 4)
    y = block(x, torch.ones(2, dtype=torch.float64))
    first = block(x[:, :, :4], torch.ones(2, dtype=torch.float64))
    assert torch.allclose(y[:, :, :4], first, rtol=1e-10)
    assert torch.isfinite(y).all()


def test_masks_are_symmetric_and_let_every_token_see_itself() -> None:
    for sizes, shift in (((8, 12), (2, 2)), ((7, 5), (2, 2)), ((7, 4), (2, 0)), ((5, 6), (0, 0))):
        mask = forbidden(sizes, (4, 4), shift, torch.device("cpu"))
        assert torch.equal(mask, mask.mT)
        assert not mask.diagonal(dim1=1, dim2=2).any()


def test_windows_and_back() -> None:
    x = normal(2, 8, 12, 3)
    assert torch.equal(from_windows(to_windows(x, (4, 3)), (8, 12), (4, 3)), x)
    assert torch.equal(to_windows(x, (4, 3))[1, 5, 4], x[1, 5, 4])  # window (1, 1), token (1, 1)


def test_the_lead_time_norm() -> None:
    norm = scrambled(LeadTimeNorm(6))
    x, t = normal(3, 4, 5, 6), torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    hat = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
    scale, shift = (norm.offset[i] + t[:, None] * norm.slope[i] for i in (0, 1))
    want = scale[:, None, None] * hat + shift[:, None, None]
    assert torch.allclose(norm(x, t), want, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(norm, (normal(2, 3, 6).requires_grad_(), t[:2].clone().requires_grad_()))


@pytest.mark.parametrize("sizes", [(8, 8), (9, 6), (5, 7)])
def test_merging_and_unmerging_fit(sizes: tuple[int, int]) -> None:
    time = torch.ones(2, dtype=torch.float64)
    x = normal(2, *sizes, 4)
    merged = scrambled(PatchMerging(4))(x, time)
    assert merged.shape == (2, -(-sizes[0] // 2), -(-sizes[1] // 2), 8)
    assert scrambled(PatchUnmerging(8))(merged, time, sizes).shape == x.shape


def test_patches_see_their_own_points_only() -> None:
    embed, recover = scrambled(PatchEmbedding(2, 6, 4)), scrambled(PatchRecovery(2, 6, 4))
    u = normal(1, 2, 10, 8).requires_grad_()
    tokens = embed(u, torch.ones(1, dtype=torch.float64))
    (slope,) = torch.autograd.grad(tokens[0, 1, 0].sum(), u)
    seen = slope.abs().sum((0, 1)) > 0
    assert seen[4:8, :4].all() and seen.sum() == 16
    assert recover(tokens.detach(), (10, 8)).shape == (1, 2, 10, 8)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(InputError, match="do not divide into 3"):
        WindowAttention(8, heads=3)

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.nn import (
    FiLM,
    ModernUNetBody,
    ResidualBlock,
    SelfAttention,
    TimeFeatures,
    UNetBody,
    convolution,
    load_tensors,
)


def test_film_by_hand() -> None:
    film = FiLM(3, 2)
    x, e = torch.randn(4, 2, 5, 6), torch.randn(4, 3)
    gamma, beta = film.affine(e).chunk(2, dim=1)
    expected = x * (1 + gamma[:, :, None, None]) + beta[:, :, None, None]
    assert torch.allclose(film(x, e), expected)


def test_time_features_tell_near_and_far_leads_apart() -> None:
    tau = torch.tensor([0.0, 0.5, 1.0, 2.0, 1000.0])
    features = TimeFeatures(16)(tau)
    gaps = torch.cdist(features, features) + torch.eye(5)
    assert gaps.min() > 1e-3
    assert features.abs().max() < 10


def test_attention_commutes_with_permutations() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(8, 2).double(), torch.randn(2, 8, 12).double()
    order = torch.randperm(12)
    assert torch.allclose(attention(x[..., order]), attention(x)[..., order])
    assert not torch.allclose(attention(x), x)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    own = SelfAttention(8, 2)
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    other.in_proj_weight.data, other.in_proj_bias.data = own.read.weight.data, own.read.bias.data
    other.out_proj.load_state_dict(own.write.state_dict())
    x = torch.randn(3, 8, 4, 5)
    points = own.norm(x).flatten(2).transpose(1, 2)
    expected = x + other(points, points, points)[0].transpose(1, 2).reshape(x.shape)
    assert torch.allclose(own(x), expected, atol=1e-6)


def test_circular_padding_is_periodic() -> None:
    conv, x = convolution(1, 1, 1), torch.randn(1, 1, 8)
    assert torch.allclose(conv(x.roll(3, -1)), conv(x).roll(3, -1), atol=1e-6)
    zeros = convolution(1, 1, 1, padding="zeros")
    assert not torch.allclose(zeros(x.roll(3, -1)), zeros(x).roll(3, -1), atol=1e-3)


def test_width_is_capped() -> None:
    body = UNetBody(1, (1, 1), width=4, depth=4, embedding=4)
    assert body.bottom.conv_in.in_channels == 16


def test_errors() -> None:
    with pytest.raises(InputError, match="1, 2 or 3"):
        convolution(4, 1, 1)
    with pytest.raises(UnknownName, match="did you mean 'circular'"):
        convolution(1, 1, 1, padding="circula")
    with pytest.raises(InputError, match="attention heads"):
        SelfAttention(6, 4)
    block = ResidualBlock(1, 2, 2, 4)
    with pytest.raises(InputError, match="no tensor"):
        load_tensors(block, {})


def test_the_published_u_net_has_the_published_size_and_begins_as_nothing() -> None:
    body = ModernUNetBody(1, (2, 1), width=64, multiples=(1, 2, 2, 4), blocks=2, embedding=256)
    embeddings = 3 * (64 * 256 + 256 + 256 * 256 + 256)  # level, spacing in time and in space
    assert round((sum(p.numel() for p in body.parameters()) + embeddings) / 1e6, 1) == 53.9
    assert not body(torch.randn(1, 2, 32), torch.randn(1, 256)).any()


def test_a_grid_that_does_not_halve_is_named() -> None:
    body = ModernUNetBody(2, (1, 1), width=4, multiples=(1, 1, 1), blocks=1, embedding=4)
    with pytest.raises(InputError, match=r"2 halvings needs grid sizes divisible by 4, got \(8, 6\)"):
        body(torch.zeros(1, 1, 8, 6), torch.zeros(1, 4))

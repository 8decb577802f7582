"""The context network: positions, attention, layers and the order of norms."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models.config import EncoderConfig
from auricle.models.transformer import (
    ACTIVATIONS,
    PositionalConv,
    SelfAttention,
    Surroundings,
    TransformerLayer,
    WeightNormConv,
)

CONFIG = EncoderConfig(
    num_layers=3, dim=12, ffn_dim=20, num_heads=3, dropout=0.0, attention_dropout=0.0,
    pos_conv_kernel=4, pos_conv_groups=2,
)  # fmt: skip
PADDING = torch.tensor([[False] * 7, [False] * 4 + [True] * 3])


def frames(seed: int = 0) -> Tensor:
    return torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(seed))


def shaken(module: nn.Module) -> nn.Module:
    """With no parameter at its initial value."""
    torch.manual_seed(5)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module


def test_weight_norm_is_that_of_torch() -> None:
    ours = shaken(WeightNormConv(12, 5, 3, std=0.1))
    theirs = nn.utils.parametrizations.weight_norm(nn.Conv1d(12, 12, 5, padding=2, groups=3), dim=2)
    parts = theirs.parametrizations.weight
    theirs.bias.data, parts.original0.data, parts.original1.data = (
        ours.bias.data, ours.weight_g.data, ours.weight_v.data,
    )  # fmt: skip
    x = frames().transpose(1, 2)
    assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_weight_norm_starts_from_the_drawn_weight() -> None:
    conv = WeightNormConv(12, 5, 3, std=0.1)
    x = frames().transpose(1, 2)
    assert_close(conv(x), F.conv1d(x, conv.weight_v, padding=2, groups=3), rtol=1e-5, atol=1e-6)
    assert not conv.bias.any()


@pytest.mark.parametrize("kernel", [1, 4, 5])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_positions_keep_the_length_and_leave_padding_out(kernel: int, depth: int) -> None:
    positions = shaken(PositionalConv(12, kernel, 2, depth, dropout=0.1))
    x = frames().masked_fill(PADDING[..., None], 0.0)
    y = positions(x, PADDING)
    assert y.shape == x.shape
    assert_close(y[1, :4], positions(x[1:, :4], None)[0], rtol=1e-5, atol=1e-6)


def naive_attention(attention: SelfAttention, x: Tensor) -> Tensor:
    """One row, head by head."""
    heads = []
    width = x.shape[-1] // attention.num_heads
    for h in range(attention.num_heads):
        part = slice(h * width, (h + 1) * width)
        q, k, v = (proj(x)[..., part] for proj in (attention.q_proj, attention.k_proj, attention.v_proj))
        heads.append(torch.softmax(q @ k.T / width**0.5, dim=-1) @ v)
    return attention.out_proj(torch.cat(heads, dim=-1))


@pytest.mark.parametrize("training", [False, True])
def test_attention_is_the_formula_and_sees_no_padding(training: bool) -> None:
    # A share so small that no value is dropped: the path of training, with the result of evaluation.
    attention = shaken(SelfAttention(12, 3, dropout=1e-7)).train(training)
    x = frames()
    y = attention(x, ~PADDING[:, None, None])
    assert_close(y[0], naive_attention(attention, x[0]), rtol=1e-4, atol=1e-5)
    assert_close(y[1, :4], naive_attention(attention, x[1, :4]), rtol=1e-4, atol=1e-5)
    assert_close(attention(x, None)[1], naive_attention(attention, x[1]), rtol=1e-4, atol=1e-5)


def test_attention_weights_are_dropped_in_training_only() -> None:
    attention = shaken(SelfAttention(12, 3, dropout=0.5))
    assert not torch.equal(attention(frames(), None), attention(frames(), None))
    attention.eval()
    assert torch.equal(attention(frames(), None), attention(frames(), None))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pre_norm", [False, True])
def test_where_the_norms_of_a_layer_stand(activation: str, pre_norm: bool) -> None:
    layer = shaken(TransformerLayer(replace(CONFIG, activation=activation, pre_norm=pre_norm)))

    def feed_forward(x: Tensor) -> Tensor:
        return layer.fc2(ACTIVATIONS[activation](layer.fc1(x)))

    x = frames()
    first, last = layer.self_attn_layer_norm, layer.final_layer_norm
    if pre_norm:
        middle = x + layer.self_attn(first(x), None)
        expected = middle + feed_forward(last(middle))
    else:
        middle = first(x + layer.self_attn(x, None))
        expected = last(middle + feed_forward(middle))
    assert_close(layer(x, Surroundings()), expected)


def test_every_dropout_of_a_layer_is_the_configured_one() -> None:
    layer = TransformerLayer(replace(CONFIG, dropout=0.1, attention_dropout=0.2, activation_dropout=0.3))
    assert (layer.dropout.p, layer.self_attn.dropout, layer.activation_dropout.p) == (0.1, 0.2, 0.3)

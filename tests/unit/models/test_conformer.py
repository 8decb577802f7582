"""Conformer layers against their definitions: positions, the convolution module, the batch norm."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.models.config import EncoderConfig
from auricle.models.conformer import (
    ConformerLayer,
    ConvModule,
    EspnetAttention,
    MaskedBatchNorm,
    PlainAttention,
    RelativeAttention,
    RotaryAttention,
    RotaryEmbedding,
    distance_table,
    relative_shift,
)
from auricle.models.transformer import Surroundings

CONFIG = EncoderConfig(
    dim=12, ffn_dim=20, num_heads=3, dropout=0.0, layer_type="conformer", attention="espnet", conv_kernel=5
)
VALID = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def frames(seed: int = 0) -> Tensor:
    return torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(seed))


def shaken(module: nn.Module) -> nn.Module:
    """With no parameter at its initial value."""
    torch.manual_seed(5)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module


def around(num_frames: int, valid: Tensor | None = None) -> Surroundings:
    table = distance_table(num_frames, 12, torch.device("cpu"))
    if valid is None:
        return Surroundings(distances=table)
    return Surroundings(key_mask=valid[:, None, None], valid=valid[:, None], distances=table)


def test_the_table_of_distances() -> None:
    table = distance_table(4, 6, torch.device("cpu"))
    assert table.shape == (7, 6)
    for row, distance in enumerate(range(3, -4, -1)):
        for pair in range(3):
            angle = torch.tensor(distance / 10000 ** (2 * pair / 6))
            assert_close(table[row, 2 * pair], angle.sin())
            assert_close(table[row, 2 * pair + 1], angle.cos())


def test_scores_by_distance_become_scores_by_key() -> None:
    by_distance = torch.randn(2, 3, 5, 9)
    shifted = relative_shift(by_distance)
    for query in range(5):
        for key in range(5):
            assert torch.equal(shifted[..., query, key], by_distance[..., query, 4 - (query - key)])


def heads(x: Tensor, h: int) -> Tensor:
    return x[..., 4 * h : 4 * h + 4]


def naive(attention: EspnetAttention, x: Tensor, turn: nn.Module | None = None) -> Tensor:
    """One row [N, C], head by head, pair by pair."""
    source = x if turn is None else torch.cat([rotated(heads(x, h)) for h in range(3)], dim=-1)
    q, k, v = attention.linear_q(source), attention.linear_k(source), attention.linear_v(x)
    scores = torch.stack([heads(q, h) @ heads(k, h).T for h in range(3)])
    if isinstance(attention, RelativeAttention):
        scores = relative_scores(attention, q, k)
    weights = torch.softmax(scores / 2, dim=-1)
    return attention.linear_out(torch.cat([weights[h] @ heads(v, h) for h in range(3)], dim=-1))


def relative_scores(attention: RelativeAttention, q: Tensor, k: Tensor) -> Tensor:
    scores = torch.zeros(3, len(q), len(q))
    table = distance_table(len(q), 12, torch.device("cpu"))
    for h in range(3):
        for i in range(len(q)):
            for j in range(len(q)):
                query, position = heads(q[i], h), heads(attention.linear_pos(table[len(q) - 1 - i + j]), h)
                scores[h, i, j] = (query + attention.pos_bias_u[h]) @ heads(k[j], h)
                scores[h, i, j] += (query + attention.pos_bias_v[h]) @ position
    return scores


def rotated(x: Tensor) -> Tensor:
    """[N, 4] as two complex numbers a frame, each turned at a speed of its own."""
    complex_numbers = torch.complex(x[:, :2], x[:, 2:])
    speeds = torch.tensor([1.0, 0.01])
    turned = complex_numbers * torch.exp(1j * torch.arange(len(x))[:, None] * speeds)
    return torch.cat([turned.real, turned.imag], dim=-1)


@pytest.mark.parametrize("kind", [EspnetAttention, RelativeAttention, RotaryAttention])
@pytest.mark.parametrize("training", [False, True])
def test_attention_is_the_formula_and_sees_no_padding(kind: type[EspnetAttention], training: bool) -> None:
    # A share so small that no value is dropped: the path of training, with the result of evaluation.
    attention = shaken(kind(12, 3, dropout=1e-7)).train(training)
    turn = attention.rotary_emb if isinstance(attention, RotaryAttention) else None
    x = frames()
    y = attention(x, around(7, VALID))
    assert_close(y[0], naive(attention, x[0], turn), **CLOSE)
    assert_close(y[1, :4], naive(attention, x[1, :4], turn), **CLOSE)
    assert_close(attention(x, around(7))[1], naive(attention, x[1], turn), **CLOSE)


def test_rotation_leaves_what_only_distance_decides() -> None:
    turn = RotaryEmbedding(8)
    q, k = torch.randn(2, 1, 1, 1, 8).expand(2, 1, 1, 6, 8)
    scores = (turn(q) @ turn(k).transpose(-1, -2))[0, 0]
    for distance in range(-5, 6):
        diagonal = scores.diagonal(distance)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal), **CLOSE)


def test_attention_weights_are_dropped_with_the_layers_dropout() -> None:
    layer = ConformerLayer(replace(CONFIG, positions="rel_pos", dropout=0.4, attention_dropout=0.2))
    assert layer.self_attn.dropout == layer.dropout.p == layer.ffn1.dropout.p == 0.4
    assert layer.conv_module.dropout.p == 0.4
    attention = layer.self_attn.train()
    assert not torch.equal(attention(frames(), around(7)), attention(frames(), around(7)))
    attention.eval()
    assert torch.equal(attention(frames(), around(7)), attention(frames(), around(7)))


def test_a_batch_norm_learns_from_valid_frames_alone() -> None:
    masked, plain = MaskedBatchNorm(12), nn.BatchNorm1d(12)
    plain.load_state_dict(shaken(masked).state_dict())
    x = frames().transpose(1, 2)
    dirty = x.masked_fill(~VALID[:, None], 1e3)
    for _ in range(2):
        found = masked(dirty, VALID[:, None])
        expected = plain(x.transpose(1, 2)[VALID])
        assert_close(found.transpose(1, 2)[VALID], expected, **CLOSE)
    for name, tensor in plain.state_dict().items():
        assert_close(masked.state_dict()[name], tensor, **CLOSE)
    assert_close(masked.eval()(x, VALID[:, None]), plain.eval()(x), **CLOSE)


def test_gradients_of_a_masked_batch_norm() -> None:
    masked, plain = MaskedBatchNorm(12), nn.BatchNorm1d(12)
    plain.load_state_dict(shaken(masked).state_dict())
    inputs = [frames().transpose(1, 2).clone().requires_grad_() for _ in range(2)]
    weights = frames(1)
    (masked(inputs[0], VALID[:, None]).transpose(1, 2) * weights)[VALID].sum().backward()
    (plain(inputs[1].transpose(1, 2)[VALID]) * weights[VALID]).sum().backward()
    assert_close(inputs[0].grad, inputs[1].grad, **CLOSE)
    assert_close(masked.weight.grad, plain.weight.grad, **CLOSE)


@pytest.mark.parametrize("training", [False, True])
def test_the_convolution_module_hears_no_padding(training: bool) -> None:
    module = shaken(ConvModule(12, 5, dropout=0.0)).train(training)
    clean, dirty = frames(), frames().masked_fill(~VALID[..., None], 1e3)
    found = module(dirty, VALID[:, None])
    assert_close(found[VALID], module(clean, VALID[:, None])[VALID], **CLOSE)
    if not training:
        assert_close(found[1, :4], module(clean[1:, :4], None)[0], **CLOSE)
    reference = module(dirty, None)
    assert not torch.allclose(reference[1, :4], found[1, :4], atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
def test_the_convolution_module_is_its_definition(training: bool) -> None:
    module = shaken(ConvModule(12, 5, dropout=0.0)).train(training)
    x = frames()
    y = F.linear(module.layer_norm(x), module.pointwise_conv1.weight[..., 0])
    y = (y[..., :12] * torch.sigmoid(y[..., 12:])).transpose(1, 2)
    y = F.conv1d(F.pad(y, (2, 2)), module.depthwise_conv.weight, groups=12)
    dims = (0, 2)
    mean, variance = y.mean(dims), y.var(dims, unbiased=False)
    if not training:
        mean, variance = torch.zeros(12), torch.ones(12)
    y = (y - mean[:, None]) / (variance + 1e-5).sqrt()[:, None]
    y = y * module.batch_norm.weight[:, None] + module.batch_norm.bias[:, None]
    y = F.linear((y * torch.sigmoid(y)).transpose(1, 2), module.pointwise_conv2.weight[..., 0])
    assert_close(module(x, None), y, **CLOSE)


@pytest.mark.parametrize("attention", ["", "espnet"])
@pytest.mark.parametrize("positions", ["abs", "rope", "rel_pos"])
def test_the_order_of_a_layer(attention: str, positions: str) -> None:
    layer = shaken(ConformerLayer(replace(CONFIG, attention=attention, positions=positions))).eval()
    kinds = {"abs": EspnetAttention, "rope": RotaryAttention, "rel_pos": RelativeAttention}
    assert type(layer.self_attn) is (kinds[positions] if attention else PlainAttention)
    x = frames()
    y = x + layer.ffn1(x) / 2
    y = y + layer.self_attn(layer.self_attn_layer_norm(y), around(7))
    y = y + layer.conv_module(y, None)
    y = layer.final_layer_norm(y + layer.ffn2(y) / 2)
    assert_close(layer(x, around(7)), y, **CLOSE)
    ffn = layer.ffn1
    assert_close(ffn(x), ffn.w_2(F.silu(ffn.w_1(ffn.layer_norm(x)))), **CLOSE)

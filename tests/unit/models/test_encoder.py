"""The loop over the layers: positions, what is given back, LayerDrop, activation checkpoints."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from auricle.models.config import EncoderConfig
from auricle.models.conformer import distance_table
from auricle.models.encoder import Encoder
from auricle.models.transformer import Surroundings

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


@pytest.mark.parametrize("pre_norm", [False, True])
def test_the_encoder_gives_every_layer_before_the_final_norm(pre_norm: bool) -> None:
    encoder = shaken(Encoder(replace(CONFIG, pre_norm=pre_norm))).eval()
    x = frames()
    context, layers = encoder(x, None)
    hidden = x + encoder.pos_conv(x, None)
    hidden = hidden if pre_norm else encoder.layer_norm(hidden)
    for block, found in zip(encoder.layers, layers, strict=True):
        hidden = block(hidden, Surroundings())
        assert_close(found, hidden)
    assert_close(context, encoder.layer_norm(hidden) if pre_norm else hidden)


@pytest.mark.parametrize("reference_padding", [False, True])
def test_deep_positions_see_what_padding_became_for_reference_only(reference_padding: bool) -> None:
    config = replace(CONFIG, pos_conv_depth=2, num_layers=0, pre_norm=True)
    encoder = shaken(Encoder(config, reference_padding)).eval()
    x = frames().masked_fill(PADDING[..., None], 0.0)
    expected = x + encoder.pos_conv(x, None if reference_padding else PADDING)
    context, _ = encoder(frames(), PADDING)
    assert_close(context[~PADDING], encoder.layer_norm(expected)[~PADDING])
    alone, _ = encoder(frames()[1:, :4], None)
    assert torch.allclose(context[1, :4], alone[0], atol=1e-5) != reference_padding


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_by_number(pre_norm: bool, layer: int) -> None:
    encoder = shaken(Encoder(replace(CONFIG, pre_norm=pre_norm))).eval()
    _, all_layers = encoder(frames(), PADDING)
    context, layers = encoder(frames(), PADDING, layer)
    assert len(layers) == layer + 1
    assert torch.equal(context, all_layers[layer])


def test_layerdrop_passes_on_what_came_in() -> None:
    encoder = Encoder(replace(CONFIG, layerdrop=1.0))
    _, layers = encoder.train()(frames(), None)
    assert all(torch.equal(layer, layers[0]) for layer in layers)
    _, layers = encoder.eval()(frames(), None)
    assert not torch.equal(layers[0], layers[1])


CONFORMER = replace(CONFIG, layer_type="conformer", conv_kernel=3)


@pytest.mark.parametrize("positions", ["abs", "rope", "rel_pos"])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_conformers_without_positions_from_a_convolution(positions: str, pre_norm: bool) -> None:
    config = replace(CONFORMER, attention="espnet", positions=positions, pre_norm=pre_norm)
    encoder = shaken(Encoder(config)).eval()
    x = frames()
    hidden = x + encoder.pos_conv(x, None) if positions == "abs" else x
    hidden = hidden if pre_norm else encoder.layer_norm(hidden)
    table = Surroundings(distances=distance_table(7, 12, x.device) if positions == "rel_pos" else None)
    context, layers = encoder(x, None)
    for block, found in zip(encoder.layers, layers, strict=True):
        hidden = block(hidden, table)
        assert_close(found, hidden)
    assert_close(context, encoder.layer_norm(hidden) if pre_norm else hidden)
    context.sum().backward()
    assert (encoder.pos_conv[0].bias.grad is None) == (positions != "abs")


def seeded(config: EncoderConfig, *, reference_padding: bool) -> Encoder:
    torch.manual_seed(0)
    return shaken(Encoder(config, reference_padding)).eval()


@pytest.mark.parametrize("padding", [None, PADDING])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_extra_frames_are_heard_for_reference_only(padding: Tensor | None, multiple: int) -> None:
    reference = seeded(replace(CONFORMER, required_seq_len_multiple=multiple), reference_padding=True)
    without = seeded(replace(CONFORMER, required_seq_len_multiple=1), reference_padding=True)
    x = frames()
    expected, _ = without(x, padding)
    found, layers = reference(x, padding)
    assert found.shape == x.shape and all(layer.shape == x.shape for layer in layers)
    # 7 frames: one more makes a multiple of 2 or of 4.
    assert torch.allclose(found[0], expected[0], atol=1e-5) == (multiple == 1)
    plain = seeded(replace(CONFORMER, required_seq_len_multiple=multiple), reference_padding=False)
    assert torch.equal(plain(x, None)[0], without(x, None)[0])
    if multiple > 1:
        # By hand: a frame of zeros behind the positions, which no other frame may look at.
        hidden = without._with_positions(x if padding is None else x.masked_fill(padding[..., None], 0), None)
        hidden = torch.cat([hidden, torch.zeros(2, 1, 12)], dim=1)
        mask = torch.zeros(2, 7, dtype=torch.bool) if padding is None else padding
        keys = ~torch.cat([mask, torch.ones(2, 1, dtype=torch.bool)], dim=1)[:, None, None]
        for block in without.layers:
            hidden = block(hidden, Surroundings(key_mask=keys))
        assert_close(found, hidden[:, :7])


@pytest.mark.parametrize("padding", [None, PADDING])
@pytest.mark.parametrize("config", [CONFIG, CONFORMER], ids=["transformer", "conformer"])
def test_activation_checkpoints_change_memory_only(config: EncoderConfig, padding: Tensor | None) -> None:
    results = []
    for checkpoints in (False, True):
        torch.manual_seed(0)
        encoder = Encoder(replace(config, dropout=0.2, checkpoint_activations=checkpoints)).train()
        x = frames().requires_grad_()
        saved: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):  # noqa: B023
            context, _ = encoder(x, padding)
        context.square().sum().backward()
        gradients = [p.grad for p in encoder.parameters()]
        results.append(([context, x.grad, *gradients, *encoder.state_dict().values()], len(saved)))
    (plain, many), (recomputed, few) = results
    for found, expected in zip(recomputed, plain, strict=True):
        assert_close(found, expected)
    assert few < many
    evaluated = encoder.eval()(frames(), PADDING)[0]
    assert torch.isfinite(evaluated).all()

"""Live parity with transformers' Conformer: random relative and rotary layouts with the same weights."""

import random
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from auricle.losses import ctc
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config
from auricle.models.ctc import Wav2Vec2CTC

transformers = pytest.importorskip("transformers")

TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
NUM_LABELS = 11
POSITIONS = {"rel_pos": "relative", "rope": "rotary"}

# How transformers' names continue -> ours, applied in this order.
NAMES = {
    r"^wav2vec2_conformer\.": "encoder.",
    r"masked_spec_embed": "mask_emb",
    r"feature_projection\.layer_norm": "layer_norm",
    r"feature_projection\.projection": "post_extract_proj",
    r"(conv_layers\.\d+)\.conv\.": r"\1.0.",
    r"pos_conv_embed\.conv\.parametrizations\.weight\.original0": "pos_conv.0.weight_g",
    r"pos_conv_embed\.conv\.parametrizations\.weight\.original1": "pos_conv.0.weight_v",
    r"pos_conv_embed\.conv": "pos_conv.0",
    r"(ffn\d)_layer_norm": r"\1.layer_norm",
    r"intermediate_dense": "w_1",
    r"output_dense": "w_2",
    r"^lm_head": "proj",
}
CONV_NORMS = {"group": r"\1.2.", "layer": r"\1.2.1."}


def own_name(name: str, config: Wav2Vec2Config) -> str:
    name = re.sub(r"(conv_layers\.\d+)\.layer_norm\.", CONV_NORMS[config.conv_norm], name)
    for theirs, ours in NAMES.items():
        name = re.sub(theirs, ours, name)
    return name


def layout(positions: str, seed: int, *, reference_padding: bool) -> Wav2Vec2Config:
    """A random configuration, with one final norm, as transformers has it throughout."""
    rng = random.Random(f"{positions}{seed}")
    heads, groups = rng.choice([2, 3, 4]), rng.choice([1, 2])
    more = ((rng.choice([5, 6]), rng.choice([2, 3]), 2) for _ in range(rng.randint(1, 4)))
    layer_norm = rng.random() < 0.5
    return Wav2Vec2Config(
        conv_layers=((6, 10, 5), *more),
        conv_norm="layer" if layer_norm else "group",
        conv_bias=layer_norm,
        encoder=EncoderConfig(
            num_layers=rng.randint(1, 4),
            dim=heads * groups * rng.choice([2, 4, 8]),
            ffn_dim=rng.choice([24, 40]),
            num_heads=heads,
            layer_type="conformer",
            attention="espnet",
            positions=positions,
            conv_kernel=rng.choice([1, 3, 7]),
            pre_norm=True,
            dropout=0.0,
            attention_dropout=0.0,
            pos_conv_kernel=4,
            pos_conv_groups=groups,
        ),
        reference_padding=reference_padding,
    )


def their_config(config: Wav2Vec2Config) -> Any:
    encoder = config.encoder
    channels, kernels, strides = zip(*config.conv_layers, strict=True)
    off = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "layerdrop")
    return transformers.Wav2Vec2ConformerConfig(
        vocab_size=NUM_LABELS,
        hidden_size=encoder.dim,
        num_hidden_layers=encoder.num_layers,
        num_attention_heads=encoder.num_heads,
        intermediate_size=encoder.ffn_dim,
        hidden_act="swish",
        feat_extract_norm=config.conv_norm,
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=config.conv_bias,
        num_conv_pos_embeddings=encoder.pos_conv_kernel,
        num_conv_pos_embedding_groups=encoder.pos_conv_groups,
        position_embeddings_type=POSITIONS[encoder.positions],
        conv_depthwise_kernel_size=encoder.conv_kernel,
        conformer_conv_dropout=0.0,
        max_source_positions=64,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
        pad_token_id=0,
        ctc_loss_reduction="sum",
        final_dropout=0.0,
        **dict.fromkeys(off, 0.0),
    )


def randomise(model: nn.Module, seed: int) -> None:
    """No weight at its initial value, nor any statistic of a batch norm."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        scale = 0.3 if parameter.dim() < 2 else (parameter[0].numel()) ** -0.5
        parameter.data.normal_(1.0 if parameter.dim() == 1 else 0.0, scale, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.5, generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=generator)


def pair(config: Wav2Vec2Config, seed: int) -> tuple[Any, Wav2Vec2CTC]:
    """transformers' recogniser and ours, with the same weights."""
    theirs = transformers.Wav2Vec2ConformerForCTC(their_config(config))
    randomise(theirs, seed)
    ours = build_model(CTCConfig(encoder=config, num_labels=NUM_LABELS))
    assert isinstance(ours, Wav2Vec2CTC)
    state = {own_name(name, config): tensor for name, tensor in theirs.state_dict().items()}
    # transformers keeps the speeds of a rotation once, fairseq and we with each layer.
    speeds = state.pop("encoder.encoder.embed_positions.inv_freq", None)
    for name in ours.state_dict():
        if name.endswith("rotary_emb.inv_freq"):
            assert speeds is not None
            assert_close(ours.get_buffer(name), speeds)
            state[name] = speeds
    # Its models that mask nothing lack the vector of masked frames.
    ours.load_state_dict({"encoder.mask_emb": ours.encoder.mask_emb.data, **state})
    return theirs.eval(), ours.eval()


def batch(config: Wav2Vec2Config, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Waveforms [3, T], padded with zeros, their lengths, and transformers' attention mask."""
    generator = torch.Generator().manual_seed(seed)
    hop = torch.tensor([stride for _, _, stride in config.conv_layers]).prod()
    lengths = hop * torch.tensor([31, 23, 17]) + torch.tensor([9, 3, 0])
    waveforms = torch.randn(3, int(lengths.max()), generator=generator)
    attended = torch.arange(waveforms.shape[1]) < lengths[:, None]
    return waveforms * attended, lengths, attended.long()


each_layout = pytest.mark.parametrize(
    ("positions", "seed", "padded"),
    [(positions, seed, padded) for positions in POSITIONS for seed in range(3) for padded in (False, True)],
)


@each_layout
@torch.no_grad()
def test_hidden_states_of_every_layer(positions: str, seed: int, padded: bool) -> None:
    config = layout(positions, seed, reference_padding=padded)
    theirs, ours = pair(config, seed)
    waveforms, lengths, attended = batch(config, seed)
    expected: list[Tensor] = []
    for layer in theirs.wav2vec2_conformer.encoder.layers:
        layer.register_forward_hook(
            lambda module, inputs, output: expected.append(output[0] if isinstance(output, tuple) else output)
        )
    last = theirs.wav2vec2_conformer(waveforms, attention_mask=attended if padded else None).last_hidden_state
    out = ours.extract_features(waveforms, lengths if padded else None)
    valid = torch.arange(last.shape[1]) < out.lengths[:, None]
    assert len(out.layers) == len(expected) == config.encoder.num_layers
    for found, layer in zip((*out.layers, out.context), (*expected, last), strict=True):
        assert_close(found[valid], layer[valid], **TOLERANCE)


@each_layout
def test_loss_and_gradients_in_training(positions: str, seed: int, padded: bool) -> None:
    config = layout(positions, seed, reference_padding=padded)
    theirs, ours = (model.train() for model in pair(config, seed))
    waveforms, lengths, attended = batch(config, seed)
    labels = torch.randint(1, NUM_LABELS, (3, 5), generator=torch.Generator().manual_seed(seed))
    expected = theirs(waveforms, attention_mask=attended if padded else None, labels=labels)
    out = ours(waveforms, lengths if padded else None)
    loss = ctc(out.logits, out.lengths, labels, torch.tensor([5, 5, 5]))
    assert_close(loss.total, expected.loss, rtol=1e-5, atol=1e-5)
    expected.loss.backward()
    loss.total.backward()
    gradients = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        found, wanted = gradients[own_name(name, config)].grad, parameter.grad
        assert (found is None) == (wanted is None), name
        if wanted is not None:
            scale = max(float(wanted.abs().max()), 0.1)
            assert_close(found, wanted, rtol=1e-3, atol=1e-4 * scale, msg=lambda text, n=name: f"{n}: {text}")
    kept = dict(ours.named_buffers())
    for name, buffer in theirs.named_buffers():
        if "batch_norm" in name:
            assert_close(kept[own_name(name, config)], buffer, rtol=1e-4, atol=1e-5)

"""Live parity with transformers: random Base and Large layouts, the same weights, inputs, masks and draws."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from auricle.losses import contrastive, ctc, pretraining
from auricle.masking import sample_negatives
from auricle.models.build import build_model
from auricle.models.config import (
    CTCConfig,
    EncoderConfig,
    NegativesConfig,
    QuantizerConfig,
    SpanMaskConfig,
    Wav2Vec2Config,
)
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import PretrainingDraws, Wav2Vec2Pretraining, gather_rows
from auricle.train.draws import time_mask

transformers = pytest.importorskip("transformers")

TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
NUM_LABELS = 11

# How transformers' names begin or continue -> ours, applied in this order.
NAMES = {
    r"^wav2vec2\.": "",
    r"^masked_spec_embed": "mask_emb",
    r"^feature_projection\.layer_norm": "layer_norm",
    r"^feature_projection\.projection": "post_extract_proj",
    r"(conv_layers\.\d+)\.conv": r"\1.0",
    r"pos_conv_embed\.conv\.parametrizations\.weight\.original0": "pos_conv.0.weight_g",
    r"pos_conv_embed\.conv\.parametrizations\.weight\.original1": "pos_conv.0.weight_v",
    r"pos_conv_embed\.conv": "pos_conv.0",
    r"(encoder\.layers\.\d+)\.attention": r"\1.self_attn",
    r"(encoder\.layers\.\d+)\.layer_norm": r"\1.self_attn_layer_norm",
    r"feed_forward\.intermediate_dense": "fc1",
    r"feed_forward\.output_dense": "fc2",
    r"^quantizer\.codevectors": "quantizer.vars",
    r"^project_hid": "final_proj",
}
CONV_NORMS = {"group": r"\1.2", "layer": r"\1.2.1"}


def own_name(name: str, config: Wav2Vec2Config) -> str:
    name = re.sub(r"(conv_layers\.\d+)\.layer_norm", CONV_NORMS[config.conv_norm], name)
    for theirs, ours in NAMES.items():
        name = re.sub(theirs, ours, name)
    return name


def layout(kind: str, seed: int, *, reference_padding: bool) -> Wav2Vec2Config:
    """A random configuration: "base" (group norm, post-norm) or "large" (layer norms, biases, pre-norm)."""
    rng = random.Random(f"{kind}{seed}")
    heads, groups = rng.choice([2, 3, 4]), rng.choice([1, 2])
    more = ((rng.choice([5, 6]), rng.choice([2, 3]), 2) for _ in range(rng.randint(1, 4)))
    large = kind == "large"
    return Wav2Vec2Config(
        conv_layers=((6, 10, 5), *more),
        conv_norm="layer" if large else "group",
        conv_bias=large,
        encoder=EncoderConfig(
            num_layers=rng.randint(1, 4),
            dim=heads * groups * rng.choice([4, 8]),
            ffn_dim=rng.choice([24, 40]),
            num_heads=heads,
            pre_norm=large,
            dropout=0.0,
            attention_dropout=0.0,
            pos_conv_kernel=rng.choice([5, 8, 16]),
            pos_conv_groups=groups,
        ),
        final_dim=rng.choice([6, 10]),
        quantizer=QuantizerConfig(num_codebooks=2, num_entries=rng.choice([3, 7]), dim=8),
        negatives=NegativesConfig(num_negatives=5),
        time_mask=SpanMaskConfig(prob=0.5, length=3),
        reference_padding=reference_padding,
    )


def their_config(config: Wav2Vec2Config) -> Any:
    encoder, quantizer = config.encoder, config.quantizer
    assert quantizer is not None
    channels, kernels, strides = zip(*config.conv_layers, strict=True)
    off = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "layerdrop")
    return transformers.Wav2Vec2Config(
        vocab_size=NUM_LABELS,
        hidden_size=encoder.dim,
        num_hidden_layers=encoder.num_layers,
        num_attention_heads=encoder.num_heads,
        intermediate_size=encoder.ffn_dim,
        feat_extract_norm=config.conv_norm,
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=config.conv_bias,
        do_stable_layer_norm=encoder.pre_norm,
        num_conv_pos_embeddings=encoder.pos_conv_kernel,
        num_conv_pos_embedding_groups=encoder.pos_conv_groups,
        num_codevector_groups=quantizer.num_codebooks,
        num_codevectors_per_group=quantizer.num_entries,
        codevector_dim=quantizer.dim,
        proj_codevector_dim=config.final_dim,
        contrastive_logits_temperature=config.logit_temp,
        diversity_loss_weight=0.3,
        pad_token_id=0,
        ctc_loss_reduction="sum",
        final_dropout=0.0,
        feat_quantizer_dropout=0.0,
        **dict.fromkeys(off, 0.0),
    )


def randomise(model: nn.Module, seed: int) -> None:
    """No weight at its initial value: biases are not 0, norms not 1."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        scale = 0.3 if parameter.dim() < 2 else (parameter[0].numel()) ** -0.5
        parameter.data.normal_(1.0 if parameter.dim() == 1 else 0.0, scale, generator=generator)


def pretraining_pair(config: Wav2Vec2Config, seed: int) -> tuple[Any, Wav2Vec2Pretraining]:
    """transformers' model and ours, with the same weights."""
    theirs = transformers.Wav2Vec2ForPreTraining(their_config(config))
    randomise(theirs, seed)
    ours = build_model(config)
    assert isinstance(ours, Wav2Vec2Pretraining)
    ours.load_state_dict({own_name(n, config): t for n, t in theirs.state_dict().items()})
    return theirs, ours


def ctc_pair(config: Wav2Vec2Config, seed: int) -> tuple[Any, Wav2Vec2CTC]:
    theirs = transformers.Wav2Vec2ForCTC(their_config(config))
    randomise(theirs, seed)
    ours = build_model(CTCConfig(encoder=config, num_labels=NUM_LABELS))
    assert isinstance(ours, Wav2Vec2CTC)
    ours.load_state_dict(
        {
            name.replace("lm_head", "proj")
            if "lm_head" in name
            else f"encoder.{own_name(name, config)}": tensor
            for name, tensor in theirs.state_dict().items()
        }
    )
    return theirs.eval(), ours.eval()


def batch(config: Wav2Vec2Config, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Waveforms [3, T], padded with zeros, their lengths, and transformers' attention mask."""
    generator = torch.Generator().manual_seed(seed)
    hop = torch.tensor([stride for _, _, stride in config.conv_layers]).prod()
    lengths = hop * torch.tensor([31, 23, 17]) + torch.tensor([9, 3, 0])
    waveforms = torch.randn(3, int(lengths.max()), generator=generator)
    attended = torch.arange(waveforms.shape[1]) < lengths[:, None]
    return waveforms * attended, lengths, attended.long()


@contextmanager
def layer_outputs(model: Any) -> Iterator[list[Tensor]]:
    """What each of transformers' layers gives, before any final norm."""
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(keep) for layer in model.wav2vec2.encoder.layers]
    yield outputs
    for hook in hooks:
        hook.remove()


# transformers lets the group norm see padding, as fairseq does: Base agrees by `reference_padding` only.
LAYOUTS = [
    (kind, seed, padded, reference)
    for kind in ("base", "large")
    for seed in range(3)
    for padded, reference in ((False, False), (True, True), *([(True, False)] if kind == "large" else []))
]
each_layout = pytest.mark.parametrize(("kind", "seed", "padded", "reference"), LAYOUTS)


@each_layout
@torch.no_grad()
def test_hidden_states_of_every_layer(kind: str, seed: int, padded: bool, reference: bool) -> None:
    config = layout(kind, seed, reference_padding=reference)
    theirs, ours = pretraining_pair(config, seed)
    waveforms, lengths, attended = batch(config, seed)
    with layer_outputs(theirs.eval()) as expected:
        last = theirs.wav2vec2(waveforms, attention_mask=attended if padded else None).last_hidden_state
    out = ours.eval().extract_features(waveforms, lengths if padded else None)
    valid = torch.arange(last.shape[1]) < out.lengths[:, None]
    assert len(out.layers) == len(expected) == config.encoder.num_layers
    for found, layer in zip((*out.layers, out.context), (*expected, last), strict=True):
        assert_close(found[valid], layer[valid], **TOLERANCE)


@each_layout
@torch.no_grad()
def test_logits_and_loss_of_ctc(kind: str, seed: int, padded: bool, reference: bool) -> None:
    config = layout(kind, seed, reference_padding=reference)
    theirs, ours = ctc_pair(config, seed)
    waveforms, lengths, attended = batch(config, seed)
    labels = torch.randint(1, NUM_LABELS, (3, 5), generator=torch.Generator().manual_seed(seed))
    label_lengths = torch.tensor([5, 3, 4])
    ignored = torch.arange(5) >= label_lengths[:, None]
    expected = theirs(
        waveforms, attention_mask=attended if padded else None, labels=labels.masked_fill(ignored, -100)
    )
    out = ours(waveforms, lengths if padded else None)
    valid = torch.arange(out.logits.shape[1]) < out.lengths[:, None]
    assert_close(out.logits[valid], expected.logits[valid], **TOLERANCE)
    loss = ctc(out.logits, out.lengths, labels, label_lengths)
    assert_close(loss.total, expected.loss, rtol=1e-5, atol=1e-5)


class Task:
    """One pre-training pass: masks and negatives for both models, and noise for all frames."""

    def __init__(self, config: Wav2Vec2Config, frames: list[int], seed: int) -> None:
        assert config.quantizer is not None
        generators = [np.random.default_rng((seed, row)) for row in range(len(frames))]
        self.mask = torch.from_numpy(time_mask(config.time_mask, frames, generators))
        counts = self.mask.sum(1).tolist()
        self.masked = torch.stack([row.nonzero().flatten() for row in self.mask])
        drawn = sample_negatives(counts, max(counts), config.negatives.num_negatives, generators)
        self.negatives = torch.from_numpy(drawn)
        shape = (*self.mask.shape, config.quantizer.num_codebooks, config.quantizer.num_entries)
        self.noise = -torch.empty(shape).exponential_(generator=torch.Generator().manual_seed(seed)).log()

    def draws(self, *, noisy: bool, temperature: float = 1.0) -> PretrainingDraws:
        noise = gather_rows(self.noise.flatten(2), self.masked).view(
            *self.masked.shape, *self.noise.shape[2:]
        )
        valid = torch.ones_like(self.masked, dtype=torch.bool)
        return PretrainingDraws(
            self.mask, self.masked, valid, self.negatives, None, noise if noisy else None, temperature
        )

    def their_negatives(self) -> Tensor:
        """[B, N, K], numbered over all frames of the batch; anything where nothing is masked."""
        rows, width = self.mask.shape
        frames = self.masked.gather(1, self.negatives.flatten(1)).view_as(self.negatives)
        indices = torch.zeros(rows, width, frames.shape[-1], dtype=torch.int64)
        indices[self.mask] = (frames + width * torch.arange(rows)[:, None, None]).flatten(0, 1)
        return indices

    def gumbel_softmax(self, logits: Tensor, tau: float, hard: bool) -> Tensor:
        """In place of torch's: with this noise, and exactly one-hot, so that equal codes are found equal."""
        assert hard
        soft = torch.softmax((logits + self.noise.reshape(logits.shape)) / tau, dim=-1)
        return nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]) + (soft - soft.detach())


@each_layout
@torch.no_grad()
def test_pretraining_loss_in_evaluation(kind: str, seed: int, padded: bool, reference: bool) -> None:
    config = layout(kind, seed, reference_padding=reference)
    theirs, ours = pretraining_pair(config, seed)
    waveforms, lengths, attended = batch(config, seed)
    frames = ours.num_frames(lengths if padded else torch.full_like(lengths, waveforms.shape[1])).tolist()
    task = Task(config, frames, seed)
    expected = theirs.eval()(
        waveforms,
        attention_mask=attended if padded else None,
        mask_time_indices=task.mask,
        sampled_negative_indices=task.their_negatives(),
    )
    output = ours.eval()(waveforms, lengths if padded else None, task.draws(noisy=False))
    assert_close(contrastive(output), expected.contrastive_loss, rtol=1e-5, atol=1e-5)
    # In evaluation, their one perplexity is that of the codes.
    assert_close(output.code_perplexity, expected.codevector_perplexity, rtol=1e-5, atol=1e-5)


@each_layout
def test_pretraining_loss_and_gradients_in_training(
    kind: str, seed: int, padded: bool, reference: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = layout(kind, seed, reference_padding=reference)
    theirs, ours = pretraining_pair(config, seed)
    waveforms, lengths, attended = batch(config, seed)
    frames = ours.num_frames(lengths if padded else torch.full_like(lengths, waveforms.shape[1])).tolist()
    task = Task(config, frames, seed)
    monkeypatch.setattr(nn.functional, "gumbel_softmax", task.gumbel_softmax)
    theirs.train().set_gumbel_temperature(1.7)
    expected = theirs(
        waveforms,
        attention_mask=attended if padded else None,
        mask_time_indices=task.mask,
        sampled_negative_indices=task.their_negatives(),
    )
    output = ours.train()(waveforms, lengths if padded else None, task.draws(noisy=True, temperature=1.7))
    loss = pretraining(output, (theirs.config.diversity_loss_weight,), 1.7)
    assert_close(loss.total, expected.loss, rtol=1e-5, atol=1e-5)
    assert_close(output.prob_perplexity, expected.codevector_perplexity, rtol=1e-5, atol=1e-5)
    expected.loss.backward()
    loss.total.backward()
    gradients = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        found, wanted = gradients[own_name(name, config)].grad, parameter.grad
        assert (found is None) == (wanted is None), name
        if wanted is not None:
            scale = float(wanted.abs().max())
            assert_close(found, wanted, rtol=1e-3, atol=1e-4 * max(scale, 0.1))

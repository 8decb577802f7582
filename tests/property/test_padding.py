"""Padding never changes an answer: an utterance gets in any batch what it gets alone."""

import copy
import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from auricle.losses import ctc
from auricle.models.build import build_model
from auricle.models.config import (
    BASE_CONV_LAYERS,
    CTCConfig,
    EncoderConfig,
    QuantizerConfig,
    Wav2Vec2Config,
)
from auricle.models.conv import receptive_field
from auricle.models.ctc import Wav2Vec2CTC

NUM_LABELS = 7
SHORTEST = 400
"""Samples of the shortest clip that gives a frame, in both published layouts."""

BASE = Wav2Vec2Config(
    conv_layers=tuple((8, kernel, stride) for _, kernel, stride in BASE_CONV_LAYERS),
    encoder=EncoderConfig(
        num_layers=2, dim=16, ffn_dim=24, num_heads=2, dropout=0.0, attention_dropout=0.0,
        pos_conv_kernel=16, pos_conv_groups=4,
    ),
    feature_grad_mult=1.0,
)  # fmt: skip
CONFORMER = replace(BASE.encoder, layer_type="conformer", conv_kernel=7)
LAYOUTS = {
    "base": BASE,
    "large": replace(BASE, conv_norm="layer", conv_bias=True, encoder=replace(BASE.encoder, pre_norm=True)),
    "deep positions": replace(BASE, encoder=replace(BASE.encoder, pos_conv_depth=3, pos_conv_kernel=12)),
    "conformer": replace(BASE, encoder=CONFORMER),
    "conformer, relative": replace(
        BASE, encoder=replace(CONFORMER, attention="espnet", positions="rel_pos", pre_norm=True)
    ),
    "conformer, rotary": replace(BASE, encoder=replace(CONFORMER, attention="espnet", positions="rope")),
    "quantized input": replace(BASE, input_quantizer=QuantizerConfig(2, 9)),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS)

lengths = st.lists(st.integers(1, 4000), min_size=1, max_size=5)
few = settings(max_examples=15)


@functools.cache
def model_of(layout: str) -> Wav2Vec2CTC:
    """A recogniser whose logits are of the size of a trained one's."""
    torch.manual_seed(11)
    model = build_model(CTCConfig(encoder=LAYOUTS[layout], num_labels=NUM_LABELS))
    assert isinstance(model, Wav2Vec2CTC)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(0.0, 0.3)
    model.proj.weight.data *= 4
    return model.eval()


def speech(length: int, seed: int = 0) -> Tensor:
    """[length] noise with a swell, so that statistics over time matter."""
    samples = torch.randn(length, generator=torch.Generator().manual_seed(length + seed))
    return samples * torch.linspace(0.1, 1.0, length)


def padded(lengths: list[int], width: int | None = None) -> Tensor:
    """The utterances of these lengths as a batch [B, width], zeros after their ends."""
    batch = torch.zeros(len(lengths), width or max(lengths))
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = speech(length)
    return batch


@torch.no_grad()
def logits(layout: str, waveforms: Tensor, lengths: list[int] | None) -> list[Tensor]:
    """The valid logits of each row."""
    output = model_of(layout)(waveforms, None if lengths is None else torch.tensor(lengths))
    return [row[:frames] for row, frames in zip(output.logits, output.lengths.tolist(), strict=True)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert_close(a, b, rtol=0, atol=1e-4)


@each_layout
@given(lengths=lengths, surplus=st.integers(0, 1000))
@example(lengths=[4000, 400, 399, 1], surplus=0)
@example(lengths=[720, 719], surplus=1)
@few
def test_a_batch_gives_each_utterance_what_it_gets_alone(
    layout: str, lengths: list[int], surplus: int
) -> None:
    alone = [logits(layout, speech(length)[None], None)[0] for length in lengths]
    batched = logits(layout, padded(lengths, max(lengths) + surplus), lengths)
    assert_same(batched, alone)


@each_layout
@given(data=st.data(), lengths=lengths)
@few
def test_order_and_size_of_the_batch_do_not_matter(
    layout: str, data: st.DataObject, lengths: list[int]
) -> None:
    order = data.draw(st.permutations(range(len(lengths))))
    cut = data.draw(st.integers(0, len(lengths)))
    whole = logits(layout, padded(lengths), lengths)
    found: dict[int, Tensor] = {}
    for part in (order[:cut], order[cut:]):
        if part:
            chosen = [lengths[i] for i in part]
            found |= zip(part, logits(layout, padded(chosen), chosen), strict=True)
    assert_same([found[i] for i in range(len(lengths))], whole)


@each_layout
@given(lengths=lengths, loudness=st.sampled_from([1.0, 1e4, float("nan"), float("inf")]))
@few
def test_what_stands_in_the_padding_does_not_matter(layout: str, lengths: list[int], loudness: float) -> None:
    clean = padded(lengths, max(lengths) + 500)
    dirty = clean + 0
    for row, length in zip(dirty, lengths, strict=True):
        row[length:] = speech(len(row) - length, seed=1) * loudness
    assert_same(logits(layout, dirty, lengths), logits(layout, clean, lengths))


@each_layout
@given(length=st.integers(1, SHORTEST + 20))
@few
def test_clips_give_frames_from_the_receptive_field_on(layout: str, length: int) -> None:
    assert receptive_field(LAYOUTS[layout].conv_layers) == SHORTEST
    expected = int(length >= SHORTEST)
    assert model_of(layout).encoder.num_frames(length) == expected
    (alone,) = logits(layout, speech(length)[None], None)
    assert alone.shape == (expected, NUM_LABELS)
    short, long = logits(layout, padded([length, 2000]), [length, 2000])
    assert short.shape == (expected, NUM_LABELS)
    assert torch.isfinite(long).all()


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.startswith("conformer")])
@given(lengths=st.lists(st.integers(1500, 4000), min_size=2, max_size=4), surplus=st.integers(1, 2000))
@few
def test_batch_norms_learn_nothing_from_padding(layout: str, lengths: list[int], surplus: int) -> None:
    """In training, too: neither the answers nor the statistics kept depend on how far a batch is padded."""
    results = []
    for width in (max(lengths), max(lengths) + surplus):
        model = copy.deepcopy(model_of(layout)).train()
        output = model(padded(lengths, width), torch.tensor(lengths))
        valid = [row[:frames] for row, frames in zip(output.logits, output.lengths.tolist(), strict=True)]
        kept = [buffer for name, buffer in model.named_buffers() if "running" in name]
        assert len(kept) == 4
        results.append(valid + kept)
    assert_same(*results)


def gradients(model: Wav2Vec2CTC, lengths: list[int], labels: list[list[int]]) -> dict[str, Tensor]:
    """Of the summed CTC loss of one batch."""
    model.zero_grad()
    targets = torch.nn.utils.rnn.pad_sequence([torch.tensor(label) for label in labels], True, 1)
    output = model(padded(lengths), torch.tensor(lengths))
    ctc(
        output.logits, output.lengths, targets, torch.tensor([len(label) for label in labels])
    ).total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@each_layout
@given(
    lengths=st.lists(st.integers(3000, 5000), min_size=2, max_size=4),
    label=st.lists(st.integers(3, NUM_LABELS - 1), min_size=1, max_size=3, unique=True),
)
@settings(max_examples=6)
def test_gradients_of_a_batch_are_the_sum_of_those_alone(
    layout: str, lengths: list[int], label: list[int]
) -> None:
    model = model_of(layout)
    labels = [label[: 1 + i % len(label)] for i in range(len(lengths))]
    batched = gradients(model, lengths, labels)
    alone = [gradients(model, [length], [label]) for length, label in zip(lengths, labels, strict=True)]
    assert all(single.keys() == batched.keys() for single in alone)
    size = sum(float(gradient.norm()) ** 2 for gradient in batched.values()) ** 0.5
    for name, gradient in batched.items():
        total = sum(single[name] for single in alone)
        assert float((gradient - total).norm()) <= 1e-5 * size, name

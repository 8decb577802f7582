"""The sequence-to-sequence model: padding, freezing, clips too short for a frame."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import forged
from auricle.models.config import DecoderConfig, Seq2SeqConfig
from auricle.models.seq2seq import Wav2Vec2Seq2Seq

CONFIG = Seq2SeqConfig(
    encoder=forged.ENCODER,
    decoder=DecoderConfig(num_layers=1, dim=6, ffn_dim=10, num_heads=2, max_positions=20, dropout=0.0),
    num_labels=9,
)
CONFIGS = {
    "narrower decoder": CONFIG,
    "as wide": replace(CONFIG, decoder=replace(CONFIG.decoder, dim=8), tie_embeddings=True),
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
TOKENS = torch.tensor([[2, 4, 5], [2, 6, 1]])


def recogniser(config: Seq2SeqConfig) -> Wav2Vec2Seq2Seq:
    torch.manual_seed(0)
    return Wav2Vec2Seq2Seq(config).eval()


@each
@torch.no_grad()
def test_padding_changes_nothing(config: Seq2SeqConfig) -> None:
    model, lengths = recogniser(config), torch.tensor([400, 251])
    waveforms = torch.randn(2, 400).masked_fill(torch.arange(400) >= lengths[:, None], 7.0)
    logits = model(waveforms, lengths, TOKENS).logits
    assert logits.shape == (2, 3, 9)
    assert_close(logits[:1], model(waveforms[:1], None, TOKENS[:1]).logits)
    assert_close(logits[1:, :2], model(waveforms[1:, :251], None, TOKENS[1:, :2]).logits)


@each
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 2])])
@torch.no_grad()
def test_clips_without_a_frame(config: Seq2SeqConfig, lengths: torch.Tensor | None) -> None:
    assert recogniser(config)(torch.randn(2, 3), lengths, TOKENS).logits.isfinite().all()


@each
def test_a_frozen_encoder_gets_no_gradient(config: Seq2SeqConfig) -> None:
    model = recogniser(config).train()
    model(torch.randn(2, 400), None, TOKENS, freeze_encoder=True).logits.sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())


@torch.no_grad()
def test_masks_reach_the_encoder() -> None:
    model, waveforms = recogniser(CONFIG), torch.randn(1, 400)
    frames = int(model.encoder.num_frames(400))
    mask = torch.ones(1, frames, dtype=torch.bool)
    assert not torch.allclose(model.encode(waveforms).frames, model.encode(waveforms, span_mask=mask).frames)
    assert model.extract_features(waveforms).context.shape == (1, frames, 8)

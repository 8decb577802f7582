"""The recogniser: a head on the encoder, masks and freezing while it is fine-tuned."""

import pytest
import torch
from torch import Tensor

from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config
from auricle.models.ctc import Wav2Vec2CTC

ENCODER = Wav2Vec2Config(
    conv_layers=((6, 10, 5), (6, 3, 2)),
    encoder=EncoderConfig(
        num_layers=1, dim=12, ffn_dim=16, num_heads=2, dropout=0.0, attention_dropout=0.0,
        pos_conv_kernel=4, pos_conv_groups=2,
    ),
    normalize=True,
    sample_rate=8000,
)  # fmt: skip


def model_of(**options: float) -> Wav2Vec2CTC:
    torch.manual_seed(0)
    model = build_model(CTCConfig(encoder=ENCODER, num_labels=7, **options))
    assert isinstance(model, Wav2Vec2CTC)
    return model


@pytest.fixture
def waveforms() -> Tensor:
    return torch.randn(2, 200, generator=torch.Generator().manual_seed(1))


def test_logits_are_the_projected_context(waveforms: Tensor) -> None:
    model, lengths = model_of().eval(), torch.tensor([200, 120])
    out = model(waveforms, lengths)
    features = model.extract_features(waveforms, lengths)
    assert torch.equal(out.logits, model.proj(features.context))
    assert torch.equal(out.lengths, features.lengths)
    assert torch.equal(model.extract_features(waveforms, layer=0).context, model.encoder.extract_features(
        waveforms, layer=0).context)  # fmt: skip


def test_the_head_starts_without_a_preference() -> None:
    model = model_of()
    assert not model.proj.bias.any()
    assert model.proj.weight.abs().max() <= (6 / (12 + 7)) ** 0.5


def test_the_blank_weight_is_not_the_models_business(waveforms: Tensor) -> None:
    plain, weighed = model_of().eval(), model_of(blank_weight=3.0).eval()
    assert torch.equal(plain(waveforms).logits, weighed(waveforms).logits)


def test_what_reads_audio_for_it_finds_the_encoders_wishes() -> None:
    config = model_of().config
    assert config.normalize and config.sample_rate == 8000


@pytest.mark.parametrize("kind", ["span_mask", "channel_mask"])
def test_masks_change_the_answer(waveforms: Tensor, kind: str) -> None:
    model = model_of().eval()
    mask = torch.zeros(2, 19 if kind == "span_mask" else 12, dtype=torch.bool)
    mask[0, 3:6] = True
    masked, plain = model(waveforms, **{kind: mask}).logits, model(waveforms).logits
    assert not torch.allclose(masked[0], plain[0])
    assert torch.equal(masked[1], plain[1])


def test_a_frozen_encoder_gets_no_gradient(waveforms: Tensor) -> None:
    model = model_of()
    model(waveforms, freeze_encoder=True).logits.sum().backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert model.proj.weight.grad is not None
    model(waveforms).logits.sum().backward()
    assert model.encoder.encoder.layers[0].fc1.weight.grad is not None


def test_without_gradients_freezing_does_not_bring_them_back(waveforms: Tensor) -> None:
    with torch.no_grad():
        assert not model_of()(waveforms, freeze_encoder=False).logits.requires_grad


def test_dropout_before_the_head(waveforms: Tensor) -> None:
    model = model_of(final_dropout=0.5).train()
    assert not torch.equal(model(waveforms).logits, model(waveforms).logits)
    model.eval()
    assert torch.equal(model(waveforms).logits, model(waveforms).logits)


def test_an_encoder_in_bfloat16_takes_float32_and_gives_exact_scores(waveforms: Tensor) -> None:
    model = model_of().eval()
    with torch.inference_mode():
        expected = model(waveforms).logits
        model.encoder.bfloat16()
        found = model(waveforms).logits
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()
    # Scores of letters are not rounded to 8 bits.
    assert (found != found.bfloat16().float()).any()

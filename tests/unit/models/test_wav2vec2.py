"""wav2vec 2.0 put together: lengths, masks, gradients, and the contrastive task against its definition."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from auricle.losses import pretraining
from auricle.models.build import build_model
from auricle.models.config import (
    EncoderConfig,
    NegativesConfig,
    QuantizerConfig,
    SpanMaskConfig,
    Wav2Vec2Config,
)
from auricle.models.wav2vec2 import PretrainingDraws, Wav2Vec2Pretraining, gather_rows
from auricle.train.draws import Position, SeededDraws

CONFIG = Wav2Vec2Config(
    conv_layers=((6, 10, 5), (6, 3, 2)),
    encoder=EncoderConfig(
        num_layers=2, dim=12, ffn_dim=16, num_heads=2, dropout=0.0, attention_dropout=0.0,
        pos_conv_kernel=4, pos_conv_groups=2,
    ),
    final_dim=8,
    quantizer=QuantizerConfig(num_codebooks=2, num_entries=4),
    negatives=NegativesConfig(num_negatives=3),
    time_mask=SpanMaskConfig(prob=0.6, length=3, require_same=False),
)  # fmt: skip
LENGTHS = torch.tensor([300, 210, 130])


def model_of(config: Wav2Vec2Config) -> Wav2Vec2Pretraining:
    torch.manual_seed(0)
    model = build_model(config)
    assert isinstance(model, Wav2Vec2Pretraining)
    return model


def speech() -> Tensor:
    waveforms = torch.randn(3, 300, generator=torch.Generator().manual_seed(1))
    return waveforms * (torch.arange(300) < LENGTHS[:, None])


def draws_for(model: Wav2Vec2Pretraining, *, training: bool = True) -> PretrainingDraws:
    frames = model.num_frames(LENGTHS).tolist()
    return SeededDraws(3).pretraining(model.config, [0, 1, 2], frames, Position(int(training), 5))


def test_lengths_count_frames() -> None:
    model = model_of(CONFIG).eval()
    out = model.extract_features(speech(), LENGTHS)
    assert out.lengths.tolist() == [model.num_frames(n) for n in LENGTHS.tolist()] == [29, 20, 12]
    assert out.context.shape == out.layers[-1].shape == (3, 29, 12)
    whole = model.extract_features(speech())
    assert whole.lengths.tolist() == [29] * 3
    assert whole.lengths.dtype == torch.int64


@pytest.mark.parametrize("length", [0, 1, 19])
def test_clips_without_a_frame(length: int) -> None:
    model = model_of(CONFIG)
    for lengths in (None, torch.tensor([length, 0])):
        out = model.extract_features(torch.randn(2, length), lengths)
        assert out.context.shape == (2, 0, 12)
        assert out.lengths.tolist() == [0, 0]


def test_masked_frames_hold_the_same_vector_and_masked_channels_nothing() -> None:
    model = model_of(replace(CONFIG, encoder=replace(CONFIG.encoder, num_layers=0, pre_norm=True))).eval()
    # Without layers, and with positions that see nothing, what comes out is the norm of what went in.
    for parameter in model.encoder.pos_conv.parameters():
        parameter.data.zero_()
    model.encoder.pos_conv[0].weight_v.data.fill_(1.0)
    spans, channels = torch.zeros(3, 29, dtype=torch.bool), torch.zeros(3, 12, dtype=torch.bool)
    spans[0, 4:8] = True
    channels[1, 2:5] = True
    captured: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    model.extract_features(speech(), span_mask=spans, channel_mask=channels)
    model.extract_features(speech())
    masked, plain = captured
    assert_close(masked[0, 4:8], model.mask_emb.expand(4, -1))
    assert not masked[1, :, 2:5].any()
    untouched = ~(spans[..., None] | channels[:, None])
    assert torch.equal(masked[untouched], plain[untouched])


def test_channels_are_masked_in_masked_frames_too() -> None:
    model = model_of(CONFIG)
    captured: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    everything = torch.ones(3, 29, dtype=torch.bool)
    channels = torch.zeros(3, 12, dtype=torch.bool)
    channels[:, 0] = True
    model.extract_features(speech(), span_mask=everything, channel_mask=channels)
    assert not captured[0][..., 0].any()
    assert_close(captured[0][..., 1:], model.mask_emb[1:].expand(3, 29, -1))


def conv_gradient(factor: float) -> Tensor | None:
    model = model_of(replace(CONFIG, feature_grad_mult=factor)).eval()
    draws = draws_for(model, training=False)
    pretraining(model(speech(), LENGTHS, draws), (0.1, 10.0), 1.0).total.backward()
    return model.feature_extractor.conv_layers[1][0].weight.grad


def test_the_gradient_of_the_convolutions_is_scaled_penalty_included() -> None:
    whole, part = conv_gradient(1.0), conv_gradient(0.1)
    assert whole is not None and part is not None
    assert_close(part, 0.1 * whole, rtol=1e-4, atol=1e-6)
    assert conv_gradient(0.0) is None


def naive_logits(model: Wav2Vec2Pretraining, row: int, draws: PretrainingDraws) -> list[Tensor]:
    """The logits of one utterance, by itself, frame by frame."""
    length = int(LENGTHS[row])
    waveform = speech()[row : row + 1, :length]
    frames = model.num_frames(length)
    context = model.extract_features(waveform, span_mask=draws.span_mask[row : row + 1, :frames]).context[0]
    features = model.layer_norm(model.feature_extractor(waveform).transpose(1, 2))
    masked = draws.masked_frames[row][draws.valid[row]]
    assert model.quantizer is not None
    quantized = model.quantizer(features[:, masked])
    targets, codes = model.project_q(quantized.vectors)[0], quantized.codes[0].tolist()
    logits = []
    for m, frame in enumerate(masked.tolist()):
        candidates = [m, *draws.negatives[row, m].tolist()]
        prediction = model.final_proj(context[frame])
        scores = F.cosine_similarity(prediction[None], targets[candidates]) / model.config.logit_temp
        same = torch.tensor([i > 0 and codes[c] == codes[m] for i, c in enumerate(candidates)])
        logits.append(scores.masked_fill(same, float("-inf")))
    return logits


@torch.no_grad()
def test_logits_are_their_definition_for_each_utterance_by_itself() -> None:
    model = model_of(CONFIG).eval()
    draws = draws_for(model, training=False)
    output = model(speech(), LENGTHS, draws)
    assert output.logits.isinf().any()
    for row in range(3):
        found = output.logits[row][draws.valid[row]]
        assert_close(found, torch.stack(naive_logits(model, row, draws)), rtol=1e-4, atol=1e-4)


def widened(draws: PretrainingDraws) -> PretrainingDraws:
    """The same draws, with two more columns of padding."""

    def more(x: Tensor) -> Tensor:
        return torch.cat([x, torch.zeros_like(x[:, :2])], dim=1)

    assert draws.noise is not None
    return replace(
        draws,
        masked_frames=more(draws.masked_frames),
        valid=more(draws.valid),
        negatives=more(draws.negatives),
        noise=more(draws.noise),
    )


def test_the_width_that_draws_are_padded_to_changes_nothing() -> None:
    model = model_of(CONFIG).train()
    results = []
    for draws in (draws_for(model), widened(draws_for(model))):
        model.zero_grad()
        loss = pretraining(model(speech(), LENGTHS, draws), (0.1, 10.0), draws.temperature)
        loss.total.backward()
        results.append([loss.total.detach(), *(p.grad for p in model.parameters())])
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_feature_penalty_leaves_padding_out_except_for_reference() -> None:
    model = model_of(replace(CONFIG, conv_norm="layer")).eval()
    draws = draws_for(model, training=False)
    found = model(speech(), LENGTHS, draws).feature_penalty
    values = [model.feature_extractor(speech()[i : i + 1, :n]).flatten() for i, n in enumerate(LENGTHS)]
    assert_close(found, torch.cat(values).square().mean())
    reference = model_of(replace(CONFIG, conv_norm="layer", reference_padding=True)).eval()
    expected = reference.feature_extractor(speech()).square().mean()
    assert_close(reference(speech(), LENGTHS, draws).feature_penalty, expected)


def test_without_a_quantizer_features_are_the_targets() -> None:
    model = model_of(replace(CONFIG, quantizer=None))
    assert model.project_q.in_features == 6
    draws = draws_for(model)
    assert draws.noise is None
    output = model(speech(), LENGTHS, draws)
    assert output.prob_perplexity is None and output.code_perplexity is None
    loss = pretraining(output, (10.0,), 1.0)
    assert set(loss.parts) == {"loss_0", "loss_1"} and not loss.means
    loss.total.backward()
    assert model.project_q.weight.grad is not None


def test_dropout_of_features_and_of_the_encoder_input() -> None:
    model = model_of(replace(CONFIG, dropout_input=0.5, dropout_features=0.25))
    assert (model.dropout_input.p, model.dropout_features.p) == (0.5, 0.25)
    draws = draws_for(model)
    first, second = (model.train()(speech(), LENGTHS, draws).logits for _ in range(2))
    assert not torch.equal(first, second)


def test_gather_rows() -> None:
    x = torch.arange(12.0).view(2, 3, 2)
    assert gather_rows(x, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def naive_candidates(
    model: Wav2Vec2Pretraining, draws: PretrainingDraws
) -> tuple[list[Tensor], list[object]]:
    """What a number in `negatives` stands for: its projected vector, and what tells it from others."""
    vectors: list[Tensor] = []
    names: list[object] = []
    everywhere = model.config.negatives.from_everywhere
    for row, length in enumerate(LENGTHS.tolist()):
        features = model.layer_norm(model.feature_extractor(speech()[row : row + 1, :length]).transpose(1, 2))
        width = model.num_frames(300) if everywhere else draws.masked_frames.shape[1]
        chosen = (
            range(features.shape[1]) if everywhere else draws.masked_frames[row][draws.valid[row]].tolist()
        )
        for place in range(width):
            frame = chosen[place] if place < len(chosen) else 0
            part = features[:, frame : frame + 1]
            quantized = None if model.quantizer is None else model.quantizer(part)
            target = model.project_q(part if quantized is None else quantized.vectors)[0, 0]
            vectors.append(target if model.target_glu is None else model.target_glu(target))
            names.append((row, frame) if quantized is None else tuple(quantized.codes.flatten().tolist()))
    return vectors, names


KINDS = {
    "everywhere": NegativesConfig(3, from_everywhere=True),
    "cross": NegativesConfig(2, cross_sample=4),
    "cross everywhere": NegativesConfig(2, cross_sample=2, from_everywhere=True),
    "codebook": NegativesConfig(2, codebook=6),
    "all": NegativesConfig(2, 2, 6, from_everywhere=True),
}


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("glu", [False, True])
@torch.no_grad()
def test_logits_with_distractors_of_every_kind(kind: str, quantized: bool, glu: bool) -> None:
    negatives = KINDS[kind] if quantized else replace(KINDS[kind], codebook=0)
    quantizer = CONFIG.quantizer if quantized else None
    model = model_of(replace(CONFIG, negatives=negatives, quantizer=quantizer, target_glu=glu)).eval()
    draws = draws_for(model, training=False)
    output = model(speech(), LENGTHS, draws)
    context = model.extract_features(speech(), LENGTHS, span_mask=draws.span_mask).context
    vectors, names = naive_candidates(model, draws)
    size = len(vectors) // 3
    for row, m in draws.valid.nonzero().tolist():
        frame = int(draws.masked_frames[row, m])
        own = row * size + (frame if negatives.from_everywhere else m)
        offset = 0 if negatives.cross_sample else row * size
        numbers = [own, *(offset + number for number in draws.negatives[row, m].tolist())]
        candidates = [vectors[number] for number in numbers]
        known = [names[number] for number in numbers]
        if draws.codebook_negatives is not None and model.quantizer is not None:
            for codes in draws.codebook_negatives[row, m]:
                entries = torch.cat([model.quantizer.vars[0, 4 * g + code] for g, code in enumerate(codes)])
                projected = model.project_q(entries)
                candidates.append(projected if model.target_glu is None else model.target_glu(projected))
                known.append(tuple(codes.tolist()))
        scores = (
            F.cosine_similarity(model.final_proj(context[row, frame])[None], torch.stack(candidates)) / 0.1
        )
        same = torch.tensor([i > 0 and name == known[0] for i, name in enumerate(known)])
        expected = scores.masked_fill(same, float("-inf"))
        assert_close(output.logits[row, m], expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_encoder_may_be_given_quantized_features() -> None:
    model = model_of(replace(CONFIG, input_quantizer=QuantizerConfig(3, 5))).eval()
    assert model.post_extract_proj is None and model.input_quantizer is not None
    captured: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    model.extract_features(speech())
    features = model.layer_norm(model.feature_extractor(speech()).transpose(1, 2))
    entries = model.input_quantizer(features).vectors
    assert entries.shape == (3, 29, 12)
    assert_close(captured[0], model.project_inp(entries))
    noise = torch.randn(3, 29, 3, 5) * 9
    model.extract_features(speech(), input_noise=noise, temperature=0.7)
    drawn = model.input_quantizer(features, noise=noise, temperature=0.7).vectors
    assert_close(captured[1], model.project_inp(drawn))
    assert not torch.equal(captured[1], captured[0])


def test_one_quantizer_for_input_and_targets() -> None:
    both = replace(CONFIG, input_quantizer=CONFIG.quantizer, same_quantizer=True)
    model = model_of(both)
    assert model.quantizer is model.input_quantizer
    assert model.project_inp.in_features == model.project_q.in_features == 8
    names = model.state_dict().keys()
    assert {"quantizer.vars", "input_quantizer.vars"} <= names
    separate = model_of(replace(both, same_quantizer=False))
    assert separate.quantizer is not separate.input_quantizer
    assert (separate.project_inp.in_features, separate.project_q.in_features) == (12, 8)


@torch.no_grad()
@pytest.mark.parametrize("reference_padding", [False, True])
def test_perplexities_are_of_the_targets_or_else_of_the_input(reference_padding: bool) -> None:
    config = replace(CONFIG, conv_norm="layer", reference_padding=reference_padding)
    config = replace(config, quantizer=None, input_quantizer=QuantizerConfig(3, 5))
    model = model_of(config).eval()
    output = model(speech(), LENGTHS, draws_for(model, training=False))
    assert output.num_entries == 15
    features = model.layer_norm(model.feature_extractor(speech(), LENGTHS).transpose(1, 2))
    valid = torch.arange(29) < model.num_frames(LENGTHS)[:, None]
    assert model.input_quantizer is not None
    expected = model.input_quantizer(features, None if reference_padding else valid)
    assert_close(output.prob_perplexity, expected.prob_perplexity)
    assert_close(output.code_perplexity, expected.code_perplexity)
    both = model_of(replace(config, quantizer=CONFIG.quantizer)).eval()
    assert both(speech(), LENGTHS, draws_for(both, training=False)).num_entries == 8


def test_channels_may_be_masked_before_frames() -> None:
    model = model_of(replace(CONFIG, channel_mask_first=True))
    captured: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    spans = torch.zeros(3, 29, dtype=torch.bool)
    spans[:, 5:9] = True
    model.extract_features(speech(), span_mask=spans, channel_mask=torch.ones(3, 12, dtype=torch.bool))
    assert_close(captured[0][:, 5:9], model.mask_emb.expand(3, 4, -1))
    assert not captured[0][:, :5].any()


@torch.no_grad()
def test_frames_are_cropped_to_a_multiple() -> None:
    whole = model_of(CONFIG).eval()
    cropped = model_of(replace(CONFIG, crop_seq_to_multiple=4)).eval()
    assert [cropped.num_frames(n) for n in LENGTHS.tolist()] == [28, 20, 12]
    alone = cropped.extract_features(speech()[:1])
    assert alone.lengths.tolist() == [28] and alone.context.shape == (1, 28, 12)
    features = whole.encoder_input(whole.layer_norm(whole.feature_extractor(speech()[:1]).transpose(1, 2)))[0]
    assert_close(alone.context, whole.encoder(features[:, :28], None)[0])
    # Each utterance by itself, but for reference, where the batch is cropped: 29 frames to 28, 21 stay.
    lengths = torch.tensor([300, 220, 130])
    own = cropped.extract_features(speech(), lengths).lengths
    assert (whole.num_frames(lengths).tolist(), own.tolist()) == ([29, 21, 12], [28, 20, 12])
    reference = model_of(replace(CONFIG, crop_seq_to_multiple=4, reference_padding=True)).eval()
    assert reference.extract_features(speech(), lengths).lengths.tolist() == [28, 21, 12]
    output = cropped(speech(), LENGTHS, draws_for(cropped, training=False))
    assert torch.isfinite(output.logits[..., 0][output.valid]).all()


@pytest.mark.parametrize("reference_padding", [False, True])
@pytest.mark.parametrize("length", [0, 19, 30])
def test_clips_shorter_than_a_multiple_of_frames(length: int, reference_padding: bool) -> None:
    changes = {"crop_seq_to_multiple": 4, "reference_padding": reference_padding}
    model = model_of(replace(CONFIG, **changes)).eval()
    for lengths in (None, torch.tensor([length, 0])):
        out = model.extract_features(torch.randn(2, length), lengths)
        assert out.context.shape == (2, 0, 12)
        assert out.lengths.tolist() == [0, 0]

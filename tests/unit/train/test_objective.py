"""Objectives: a batch, draws and a model to a loss."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from auricle.decode.report import ErrorCounts
from auricle.dictionary import letters_to_words
from auricle.losses import ctc, pretraining, weigh_blank
from auricle.models.config import NegativesConfig
from auricle.models.wav2vec2 import PretrainingDraws
from auricle.train.draws import VALIDATION_EPOCH, MaskDraws, Position, SeededDraws
from auricle.train.objective import CTCObjective, draws_to, padded_lengths
from tiny_runs import CONFIG, DICTIONARY, batch_of, ctc_model, objective_of, pretraining_model, without_chance

LENGTHS = [2000, 1500]


def test_pretraining_loss_is_that_of_the_drawn_task() -> None:
    model = pretraining_model(without_chance())
    batch, position = batch_of([4, 2], lengths=LENGTHS), Position(1, 7)
    loss = objective_of(model).loss(batch, position)
    frames = [model.num_frames(length) for length in LENGTHS]
    draws = SeededDraws(1).pretraining(model.config, [4, 2], frames, position)
    expected = pretraining(model(batch.waveforms, batch.lengths, draws), (0.1, 10.0), draws.temperature)
    assert_close(loss.total, expected.total)
    assert float(loss.means["temp"]) == pytest.approx(2 * 0.9**7)


def test_validation_of_pretraining_repeats_itself() -> None:
    objective = objective_of(pretraining_model().eval())
    batch = batch_of([0, 1])
    (first, errors), (later, _) = (objective.validate(batch, Position(VALIDATION_EPOCH, n)) for n in (0, 90))
    assert errors is None
    assert_close(first.total, later.total)


@pytest.mark.parametrize(
    "negatives",
    [NegativesConfig(2, codebook=2), NegativesConfig(2, 2), NegativesConfig(2, 1, 1, from_everywhere=True)],
)
def test_distractors_of_all_kinds(negatives: NegativesConfig) -> None:
    config = replace(CONFIG, negatives=negatives, input_quantizer=CONFIG.quantizer, target_glu=True)
    objective = objective_of(pretraining_model(config).train())
    loss = objective.loss(batch_of([0, 1, 2], lengths=[2000, 1700, 1200]), Position(1, 0))
    assert torch.isfinite(loss.total) and int(loss.denominator) > 0
    loss.total.backward()
    for name, parameter in objective.model.named_parameters():
        if name.startswith(("quantizer", "input_quantizer", "target_glu", "project_inp")):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


class FixedMasks:
    """Masks that are given; notes what it was asked."""

    def __init__(self, masks: MaskDraws) -> None:
        self.masks = masks
        self.asked: list[tuple[list[int], list[int], Position]] = []

    def finetuning(self, config, ids, frames, position) -> MaskDraws:
        self.asked.append((ids, frames, position))
        return self.masks


@pytest.mark.parametrize("options", [{}, {"blank_weight": 2.0}, {"blank_weight": -1.0, "blank_mode": "set"}])
def test_ctc_loss_is_that_of_the_masked_model_with_its_blank_weighed(options: dict[str, float]) -> None:
    model = ctc_model(without_chance(), **options)
    spans = torch.zeros(2, model.encoder.num_frames(2000), dtype=torch.bool)
    spans[0, 5:20] = True
    draws = FixedMasks(MaskDraws(spans, None))
    batch = batch_of([3, 1], labels=True, lengths=LENGTHS)
    loss = CTCObjective(model, draws, DICTIONARY, sentence_avg=True).loss(batch, Position(2, 5, 1))
    output = model(batch.waveforms, batch.lengths, span_mask=spans)
    logits = weigh_blank(output.logits, model.config.blank_weight, model.config.blank_mode)
    expected = ctc(logits, output.lengths, batch.targets, batch.target_lengths)
    assert_close(loss.total, expected.total)
    assert int(loss.denominator) == 2
    frames = [model.encoder.num_frames(length) for length in LENGTHS]
    assert draws.asked == [([3, 1], frames, Position(2, 5, 1))]


@pytest.mark.parametrize(("update", "frozen"), [(0, True), (4, True), (5, False)])
def test_the_encoder_learns_after_the_frozen_updates(update: int, frozen: bool) -> None:
    model = ctc_model()
    objective = objective_of(model, freeze_updates=5)
    objective.loss(batch_of([0, 1], labels=True), Position(1, update)).total.backward()
    assert model.proj.weight.grad is not None
    assert all(parameter.grad is None for parameter in model.encoder.parameters()) == frozen


@torch.no_grad()
def test_validation_of_ctc_counts_the_errors_of_greedy_decoding() -> None:
    model = ctc_model().eval()
    # Whatever it hears, it writes "A".
    model.proj.weight.zero_()
    model.proj.bias.copy_(torch.nn.functional.one_hot(torch.tensor(DICTIONARY.index("A")), 8))
    batch = batch_of([0, 1, 2], labels=True)
    loss, errors = objective_of(model).validate(batch, Position(VALIDATION_EPOCH, 0))
    written = [
        DICTIONARY.decode(target[:length])
        for target, length in zip(batch.targets, batch.target_lengths, strict=True)
    ]
    assert written == ["|", "| B", "| C B"]
    assert torch.isfinite(loss.total)
    assert isinstance(errors, ErrorCounts)
    assert (errors.num_utterances, errors.num_units, errors.unit_edits) == (3, 6, 1 + 2 + 3)


def test_lengths_go_along_only_where_something_is_padded() -> None:
    whole, padded = batch_of([0, 1]), batch_of([0, 1], lengths=LENGTHS)
    assert padded_lengths(whole, whole) is None
    assert padded_lengths(padded, padded) is padded.lengths


@pytest.mark.parametrize("device", ["cpu", "meta", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_draws_move_whole(device: str) -> None:
    draws = SeededDraws(1).pretraining(CONFIG, [0, 1], [30, 20], Position(1, 3))
    moved = draws_to(draws, torch.device(device))
    assert isinstance(moved, PretrainingDraws)
    assert moved.noise is not None and moved.channel_mask is None
    tensors = (moved.span_mask, moved.masked_frames, moved.valid, moved.negatives, moved.noise)
    assert {tensor.device.type for tensor in tensors} == {device}
    assert moved.temperature == draws.temperature


def test_what_pads_a_batch_of_pretraining_is_not_heard() -> None:
    """`task.enable_padding` takes whole clips: their losses are those of their own samples alone."""
    model = pretraining_model(without_chance())
    batch = batch_of([4, 2], lengths=LENGTHS)
    noisy = replace(batch, waveforms=batch.waveforms.clone())
    noisy.waveforms[1, 1500:] = 1e3
    clean, loud = (objective_of(model).loss(each, Position(1, 7)) for each in (batch, noisy))
    assert_close(clean.total, loud.total)
    for name in clean.parts:
        assert_close(clean.parts[name], loud.parts[name])


def test_words_of_validation_may_be_a_language_models() -> None:
    greedy = objective_of(ctc_model().eval())
    assert isinstance(greedy, CTCObjective)
    batch = batch_of([0, 1], labels=True)
    assert batch.targets is not None and batch.target_lengths is not None
    said = [
        letters_to_words(DICTIONARY.decode(target[:length]))
        for target, length in zip(batch.targets, batch.target_lengths.tolist(), strict=True)
    ]
    shapes = []

    def decoder(log_probs: torch.Tensor, lengths: torch.Tensor) -> list[str]:
        shapes.append((log_probs.shape, lengths.tolist()))
        return said

    position = Position(VALIDATION_EPOCH, 0)
    _, plain = greedy.validate(batch, position)
    _, perfect = replace(greedy, word_decoder=decoder).validate(batch, position)
    assert perfect.wer == perfect.cer == 0.0
    assert (perfect.raw_wer, perfect.uer) == (plain.wer, plain.uer)
    assert shapes[0][0][0] == 2 and len(shapes[0][1]) == 2

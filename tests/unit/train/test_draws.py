"""Draws of training: what they depend on, and what they do not."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from auricle.models.config import NegativesConfig, QuantizerConfig, SpanMaskConfig
from auricle.models.wav2vec2 import PretrainingDraws
from auricle.train.draws import (
    VALIDATION_EPOCH,
    Position,
    SeededDraws,
    channel_mask,
    distractors,
    gumbel_noise,
    temperature,
    time_mask,
)
from tiny_runs import CONFIG

FRAMES = [40, 31, 25]
SEPARATE = replace(CONFIG, time_mask=replace(CONFIG.time_mask, require_same=False))


def draw(
    ids: list[int], frames: list[int], *, seed: int = 1, epoch: int = 1, update: int = 0, micro_batch: int = 0
) -> PretrainingDraws:
    return SeededDraws(seed).pretraining(SEPARATE, ids, frames, Position(epoch, update, micro_batch))


def same(first: PretrainingDraws, second: PretrainingDraws) -> bool:
    pairs = ((getattr(first, field.name), getattr(second, field.name)) for field in fields(PretrainingDraws))
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def row_of(draws: PretrainingDraws, row: int) -> list[object]:
    """What one utterance got, without padding."""
    count = int(draws.valid[row].sum())
    assert draws.noise is not None
    parts = (draws.masked_frames, draws.negatives, draws.noise)
    return [
        draws.span_mask[row].nonzero().flatten().tolist(),
        *(part[row, :count].tolist() for part in parts),
    ]


def test_shapes_and_what_they_hold() -> None:
    draws = draw([0, 1, 2], FRAMES)
    counts = draws.span_mask.sum(1)
    assert draws.span_mask.shape == (3, 40)
    assert draws.valid.sum(1).tolist() == counts.tolist()
    width = int(counts.max())
    assert draws.masked_frames.shape == draws.valid.shape == (3, width)
    assert draws.negatives.shape == (3, width, 3)
    assert draws.noise is not None and draws.noise.shape == (3, width, 2, 4)
    for row, size in enumerate(FRAMES):
        masked = draws.span_mask[row].nonzero().flatten()
        assert masked.max() < size
        assert draws.masked_frames[row, : len(masked)].tolist() == masked.tolist()
        assert not draws.masked_frames[row, len(masked) :].any()
        assert not draws.noise[row, len(masked) :].any()


def test_an_utterance_gets_the_same_wherever_it_stands() -> None:
    together = draw([7, 8, 9], FRAMES)
    turned = draw([9, 7], [FRAMES[2], FRAMES[0]], update=0, micro_batch=3)
    assert row_of(together, 0) == row_of(turned, 1)
    assert row_of(together, 2) == row_of(turned, 0)


def test_seed_epoch_and_utterance_decide() -> None:
    base = draw([3], [40])
    assert same(base, draw([3], [40]))
    others = [draw([4], [40]), draw([3], [40], seed=2), draw([3], [40], epoch=2)]
    assert not any(torch.equal(base.span_mask, other.span_mask) for other in others)


def test_torchs_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    draw([0], [40])
    assert torch.equal(state, torch.get_rng_state())


def test_validation_draws_no_noise_and_always_the_same_masks() -> None:
    first, later = (draw([0, 1], [40, 31], epoch=VALIDATION_EPOCH, update=n) for n in (0, 500))
    assert first.noise is None and later.noise is None
    assert torch.equal(first.span_mask, later.span_mask)
    assert torch.equal(first.negatives, later.negatives)
    assert not Position(VALIDATION_EPOCH, 3).training and Position(1, 3).training


def test_without_a_quantizer_there_is_no_noise() -> None:
    draws = SeededDraws(1).pretraining(replace(SEPARATE, quantizer=None), [0], [40], Position(1, 9))
    assert draws.noise is None and draws.temperature == 1.0


def test_an_utterance_of_no_frames_masks_nothing() -> None:
    draws = draw([0, 1], [40, 0])
    assert not draws.span_mask[1].any() and not draws.valid[1].any()
    nothing = draw([1], [0])
    assert nothing.masked_frames.shape == (1, 1) and not nothing.valid.any()


def test_at_least_two_spans_of_time_are_masked() -> None:
    config = SpanMaskConfig(prob=0.001, length=2, no_overlap=True)
    mask = time_mask(config, [50] * 3, [np.random.default_rng(i) for i in range(3)])
    assert mask.sum(1).tolist() == [4, 4, 4]


def test_channels_are_masked_where_asked_for() -> None:
    generators = [np.random.default_rng(i) for i in range(2)]
    assert channel_mask(SpanMaskConfig(), 12, generators) is None
    mask = channel_mask(SpanMaskConfig(prob=0.5, length=3), 12, generators)
    assert mask is not None and mask.shape == (2, 12) and mask.any()


def test_fine_tuning_masks_in_training_only() -> None:
    config = replace(CONFIG, channel_mask=SpanMaskConfig(prob=0.5, length=2))
    masks = SeededDraws(1).finetuning(config, [0, 1], [40, 31], Position(1, 0))
    assert masks.span_mask is not None and masks.span_mask.shape == (2, 40)
    assert masks.channel_mask is not None and masks.channel_mask.shape == (2, 12)
    for position, which in ((Position(VALIDATION_EPOCH, 0), config), (Position(1, 0), unmasked())):
        masks = SeededDraws(1).finetuning(which, [0, 1], [40, 31], position)
        assert masks.span_mask is None and masks.channel_mask is None


def unmasked():
    return replace(CONFIG, time_mask=SpanMaskConfig(prob=0.0), channel_mask=SpanMaskConfig(prob=0.0))


def test_noise_is_gumbels() -> None:
    noise = gumbel_noise(QuantizerConfig(2, 50), [400], 400, [np.random.default_rng(0)]).flatten()
    assert torch.isfinite(noise).all()
    count = len(noise)
    # Mean: Euler's constant; variance: pi^2 / 6.
    assert float(noise.mean()) == pytest.approx(0.5772, abs=5 * (1.645 / count) ** 0.5)
    assert float(noise.var()) == pytest.approx(torch.pi**2 / 6, rel=0.03)
    assert float((noise < 0).float().mean()) == pytest.approx(np.exp(-1), abs=0.01)


def test_temperature_falls_to_its_floor() -> None:
    config = QuantizerConfig(temperature=(2.0, 0.5, 0.9))
    assert temperature(config, 0) == 2.0
    assert temperature(config, 3) == pytest.approx(2 * 0.9**3)
    assert temperature(config, 1000) == 0.5


EVERYWHERE = NegativesConfig(num_negatives=3, from_everywhere=True)
CROSS = NegativesConfig(num_negatives=2, cross_sample=3)
CROSS_EVERYWHERE = NegativesConfig(num_negatives=2, cross_sample=3, from_everywhere=True)


def own_and_valid(draws: PretrainingDraws, config: NegativesConfig) -> tuple[torch.Tensor, set[int], int]:
    """The number of each masked frame as a candidate, all numbers of the batch, and those of a row."""
    rows, width = draws.valid.shape
    counts = FRAMES if config.from_everywhere else draws.valid.sum(1).tolist()
    size = max(FRAMES) if config.from_everywhere else width
    place = draws.masked_frames if config.from_everywhere else torch.arange(width).expand(rows, -1)
    numbers = {row * size + i for row, count in enumerate(counts) for i in range(count)}
    return place + size * torch.arange(rows)[:, None], numbers, size


@pytest.mark.parametrize("negatives", [EVERYWHERE, CROSS, CROSS_EVERYWHERE, NegativesConfig(0, 4)])
def test_distractors_are_other_candidates(negatives: NegativesConfig) -> None:
    config = replace(SEPARATE, negatives=negatives)
    draws = SeededDraws(1).pretraining(config, [0, 1, 2], FRAMES, Position(1, 0))
    own, numbers, size = own_and_valid(draws, negatives)
    drawn = draws.negatives
    if not negatives.cross_sample:
        drawn = drawn + size * torch.arange(3)[:, None, None]
    drawn, own = drawn[draws.valid], own[draws.valid]
    assert drawn.shape[-1] == negatives.num_negatives + negatives.cross_sample
    assert set(drawn.flatten().tolist()) <= numbers
    assert not (drawn == own[:, None]).any()
    rows = own[:, None] // size == drawn // size
    assert rows[:, : negatives.num_negatives].all()
    if negatives.cross_sample:
        assert not rows[:, negatives.num_negatives :].all()


def test_all_other_candidates_are_drawn_as_often() -> None:
    rng = [np.random.default_rng(0), np.random.default_rng(1)]
    places = [np.array([1, 3]), np.array([0])]
    config = NegativesConfig(num_negatives=3000, cross_sample=6000, from_everywhere=True)
    drawn = distractors(config, places, [4, 3], 2, 5, rng)
    for row, m, own in ((0, 0, 1), (0, 1, 3), (1, 0, 5)):
        inside, across = drawn[row, m, :3000], drawn[row, m, 3000:]
        mine = {0, 1, 2, 3} if row == 0 else {5, 6, 7}
        for values, expected in ((inside, mine - {own}), (across, {0, 1, 2, 3, 5, 6, 7} - {own})):
            found, counts = np.unique(values, return_counts=True)
            assert set(found.tolist()) == expected
            assert counts / len(values) == pytest.approx(1 / len(expected), rel=0.15)


def test_entries_of_codebooks_are_drawn_for_masked_frames_of_trained_models() -> None:
    config = replace(SEPARATE, negatives=NegativesConfig(2, codebook=5))
    for epoch in (1, VALIDATION_EPOCH):
        draws = SeededDraws(1).pretraining(config, [0, 1, 2], FRAMES, Position(epoch, 0))
        entries = draws.codebook_negatives
        assert entries is not None and entries.shape == (*draws.valid.shape, 5, 2)
        assert set(entries[draws.valid].flatten().tolist()) == set(range(4))
    unquantized = replace(config, quantizer=None)
    assert SeededDraws(1).pretraining(unquantized, [0], [40], Position(1, 0)).codebook_negatives is None


def test_noise_for_all_frames_where_all_are_quantized() -> None:
    config = replace(SEPARATE, input_quantizer=CONFIG.quantizer, negatives=EVERYWHERE)
    draws = SeededDraws(1).pretraining(config, [0, 1, 2], FRAMES, Position(1, 3))
    assert draws.noise is not None and draws.input_noise is not None
    assert draws.noise.shape == draws.input_noise.shape == (3, 40, 2, 4)
    assert not torch.equal(draws.noise, draws.input_noise)
    assert draws.temperature == temperature(CONFIG.quantizer, 3)
    only_input = replace(config, quantizer=None)
    draws = SeededDraws(1).pretraining(only_input, [0, 1, 2], FRAMES, Position(1, 3))
    assert draws.noise is None and draws.input_noise is not None
    assert draws.temperature == temperature(CONFIG.quantizer, 3)
    masks = SeededDraws(1).finetuning(config, [0, 1], FRAMES[:2], Position(1, 3))
    assert masks.input_noise is not None and masks.input_noise.shape == (2, 40, 2, 4)
    assert masks.temperature == draws.temperature

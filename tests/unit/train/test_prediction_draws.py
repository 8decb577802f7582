"""Distractors and noise of wav2vec 1.0 and vq-wav2vec: whose they are, and that they can be drawn again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from auricle.masking import sample_negatives
from auricle.models.wav2vec_config import Wav2VecConfig
from auricle.train.draws import VALIDATION_EPOCH, Position, SeededDraws
from wav2vec_models import LAYOUTS, PLAIN

FRAMES, WIDTH = (7, 4, 1), 7
CROSS = replace(PLAIN, cross_sample_negatives=5)


def negatives(config: Wav2VecConfig, ids: tuple[int, ...] = (3, 8, 5), epoch: int = 1) -> Tensor:
    return SeededDraws(1).prediction(config, ids, FRAMES[: len(ids)], Position(epoch, 0)).negatives


def test_distractors_are_other_frames_of_the_utterance() -> None:
    drawn = negatives(PLAIN)
    assert drawn.shape == (3, WIDTH, PLAIN.num_negatives)
    for row, count in enumerate(FRAMES[:2]):
        frames = drawn[row, :count] - row * WIDTH
        assert int(frames.min()) >= 0 and int(frames.max()) < count
        assert not (frames == torch.arange(count)[:, None]).any()


def test_distractors_of_the_batch_are_any_other_frames() -> None:
    config = replace(CROSS, cross_sample_negatives=200)
    drawn = negatives(config)[..., PLAIN.num_negatives :]
    everything = {row * WIDTH + frame for row, count in enumerate(FRAMES) for frame in range(count)}
    for row, count in enumerate(FRAMES):
        for frame in range(count):
            assert set(drawn[row, frame].tolist()) == everything - {row * WIDTH + frame}


def test_distractors_of_the_first_frames() -> None:
    drawn = sample_negatives([9], 9, 50, [np.random.default_rng(0)], limit=4)
    assert drawn.max() < 4
    assert not (drawn[0] == np.arange(9)[:, None]).any()
    limited = negatives(replace(PLAIN, sample_distance=3))
    assert int((limited[0] % WIDTH).max()) < 3


def test_own_distractors_depend_on_the_utterance_and_the_epoch_alone() -> None:
    own = negatives(CROSS)[..., : PLAIN.num_negatives]
    assert torch.equal(own, negatives(PLAIN))
    alone = SeededDraws(1).prediction(PLAIN, [8], [4], Position(1, 9)).negatives
    assert torch.equal(alone[0], own[1, :4] - WIDTH)
    assert not torch.equal(negatives(PLAIN, epoch=2), own)
    assert torch.equal(negatives(CROSS), negatives(CROSS))


@pytest.mark.parametrize(("layout", "expected"), [("plain", False), ("k-means", False), ("gumbel", True)])
def test_noise_is_for_gumbel_softmaxes_in_training(layout: str, expected: bool) -> None:
    config = LAYOUTS[layout]
    draws = SeededDraws(1).prediction(config, [1, 2], [5, 3], Position(1, 0))
    assert (draws.noise is not None) == expected
    if draws.noise is not None:
        assert draws.noise.shape == (2, 5, config.quantizer.num_codebooks, config.quantizer.num_entries)
    validation = SeededDraws(1).prediction(config, [1, 2], [5, 3], Position(VALIDATION_EPOCH, 0))
    assert validation.noise is None


def test_temperatures_follow_the_updates() -> None:
    config = LAYOUTS["gumbel, one codebook"]
    for update, expected in [(0, 2.0), (1, 1.8), (1000, 0.5)]:
        drawn = SeededDraws(1).prediction(config, [0], [3], Position(1, update))
        assert drawn.temperature == pytest.approx(expected)


def test_clips_without_frames() -> None:
    drawn = SeededDraws(1).prediction(CROSS, [0, 1], [0, 0], Position(1, 0)).negatives
    assert drawn.shape == (2, 1, 9)

"""All that chance decides in training, drawn in one place.

Every utterance has a generator of its own, made from (seed, epoch, utterance): its draws do not depend on
the process, on the position in the epoch, nor on what was drawn before, so that a resumed run draws what
the uninterrupted one would have. Dropout alone is torch's; the loop seeds that anew for every update.

(fairseq draws masks from unseeded generators, so its runs cannot be repeated.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.errors import UserError
from auricle.masking import sample_cross_negatives, sample_negatives, span_mask
from auricle.models.config import NegativesConfig, QuantizerConfig, SpanMaskConfig, Wav2Vec2Config
from auricle.models.wav2vec import PredictionDraws, gumbel_config
from auricle.models.wav2vec2 import PretrainingDraws
from auricle.models.wav2vec_config import Wav2VecConfig

VALIDATION_EPOCH = 0
"""Training epochs count from 1: validation draws the same masks every time, so its losses compare."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a forward pass stands.

    Attributes:
        epoch: From 1; `VALIDATION_EPOCH` in validation.
        update: Updates done before.
        micro_batch: Which batch of the update, from 0.
    """

    epoch: int
    update: int
    micro_batch: int = 0

    @property
    def training(self) -> bool:
        """False in validation."""
        return self.epoch != VALIDATION_EPOCH


@dataclass(frozen=True, slots=True)
class MaskDraws:
    """Masks of fine-tuning: bool [B, N] and bool [B, C], or None."""

    span_mask: Tensor | None
    channel_mask: Tensor | None


class Draws(Protocol):
    """Where an objective gets its draws from; a test replaces it by recorded ones."""

    def pretraining(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PretrainingDraws:
        """Masks, distractors and noise for utterances `ids` with `frames` valid frames each."""

    def finetuning(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> MaskDraws:
        """Masks for utterances `ids` with `frames` valid frames each."""

    def prediction(
        self, config: Wav2VecConfig, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PredictionDraws:
        """Distractors and noise for utterances `ids` with `frames` valid frames each."""


class SeededDraws:
    """Draws from (seed, epoch, utterance)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def pretraining(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PretrainingDraws:
        """See `Draws`."""
        generators = self._generators(ids, position)
        mask = time_mask(config.time_mask, frames, generators)
        channels = channel_mask(config.channel_mask, config.encoder.dim, generators)
        counts = mask.sum(1).tolist()
        width = max(1, max(counts))
        masked = np.zeros((len(ids), width), dtype=np.int64)
        for row, count, positions in zip(masked, counts, mask, strict=True):
            row[:count] = np.flatnonzero(positions)
        negatives = sample_negatives(counts, width, config.negatives.num_negatives, generators)
        quantizer = config.quantizer
        noise = None
        if quantizer and position.training:
            noise = gumbel_noise(quantizer, counts, width, generators)
        return PretrainingDraws(
            span_mask=torch.from_numpy(mask),
            masked_frames=torch.from_numpy(masked),
            valid=torch.arange(width) < torch.tensor(counts)[:, None],
            negatives=torch.from_numpy(negatives),
            channel_mask=channels,
            noise=noise,
            temperature=temperature(quantizer, position.update) if quantizer else 1.0,
        )

    def finetuning(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> MaskDraws:
        """See `Draws`; validation masks nothing."""
        if not position.training:
            return MaskDraws(None, None)
        generators = self._generators(ids, position)
        spans = time_mask(config.time_mask, frames, generators) if config.time_mask.prob > 0 else None
        return MaskDraws(
            None if spans is None else torch.from_numpy(spans),
            channel_mask(config.channel_mask, config.encoder.dim, generators),
        )

    def prediction(
        self, config: Wav2VecConfig, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> PredictionDraws:
        """See `Draws`; the only ones that depend on the batch are distractors from all of it."""
        generators = self._generators(ids, position)
        width = max(1, *frames)
        own = sample_negatives(frames, width, config.num_negatives, generators, config.sample_distance)
        own += width * np.arange(len(own))[:, None, None]
        others = sample_cross_negatives(frames, width, config.cross_sample_negatives, generators)
        negatives = torch.from_numpy(np.concatenate([own, others], axis=-1))
        if config.quantizer.kind != "gumbel":
            return PredictionDraws(negatives)
        quantizer = gumbel_config(config.quantizer)
        noise = gumbel_noise(quantizer, frames, width, generators) if position.training else None
        return PredictionDraws(negatives, noise, temperature(quantizer, position.update))

    def _generators(self, ids: Sequence[int], position: Position) -> list[np.random.Generator]:
        return [np.random.default_rng((self.seed, position.epoch, index)) for index in ids]


def check_negatives(config: NegativesConfig) -> None:
    """Refuse distractors that nothing here draws, before a run trains with others than it was asked for.

    Raises:
        UserError: Some are to come from elsewhere than the masked frames of their own utterance.
    """
    for word, value, off in (
        ("cross_sample_negatives", config.cross_sample, 0),
        ("codebook_negatives", config.codebook, 0),
        ("negatives_from_everywhere", config.from_everywhere, "false"),
    ):
        if value:
            raise UserError(
                "this version can only draw distractors from the masked frames of the same utterance: "
                f"set model.{word}={off}"
            )


def time_mask(
    config: SpanMaskConfig, frames: Sequence[int], generators: Sequence[np.random.Generator]
) -> NDArray[np.bool_]:
    """Masked frames, bool [B, max frames]; two spans a row at least (as fairseq's `min_masks`)."""
    return _mask(config, frames, max(1, max(frames)), generators, min_spans=2)


def channel_mask(
    config: SpanMaskConfig, dim: int, generators: Sequence[np.random.Generator]
) -> Tensor | None:
    """Masked channels, bool [B, dim], or None where none are to be."""
    if config.prob == 0:
        return None
    return torch.from_numpy(_mask(config, [dim] * len(generators), dim, generators, min_spans=0))


def _mask(
    config: SpanMaskConfig,
    sizes: Sequence[int],
    width: int,
    generators: Sequence[np.random.Generator],
    min_spans: int,
) -> NDArray[np.bool_]:
    return span_mask(
        sizes,
        width,
        generators,
        prob=config.prob,
        length=config.length,
        selection=config.selection,
        other=config.other,
        min_spans=min_spans,
        no_overlap=config.no_overlap,
        min_space=config.min_space,
        require_same=config.require_same,
        dropout=config.dropout,
    )


def gumbel_noise(
    config: QuantizerConfig, counts: Sequence[int], width: int, generators: Sequence[np.random.Generator]
) -> Tensor:
    """Gumbel(0, 1) noise, float32 [B, width, G, V], for the first `counts` rows of each."""
    noise = np.zeros((len(counts), width, config.num_codebooks, config.num_entries), dtype=np.float32)
    for row, count, rng in zip(noise, counts, generators, strict=True):
        drawn = rng.standard_exponential(row[:count].shape, dtype=np.float32)
        row[:count] = -np.log(np.maximum(drawn, np.finfo(np.float32).tiny))
    return torch.from_numpy(noise)


def temperature(config: QuantizerConfig, update: int) -> float:
    """Of the Gumbel softmax after `update` updates (quirk 11; the paper's section 4.2)."""
    start, end, decay = config.temperature
    return max(start * decay**update, end)

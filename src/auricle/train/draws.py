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
    """What chance decides in fine-tuning: see `Wav2Vec2.extract_features`."""

    span_mask: Tensor | None
    channel_mask: Tensor | None
    input_noise: Tensor | None = None
    temperature: float = 1.0


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
        places = [np.flatnonzero(row) for row in mask]
        counts = [len(row) for row in places]
        num_frames, width = mask.shape[1], max(1, *counts)
        masked = np.zeros((len(ids), width), dtype=np.int64)
        for row, count, frame in zip(masked, counts, places, strict=True):
            row[:count] = frame
        everywhere = config.negatives.from_everywhere
        candidates, size = (frames, num_frames) if everywhere else (counts, width)
        negatives = distractors(config.negatives, places, candidates, width, size, generators)
        quantizer = config.quantizer
        codebook = None
        if quantizer and config.negatives.codebook > 0:
            codebook = codebook_entries(quantizer, config.negatives.codebook, counts, width, generators)
        return PretrainingDraws(
            span_mask=torch.from_numpy(mask),
            masked_frames=torch.from_numpy(masked),
            valid=torch.arange(width) < torch.tensor(counts)[:, None],
            negatives=torch.from_numpy(negatives),
            channel_mask=channels,
            noise=training_noise(quantizer, candidates, size, generators, position),
            temperature=temperature(quantizer or config.input_quantizer, position.update),
            input_noise=training_noise(config.input_quantizer, frames, num_frames, generators, position),
            codebook_negatives=codebook,
        )

    def finetuning(
        self, config: Wav2Vec2Config, ids: Sequence[int], frames: Sequence[int], position: Position
    ) -> MaskDraws:
        """See `Draws`; validation masks nothing."""
        if not position.training:
            return MaskDraws(None, None)
        generators = self._generators(ids, position)
        spans = time_mask(config.time_mask, frames, generators) if config.time_mask.prob > 0 else None
        quantizer = config.input_quantizer
        return MaskDraws(
            None if spans is None else torch.from_numpy(spans),
            channel_mask(config.channel_mask, config.encoder.dim, generators),
            training_noise(quantizer, frames, max(1, *frames), generators, position),
            temperature(quantizer, position.update),
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


def distractors(
    config: NegativesConfig,
    places: Sequence[NDArray[np.int64]],
    candidates: Sequence[int],
    width: int,
    size: int,
    generators: Sequence[np.random.Generator],
) -> NDArray[np.int64]:
    """`PretrainingDraws.negatives`: those from the same utterance, then those from any of the batch.

    Args:
        config: How many of each kind.
        places: The masked frames of each row.
        candidates: How many candidates each row has, that is masked frames, or frames.
        width: M.
        size: R, what the candidates are padded to.
        generators: One a row.
    """
    own = places if config.from_everywhere else None
    negatives = sample_negatives(candidates, width, config.num_negatives, generators, own=own)
    if config.cross_sample == 0:
        return negatives
    negatives += size * np.arange(len(negatives))[:, None, None]
    others = sample_cross_negatives(candidates, width, config.cross_sample, generators, own, size)
    return np.concatenate([negatives, others], axis=-1)


def codebook_entries(
    config: QuantizerConfig,
    num: int,
    counts: Sequence[int],
    width: int,
    generators: Sequence[np.random.Generator],
) -> Tensor:
    """Combinations of entries, `num` for each of the first `counts` rows: int64 [B, width, num, G]."""
    entries = np.zeros((len(counts), width, num, config.num_codebooks), dtype=np.int64)
    for row, count, rng in zip(entries, counts, generators, strict=True):
        row[:count] = rng.integers(0, config.num_entries, size=row[:count].shape)
    return torch.from_numpy(entries)


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


def training_noise(
    config: QuantizerConfig | None,
    counts: Sequence[int],
    width: int,
    generators: Sequence[np.random.Generator],
    position: Position,
) -> Tensor | None:
    """`gumbel_noise`; None in validation, and where nothing is quantized."""
    return gumbel_noise(config, counts, width, generators) if config and position.training else None


def gumbel_noise(
    config: QuantizerConfig, counts: Sequence[int], width: int, generators: Sequence[np.random.Generator]
) -> Tensor:
    """Gumbel(0, 1) noise, float32 [B, width, G, V], for the first `counts` rows of each."""
    noise = np.zeros((len(counts), width, config.num_codebooks, config.num_entries), dtype=np.float32)
    for row, count, rng in zip(noise, counts, generators, strict=True):
        drawn = rng.standard_exponential(row[:count].shape, dtype=np.float32)
        row[:count] = -np.log(np.maximum(drawn, np.finfo(np.float32).tiny))
    return torch.from_numpy(noise)


def temperature(config: QuantizerConfig | None, update: int) -> float:
    """Of the Gumbel softmax after `update` updates (quirk 11; the paper's section 4.2); 1 without one."""
    if config is None:
        return 1.0
    start, end, decay = config.temperature
    return max(start * decay**update, end)

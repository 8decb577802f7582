"""What a run minimises: a batch, drawn masks and a model to a loss.

An objective computes draws on the host, then moves batch and draws to the device: the model and the
losses see tensors of known shapes only.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from auricle import losses
from auricle.data.collate import Batch
from auricle.decode.report import ErrorCounts, count_errors
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary
from auricle.losses import Loss
from auricle.models.ctc import CTCOutput, Wav2Vec2CTC
from auricle.models.wav2vec import PredictionDraws, Wav2Vec
from auricle.models.wav2vec2 import PretrainingDraws, Wav2Vec2Pretraining
from auricle.train.draws import Draws, MaskDraws, Position

AnyDraws = TypeVar("AnyDraws", PretrainingDraws, PredictionDraws, MaskDraws)


class Objective(Protocol):
    """One forward pass, with what validation wants to know besides the loss.

    A batch is of the kind that the run's loader makes: of sound, or of text (`AnyBatch`).
    """

    @property
    def model(self) -> torch.nn.Module:
        """The network whose loss it is."""

    def loss(self, batch: Any, position: Position) -> Loss:
        """The loss of a batch in training."""

    def validate(self, batch: Any, position: Position) -> tuple[Loss, ErrorCounts | None]:
        """The loss of a batch in validation, and its recognition errors where there are labels."""


class WordDecoder(Protocol):
    """Finds words by a language model, for validation."""

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """The words of each row: log_probs [B, N, V] float32, lengths [B] int64."""


@dataclass(frozen=True)
class PretrainingObjective:
    """Contrastive task, diversity and feature penalty (wav2vec 2.0, section 3.2)."""

    model: Wav2Vec2Pretraining
    draws: Draws
    loss_weights: tuple[float, ...]

    def loss(self, batch: Batch, position: Position) -> Loss:
        """See `Objective`."""
        frames = [self.model.num_frames(length) for length in batch.lengths.tolist()]
        draws = self.draws.pretraining(self.model.config, batch.ids.tolist(), frames, position)
        device = self.model.mask_emb.device
        moved, draws = batch.to(device), draws_to(draws, device)
        lengths = padded_lengths(batch, moved)
        output = self.model(moved.waveforms, lengths, draws, corpus_key=moved.corpus_keys)
        return losses.pretraining(output, self.loss_weights, draws.temperature)

    def validate(self, batch: Batch, position: Position) -> tuple[Loss, None]:
        """See `Objective`."""
        return self.loss(batch, position), None


@dataclass(frozen=True)
class PredictionObjective:
    """Prediction of coming frames, with the penalty of a quantizer (wav2vec 1.0 and vq-wav2vec)."""

    model: Wav2Vec
    draws: Draws
    loss_weights: tuple[float, ...] = ()

    @property
    def _distractor_weight(self) -> float:
        config = self.model.config
        return 1.0 if config.infonce or not config.balanced_classes else 1.0 / config.num_negatives

    def loss(self, batch: Batch, position: Position) -> Loss:
        """See `Objective`."""
        config = self.model.config
        frames = [self.model.num_frames(length) for length in batch.lengths.tolist()]
        draws = self.draws.prediction(config, batch.ids.tolist(), frames, position)
        device = self.model.wav2vec_predictions.project_to_steps.weight.device
        moved, draws = batch.to(device), draws_to(draws, device)
        return losses.prediction(
            self.model(moved.waveforms, padded_lengths(batch, moved), draws),
            self.loss_weights,
            draws.temperature,
            infonce=config.infonce,
            distractor_weight=self._distractor_weight,
        )

    def validate(self, batch: Batch, position: Position) -> tuple[Loss, None]:
        """See `Objective`."""
        return self.loss(batch, position), None


@dataclass(frozen=True)
class CTCObjective:
    """CTC on labelled speech (section 3.3), the encoder frozen for the first `freeze_updates` updates."""

    model: Wav2Vec2CTC
    draws: Draws
    dictionary: Dictionary
    zero_infinity: bool = False
    sentence_avg: bool = False
    freeze_updates: int = 0
    word_decoder: WordDecoder | None = None

    def loss(self, batch: Batch, position: Position) -> Loss:
        """See `Objective`."""
        return self._loss(batch, self._forward(batch, position))

    def validate(self, batch: Batch, position: Position) -> tuple[Loss, ErrorCounts]:
        """See `Objective`; errors are those of greedy decoding.

        With a `word_decoder`, words and their characters are what it finds, as in fairseq, and the words of
        greedy decoding are the raw ones.
        """
        output = self._forward(batch, position)
        return self._loss(batch, output), self._errors(batch, output)

    def _forward(self, batch: Batch, position: Position) -> CTCOutput:
        encoder = self.model.encoder
        frames = [encoder.num_frames(length) for length in batch.lengths.tolist()]
        masks = self.draws.finetuning(encoder.config, batch.ids.tolist(), frames, position)
        device = self.model.proj.weight.device
        moved, masks = batch.to(device), draws_to(masks, device)
        output: CTCOutput = self.model(
            moved.waveforms,
            padded_lengths(batch, moved),
            span_mask=masks.span_mask,
            channel_mask=masks.channel_mask,
            input_noise=masks.input_noise,
            temperature=masks.temperature,
            corpus_key=moved.corpus_keys,
            freeze_encoder=position.update < self.freeze_updates,
        )
        config = self.model.config
        return replace(
            output, logits=losses.weigh_blank(output.logits, config.blank_weight, config.blank_mode)
        )

    def _loss(self, batch: Batch, output: CTCOutput) -> Loss:
        assert batch.targets is not None and batch.target_lengths is not None
        device = output.logits.device
        return losses.ctc(
            output.logits,
            output.lengths,
            batch.targets.to(device),
            batch.target_lengths.to(device),
            zero_infinity=self.zero_infinity,
            sentence_avg=self.sentence_avg,
        )

    def _errors(self, batch: Batch, output: CTCOutput) -> ErrorCounts:
        assert batch.targets is not None and batch.target_lengths is not None
        emissions = output.logits.float().log_softmax(-1)
        hypotheses = viterbi(emissions, output.lengths, self.dictionary)
        references = [
            self.dictionary.decode(target[:length])
            for target, length in zip(batch.targets, batch.target_lengths.tolist(), strict=True)
        ]
        heard = [self.dictionary.decode(hypothesis.tokens) for hypothesis in hypotheses]
        raw = count_errors(references, heard)
        if self.word_decoder is None:
            return raw
        found = count_errors(references, heard, texts=self.word_decoder(emissions, output.lengths))
        return replace(found, raw_word_edits=raw.word_edits, num_raw_words=raw.num_words)


def padded_lengths(batch: Batch, moved: Batch) -> Tensor | None:
    """Lengths on the device, or None where no row is padded (decided on the host, without a sync)."""
    whole = batch.waveforms.shape[1]
    return None if all(length == whole for length in batch.lengths.tolist()) else moved.lengths


def draws_to(draws: AnyDraws, device: torch.device) -> AnyDraws:
    """Draws with their tensors on `device`."""
    if device.type == "cpu":
        return draws
    tensors: dict[str, Any] = {
        field.name: value.to(device, non_blocking=True)
        for field in fields(draws)
        if isinstance(value := getattr(draws, field.name), Tensor)
    }
    return replace(draws, **tensors)

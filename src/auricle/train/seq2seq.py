"""Training a recogniser that writes labels one by one: each label is predicted from those before it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from auricle import losses
from auricle.data.collate import Batch
from auricle.decode.report import ErrorCounts, count_errors
from auricle.decode.seq2seq import SearchOptions, search
from auricle.dictionary import Dictionary
from auricle.losses import Loss
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.train.draws import Draws, Position
from auricle.train.objective import draws_to, padded_lengths

_PATIENCE = 10
"""Labels that validation lets the model write beyond twice the longest reference: enough to be wrong."""


@dataclass(frozen=True)
class Seq2SeqObjective:
    """Label-smoothed cross-entropy, the encoder frozen for the first `freeze_updates` updates."""

    model: Wav2Vec2Seq2Seq
    draws: Draws
    dictionary: Dictionary
    label_smoothing: float = 0.0
    sentence_avg: bool = False
    freeze_updates: int = 0

    def loss(self, batch: Batch, position: Position) -> Loss:
        """See `Objective`."""
        assert batch.targets is not None and batch.target_lengths is not None
        encoder = self.model.encoder
        frames = [encoder.num_frames(length) for length in batch.lengths.tolist()]
        masks = self.draws.finetuning(encoder.config, batch.ids.tolist(), frames, position)
        device = encoder.mask_emb.device
        moved, masks = batch.to(device), draws_to(masks, device)
        previous, targets = previous_and_targets(batch.targets, batch.target_lengths)
        output = self.model(
            moved.waveforms,
            padded_lengths(batch, moved),
            previous.to(device),
            span_mask=masks.span_mask,
            channel_mask=masks.channel_mask,
            input_noise=masks.input_noise,
            temperature=masks.temperature,
            corpus_key=moved.corpus_keys,
            freeze_encoder=position.update < self.freeze_updates,
        )
        return losses.cross_entropy(
            output.logits,
            targets.to(device),
            label_smoothing=self.label_smoothing,
            sentence_avg=self.sentence_avg,
        )

    def validate(self, batch: Batch, position: Position) -> tuple[Loss, ErrorCounts]:
        """See `Objective`; errors are those of greedy search."""
        assert batch.targets is not None and batch.target_lengths is not None
        loss = self.loss(batch, position)
        device = self.model.encoder.mask_emb.device
        moved = batch.to(device)
        longest = 2 * int(batch.target_lengths.max()) + _PATIENCE
        options = SearchOptions(beam=1, max_len_b=longest)
        lengths = padded_lengths(batch, moved)
        found = search(self.model, moved.waveforms, lengths, options, corpus_key=moved.corpus_keys)
        references = [
            self.dictionary.decode(target[:length])
            for target, length in zip(batch.targets, batch.target_lengths.tolist(), strict=True)
        ]
        answers = [self.dictionary.decode(beam[0].tokens if beam else ()) for beam in found]
        return loss, count_errors(references, answers)


def previous_and_targets(labels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """What the decoder is given and what it shall answer.

    Args:
        labels: int64 [B, S], anything past `lengths`.
        lengths: int64 [B].

    Returns:
        `</s>` and then the labels, and the labels and then `</s>`, each [B, S + 1] filled up with `<pad>`.
    """
    positions = torch.arange(labels.shape[1] + 1)
    ending = labels.new_full((len(labels), 1), Dictionary.eos_index)
    end = lengths[:, None]
    previous = torch.cat([ending, labels], 1).masked_fill(positions > end, Dictionary.pad_index)
    targets = torch.cat([labels, ending], 1).masked_fill(positions > end, Dictionary.pad_index)
    return previous, targets.masked_fill(positions == end, Dictionary.eos_index)

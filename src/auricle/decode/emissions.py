"""From waveforms to emissions: the log-probabilities of units, frame by frame, that decoders work on.

B utterances, T samples, N frames, V units.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from auricle.decode.viterbi import log_probs
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq


@dataclass(frozen=True, slots=True)
class Emissions:
    """What a recogniser hears in a batch.

    Attributes:
        log_probs: [B, N, V] float32, natural log, with the blank weighed as the model's configuration
            says. What stands past `lengths` is unspecified.
        lengths: [B] int64, frames; 0 for clips shorter than the receptive field.
    """

    log_probs: Tensor
    lengths: Tensor


def check_recogniser(model: nn.Module, dictionary: Dictionary | None) -> tuple[Wav2Vec2CTC, Dictionary]:
    """The model and the dictionary, sure to go together.

    Raises:
        UserError: The model has no CTC head, or the dictionary is missing or has another size.
    """
    if isinstance(model, Wav2Vec2Seq2Seq):
        raise UserError(
            "this recogniser writes letters one by one and tells no times, which is needed here: use"
            " `auricle transcribe` or auricle.decode.seq2seq.search, or fine-tune with CTC"
        )
    if not isinstance(model, Wav2Vec2CTC):
        raise UserError(
            "this model was pre-trained only and has no letters to write: fine-tune it first "
            "(auricle train --config-name base_100h model.w2v_path=MODEL ...)"
        )
    return model, check_dictionary(dictionary, model.config.num_labels)


def check_dictionary(dictionary: Dictionary | None, num_labels: int) -> Dictionary:
    """The dictionary, sure to be that of a recogniser of so many labels.

    Raises:
        UserError: It is missing or has another size.
    """
    if dictionary is None:
        raise UserError("this checkpoint holds no dictionary: pass its dict.ltr.txt with --dictionary")
    if len(dictionary) != num_labels:
        raise UserError(
            f"the dictionary has {len(dictionary)} symbols, its 4 special ones included, and the model "
            f"{num_labels}: pass the dict.ltr.txt that the model was fine-tuned with"
        )
    return dictionary


def emit(model: Wav2Vec2CTC, waveforms: Tensor, lengths: Tensor) -> Emissions:
    """Runs the model, in evaluation mode and without gradients.

    Args:
        model: On any device, in any floating-point type; left in the mode it was in.
        waveforms: [B, T] float32, read as the model's configuration says (rate, `normalize`).
        lengths: [B] int64, samples.

    Returns:
        Emissions, on the model's device.

    Raises:
        UserError: The model gives values that are not numbers: its weights are damaged.
    """
    weight, config = model.proj.weight, model.config
    padded = bool((lengths < waveforms.shape[1]).any())
    with evaluating(model):
        output = model(
            waveforms.to(weight.device, weight.dtype), lengths.to(weight.device) if padded else None
        )
        emissions = Emissions(
            log_probs(output.logits, config.blank_weight, config.blank_mode), output.lengths
        )
    _check_finite(emissions)
    return emissions


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout and gradients off; the model's mode comes back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


CPU_PADDING, CPU_PADDING_UNPACKED = 0.4, 0.1
"""Most padding of a clip in a batch on a CPU: of models that pack frames it costs little there, of others it
costs more than a larger batch gains."""


def most_padding(model: Wav2Vec2CTC) -> float:
    """For `length_batches`: a GPU would rather have larger batches."""
    if model.proj.weight.device.type != "cpu":
        return 1.0
    return CPU_PADDING if model.packs_frames else CPU_PADDING_UNPACKED


def length_batches(
    lengths: Sequence[int], max_samples: int, max_clips: int | None = None, padding: float = 1.0
) -> list[list[int]]:
    """Groups clips of like length, so that little is computed on padding.

    Args:
        lengths: Samples of each clip.
        max_samples: Of a batch, padding included; a clip longer than that stands alone.
        max_clips: Of a batch; None for no limit.
        padding: Most share of a row that may be padding.

    Returns:
        Lists of positions in `lengths`, each position once; the longest clips come first, so that what
        does not fit in memory fails at once.
    """
    batches: list[list[int]] = []
    widest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        count = len(batches[-1]) + 1 if batches else 1
        full = count * widest > max_samples or (max_clips and count > max_clips)
        if count == 1 or full or lengths[position] < (1.0 - padding) * widest:
            batches.append([])
            widest = lengths[position]
        batches[-1].append(position)
    return batches


def pad(waveforms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Puts waveforms [T_i] side by side: [B, T] float32 filled with zeros, and their lengths [B] int64."""
    lengths = torch.tensor([len(samples) for samples in waveforms])
    return pad_sequence(list(waveforms), batch_first=True), lengths


def _check_finite(emissions: Emissions) -> None:
    """A number that is none would decode to plausible nonsense: stop instead."""
    positions = torch.arange(emissions.log_probs.shape[1], device=emissions.lengths.device)
    valid = positions < emissions.lengths[:, None]
    broken = ~emissions.log_probs.isfinite().all(dim=-1) & valid
    if broken.any():
        raise UserError(
            f"the model gives values that are not numbers on {int(broken.any(dim=1).sum())} of "
            f"{len(valid)} utterances: its weights are damaged or its training diverged; "
            "take an earlier checkpoint"
        )

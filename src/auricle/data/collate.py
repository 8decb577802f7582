"""From utterances to a batch: crop all to the shortest, or pad all to the longest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

TARGET_PADDING = 1
"""fairseq's `<pad>`."""

CropStart = Callable[[int, int], int]
"""(utterance number, samples too many) -> where to start, from 0 to samples too many."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An utterance that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance, read.

    Attributes:
        id: Its number in the dataset.
        samples: [T] float32.
        targets: [S] int64, or None where there are no labels.
    """

    id: int
    samples: Tensor
    targets: Tensor | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a training step takes. B is 0 where nothing of the batch could be read.

    Attributes:
        ids: [B] int64, the utterances' numbers in the dataset.
        waveforms: [B, T] float32, zero after each utterance's end.
        lengths: [B] int64, samples.
        targets: [B, S] int64, filled up with 1; None where there are no labels.
        target_lengths: [B] int64, symbols; None where there are no labels.
        set_aside: Utterances of this batch that could not be used.
        sample_rate: In Hz.
        corpus_keys: [B] int64, the corpus that each is of; None where there is one.
    """

    ids: Tensor
    waveforms: Tensor
    lengths: Tensor
    targets: Tensor | None = None
    target_lengths: Tensor | None = None
    set_aside: tuple[SetAside, ...] = ()
    sample_rate: int = 16000
    corpus_keys: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def amount(self) -> float:
        """Seconds of sound, padding not counted."""
        return int(self.lengths.sum()) / self.sample_rate

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return replace(
            self,
            ids=self.ids.to(device),
            waveforms=self.waveforms.to(device),
            lengths=self.lengths.to(device),
            targets=None if self.targets is None else self.targets.to(device),
            target_lengths=None if self.target_lengths is None else self.target_lengths.to(device),
            corpus_keys=None if self.corpus_keys is None else self.corpus_keys.to(device),
        )


def silence(dtype: torch.dtype = torch.float32, num_samples: int = 16000) -> Batch:
    """One utterance of silence that says nothing: what a worker hears that has nothing else to do."""
    return Batch(
        ids=torch.zeros(1, dtype=torch.int64),
        waveforms=torch.zeros(1, num_samples, dtype=dtype),
        lengths=torch.tensor([num_samples]),
        targets=torch.full((1, 1), TARGET_PADDING),
        target_lengths=torch.zeros(1, dtype=torch.int64),
        corpus_keys=torch.zeros(1, dtype=torch.int64),
    )


def nothing() -> Batch:
    """A batch of no utterances."""
    return collate((), pad=True, crop_start=lambda index, surplus: 0)


def collate(
    items: Sequence[Utterance | SetAside],
    *,
    pad: bool,
    max_sample_size: int | None = None,
    crop_start: CropStart,
    sample_rate: int = 16000,
) -> Batch:
    """Put utterances together, as fairseq's `FileAudioDataset.collater`.

    Args:
        items: What the dataset gave; values set aside go into the batch's list.
        pad: Fill up to the longest with zeros; otherwise crop to the shortest (golden quirk 31).
        max_sample_size: Crop to this many samples in any case; not for utterances with labels.
        crop_start: Chooses which part a crop keeps.
        sample_rate: Of the samples, in Hz.
    """
    utterances = [item for item in items if isinstance(item, Utterance)]
    lengths = [len(utterance.samples) for utterance in utterances]
    width = (max if pad else min)(lengths, default=0)
    if max_sample_size is not None:
        width = min(width, max_sample_size)
    # numpy: torch would copy with several threads, against those that train at the same time
    waveforms = np.zeros((len(utterances), width), dtype=np.float32)
    for row, utterance in zip(waveforms, utterances, strict=True):
        surplus = len(utterance.samples) - width
        start = crop_start(utterance.id, surplus) if surplus > 0 else 0
        part = utterance.samples.numpy()[start : start + width]
        row[: len(part)] = part
    targets, target_lengths = _collated_targets(utterances)
    return Batch(
        ids=torch.tensor([utterance.id for utterance in utterances], dtype=torch.int64),
        waveforms=torch.from_numpy(waveforms),
        lengths=torch.tensor([min(length, width) for length in lengths], dtype=torch.int64),
        targets=targets,
        target_lengths=target_lengths,
        set_aside=tuple(item for item in items if isinstance(item, SetAside)),
        sample_rate=sample_rate,
    )


def _collated_targets(utterances: Sequence[Utterance]) -> tuple[Tensor | None, Tensor | None]:
    labels = [utterance.targets for utterance in utterances if utterance.targets is not None]
    if not labels:
        return None, None
    targets = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=TARGET_PADDING)
    return targets, torch.tensor([len(label) for label in labels], dtype=torch.int64)

"""Several corpora as one dataset: each utterance has the number of its corpus, that of its adapters."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from auricle.data.collate import Batch, CropStart, SetAside, Utterance
from auricle.data.dataset import SpeechDataset


class SeveralCorpora:
    """Datasets one after the other; every utterance of all of them once in an epoch.

    Attributes:
        labels: The labels of all, or None.
        sizes: [U] int64, samples.
        max_sample_size: The same for all.
        set_aside: What was left out of any.
    """

    unit = SpeechDataset.unit

    def __init__(self, parts: Sequence[tuple[int, SpeechDataset]]) -> None:
        """Put datasets together.

        Args:
            parts: Number of a corpus, and utterances of it; read alike, with labels all or none.
        """
        self._parts = [dataset for _, dataset in parts]
        counts = [len(dataset) for dataset in self._parts]
        self._starts = np.cumsum([0, *counts[:-1]])
        self._corpora = np.repeat([number for number, _ in parts], counts)
        labels = [dataset.labels for dataset in self._parts if dataset.labels is not None]
        self.labels: list[str] | None = [line for lines in labels for line in lines] if labels else None
        self.sizes = np.concatenate([dataset.sizes for dataset in self._parts])
        self.max_sample_size = self._parts[0].max_sample_size
        self.set_aside: tuple[SetAside, ...] = tuple(
            item for dataset in self._parts for item in dataset.set_aside
        )

    @property
    def source(self) -> Path:
        """The first of the manifests."""
        return self._parts[0].source

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Utterance | SetAside:
        """Read one utterance, as `SpeechDataset` does."""
        part, number = self._place(index)
        item = self._parts[part][number]
        return replace(item, id=index) if isinstance(item, Utterance) else item

    def name(self, index: int) -> str:
        """Which utterance that is."""
        part, number = self._place(index)
        return self._parts[part].name(number)

    def collate(self, items: Sequence[Utterance | SetAside], *, pad: bool, crop_start: CropStart) -> Batch:
        """Put utterances together, of whichever corpora."""
        batch = self._parts[0].collate(items, pad=pad, crop_start=crop_start)
        return replace(batch, corpus_keys=torch.from_numpy(self._corpora[batch.ids.numpy()]))

    def _place(self, index: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return part, index - int(self._starts[part])

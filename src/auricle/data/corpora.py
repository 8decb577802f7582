"""Several corpora as one dataset: each utterance has the number of its corpus, that of its adapters."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.data.collate import Batch, CropStart, SetAside, Utterance
from auricle.data.dataset import SpeechDataset
from auricle.data.mixing import mixture

_log = logging.getLogger(__name__)


class SeveralCorpora:
    """Datasets one after the other; an epoch has every utterance once, or shares of them by weights.

    With weights, an utterance stands here as often as any epoch may need it, under a number each time.

    Attributes:
        labels: The labels of all, or None.
        sizes: [U] int64, samples.
        max_sample_size: The same for all.
        set_aside: What was left out of any.
    """

    unit = SpeechDataset.unit

    def __init__(
        self, parts: Sequence[tuple[int, SpeechDataset]], weights: Sequence[float] | None = None
    ) -> None:
        """Put datasets together.

        Args:
            parts: Number of a corpus, and utterances of it; read alike, with labels all or none.
            weights: Share of each part in an epoch (`auricle.data.mixing`); without, all of each once.

        Raises:
            UserError: The weights are none.
        """
        self._parts = [dataset for _, dataset in parts]
        counts = [len(dataset) for dataset in self._parts]
        self._starts = np.cumsum([0, *counts[:-1]])
        self._mixture, self._numbers = None, np.arange(sum(counts))  # place -> number among all
        if weights is not None:
            self._mixture, self._numbers = mixture(counts, weights)
            heard = zip(self._parts, self._mixture.rates, strict=True)
            shares = ", ".join(f"{dataset.source.stem} {rate:.3g} times" for dataset, rate in heard)
            _log.info("an epoch hears %s", shares)
        self._corpora = np.repeat([number for number, _ in parts], counts)[self._numbers]
        labels = [dataset.labels for dataset in self._parts if dataset.labels is not None]
        lines = [line for part in labels for line in part]
        self.labels: list[str] | None = [lines[number] for number in self._numbers] if labels else None
        self.sizes = np.concatenate([dataset.sizes for dataset in self._parts])[self._numbers]
        self.max_sample_size = self._parts[0].max_sample_size
        self.set_aside: tuple[SetAside, ...] = tuple(
            _named(item, dataset) for dataset in self._parts for item in dataset.set_aside
        )

    @property
    def source(self) -> Path:
        """The first of the manifests."""
        return self._parts[0].source

    def in_epoch(self, seed: int, epoch: int) -> NDArray[np.bool_]:
        """Which utterances an epoch consists of, bool [U]; a function of (seed, epoch)."""
        if self._mixture is None:
            return np.ones(len(self), dtype=np.bool_)
        return self._mixture.in_epoch(seed, epoch)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Utterance | SetAside:
        """Read one utterance, as `SpeechDataset` does."""
        part, number = self._place(index)
        return self._numbered(self._parts[part][number], index, part)

    def heard(self, index: int, rng: np.random.Generator) -> Utterance | SetAside:
        """Read one utterance as an epoch hears it, as `SpeechDataset` does."""
        part, number = self._place(index)
        return self._numbered(self._parts[part].heard(number, rng), index, part)

    def name(self, index: int) -> str:
        """Which utterance that is: its manifest's name and its own, as corpora may share relative paths."""
        part, number = self._place(index)
        return _full_name(self._parts[part], self._parts[part].name(number))

    def collate(self, items: Sequence[Utterance | SetAside], *, pad: bool, crop_start: CropStart) -> Batch:
        """Put utterances together, of whichever corpora."""
        batch = self._parts[0].collate(items, pad=pad, crop_start=crop_start)
        return replace(batch, corpus_keys=torch.from_numpy(self._corpora[batch.ids.numpy()]))

    def _numbered(self, item: Utterance | SetAside, index: int, part: int) -> Utterance | SetAside:
        return replace(item, id=index) if isinstance(item, Utterance) else _named(item, self._parts[part])

    def _place(self, index: int) -> tuple[int, int]:
        number = int(self._numbers[index])
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        return part, number - int(self._starts[part])


def _full_name(dataset: SpeechDataset, name: str) -> str:
    return f"{dataset.source.stem}:{name}"


def _named(item: SetAside, dataset: SpeechDataset) -> SetAside:
    return replace(item, name=_full_name(dataset, item.name))

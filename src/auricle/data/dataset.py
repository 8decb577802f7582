"""Utterances of a manifest, checked before they are used: nothing unusable reaches a model."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import eq
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from auricle import audio
from auricle.data.collate import Batch, CropStart, SetAside, Utterance, collate
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest, sample_counts

NumFrames = Callable[[int], int]
"""Samples -> frames of the model; never falls as samples grow."""


class SpeechDataset:
    """The usable utterances of a manifest, by number.

    Utterances that are too short or too long, whose labels cannot fit, or (later, when read) whose audio is
    broken are set aside with the reason.

    Attributes:
        entries: The manifest's entries that are kept; positions are the numbers used everywhere else.
        labels: Their label lines, or None.
        sizes: [U] int64, samples at `sample_rate`, from the manifest.
        set_aside: What was left out, before any audio was read.
    """

    unit = "samples"

    def __init__(
        self,
        manifest: Manifest,
        *,
        labels: list[str] | None = None,
        dictionary: Dictionary | None = None,
        sample_rate: int = audio.SAMPLE_RATE,
        normalize: bool = False,
        min_sample_size: int | None = None,
        max_sample_size: int | None = None,
        num_frames: NumFrames | None = None,
        labels_need_frames: bool = True,
        speed_perturbation: float = 0.0,
    ) -> None:
        """Choose the usable utterances.

        Args:
            manifest: What there is.
            labels: One line an entry; symbols separated by spaces.
            dictionary: Numbers the labels; needed with them.
            sample_rate: What the model hears, in Hz; other files are resampled.
            normalize: Scale each whole utterance to mean 0 and variance 1.
            min_sample_size: Shorter utterances are set aside.
            max_sample_size: Longer ones are cropped when batched; with labels, set aside.
            num_frames: The model's. With it, utterances that give no frame are set aside,
            labels_need_frames: and those that give fewer than CTC needs for their labels: one a symbol, and
                one between two equal ones.
            speed_perturbation: An epoch hears each utterance up to this share faster or slower (`heard`).
                Sizes stay those of the manifest.

        Raises:
            UserError: A label holds a symbol that the dictionary lacks, or the counts differ.
        """
        if labels is not None and dictionary is None:
            raise ValueError("labels need a dictionary")
        if labels is not None and len(labels) != len(manifest):
            raise UserError(f"{len(labels)} labels for the {len(manifest)} utterances of {manifest.source}")
        self.sample_rate = sample_rate
        self.max_sample_size = max_sample_size
        self._manifest = manifest
        self._dictionary = dictionary
        self._normalize = normalize
        self._speed_perturbation = speed_perturbation
        if labels is not None and dictionary is not None:
            _check_symbols(manifest, labels, dictionary)
        sizes = np.array(sample_counts(manifest, sample_rate), dtype=np.int64)
        fitted = labels if labels_need_frames else None
        needs = _needs(fitted or [""] * len(manifest), min_sample_size or 1, num_frames)
        longest = max_sample_size if labels is not None else None
        reasons = [_reason(int(size), need, longest) for size, need in zip(sizes, needs, strict=True)]
        kept = [number for number, reason in enumerate(reasons) if reason is None]
        self.entries: tuple[Entry, ...] = tuple(manifest.entries[number] for number in kept)
        self.labels = None if labels is None else [labels[number] for number in kept]
        self.sizes = sizes[kept]
        self._needs = [needs[number] for number in kept]
        self.set_aside = tuple(
            SetAside(entry.path, reason)
            for entry, reason in zip(manifest.entries, reasons, strict=True)
            if reason is not None
        )

    @property
    def source(self) -> Path:
        """The manifest's file."""
        return self._manifest.source

    def in_epoch(self, seed: int, epoch: int) -> NDArray[np.bool_]:
        """Which utterances an epoch consists of, bool [U]: all."""
        return np.ones(len(self), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Utterance | SetAside:
        """Read one utterance; one that cannot be used is a value, not an exception."""
        return self._read(index, speed=1.0)

    def heard(self, index: int, rng: np.random.Generator) -> Utterance | SetAside:
        """Read one utterance as an epoch hears it, at a speed drawn from `rng`.

        One that would become too short for its labels keeps its speed.
        """
        limit = self._speed_perturbation
        return self._read(index, speed=rng.uniform(1 - limit, 1 + limit) if limit > 0 else 1.0)

    def _read(self, index: int, speed: float) -> Utterance | SetAside:
        entry = self.entries[index]
        path = self._manifest.full_path(entry)
        try:
            samples = audio.read(path, sample_rate=self.sample_rate).samples
        except audio.AudioError as error:
            return SetAside(entry.path, str(error).removeprefix(f"{path}: "))
        # the manifest may be wrong about the length: only now it is known
        reason = _reason(len(samples), self._needs[index], None)
        if reason is not None:
            return SetAside(entry.path, reason)
        if speed != 1.0:
            played = audio.at_speed(samples, speed)
            samples = played if _reason(len(played), self._needs[index], None) is None else samples
        if self._normalize:
            samples = audio.normalize(samples)
        return Utterance(index, samples, self._targets(index))

    def name(self, index: int) -> str:
        """Which utterance that is."""
        return self.entries[index].path

    def collate(self, items: Sequence[Utterance | SetAside], *, pad: bool, crop_start: CropStart) -> Batch:
        """Put utterances together (see `auricle.data.collate`); labelled ones are never cropped."""
        return collate(
            items,
            pad=pad,
            max_sample_size=self.max_sample_size if self.labels is None else None,
            crop_start=crop_start,
            sample_rate=self.sample_rate,
        )

    def _targets(self, index: int) -> Tensor | None:
        if self.labels is None or self._dictionary is None:
            return None
        return self._dictionary.encode(self.labels[index])


Need = tuple[int, str]
"""The fewest samples that an utterance may have, and for what."""


def _needs(labels: list[str], min_sample_size: int, num_frames: NumFrames | None) -> list[Need]:
    """The need of every utterance: the size asked for, one frame, and the frames of its label."""
    least = (min_sample_size, "min_sample_size")
    if num_frames is None:
        return [least] * len(labels)

    @cache
    def need(symbols: int, repeats: int) -> Need:
        what = f"a label of {symbols} symbols" if symbols else "one frame"
        return max(least, (_fewest_samples(num_frames, max(1, symbols + repeats)), what))

    return [need(*symbols_and_repeats(label)) for label in labels]


def symbols_and_repeats(label: str) -> tuple[int, int]:
    """Symbols of a label, and how often one follows itself: CTC puts a blank between these."""
    symbols = label.split()
    return len(symbols), sum(map(eq, symbols, symbols[1:]))


def _fewest_samples(num_frames: NumFrames, frames: int) -> int:
    """The smallest number of samples that gives so many frames, by bisection."""
    high = 1
    while num_frames(high) < frames:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if num_frames(middle) >= frames else (middle, high)
    return high


def _reason(size: int, need: Need, longest: int | None) -> str | None:
    """Why an utterance of so many samples cannot be used, if it cannot."""
    fewest, what = need
    if size < fewest:
        return f"too short: {size} samples, {what} needs {fewest}"
    if longest is not None and size > longest:
        return f"too long: {size} samples, max_sample_size is {longest} and labelled speech is not cropped"
    return None


def _check_symbols(manifest: Manifest, labels: list[str], dictionary: Dictionary) -> None:
    for entry, label in zip(manifest.entries, labels, strict=True):
        if missing := dictionary.unknown_symbols(label):
            raise UserError(
                f"the label of {entry.path} ({manifest.source}:{entry.line}) holds {missing[0]!r}, which is "
                "not in the dictionary: make both from the same transcripts, or add it to the dictionary"
            )
